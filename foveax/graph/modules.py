"""Modules: pure functions with named, typed ports."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from foveax._types import Key, Params
from foveax.graph.ports import Port

Values = Mapping[str, Any]
"""The values at a module's ports, by the port's name."""
State = Any
"""What a module keeps from one glimpse to the next, within a rollout."""


class Agent(NamedTuple):
    """What makes a module an agent: the part of a graph that is trained by reinforcement.

    Nothing flows back through an agent's border: the gradient of what enters it is stopped, and that of what leaves
    it is scaled by `pathwise`, which is 0 for pure reinforcement learning. Its outputs hold its whole experience, by
    these names: ``action`` (as sampled, before it is bounded), ``log_prob``, ``entropy``, ``value`` and ``reward``.

    Attributes:
      evaluate: ``(params, state, outputs) -> (outputs, state)``: ``log_prob``, ``entropy`` and ``value`` of the action
        that earlier `outputs` hold, under other parameters.
      mode: like `Module.apply`, but the action is the policy's most usual one, not a sample.
      pathwise: the share of the gradient that passes from the action's consumers into the agent.
    """

    evaluate: Callable[[Params, State, Values], tuple[Values, State]]
    mode: Callable[[Params, State, Values, Key | None], tuple[Values, State]]
    pathwise: float = 0.0


AGENT_OUTPUTS = ("action", "log_prob", "entropy", "value", "reward")


def no_params(key: Key, inputs: Values) -> Params:
    """`Module.init` of a module that has nothing to learn."""
    del key, inputs
    return {}


def no_state(inputs: Values) -> State:
    """`Module.begin` of a module that remembers nothing."""
    del inputs
    return ()


class Module(NamedTuple):
    """A pure function with named, typed ports: one node of a graph. Written for one example.

    Attributes:
      inputs: the ports it takes, by name. Which ports it gives, their shapes and dtypes, is read off `apply`.
      apply: ``(params, state, inputs, key) -> (outputs, state)``, one glimpse. `inputs` and `outputs` are
        dictionaries by port name. The key is None unless the module is `random`.
      init: ``(key, inputs) -> params``, where `inputs` holds a `jax.ShapeDtypeStruct` for each port that is fed.
      begin: ``(inputs) -> state`` before the first glimpse, of the same kind of `inputs`.
      random: whether `apply` is given a fresh key at each glimpse.
      losses: the outputs, scalars, that the module's training minimises.
      agent: what reinforcement learning needs to know, if this is an agent.
      fit_every: after how many training steps, their gradients averaged, the parameters are updated.
    """

    inputs: Mapping[str, Port]
    apply: Callable[[Params, State, Values, Key | None], tuple[Values, State]]
    init: Callable[[Key, Values], Params] = no_params
    begin: Callable[[Values], State] = no_state
    random: bool = False
    losses: tuple[str, ...] = ()
    agent: Agent | None = None
    fit_every: int = 1


def from_function(
    function: Callable[..., Any],
    *,
    outputs: str | tuple[str, ...] = "output",
    ports: Mapping[str, Port] | None = None,
    losses: tuple[str, ...] = (),
) -> Module:
    """Makes a module of a plain function, for one example, without parameters.

    Args:
      function: its parameters are the input ports; those with a default need no link; keyword-only ones are no ports.
      outputs: the name of its result, or the names of the results if it gives a tuple.
      ports: what the input ports accept, by name; those not named take anything.
      losses: the outputs, scalars, that training minimises.

    Example:
      >>> import foveax as fx
      >>> module = fx.from_function(lambda glimpse: glimpse.mean(), outputs="brightness")
      >>> list(module.inputs)
      ['glimpse']
    """
    names = (outputs,) if isinstance(outputs, str) else outputs

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        del params, key
        result = function(**inputs)
        results = (result,) if isinstance(outputs, str) else result
        return dict(zip(names, results, strict=True)), state

    return Module(inputs=signature_ports(function, ports or {}), apply=apply, losses=losses)


def signature_ports(function: Callable[..., Any], ports: Mapping[str, Port], skip: int = 0) -> dict[str, Port]:
    """The input ports that a function's parameters make, but for the first `skip` and for keyword-only options.

    They are universal unless `ports` says more.
    """
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    named = [parameter for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    return {
        parameter.name: ports.get(parameter.name, Port())._replace(required=parameter.default is parameter.empty)
        for parameter in named
    }


def batching(module: Module, *, every: int) -> Module:
    """The batching capsule: the same module, fitted once every so many rollouts, to the mean of their gradients.

    Example:
      >>> import foveax as fx
      >>> fx.batching(fx.classifier(), every=4).fit_every
      4
    """
    return module._replace(fit_every=every)


def zeros_like(specs: Values) -> dict[str, Any]:
    """Zeros of the shapes and dtypes given."""
    return {name: jnp.zeros(spec.shape, spec.dtype) for name, spec in specs.items()}
