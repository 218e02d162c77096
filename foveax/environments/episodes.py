"""Episodes of a split graph on the images of a data set, a batch at a time: what every adapter wraps."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import Array, InputError, Key, Params
from foveax.data.dataset import Data, check_arrays
from foveax.graph.graph import Graph, Source, batch_size, parse_port, waiting_for
from foveax.graph.modules import Agent
from foveax.graph.ports import GraphError, describe
from foveax.graph.split import EpisodeState, TimeStep, acting_ports, split
from foveax.modules.scripted import within_reach
from foveax.networks.encoders import index_features

GLIMPSES = ("retina.glimpse", "memory.fixation", "loop.index")
"""Ports of the standard pipeline for an agent with a network of its own: what is seen, where, and when."""
INDEX = Source("loop", "index")
POOL = 8
"""Images are rendered in batches of at least this size, since clutter is cut from the others of a batch."""

Modules = Mapping[str, Params]
Observed = Literal["agent"] | tuple[str, ...]
SplitName = Literal["train", "test"]


class BatchTimeStep(NamedTuple):
    """The answer of a batch of episodes: JAX arrays, or NumPy's where they have left the device.

    The observation is ``[B, D]``, or one for each port, by the last part of its name; the reward, the acting agent's,
    ``[B]`` float32; `terminated` ``[B]`` bool; all of `info` has a leading ``[B]``.
    """

    observation: Any
    reward: Any
    terminated: Any
    info: dict[str, Any]


class BatchState(NamedTuple):
    """A batch of episodes under way, with the images' rows in the split and labels, ``[B]`` int32."""

    episodes: EpisodeState
    rows: Array
    label: Array


class Box(NamedTuple):
    """A box of numbers, with the methods that gymnax's spaces have; its bounds are numbers, or arrays of its shape."""

    low: Any
    high: Any
    shape: tuple[int, ...]
    dtype: Any = jnp.float32

    def sample(self, key: Key) -> Array:
        """A point of the box, uniform."""
        share = jax.random.uniform(key, self.shape, self.dtype)
        return self.low * (1 - share) + self.high * share

    def contains(self, point: Array) -> Array:
        """Whether a point lies in the box."""
        return jnp.all((point >= self.low) & (point <= self.high))


class Episodes(NamedTuple):
    """A graph's environment on the images of a split, for a batch of episodes; pure, to be jitted.

    Attributes:
      reset: ``(params, key, images, size) -> (state, time_step)``: begins B = `size` episodes on images drawn at
        random, rendered as in training; `images` is the attribute below, or the same arrays on a device.
      step: ``(params, state, fixations) -> (state, time_step)``, with `fixations` ``[B, 2]`` in [0, 1].
      images: the split's arrays.
      observation: the box in which an observation lies, or one for each port, by the last part of its name.
      graph: the whole graph, of T glimpses; an episode has T - 1 steps.
      agent: the name of the agent that acts.
    """

    reset: Callable[[Modules, Key, Mapping[str, Any], int], tuple[BatchState, BatchTimeStep]]
    step: Callable[[Modules, BatchState, Array], tuple[BatchState, BatchTimeStep]]
    images: Mapping[str, Any]
    observation: Any
    graph: Graph
    agent: str


