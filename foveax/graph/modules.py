"""Modules: pure functions with named, typed ports."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp

from foveax._checked import in_line, is_number
from foveax._types import Array, Key, Params, pickled_by_value
from foveax.graph.ports import GraphError, Port

Values = Mapping[str, Any]
"""The values at a module's ports, by the port's name."""
State = Any
"""What a module carries from one glimpse to the next, within a rollout."""
Factor = float | str
"""A number, or the name of one of the graph's hyper-parameters."""


class Loss(NamedTuple):
    """How training minimises one of a module's outputs.

    The term in the objective is ``weight * schedule(progress) * mean(loss)``, the mean over the batch and the glimpses.

    Attributes:
      weight: a number, or the name of a hyper-parameter of the graph.
      schedule: from the share of training done, in [0, 1], to a factor; None keeps the weight constant.
      glimpses: ``"each"``, or ``"last"`` to minimise the loss after the last glimpse alone.

    Example:
      >>> import foveax as fx
      >>> fx.Loss(weight=0.1, schedule=lambda progress: 1 - progress).schedule(0.25)
      0.75
    """

    weight: Factor = 1.0
    schedule: Callable[[Array], Array] | None = None
    glimpses: Literal["each", "last"] = "each"


class Agent(NamedTuple):
    """What makes a module an agent: the part of a graph that is trained by reinforcement.

    Nothing flows back through an agent's border: the gradient of what enters it is stopped, and that of what leaves
    it is scaled by `pathwise`, which is 0 for pure reinforcement learning. Its outputs hold its experience, by these
    names: ``action`` (as sampled, before it is bounded), ``log_prob``, ``entropy`` and ``value``.

    Attributes:
      evaluate: ``(params, state, outputs) -> (outputs, state)``: ``log_prob``, ``entropy`` and ``value`` of the action
        that earlier `outputs` hold, under other parameters.
      mode: like `Module.apply`, but the action is the mode of the policy, not a sample.
      reward: the port that pays the agent, as ``"module.port"``, a float32 scalar: its value at glimpse t + 1 is the
        reward of the action at glimpse t. Nothing needs to be linked.
      pathwise: the share of the gradient that passes from the action's consumers into the agent: a number, or the name
        of a hyper-parameter of the graph.
      reach: the farthest that the agent can move along each axis in one saccade, as a fraction of the image, from the
        place at its port ``position``; None for anywhere. Controls keep to it.
      follow: ``(params, state, inputs, fixation) -> (outputs, state)``: like `Module.apply`, but for the action that
        leads to a fixation ``[2]`` given, with its ``log_density``, in nats, over the image as the unit square; None
        if the agent cannot say.
    """

    evaluate: Callable[[Params, State, Values], tuple[Values, State]]
    mode: Callable[[Params, State, Values, Key | None], tuple[Values, State]]
    reward: str = "reward.reward"
    pathwise: Factor = 0.0
    reach: float | None = None
    follow: Callable[[Params, State, Values, Array], tuple[Values, State]] | None = None


AGENT_OUTPUTS = ("action", "log_prob", "entropy", "value")


class Module(NamedTuple):
    """A pure function with named, typed ports: one node of a graph. Written for one example.

    Attributes:
      inputs: the ports it takes, by name. Which ports it gives, their shapes and dtypes, is read off `apply`.
      apply: ``(params, state, inputs, key) -> (outputs, state)``, one glimpse. `inputs` and `outputs` are
        dictionaries by port name. The key is None unless the module is `random`.
      init: ``(key, inputs) -> params``, where `inputs` holds a `jax.ShapeDtypeStruct` for each port that is fed. By
        default there is nothing to learn.
      begin: ``(inputs) -> state`` before the first glimpse, of the same kind of `inputs`; by default empty.
      random: whether `apply` is given a fresh key at each glimpse.
      losses: the outputs, scalars, that training minimises, and how.
      metrics: the outputs, scalars, whose mean over a batch at the last glimpse is logged.
      agent: what reinforcement learning needs to know, if this is an agent.
      fit_every: after how many training steps, their gradients averaged, the parameters are updated.
    """

    inputs: Mapping[str, Port]
    apply: Callable[[Params, State, Values, Key | None], tuple[Values, State]]
    init: Callable[[Key, Values], Params] = lambda key, inputs: {}
    begin: Callable[[Values], State] = lambda inputs: ()
    random: bool = False
    losses: Mapping[str, Loss] = {}
    metrics: tuple[str, ...] = ()
    agent: Agent | None = None
    fit_every: int = 1

    def __reduce__(self) -> tuple[Any, ...]:
        return pickled_by_value(Module, self)


