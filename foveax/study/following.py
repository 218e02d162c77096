"""A graph that follows people's gaze: the decisions of its classifier, and the density of its policy."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import Array, InputError, Key, Params
from foveax.data.dataset import SAMPLED_BYTES
from foveax.evaluation.evaluate import greedy, place_port
from foveax.graph.compile import compile as compile_graph
from foveax.graph.graph import Graph, parse_port
from foveax.graph.modules import Module, State, Values
from foveax.graph.ports import Port
from foveax.modules.scripted import following
from foveax.study.densities import with_uniform
from foveax.study.trials import Trials

BATCH = 512
"""Trials that are shown at once."""
BEGIN = "beginning"
"""The graph input that holds where each trial begins."""
SCALES = (0.05, 0.1, 0.15, 0.25, 0.4, 0.6, 0.9, 1.3, 2.0, 3.0)
"""Scales of a policy, of which `best_scale` takes the one that makes people's fixations most probable."""


class PathRecord(NamedTuple):
    """A run along given scanpaths.

    Attributes:
      probabilities: ``[R, T, K]`` of the classes after each fixation; None if the graph declares no belief.
      log_density: ``[R, T - 1]``, natural, of each fixation after the first, over the image as the unit square, minus
        infinity out of the policy's reach; NaN outside the picture; None if the policy cannot say.
    """

    probabilities: np.ndarray | None
    log_density: np.ndarray | None


class Gaze(NamedTuple):
    """A run's own gaze on trials.

    Attributes:
      fixations: the mode's, ``[R, T, 2]``.
      probabilities: along these, ``[R, T, K]``; None if the graph declares no belief.
      passes: fixations of the sampled policy, ``[P, R, T, 2]``.
    """

    fixations: np.ndarray
    probabilities: np.ndarray | None
    passes: np.ndarray


def begin_at_input(graph: Graph) -> Graph:
    """The same graph, whose gaze begins where an input says, for each example.

    Raises `InputError` if the graph declares no gaze.
    """
    gaze = graph.roles.gaze
    if not gaze:
        raise InputError("a graph must declare a gaze (Roles) to be compared with people; this one declares none")
    inputs = {**graph.inputs, BEGIN: jax.ShapeDtypeStruct((2,), jnp.float32)}
    return graph.replace(inputs=inputs, memory={**graph.memory, gaze: f"input.{BEGIN}"})


def gaze_agent(graph: Graph) -> str:
    """The agent that moves the gaze and can say how probable a fixation is; empty if there is none."""
    for name in graph.agents:
        agent = graph.modules[name].agent
        if agent and agent.follow and place_port(graph, name) == graph.wiring.writes.get(graph.roles.gaze):
            return name
    return ""


def follow_paths(graph: Graph) -> Graph:
    """The same graph, whose gaze begins, and goes on, where its inputs say: ``fixations`` ``[T - 1, 2]``.

    The agent that moves the gaze stays, and gives the log density of each fixation that it is made to follow. Places
    are known to a pixel: one on the image's border counts as a quarter of a pixel inside, in the middle of the half of
    the outermost pixel that lies in the image, since the density of a squashed policy is 0 on the border itself.
    """
    graph, name = begin_at_input(graph), gaze_agent(graph)
    if not name:
        return following(graph, graph.wiring.writes[graph.roles.gaze])
    module, margin = graph.modules[name], _margin(graph)
    follow, reach = getattr(module.agent, "follow", None), getattr(module.agent, "reach", None)

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        read = {port: value for port, value in inputs.items() if port not in ("saccade", "fixations")}
        number = jnp.minimum(inputs["saccade"], len(inputs["fixations"]) - 1)
        fixation = inputs["fixations"][number]
        assert follow is not None
        outputs, state = follow(params, state, read, jnp.clip(fixation, margin, 1 - margin))
        log_density = outputs["log_density"]
        if reach is not None:  # the policy cannot look there
            near = jnp.all(jnp.abs(fixation - read["position"]) <= reach + margin)
            log_density = jnp.where(near, log_density, -jnp.inf)
        return {**outputs, "log_density": log_density, "fixation": fixation}, state

    ports = {"saccade": Port((), (jnp.int32,)), "fixations": Port(("T - 1", 2), (jnp.float32,))}
    eye = module._replace(inputs={**module.inputs, **ports}, apply=apply, random=False)
    links = [f"loop.index -> {name}.saccade", f"input.fixations -> {name}.fixations"]
    inputs = {**graph.inputs, "fixations": jax.ShapeDtypeStruct((graph.length - 1, 2), jnp.float32)}
    modules: dict[str, Module] = {**graph.modules, name: eye}
    return graph.replace(inputs=inputs, modules=modules, links=[*graph.links, *links])