def make_episodes(
    graph: Graph, data: Data, agent: str | None = None, *, split_name: SplitName = "train", observe: Observed = "agent"
) -> Episodes:
    """The episodes of a graph: its environment (`foveax.split`) on a data set.

    ``info`` holds the images' ``label`` and ``index`` in the split and, as far as the graph declares its roles,
    ``predicted``, ``correct`` and the present ``fixation``; not those that wait for the action.

    Args:
      graph: of at least 2 glimpses.
      data: the images, drawn uniformly; those for training are rendered anew each time.
      agent: the module that acts; by default the graph's only agent. It acts by one port alone, the next fixation
        ``[2]``; if its reach is limited, it is moved as far as it can. All other agents stay in the environment.
      split_name: of the images.
      observe: ``"agent"``, all that the graph links into the agent but progress and hyper-parameters, as one vector in
        the order of the agent's ports; or output ports such as `GLIMPSES`, each flattened, under the last part of its
        name. ``loop.index`` comes as `foveax.networks.index_features`.

    Raises:
      GraphError: if the agent does not act by its fixation alone, or a port to observe is missing or waits for it.

    Example:
      >>> import foveax as fx, jax
      >>> data = fx.load("mnist5k")
      >>> graph = fx.standard_pipeline(data, fx.PipelineConfig(hidden=16, features=16))
      >>> episodes = make_episodes(graph, data)
      >>> state, time_step = episodes.reset(fx.init(graph, jax.random.key(0)), jax.random.key(1), episodes.images, 4)
      >>> time_step.observation.shape, time_step.info["fixation"].tolist()[0]
      ((4, 47), [0.5, 0.5])
    """
    if graph.length < 2:
        raise GraphError(f"a graph must have at least 2 glimpses to be acted in; got {graph.length}")
    action, role = acting_agent(graph, agent)
    name = action.module
    waiting = waiting_for(graph.wiring, [name])
    parts = _parts(graph, name, observe, waiting)
    roles = _roles(graph, waiting)
    observed = jax.tree.leaves(parts, is_leaf=lambda node: isinstance(node, Source))
    environment, _ = split(graph, name, record=tuple(sorted(map(str, {*roles.values(), *observed}))))
    images = data.train if split_name == "train" else data.test
    batch_size(graph, images, f"{split_name} split")
    images = check_arrays(f"{split_name} split", images)
    render = data.render if split_name == "train" else (lambda key, batch: batch)

    def by_part(function: Callable[[list[Source]], Any]) -> Any:
        return jax.tree.map(function, parts, is_leaf=lambda node: isinstance(node, list))

    def answer(time_step: TimeStep, rows: Array, label: Array) -> BatchTimeStep:
        def value(source: Source) -> Array:
            return time_step.info[source.module][source.port]

        def joined(ports: list[Source]) -> Array:
            values = [jax.vmap(index_features)(value(port)) if port == INDEX else value(port) for port in ports]
            return jnp.concatenate([part.astype(jnp.float32).reshape(len(part), -1) for part in values], axis=-1)

        info = {"index": rows, "label": label}
        if "gaze" in roles:
            info["fixation"] = value(roles["gaze"])
        if "belief" in roles:
            info["predicted"] = jnp.argmax(value(roles["belief"]), axis=-1).astype(jnp.int32)
        if "belief" in roles and "label" in roles:
            info["correct"] = info["predicted"] == value(roles["label"])
        return BatchTimeStep(by_part(joined), time_step.reward[name], time_step.terminated, info)

    def reset(params: Modules, key: Key, images: Mapping[str, Any], size: int) -> tuple[BatchState, BatchTimeStep]:
        rows_key, render_key, episodes_key = jax.random.split(key, 3)
        rows = jax.random.randint(rows_key, (max(size, POOL),), 0, len(images["label"]))
        batch = render(render_key, {name: jnp.asarray(array)[rows] for name, array in images.items()})
        inputs = {name: array[:size] for name, array in batch.items() if name in graph.inputs}
        keys = jax.random.split(episodes_key, size)
        states, time_step = jax.vmap(environment.reset, in_axes=(0, None, 0))(keys, params, inputs)
        state = BatchState(states, rows[:size], batch["label"][:size])
        return state, answer(time_step, state.rows, state.label)

    def step(params: Modules, state: BatchState, fixations: Array) -> tuple[BatchState, BatchTimeStep]:
        episodes = state.episodes
        if role.reach is not None:
            position = graph.wiring.sources[name]["position"]
            values = {**episodes.values, "memory": episodes.memory, "input": episodes.inputs}
            fixations = within_reach(fixations, values[position.module][position.port], role.reach)
        states, time_step = jax.vmap(environment.step, in_axes=(0, 0, None))(
            episodes, {name: {action.port: fixations}}, params
        )
        return state._replace(episodes=states), answer(time_step, state.rows, state.label)

    return Episodes(reset, step, images, by_part(lambda ports: _box(graph, ports)), graph, name)


