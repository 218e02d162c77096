"""Episodes of a split graph on the images of a data set, a batch at a time: what every adapter wraps."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from foveax._types import Array, InputError, Key, Params
from foveax.data.dataset import Data
from foveax.graph import GraphError, split
from foveax.graph.graph import Graph
from foveax.graph.split import EnvironmentState, Step, downstream

GLIMPSES = ("retina.glimpse", "retina.fixation", "loop.time")
"""The ports that an agent with a network of its own observes: what is seen, where, and when."""
AGENT, FIXATION = "saccader", "fixation"
"""The module that acts, and the port by which it does."""
DECISIONS = ("classifier.predicted", "classifier.correct", "retina.fixation")
"""Told beside each observation, where the graph has them."""
POOL = 8
"""Images are rendered in batches of at least so many, since clutter is cut from the others of a batch."""

Observed = Literal["agent"] | tuple[str, ...]
"""What an observation holds: ``"agent"``, or output ports."""


class Seen(NamedTuple):
    """What a batch of episodes answers: JAX arrays, or NumPy's where they have left the device.

    Attributes:
      observation: ``[B, D]`` each, by name: ``agent`` alone, or the last part of each port's name.
      reward: ``[B]`` float32.
      terminated: ``[B]`` bool.
      info: by name, with a leading ``[B]``.
    """

    observation: dict[str, Any]
    reward: Any
    terminated: Any
    info: dict[str, Any]


class Shown(NamedTuple):
    """A batch of episodes under way: their states, and the images' rows in the split, ``[B]``."""

    states: EnvironmentState
    rows: Array


class Episodes(NamedTuple):
    """A graph's environment on the images of a split, for a batch of episodes; pure, to be jitted.

    Attributes:
      reset: ``(params, key, images, size) -> (shown, seen)``: begins B = `size` episodes on images drawn at random,
        rendered as in training; `images` is the attribute below, or the same arrays on a device.
      step: ``(params, shown, fixations) -> (shown, seen)``, with `fixations` ``[B, 2]`` in [0, 1].
      images: the split's arrays.
      observation: the size D of each part of an observation, and its bounds.
      length: T; an episode has T - 1 steps.
      graph: what was split.
    """

    reset: Callable[[Mapping[str, Params], Key, Mapping[str, Any], int], tuple[Shown, Seen]]
    step: Callable[[Mapping[str, Params], Shown, Array], tuple[Shown, Seen]]
    images: Mapping[str, Any]
    observation: dict[str, "Bounds"]
    length: int
    graph: Graph


class Bounds(NamedTuple):
    """How many numbers a part of an observation has, and between what they lie."""

    size: int
    low: float
    high: float