class Follower(NamedTuple):
    """A run's graph, compiled for many calls, with as many glimpses as trials have fixations.

    Attributes:
      follow: ``(params, trials, paths, hyper=None) -> PathRecord``: along scanpaths ``[R, T, 2]``, on the stimuli of
        the trials; `hyper` holds numbers in the place of the graph's hyper-parameters.
      gaze: ``(params, trials, passes, key, hyper=None) -> Gaze``: the run's own, from where the participants began.
      scale_name: the hyper-parameter that is the policy's scale when training is over; empty if there is none.
      graph: the graph.
      agent: the name of the agent that moves the gaze and can say how probable a fixation is; empty if there is none.
    """

    follow: Callable[..., PathRecord]
    gaze: Callable[..., Gaze]
    scale_name: str
    graph: Graph
    agent: str


def make_follower(graph: Graph, length: int) -> Follower:
    """The follower of a graph for trials of some length.

    Raises `InputError` if the graph declares no gaze.
    """
    graph = graph if graph.length == length else graph.replace(length=length)
    along, own = follow_paths(graph), begin_at_input(graph)
    agent, gaze_name, belief = gaze_agent(graph), graph.roles.gaze, graph.roles.belief
    beliefs = [belief] if belief else []
    densities = [f"{agent}.log_density"] if agent else []
    following_rollout = _rollout(along, beliefs + densities)
    greedy_rollout = _rollout(greedy(own), [f"memory.{gaze_name}", *beliefs])
    sampled_rollout = _rollout(own, [f"memory.{gaze_name}"])

    def read_belief(found: Mapping[str, Any]) -> np.ndarray | None:
        if not belief:
            return None
        port = parse_port(belief)
        return np.asarray(found[port.module][port.port])

    def run(rollout: Any, params: Any, trials: Trials, paths: np.ndarray, key: Key, hyper: Any) -> Any:
        """A rollout of all trials, some at once."""
        size = len(trials.image)
        keys, parts = jax.random.split(key, size), []
        at_once = batch_of(trials)
        numbers = {**graph.hyperparameters, **(hyper or {})}
        for start in range(0, size, at_once):
            rows = np.minimum(np.arange(start, start + at_once), size - 1)
            inputs = inputs_of(graph, trials, paths, rows)
            parts.append(jax.tree.map(np.asarray, rollout(params, inputs, keys[rows], 1.0, numbers)))
        return jax.tree.map(lambda *arrays: np.concatenate(arrays)[:size], *parts)

    def follow(params: Any, trials: Trials, paths: np.ndarray, hyper: Any = None) -> PathRecord:
        found = run(following_rollout, params, trials, paths, jax.random.key(0), hyper)
        if not agent:
            return PathRecord(read_belief(found), None)
        log_density = np.asarray(found[agent]["log_density"], np.float64)[:, :-1]
        log_density = log_density - np.log(picture_extent(graph, trials)).sum(axis=-1, keepdims=True)  # of the image
        return PathRecord(
            read_belief(found), np.where(inside_picture(graph, trials, paths)[:, 1:], log_density, np.nan)
        )

    def gaze(params: Any, trials: Trials, passes: int, key: Key, hyper: Any = None) -> Gaze:
        mode = run(greedy_rollout, params, trials, trials.fixations, key, hyper)
        keys = jax.random.split(key, passes)
        sampled = [run(sampled_rollout, params, trials, trials.fixations, each, hyper) for each in keys]
        places = [np.asarray(found["memory"][gaze_name], np.float64) for found in (mode, *sampled)]
        places = [each * picture_extent(graph, trials)[:, None] for each in places]
        return Gaze(places[0], read_belief(mode), np.stack(places[1:]) if passes else places[0][None][:0])

    return Follower(follow, gaze, _scale_name(graph, agent), graph, agent)