def acting_agent(graph: Graph, agent: str | None = None) -> tuple[Source, Agent]:
    """The port by which an agent, by default the only one, moves the eye, such as ``saccader.fixation``, and the agent.

    Raises `GraphError` if there is no such agent, or several and none is named, or it acts by anything else.
    """
    agents = ", ".join(graph.agents) or "none"
    if agent is None and len(graph.agents) != 1:
        raise GraphError(f"the agent that acts must be named unless the graph has exactly one; agents are {agents}")
    name = graph.agents[0] if agent is None else agent
    role = graph.modules[name].agent if name in graph.modules else None
    if role is None:
        raise GraphError(f"the agent that acts must be one of the graph's agents, {agents}; got {name!r}")
    ports = acting_ports(graph, (name,))
    kinds = {str(port): describe(graph.wiring.outputs[name][port.port]) for port in ports}
    if list(kinds.values()) != ["float32[2]"]:
        read = ", ".join(f"{port} {kind}" for port, kind in kinds.items())
        raise GraphError(f"the agent {name!r} must act by one port float32[2] alone; others read {read or 'none'}")
    return ports[0], role


def one_episode(batch: Any, index: int = 0) -> Any:
    """One of a batch of episodes."""
    return jax.tree.map(lambda array: array[index], batch)


def _parts(graph: Graph, agent: str, observe: Observed, waiting: set[str]) -> list[Source] | dict[str, list[Source]]:
    """The ports whose values are joined in an observation, or in each part of one."""
    if observe == "agent":
        read = graph.wiring.sources[agent].values()
        return [port for port in read if port.module != "hyperparameter" and port != ("loop", "progress")]
    if isinstance(observe, str):
        raise InputError(f"observe must be 'agent' or a tuple of ports; got {observe!r}")
    parts = {port.rpartition(".")[2]: [parse_port(port)] for port in observe}
    if len(parts) != len(observe):
        raise InputError(f"the ports to observe must differ in the last part of their names; got {', '.join(observe)}")
    for (port,) in parts.values():
        if port.module in waiting:
            raise GraphError(f"a port to observe must not wait for the action; {port} does")
    return parts


def _roles(graph: Graph, waiting: set[str]) -> dict[str, Source]:
    """The ports of the gaze, the belief and the label, as far as they are declared and do not wait for the action."""
    gaze, belief, label, *_ = graph.roles
    ports = {"gaze": gaze and f"memory.{gaze}", "belief": belief, "label": label}
    sources = {role: parse_port(port) for role, port in ports.items() if port}
    return {role: source for role, source in sources.items() if source.module not in waiting}


def _box(graph: Graph, sources: list[Source]) -> Box:
    """A place, a belief and the number of a glimpse lie in [0, 1], an image has its range; a layer is any float32."""
    specs = [(source, graph.wiring.outputs[source.module][source.port]) for source in sources]
    sizes = [jax.eval_shape(index_features, spec).size if source == INDEX else spec.size for source, spec in specs]
    bounds = [_bounds(graph, source, spec.dtype) for source, spec in specs]
    low, high = (np.repeat(np.array(side, np.float32), sizes) for side in zip(*bounds, strict=True))
    return Box(low, high, (sum(sizes),))


def _bounds(graph: Graph, source: Source, dtype: Any) -> tuple[float, float]:
    if source in (INDEX, Source("memory", graph.roles.gaze)) or str(source) == graph.roles.belief or dtype == jnp.bool_:
        return 0.0, 1.0
    if dtype == jnp.uint8:
        return 0.0, 255.0
    largest = float(jnp.finfo(jnp.float32).max)
    return -largest, largest
