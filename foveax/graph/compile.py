"""Compiles a graph into one pure function: a scan over glimpses."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import Array, InputError, Key, Params
from foveax.graph.graph import Graph, Source, glimpse_keys, initial_memory, loop_values, parse_port
from foveax.graph.modules import Factor, State, Values
from foveax.graph.ports import GraphError, describe

UNROLL = 8
"""Glimpses unrolled into one turn of the compiled loop, so that XLA fuses across them, and compiles no more of them."""

Trajectory = dict[str, dict[str, Array]]
"""What a rollout recorded: ``{module: {port: value}}``, each value with a leading ``[T]``."""


def compile(graph: Graph, record: Sequence[str] | None = None) -> Callable[..., Trajectory]:
    """Compiles a graph into its rollout: one `jax.lax.scan` over the glimpses, pure, for one example.

    The graph leaves no trace in the compiled program. Batch it with `jax.vmap`. The gradient is stopped where a link
    enters an agent, and scaled by the agent's `pathwise` where one leaves it.

    Args:
      graph: the pipeline.
      record: the ports to record, each as ``"module.port"`` or ``"memory.name"``; None records all of them.

    Returns:
      ``(params, inputs, key, progress=1.0, hyperparameters=None) -> trajectory``: the parameters of `init` (a module
      that has none can be left out), the graph's inputs by name, a key, the share of training that is done, and numbers
      in the place of the graph's hyper-parameters, by name, to ``{module: {port: value}}``, each value with a leading
      ``[T]``. A memory's value is the one that is read at that glimpse.

    Raises:
      GraphError: if a port to record does not exist; the message lists those that do.

    Example:
      >>> import foveax as fx, jax, jax.numpy as jnp
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"))
      >>> params = fx.init(graph, jax.random.key(0))
      >>> inputs = {"image": jnp.zeros((28, 28, 1), jnp.uint8), "label": jnp.int32(3)}
      >>> trajectory = fx.compile(graph)(params, inputs, jax.random.key(1))
      >>> trajectory["memory"]["fixation"].shape, trajectory["decision"]["probabilities"].shape
      ((6, 2), (6, 10))
    """
    recorded = recorded_ports(graph, record)

    def rollout(
        params: Mapping[str, Params],
        inputs: Values,
        key: Key,
        progress: Array | float = 1.0,
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> Trajectory:
        own = own_values(graph, inputs, hyperparameters)
        keys = {name: glimpse_keys(graph, key, name) for name, module in graph.modules.items() if module.random}

        def glimpse(carry: Any, xs: Any) -> tuple[Any, Trajectory]:
            """Every module once, in order, then the memory of the next glimpse."""
            (states, memory), (index, keys) = carry, xs
            values = {**own, "loop": loop_values(graph, index, progress), "memory": memory}
            states = dict(states)
            for name in graph.wiring.order:
                apply = graph.modules[name].apply
                arriving = arriving_at(graph, name, values)
                values[name], states[name] = apply(params.get(name, {}), states[name], arriving, keys.get(name))
            return (states, remembered(graph, values)), select(values, recorded)

        xs = jnp.arange(graph.length), keys
        return jax.lax.scan(glimpse, begin(graph, inputs), xs, unroll=at_a_turn(graph.length))[1]

    return rollout


def at_a_turn(glimpses: int) -> int:
    """How many glimpses of a loop are compiled into one turn of it."""
    return max(min(glimpses, UNROLL), 1)


def recorded_ports(graph: Graph, record: Sequence[str] | None = None) -> list[Source]:
    """The ports to record; None stands for all of modules and of the memory."""
    outputs = graph.wiring.outputs
    everything = [f"{name}.{port}" for name in (*graph.wiring.order, "memory") for port in outputs[name]]
    sources = {port: parse_port(port) for port in (everything if record is None else record)}
    for port, source in sources.items():
        if source.port not in outputs.get(source.module, {}):
            raise GraphError(f"no port {port!r} to record; there are {', '.join(everything)}")
    return list(sources.values())


def own_values(graph: Graph, inputs: Values, hyperparameters: Mapping[str, Any] | None) -> dict[str, Values]:
    """The values at the graph's own ports that stay the same throughout a rollout."""
    missing = [name for name in graph.inputs if name not in inputs]
    if missing:
        raise InputError(f"inputs must hold {', '.join(graph.inputs)}; they lack {', '.join(missing)}")
    check_values("inputs", {name: inputs[name] for name in graph.inputs}, graph.inputs)
    unknown = [name for name in hyperparameters or {} if name not in graph.hyperparameters]
    if unknown:
        there = ", ".join(graph.hyperparameters) or "none"
        raise InputError(f"hyper-parameters must be those of the graph, {there}; got {', '.join(unknown)}")
    numbers = {**graph.hyperparameters, **(hyperparameters or {})}
    return {
        "input": {name: inputs[name] for name in graph.inputs},
        "hyperparameter": {name: jnp.asarray(value, jnp.float32) for name, value in numbers.items()},
    }