def inputs_of(graph: Graph, trials: Trials, paths: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The inputs of a graph that follows scanpaths ``[R, T, 2]``, for some of the trials: fractions of the picture."""
    places = np.asarray(paths[rows] / picture_extent(graph, trials, rows)[:, None], np.float32)
    return {**trials.stimuli_of(rows), BEGIN: places[:, 0], "fixations": places[:, 1:]}


def picture_extent(graph: Graph, trials: Trials, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    """The shares of the images along x and y that are picture, ``[R, 2]``; 1 without padding."""
    if not graph.roles.extent:
        return np.ones((len(trials.image[rows]), 2))
    extent = trials.stimuli[parse_port(graph.roles.extent).port][trials.image[rows]]
    return np.maximum(np.asarray(extent, np.float64), 1e-6)  # a picture may be a pixel wide


def inside_picture(graph: Graph, trials: Trials, paths: np.ndarray) -> np.ndarray:
    """Whether each fixation of scanpaths ``[R, T, 2]`` lies in the picture, ``[R, T]``."""
    return np.all((paths >= 0) & (paths <= picture_extent(graph, trials)[:, None]), axis=-1)


def _margin(graph: Graph) -> Array:
    """A quarter of a pixel along x and y, ``[2]``, as fractions of the image; nothing without an image."""
    if "image" not in graph.inputs:
        return jnp.zeros(2, jnp.float32)
    height, width = graph.inputs["image"].shape[:2]
    return jnp.array([0.25 / max(width - 1, 1), 0.25 / max(height - 1, 1)], jnp.float32)


def batch_of(trials: Trials) -> int:
    """The number of trials that are shown at once: at most 512, or those whose stimuli take 256 MB."""
    nbytes = sum(array[:1].nbytes for array in trials.stimuli.values())
    return max(min(BATCH, len(trials.image), SAMPLED_BYTES // nbytes), 1)


def _scale_name(graph: Graph, agent: str) -> str:
    sources = graph.wiring.sources.get(agent, {})
    source = sources.get("scale_end" if "progress" in sources and "scale_end" in sources else "scale_start")
    return source.port if source is not None and source.module == "hyperparameter" else ""


def _rollout(graph: Graph, ports: list[str]) -> Any:
    compiled = compile_graph(graph, ports)

    def one(params: Any, inputs: Values, key: Key, progress: float | Array, hyper: Any) -> Any:
        return compiled(params, {name: inputs[name] for name in graph.inputs}, key, progress, hyper)

    return jax.jit(jax.vmap(one, in_axes=(None, 0, 0, None, None)))


def best_scale(
    follower: Follower, params: dict[str, Params], trials: Trials, hyper: Mapping[str, float] | None = None
) -> tuple[float, np.ndarray]:
    """The scale of the policy that makes people's fixations most probable, and their log densities ``[R, T - 1]``.

    The scale is the best on all trials. The densities, which hold 1 % of the uniform one (`with_uniform`), are with the
    scale that is best on the other half of the images, or on all trials where there is one image. `hyper` holds numbers
    in the place of the graph's other hyper-parameters.

    Raises `InputError` if the scale is no hyper-parameter of the graph.
    """
    name = follower.scale_name
    if not name:
        raise InputError("the policy's scale must be a hyper-parameter of the graph to be fitted; it is none")
    numbers = [{**(hyper or {}), name: scale} for scale in SCALES]
    along = [follower.follow(params, trials, trials.fixations, each).log_density for each in numbers]
    logs = np.stack([with_uniform(log) for log in along if log is not None])
    half = np.random.default_rng(0).permutation(len(trials.names))[trials.image] % 2
    fitted = np.full(logs.shape[1:], np.nan)
    for part in (0, 1):
        tried = half != part if (half != part).any() else half == part
        fitted[half == part] = logs[int(np.argmax(np.nanmean(logs[:, tried], axis=(1, 2))))][half == part]
    return SCALES[int(np.argmax(np.nanmean(logs, axis=(1, 2))))], fitted