def check_module(name: str, module: Any) -> None:
    """Refuses what is no module, or one with a part of another kind than `Module` says."""
    if not isinstance(module, Module):
        raise GraphError(f"{name!r} must be a Module, as from_function and from_linen make them; got {in_line(module)}")
    agent = module.agent
    parts = {
        "inputs": (_all_are(module.inputs, Port, Port.is_well_formed), "a dictionary of Port, of sizes and dtypes"),
        "apply": (callable(module.apply), "a function"),
        "init": (callable(module.init), "a function"),
        "begin": (callable(module.begin), "a function"),
        "losses": (_all_are(module.losses, Loss, _is_loss), "a dictionary of Loss, of a weight and a schedule"),
        "metrics": (isinstance(module.metrics, tuple | list), "a tuple of ports"),
        "agent": (agent is None or (isinstance(agent, Agent) and _is_factor(agent.pathwise)), "an Agent or None"),
        "fit_every": (isinstance(module.fit_every, int) and module.fit_every >= 1, "a whole number, at least 1"),
    }
    for part, (fits, kind) in parts.items():
        if not fits:
            raise GraphError(f"{part} of module {name!r} must be {kind}; got {in_line(getattr(module, part))}")


def _all_are(values: Any, kind: type, fits: Callable[[Any], bool]) -> bool:
    return isinstance(values, Mapping) and all(isinstance(value, kind) and fits(value) for value in values.values())


def _is_loss(loss: Loss) -> bool:
    scheduled = loss.schedule is None or callable(loss.schedule)
    return scheduled and _is_factor(loss.weight) and loss.glimpses in ("each", "last")


def _is_factor(factor: Any) -> bool:
    return isinstance(factor, str) or is_number(factor)


Losses = Iterable[str] | Mapping[str, Loss]
"""The outputs to minimise: names, each with weight 1 at every glimpse, or a `Loss` by name."""


def as_losses(losses: Losses) -> dict[str, Loss]:
    """Losses by name.

    Example:
      >>> as_losses(("error",))
      {'error': Loss(weight=1.0, schedule=None, glimpses='each')}
    """
    return dict(losses) if isinstance(losses, Mapping) else {name: Loss() for name in losses}


def from_function(
    function: Callable[..., Any],
    *,
    outputs: str | tuple[str, ...] = "output",
    ports: Mapping[str, Port] | None = None,
    losses: Losses = (),
    metrics: tuple[str, ...] = (),
) -> Module:
    """Makes a module of a plain function, for one example, without parameters.

    Args:
      function: its parameters are the input ports; those with a default need no link; keyword-only ones are no ports.
      outputs: the name of its result, or the names of the results if it gives a tuple.
      ports: what the input ports accept, by name; those not named take anything.
      losses: the outputs, scalars, that training minimises: names, or a `Loss` by name.
      metrics: the outputs, scalars, that are logged.

    Example:
      >>> import foveax as fx
      >>> module = fx.from_function(lambda glimpse: glimpse.mean(), outputs="brightness")
      >>> list(module.inputs)
      ['glimpse']
    """

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        del params, key
        result = function(**inputs)
        return {outputs: result} if isinstance(outputs, str) else dict(zip(outputs, result, strict=True)), state

    return Module(signature_ports(function, ports or {}), apply, losses=as_losses(losses), metrics=metrics)


def signature_ports(function: Callable[..., Any], ports: Mapping[str, Port], skip: int = 0) -> dict[str, Port]:
    """The input ports that a function's parameters make, but for the first `skip` and for keyword-only options.

    They are universal unless `ports` says more.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise GraphError(f"a function must say what it takes to be a module; {in_line(function)} does not") from None
    return {
        parameter.name: ports.get(parameter.name, Port())._replace(required=parameter.default is parameter.empty)
        for parameter in parameters[skip:]
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    }


def batching(module: Module, *, every: int) -> Module:
    """The batching capsule: the same module, fitted once in `every` steps, to the mean of their gradients.

    Example:
      >>> import foveax as fx
      >>> fx.batching(fx.decision(), every=4).fit_every
      4
    """
    return module._replace(fit_every=every)


def zeros_like(specs: Values) -> dict[str, Any]:
    """Zeros of the shapes and dtypes given."""
    return {name: jnp.zeros(spec.shape, spec.dtype) for name, spec in specs.items()}