def check_values(kind: str, values: Values, specs: Values) -> None:
    """Refuses arrays of another shape or dtype than declared; both are known in traced code too."""
    for name, spec in specs.items():
        value = values[name]
        if not hasattr(spec, "dtype"):  # a pytree
            continue
        came, wanted = (
            jax.ShapeDtypeStruct(each.shape if hasattr(each, "shape") else np.shape(each), jnp.result_type(each))
            for each in (value, spec)
        )
        if came != wanted:
            raise InputError(f"{kind} must hold {name} {describe(wanted)}, as the graph has it; got {describe(came)}")


def begin(graph: Graph, inputs: Values, *, without: Iterable[str] = ()) -> tuple[dict[str, State], dict[str, Array]]:
    """The states of the modules, but for some, and the memory, before the first glimpse."""
    names = [name for name in graph.modules if name not in without]
    states = {name: graph.modules[name].begin(graph.wiring.inputs[name]) for name in names}
    return states, initial_memory(graph, inputs)


def arriving_at(graph: Graph, name: str, values: Mapping[str, Values]) -> dict[str, Any]:
    """What enters a module, with the gradient stopped if it is an agent, or scaled where it comes from one."""
    sources = graph.wiring.sources[name]
    if graph.modules[name].agent:
        return jax.lax.stop_gradient({port: values[source.module][source.port] for port, source in sources.items()})
    return {port: _leaving(graph, source, values) for port, source in sources.items()}


def remembered(graph: Graph, values: Mapping[str, Values]) -> dict[str, Any]:
    """The memory of the next glimpse: what was written at this one, or what was there."""
    written = {name: _leaving(graph, source, values) for name, source in graph.wiring.writes.items()}
    return {**values["memory"], **written}


def select(values: Mapping[str, Values], ports: Iterable[Source]) -> Trajectory:
    """The values at some ports, by module and port."""
    chosen: Trajectory = {}
    for source in ports:
        chosen.setdefault(source.module, {})[source.port] = values[source.module][source.port]
    return chosen


def number(factor: Factor, hyperparameters: Values) -> Any:
    """A factor's value: itself, or that of the hyper-parameter it names."""
    return hyperparameters[factor] if isinstance(factor, str) else factor


def _leaving(graph: Graph, source: Source, values: Mapping[str, Values]) -> Any:
    """A value as it leaves a port: one of an agent with its gradient times `pathwise`, so that 0 stops it."""
    value = values[source.module][source.port]
    agent = graph.modules[source.module].agent if source.module in graph.modules else None
    if agent is None:
        return value
    stopped = jax.lax.stop_gradient(value)
    scale = number(agent.pathwise, values["hyperparameter"])
    if not isinstance(scale, jax.Array) and scale == 0:
        return stopped
    return jax.tree.map(lambda leaf, stop: stop + scale * (leaf - stop), value, stopped)
