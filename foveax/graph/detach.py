"""Detaches a module from a graph: the rest runs glimpse by glimpse on what something else gives in its place."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from foveax._types import Array, Key, Params
from foveax.graph.compile import apply_module, feed_back, initial, loop_values
from foveax.graph.graph import Graph, glimpse_keys
from foveax.graph.modules import State, Values
from foveax.graph.ports import GraphError


class DetachedState(NamedTuple):
    """Where a rollout stands: the glimpse, int32 from 0, the modules' states, and what is fed back to the next."""

    glimpse: Array
    states: dict[str, State]
    fed_back: dict[tuple[str, str], Any]


class Detached(NamedTuple):
    """A graph without one of its modules: pure functions, for one example.

    Attributes:
      begin: ``() -> state``, before the first glimpse.
      apply: ``(params, state, given, inputs, key) -> (values, state)``, one glimpse: `given` holds the outputs of the
        module that is not there, by port; `inputs` the graph's own; the key is that of the rollout. The values are
        those of the other modules' ports, by ``"module.port"``.
    """

    begin: Callable[[], DetachedState]
    apply: Callable[[Mapping[str, Params], DetachedState, Values, Values, Key], tuple[dict[str, Array], DetachedState]]


def detach(graph: Graph, name: str) -> Detached:
    """Runs a graph glimpse by glimpse, with another's outputs in the place of one module's.

    Given what the module would have given, the rest computes what the compiled graph does.

    Args:
      graph: any graph that could be built.
      name: of the module to leave out.

    Raises:
      GraphError: if there is no such module.

    Example:
      >>> import foveax as fx, jax, jax.numpy as jnp
      >>> graph = fx.standard_pipeline(fx.Model(), fx.image_source((28, 28, 1)), classes=10)
      >>> begin, apply = detach(graph, "retina")
      >>> given = {"glimpse": jnp.zeros((9, 9, 3)), "fixation": jnp.array([0.5, 0.5])}
      >>> inputs = {"label": jnp.int32(0), "progress": jnp.float32(1)}
      >>> values, state = apply(fx.init(graph, jax.random.key(0)), begin(), given, inputs, jax.random.key(1))
      >>> values["saccader.fixation"].shape, int(state.glimpse)
      ((2,), 1)
    """
    if name not in graph.modules:
        raise GraphError(f"no module {name!r} to leave out; modules are {', '.join(graph.modules)}")
    others = [other for other in graph.wiring.order if other != name]

    def begin() -> DetachedState:
        return DetachedState(jnp.int32(0), *initial(graph, without=name))

    def apply(
        params: Mapping[str, Params], state: DetachedState, given: Values, inputs: Values, key: Key
    ) -> tuple[dict[str, Array], DetachedState]:
        keys = {
            other: glimpse_keys(graph, key, other)[state.glimpse] for other in others if graph.modules[other].random
        }
        loop = loop_values(state.glimpse, graph.length)
        values: dict[str, Values] = {"input": inputs, "loop": loop, name: given}
        states = {}
        for other in others:
            values[other], states[other] = apply_module(
                graph, other, params, state.states, values, state.fed_back, keys
            )
        told = {f"{other}.{port}": value for other in others for port, value in values[other].items()}
        return told, DetachedState(state.glimpse + 1, states, feed_back(graph, values))

    return Detached(begin, apply)
