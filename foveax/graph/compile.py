"""Compiles a graph into one pure function: a scan over glimpses."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from foveax._types import Array, Key, Params
from foveax.graph.graph import Graph, as_initial, glimpse_keys
from foveax.graph.modules import State, Values
from foveax.graph.ports import GraphError

UNROLL = 8
"""Glimpses unrolled into one turn of the compiled loop, so that XLA fuses across them."""

Rollout = Callable[[Mapping[str, Params], Values, Key], dict[str, Array]]
"""``(params, inputs, key) -> trajectory``, for one example."""


def compile(graph: Graph, record: Sequence[str] | None = None) -> Rollout:
    """Compiles a graph into its rollout: one `jax.lax.scan` over the glimpses, pure, for one example.

    The rollout is ordinary JAX: the graph leaves no trace in the compiled program. Batch it with `jax.vmap`. The
    gradient is stopped where a link enters an agent, and scaled by the agent's `pathwise` where one leaves it.

    Args:
      graph: the pipeline.
      record: the output ports to record, each as ``"module.port"``; None records all of them.

    Returns:
      ``(params, inputs, key) -> trajectory``: the parameters of `init`, the graph's inputs by name and a key, to the
      recorded ports by ``"module.port"``, each with a leading ``[T]``.

    Raises:
      GraphError: if a port to record does not exist; the message lists those that do.

    Example:
      >>> import foveax as fx, jax, jax.numpy as jnp
      >>> graph = fx.standard_pipeline(fx.Model(), fx.image_source((28, 28, 1)), classes=10)
      >>> params = fx.init(graph, jax.random.key(0))
      >>> inputs = {"image": jnp.zeros((28, 28, 1), jnp.uint8), "label": jnp.int32(3), "progress": jnp.float32(0)}
      >>> trajectory = fx.compile(graph)(params, inputs, jax.random.key(1))
      >>> trajectory["retina.fixation"].shape, trajectory["classifier.probabilities"].shape
      ((6, 2), (6, 10))
    """
    ports = [f"{name}.{port}" for name in graph.wiring.order for port in graph.wiring.outputs[name]]
    recorded = ports if record is None else list(record)
    for port in recorded:
        if port not in ports:
            raise GraphError(f"no port {port!r} to record; there are {', '.join(ports)}")

    def rollout(params: Mapping[str, Params], inputs: Values, key: Key) -> dict[str, Array]:
        random = [name for name in graph.wiring.order if graph.modules[name].random]
        keys = {name: glimpse_keys(graph, key, name) for name in random}
        states, fed_back = initial(graph)
        body = functools.partial(_glimpse, graph, recorded, params, inputs)
        xs = (jnp.arange(graph.length), keys)
        _, trajectory = jax.lax.scan(body, (states, fed_back), xs, unroll=min(graph.length, UNROLL))
        return trajectory

    return rollout


def _glimpse(
    graph: Graph, recorded: Sequence[str], params: Mapping[str, Params], inputs: Values, carry: Any, xs: Any
) -> tuple[Any, dict[str, Array]]:
    """One turn of the loop: every module once, in order; the body of the scan."""
    (states, fed_back), (index, keys) = carry, xs
    values: dict[str, Values] = {"input": inputs, "loop": loop_values(index, graph.length)}
    new_states = {}
    for name in graph.wiring.order:
        values[name], new_states[name] = apply_module(graph, name, params, states, values, fed_back, keys)
    return (new_states, feed_back(graph, values)), {port: read(values, port) for port in recorded}


def initial(graph: Graph, *, without: str = "") -> tuple[dict[str, State], dict[tuple[str, str], Any]]:
    """The states of the modules, but for one, and what is fed back, before the first glimpse."""
    names = [name for name in graph.modules if name != without]
    states = {name: graph.modules[name].begin(graph.wiring.inputs[name]) for name in names}
    return states, {target: as_initial(source.initial) for target, source in graph.wiring.feedback.items()}


def feed_back(graph: Graph, values: Mapping[str, Values]) -> dict[tuple[str, str], Any]:
    """What the next glimpse is given of this one, by the ports that it enters."""
    return {target: values[source.module][source.port] for target, source in graph.wiring.feedback.items()}


def apply_module(
    graph: Graph,
    name: str,
    params: Mapping[str, Params],
    states: Mapping[str, State],
    values: Mapping[str, Values],
    fed_back: Mapping[tuple[str, str], Any],
    keys: Mapping[str, Key],
) -> tuple[Values, State]:
    """Runs one module of a glimpse on what those before it gave: its outputs and its state."""
    arriving = arriving_at(graph, name, values, fed_back)
    return graph.modules[name].apply(params[name], states[name], arriving, keys.get(name))


def arriving_at(
    graph: Graph, name: str, values: Mapping[str, Values], fed_back: Mapping[tuple[str, str], Any]
) -> dict[str, Any]:
    """What enters a module: of this glimpse, or fed back from the one before; with its gradient cut at an agent."""
    arriving = {
        port: fed_back[name, port] if source.initial is not None else values[source.module][source.port]
        for port, source in graph.wiring.sources[name].items()
    }
    return _at_border(arriving, name, graph)


def loop_values(index: Array, length: int) -> dict[str, Any]:
    """The ports of ``loop`` at a glimpse."""
    return {"index": index, "time": jax.nn.one_hot(index, length), "last": index == length - 1}


def _at_border(arriving: Values, target: str, graph: Graph) -> dict[str, Any]:
    """What enters a module, with the gradient stopped at an agent's border, or scaled where the agent allows."""
    if graph.modules[target].agent:
        return jax.lax.stop_gradient(dict(arriving))
    crossed = dict(arriving)
    for port, source in graph.wiring.sources[target].items():
        agent = graph.modules[source.module].agent if source.module in graph.modules else None
        if agent:
            crossed[port] = scale_gradient(arriving[port], agent.pathwise)
    return crossed


def scale_gradient(value: Any, scale: float) -> Any:
    """The same value; its gradient times `scale`, so that 0 stops it.

    Example:
      >>> import jax
      >>> float(jax.grad(lambda x: scale_gradient(x, 0.5) ** 2)(3.0))
      3.0
    """
    stopped = jax.lax.stop_gradient(value)
    if not isinstance(scale, jax.Array) and scale == 0:
        return stopped
    return jax.tree.map(lambda leaf, stop: stop + scale * (leaf - stop), value, stopped)


def read(values: Mapping[str, Values], port: str) -> Array:
    """The value at an output port, given as ``"module.port"``."""
    name, _, output = port.partition(".")
    return values[name][output]
