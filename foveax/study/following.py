"""A graph that follows people's gaze: what its classifier makes of it, and how probable its policy holds it."""

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
from foveax.study.densities import UNIFORM_SHARE
from foveax.study.trials import Trials

BATCH = 512
"""Trials that are shown at once."""
BEGIN = "beginning"
"""The graph input that holds where each trial begins."""
SCALES = (0.05, 0.1, 0.15, 0.25, 0.4, 0.6, 0.9, 1.3, 2.0, 3.0)
"""Of a policy, among which the one is chosen that makes people's fixations most probable."""


class Followed(NamedTuple):
    """A run along given scanpaths.

    Attributes:
      probabilities: ``[R, T, K]`` of the classes after each fixation; None if the graph declares no belief.
      log_density: ``[R, T - 1]``, natural, of each fixation after the first, over the image as the unit square, minus
        infinity out of the policy's reach; NaN outside the image; None if the policy cannot say.
    """

    probabilities: np.ndarray | None
    log_density: np.ndarray | None


class Gaze(NamedTuple):
    """A run's own gaze on trials.

    Attributes:
      fixations: of the policy's mode, ``[R, T, 2]``.
      probabilities: along these, ``[R, T, K]``; None if the graph declares no belief.
      passes: fixations of the sampled policy, ``[P, R, T, 2]``.
    """

    fixations: np.ndarray
    probabilities: np.ndarray | None
    passes: np.ndarray


def begun_where_given(graph: Graph) -> Graph:
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


def followed(graph: Graph) -> Graph:
    """The same graph, whose gaze begins, and goes on, where its inputs say: ``fixations`` ``[T - 1, 2]``.

    The agent that moves the gaze stays, and gives the log density of each fixation that it is made to follow. Places
    are known to a pixel: one on the image's border counts as a quarter of a pixel inside, in the middle of the half of
    the outermost pixel that lies in the image, since the density of a squashed policy is 0 on the border itself.
    """
    graph, name = begun_where_given(graph), gaze_agent(graph)
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
      follow: ``(params, trials, paths, hyper=None) -> Followed``: along scanpaths ``[R, T, 2]``, on the stimuli of the
        trials; `hyper` holds numbers in the place of the graph's hyper-parameters.
      gaze: ``(params, trials, passes, key, hyper=None) -> Gaze``: the run's own, from where the participants began.
      scale_name: the hyper-parameter that is the policy's scale when training is over; empty if there is none.
      graph: the graph.
      agent: the name of the agent that moves the gaze and can say how probable a fixation is; empty if there is none.
    """

    follow: Callable[..., Followed]
    gaze: Callable[..., Gaze]
    scale_name: str
    graph: Graph
    agent: str


def make_follower(graph: Graph, length: int) -> Follower:
    """The follower of a graph for trials of some length.

    Raises `InputError` if the graph declares no gaze.
    """
    graph = graph if graph.length == length else graph.replace(length=length)
    along, own = followed(graph), begun_where_given(graph)
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
            shown = trials.shown(rows)
            places = np.asarray(paths[rows], np.float32)
            if graph.roles.extent:
                places = places / np.maximum(shown["extent"][:, None], 1e-6)
            inputs = {**shown, BEGIN: places[:, 0], "fixations": places[:, 1:]}
            parts.append(jax.tree.map(np.asarray, rollout(params, inputs, keys[rows], 1.0, numbers)))
        return jax.tree.map(lambda *arrays: np.concatenate(arrays)[:size], *parts)

    def follow(params: Any, trials: Trials, paths: np.ndarray, hyper: Any = None) -> Followed:
        found = run(following_rollout, params, trials, paths, jax.random.key(0), hyper)
        if not agent:
            return Followed(read_belief(found), None)
        log_density = np.asarray(found[agent]["log_density"], np.float64)[:, :-1]
        inside = ((paths[:, 1:] >= 0) & (paths[:, 1:] <= 1)).all(axis=-1)
        return Followed(read_belief(found), np.where(inside, log_density, np.nan))

    def gaze(params: Any, trials: Trials, passes: int, key: Key, hyper: Any = None) -> Gaze:
        shown = run(greedy_rollout, params, trials, trials.fixations, key, hyper)
        keys = jax.random.split(key, passes)
        sampled = [run(sampled_rollout, params, trials, trials.fixations, each, hyper) for each in keys]
        places = [np.asarray(found["memory"][gaze_name], np.float64) for found in (shown, *sampled)]
        if graph.roles.extent:
            places = [each * trials.shown()["extent"][:, None] for each in places]
        return Gaze(places[0], read_belief(shown), np.stack(places[1:]) if passes else places[0][None][:0])

    return Follower(follow, gaze, _scale_name(graph, agent), graph, agent)


def _margin(graph: Graph) -> Array:
    """A quarter of a pixel along x and y, ``[2]``, as fractions of the image; nothing without an image."""
    if "image" not in graph.inputs:
        return jnp.zeros(2, jnp.float32)
    height, width = graph.inputs["image"].shape[:2]
    return jnp.array([0.25 / max(width - 1, 1), 0.25 / max(height - 1, 1)], jnp.float32)


def batch_of(trials: Trials) -> int:
    """How many trials are shown at once: at most 512, or those whose stimuli take 256 MB."""
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


def with_uniform(log_density: np.ndarray) -> np.ndarray:
    """Log densities, of which 1 % is the uniform one: as of all densities of a study, no place is impossible.

    Example:
      >>> with_uniform(np.array([0.0, -np.inf])).round(2).tolist()
      [0.0, -4.61]
    """
    return np.log((1 - UNIFORM_SHARE) * np.exp(log_density) + UNIFORM_SHARE)


def best_scale(
    follower: Follower, params: dict[str, Params], trials: Trials, *, judged: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """The scale of the policy that makes people's fixations most probable, and their log densities ``[R, T - 1]``.

    These hold 1 % of the uniform density (`with_uniform`).
    Each half of the images is judged with the scale that is best on the other half. The scale that is returned is the
    best on all trials, or on those that are `judged`.

    Raises `InputError` if the scale is no hyper-parameter of the graph.
    """
    name = follower.scale_name
    if not name:
        raise InputError("the policy's scale must be a hyper-parameter of the graph to be fitted; it is none")
    along = [follower.follow(params, trials, trials.fixations, {name: scale}).log_density for scale in SCALES]
    logs = np.stack([with_uniform(log) for log in along if log is not None])
    half = np.random.default_rng(0).permutation(len(trials.names))[trials.image] % 2
    fitted = np.full(logs.shape[1:], np.nan)
    for part in (0, 1):
        tried = half != part if (half != part).any() else half == part
        fitted[half == part] = logs[int(np.argmax(np.nanmean(logs[:, tried], axis=(1, 2))))][half == part]
    used = slice(None) if judged is None else judged
    return SCALES[int(np.argmax(np.nanmean(logs[:, used], axis=(1, 2))))], fitted