def make_episodes(
    graph: Graph,
    data: Data,
    *,
    split_name: Literal["train", "test"] = "train",
    observe: Observed = "agent",
) -> Episodes:
    """The episodes of a graph: its environment (`foveax.split` at the module ``saccader``), shown a data set.

    Args:
      graph: of at least 2 glimpses, with an input ``label``, and an agent ``saccader`` of which only the port
        ``fixation`` is read by other modules.
      data: the images, drawn uniformly; those for training are rendered anew each time.
      split_name: which images: ``"train"`` or ``"test"``.
      observe: ``"agent"``, what the graph links into the agent, as one vector in the order of the agent's ports, but
        for ``progress``; or output ports such as `GLIMPSES`, each flattened, under the last part of its name.

    Raises:
      GraphError: if the graph has no such agent, or one that acts by more than its fixation, or a port to observe does
        not exist or waits for the action.

    Example:
      >>> import foveax as fx, jax
      >>> data = fx.load("mnist5k")
      >>> graph = fx.standard_pipeline(fx.Model(hidden=16, features=16), data.inputs, classes=10)
      >>> episodes = make_episodes(graph, data)
      >>> shown, seen = episodes.reset(fx.init(graph, jax.random.key(0)), jax.random.key(1), episodes.images, 4)
      >>> seen.observation["agent"].shape, seen.info["fixation"].tolist()[0]
      ((4, 24), [0.5, 0.5])
    """
    if graph.length < 2:
        raise GraphError(f"a graph must have at least 2 glimpses to be acted in; got {graph.length}")
    if isinstance(observe, str) and observe != "agent":
        raise InputError(f"observe must be 'agent' or a tuple of ports; got {observe!r}")
    ports = () if observe == "agent" else observe
    names = [port.rpartition(".")[2] for port in ports]
    if len(set(names)) != len(names):
        raise InputError(f"the ports to observe must differ in the last part of their names; got {', '.join(ports)}")
    waiting = downstream(graph, AGENT)
    there = [port for port in DECISIONS if _spec(graph, port) is not None]
    decided = [port for port in there if port.partition(".")[0] not in waiting]
    environment, _ = split(graph, AGENT, record=tuple({*decided, *ports}))
    if list(environment.action) != [FIXATION]:
        raise GraphError(f"the agent must act by its port fixation alone; others read {', '.join(environment.action)}")
    read = [port for port in graph.modules[AGENT].inputs if port in environment.observation and port != "progress"]
    sizes = {"agent": sum(environment.observation[port].size for port in read)}
    if ports:
        sizes = {name: _spec(graph, port).size for name, port in zip(names, ports, strict=True)}
    images = data.train if split_name == "train" else data.test
    render = data.render if split_name == "train" else (lambda key, batch: batch)

    def observation(step: Step) -> dict[str, Array]:
        if ports:
            return {name: _flat(step.info[port]) for name, port in zip(names, ports, strict=True)}
        return {"agent": jnp.concatenate([_flat(step.observation[port]) for port in read])}

    def answer(step: Step, label: Array, rows: Array) -> Seen:
        info = {port.rpartition(".")[2]: step.info[port] for port in decided}
        return Seen(jax.vmap(observation)(step), step.reward, step.terminated, {**info, "label": label, "index": rows})

    def reset(params: Mapping[str, Params], key: Key, images: Mapping[str, Any], size: int) -> tuple[Shown, Seen]:
        rows_key, render_key, episodes_key = jax.random.split(key, 3)
        pool = max(size, POOL)
        rows = jax.random.randint(rows_key, (pool,), 0, len(images["label"]))
        batch = render(render_key, {name: jnp.asarray(array)[rows] for name, array in images.items()})
        inputs = {name: array[:size] for name, array in batch.items() if name in graph.inputs}
        if "progress" in graph.inputs:
            inputs["progress"] = jnp.ones(size, jnp.float32)
        keys = jax.random.split(episodes_key, size)
        states, step = jax.vmap(environment.reset, in_axes=(0, None, 0))(keys, params, inputs)
        return Shown(states, rows[:size]), answer(step, inputs["label"], rows[:size])

    def step(params: Mapping[str, Params], shown: Shown, fixations: Array) -> tuple[Shown, Seen]:
        act = jax.vmap(environment.step, in_axes=(0, 0, None))
        states, step = act(shown.states, {FIXATION: fixations}, params)
        return shown._replace(states=states), answer(step, states.inputs["label"], shown.rows)

    bounds = {name: _bounds(name, size) for name, size in sizes.items()}
    return Episodes(reset, step, images, bounds, environment.length, graph)


def alone(parts: dict[str, Any]) -> Any:
    """What an agent reads, which stands alone, or else the parts of an observation by name."""
    return parts["agent"] if list(parts) == ["agent"] else parts


def _flat(value: Array) -> Array:
    return value.astype(jnp.float32).reshape(-1)


def _bounds(name: str, size: int) -> Bounds:
    """What is a place or a time lies in [0, 1]; a layer's values are any float32."""
    largest = float(jnp.finfo(jnp.float32).max)
    return Bounds(size, 0.0, 1.0) if name in ("fixation", "time") else Bounds(size, -largest, largest)


def _spec(graph: Graph, port: str) -> Any:
    """Shape and dtype of an output port, or None if there is none."""
    module, _, name = port.partition(".")
    return graph.wiring.outputs.get(module, {}).get(name)
