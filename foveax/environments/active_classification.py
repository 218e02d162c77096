"""The reverse: a foveax classifier and saccader in an active-classification environment that others wrote.

Such an environment must be:

* a Gymnasium environment, or a batch of them (`gymnasium.vector.VectorEnv`), with episodes of exactly T steps;
* its observation a dictionary with a *glimpse*, a box of floats or uint8 ``[G, G, C]``, and a *position*, a finite box
  of two numbers: where the glimpse was taken (the entries may have other names, `Names`);
* its action a dictionary with a *movement*, a finite box of two numbers: where to look next, as a position, or by how
  much to move; and a *prediction*, a `Discrete` of K classes, or a box of K log-probabilities or logits;
* its ``info`` at the end of an episode with the *label*; a dotted name, such as ``prediction.target``, is an entry of a
  dictionary within it.

Its reward is reported, and not learnt from: the saccader is paid by the graph's own reward, as in all of foveax.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, cast

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from foveax._arrays import check_numbers
from foveax._types import Array, InputError, Key, Params
from foveax.data.dataset import Data, check_label
from foveax.evaluation.evaluate import greedy
from foveax.graph.graph import Graph, Roles, parse_port
from foveax.graph.modules import from_function, zeros_like
from foveax.graph.split import EpisodeState, split
from foveax.pipelines import PipelineConfig, standard_pipeline
from foveax.retina import contrast_luminance

RETINA, GAZE = "retina", "fixation"
"""The module of the standard pipeline whose place the environment takes, and the memory that its eye writes."""
Movement = Literal["absolute", "relative"]
Environment = gymnasium.Env | VectorEnv


class Names(NamedTuple):
    """The entries of an environment's observations, actions and infos."""

    glimpse: str = "glimpse"
    position: str = "position"
    movement: str = "movement"
    prediction: str = "prediction"
    label: str = "label"


class ActiveClassification(NamedTuple):
    """An environment of others, checked, a batch of B, with the pipeline that acts in it.

    The graph's module ``retina`` stands for the environment: it takes the glimpses and positions of an episode, the
    inputs ``glimpses`` ``[T, G, G, C]`` and ``positions`` ``[T, 2]``. `sampling` and `greedy` are `split_at_retina` of
    the graph, whose saccader explores, or takes the mode of its policy.
    """

    environments: VectorEnv
    graph: Graph
    names: Names
    movement: Movement
    unit: float | None
    classes: int
    sampling: tuple[Callable[..., Any], Callable[..., Any]]
    greedy: tuple[Callable[..., Any], Callable[..., Any]]


class PlayedEpisodes(NamedTuple):
    """A batch of episodes: NumPy arrays. With the same inputs and keys, the compiled graph gives the same trajectories.

    After each glimpse there are `probabilities` ``[B, T, K]``, `fixations` ``[B, T, 2]``, where the saccader chose to
    look, and the environment's own `reward` ``[B, T]``. The `glimpses` ``[B, T, G, G, C]``, in [0, 1] if they came as
    uint8, were taken at the `positions` ``[B, T, 2]`` in [0, 1]. The `label` is ``[B]`` int32.
    """

    probabilities: np.ndarray
    fixations: np.ndarray
    glimpses: np.ndarray
    positions: np.ndarray
    label: np.ndarray
    reward: np.ndarray

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """The graph's inputs, ``[B, ...]`` by name."""
        return {"glimpses": self.glimpses, "positions": self.positions, "label": self.label}

    @property
    def accuracy(self) -> np.ndarray:
        """Share of correct predictions after each glimpse, ``[T]``."""
        return (self.probabilities.argmax(axis=-1) == self.label[:, None]).mean(axis=0)


def make_active_classification(
    environment: Environment,
    config: PipelineConfig,
    *,
    names: Names | None = None,
    movement: Movement = "absolute",
    unit: float | None = None,
) -> ActiveClassification:
    """Checks an environment of others, and makes the standard pipeline for it.

    A single environment becomes a batch of one. The number of glimpses is the number of steps of an episode, and the
    retina is not used. A movement is where to look next in the space of positions, or (``"relative"``) the way there:
    in units of positions or, if given, of a `unit`, a fraction of their range, such as the farthest that the
    environment moves at once; the pipeline's own `reach` then keeps to it. Raises `InputError` if the spaces are not as
    the head of this module says, or the unit is not in (0, 1].
    """
    names = names or Names()
    if unit is not None and not (movement == "relative" and 0 < unit <= 1):
        raise InputError(f"unit must be in (0, 1], of a movement that is relative; got {unit} of one {movement}")
    if config.glimpses < 2:
        raise InputError(f"an episode must have at least 2 glimpses to be acted in; got {config.glimpses}")
    if isinstance(environment, gymnasium.Env):
        batch = SyncVectorEnv([lambda: environment], autoreset_mode=AutoresetMode.DISABLED)
    else:
        batch = environment
    observation, action = batch.single_observation_space, batch.single_action_space
    glimpse = _entry(observation, names.glimpse, "observation")
    if not isinstance(glimpse, spaces.Box) or not 1 <= len(glimpse.shape) <= 3:
        raise InputError(f"observation {names.glimpse!r} must be a box of 1 to 3 axes; got {glimpse}")
    for space, name, kind in ((observation, names.position, "observation"), (action, names.movement, "action")):
        box = _entry(space, name, kind)
        if not isinstance(box, spaces.Box) or box.shape != (2,) or not box.is_bounded():
            raise InputError(f"{kind} {name!r} must be a bounded box of 2 numbers; got {box}")
    classes = _classes(_entry(action, names.prediction, "action"), names.prediction)
    graph = _pipeline(config, (*glimpse.shape, 1, 1)[:3], classes)
    halves = split_at_retina(graph), split_at_retina(greedy(graph))
    return ActiveClassification(batch, graph, names, movement, unit, classes, *halves)


def play_episodes(
    task: ActiveClassification, params: Mapping[str, Params], *, keys: Key, progress: float = 1.0, sample: bool = False
) -> PlayedEpisodes:
    """Plays a batch of episodes: the classifier predicts after each glimpse, the saccader moves.

    The keys ``[B]`` are of the saccader's exploration; the images are the environment's own affair. With `sample` the
    saccader explores, as in training, at a scale scheduled by `progress`; else it takes the mode of its policy. Raises
    `InputError` if an episode's steps are not as many as the pipeline's glimpses, or there is no label at its end.
    """
    environments, length = task.environments, task.graph.length
    begin, predict = task.sampling if sample else task.greedy
    state = begin(keys, params, progress)
    observation, info = environments.reset()
    steps: list[tuple[np.ndarray, ...]] = []
    for number in range(1, length + 1):
        glimpse, position = _read(task, observation)
        state, *outputs = predict(state, glimpse, position, params, progress)
        probabilities, fixation = map(np.asarray, outputs)
        actions = _actions(task, probabilities, fixation, position)
        observation, reward, terminated, truncated, info = environments.step(actions)
        ended = terminated | truncated
        steps.append((probabilities, fixation, glimpse, position, reward))
        if ended.any() != (number == length) or ended.any() != ended.all():
            have = f"{ended.sum()} of {len(ended)} had ended"
            raise InputError(f"an episode must end after exactly {length} steps; after {number} of them {have}")
    label = _label(task, info.get("final_info", info))
    *values, rewards = (np.stack(parts, axis=1) for parts in zip(*steps, strict=True))
    return PlayedEpisodes(*values, label=label, reward=rewards)


def _pipeline(config: PipelineConfig, shape: tuple[int, ...], classes: int) -> Graph:
    """The standard pipeline with a retina that receives glimpses, and their positions in the place of the gaze."""

    def receive(glimpses: Array, positions: Array, index: Array) -> tuple[Array, Array]:
        glimpse = glimpses[index]
        return contrast_luminance(glimpse) if config.contrast else glimpse, positions[index]

    shapes = {"glimpses": shape, "positions": (2,)}
    received = {name: np.zeros((1, config.glimpses, *axes), np.float32) for name, axes in shapes.items()}
    image = np.zeros((1, config.crop_size, config.crop_size, 1), np.uint8)  # for the retina that goes
    arrays = {"image": image, **received, "label": np.zeros(1, np.int32)}
    standard = standard_pipeline(Data(arrays, arrays, classes), config)
    links = [f"input.{name} -> {RETINA}.{name}" for name in received]
    retina = from_function(receive, outputs=("glimpse", "position"))
    graph = standard.swap(RETINA, retina, *links, f"loop.index -> {RETINA}.index")
    graph = graph.reroute(f"memory.{GAZE}", f"{RETINA}.position")
    inputs = {name: spec for name, spec in graph.inputs.items() if name != "image"}
    roles = Roles(belief=graph.roles.belief, label=graph.roles.label)
    return graph.replace(inputs=inputs, roles=roles)


def split_at_retina(graph: Graph) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The pipeline without its retina, for a batch, glimpse by glimpse, as two compiled functions.

    They are ``(keys, params, progress) -> state`` and ``(state, glimpse, position, params, progress) -> (state,
    probabilities, fixation)``: what the classifier makes of a glimpse, ``[B, K]``, and where to look next, ``[B, 2]``.
    """
    belief, fixation = parse_port(graph.roles.belief), graph.wiring.writes[GAZE]
    environment, actors = split(graph, RETINA, record=(str(belief), str(fixation)))

    def begin(key: Key, params: Any, progress: Any) -> EpisodeState:
        return environment.reset(key, params, zeros_like(graph.inputs), progress)[0]

    def predict(state: EpisodeState, glimpse: Array, position: Array, params: Any, progress: Any) -> tuple[Any, ...]:
        received = {"glimpses": glimpse[None], "positions": position[None], "index": jnp.int32(0)}
        outputs, _ = actors[RETINA].act({}, (), received, None)
        after, time_step = environment.step(state, {RETINA: outputs}, params, progress)
        ended = {**time_step.info, **state.values}  # of the same glimpse: what waited for the retina, and what did not
        return after, *(ended[port.module][port.port] for port in (belief, fixation))

    return jax.jit(jax.vmap(begin, (0, None, None))), jax.jit(jax.vmap(predict, (0, 0, 0, None, None)))


def _entry(space: spaces.Space, name: str, kind: str) -> spaces.Space:
    if not isinstance(space, spaces.Dict):
        raise InputError(f"{kind}s must be a dictionary with {name!r}; got {space}")
    if name not in space.spaces:
        raise InputError(f"{kind}s must have an entry {name!r}; they have {', '.join(space.spaces)}")
    return space.spaces[name]


def _classes(space: spaces.Space, name: str) -> int:
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return int(space.n)
    if isinstance(space, spaces.Box) and len(space.shape) == 1 and (space.low < 0).all():
        return space.shape[0]
    raise InputError(f"action {name!r} must be Discrete from 0, or a box of one log-probability per class; got {space}")


def _read(task: ActiveClassification, observation: Any) -> tuple[np.ndarray, np.ndarray]:
    """Glimpses as float32 ``[B, G, G, C]``, where uint8 becomes [0, 1], and positions ``[B, 2]`` in [0, 1]."""
    for name in (task.names.glimpse, task.names.position):
        check_numbers(f"observation {name}", observation[name])
    glimpse = np.asarray(observation[task.names.glimpse])
    scaled = glimpse.astype(np.float32) / (255 if glimpse.dtype == np.uint8 else 1)
    low, high = _limits(task)
    position = (np.asarray(observation[task.names.position]) - low) / (high - low)
    return scaled.reshape(len(glimpse), *task.graph.inputs["glimpses"].shape[1:]), position.astype(np.float32)


def _label(task: ActiveClassification, info: Mapping[str, Any]) -> np.ndarray:
    """The labels ``[B]``, from an entry of the info, or of a dictionary within it."""
    name, found = task.names.label, cast(Any, info)
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            held = ", ".join(found) if isinstance(found, Mapping) else type(found).__name__
            raise InputError(f"the info at an episode's end must hold {name!r}; it holds {held or 'nothing'}")
        found = found[part]
    return check_label(f"info {name}", np.ravel(found), size=task.environments.num_envs, classes=task.classes)


def _limits(task: ActiveClassification) -> tuple[np.ndarray, np.ndarray]:
    space: Any = task.environments.single_observation_space
    return space[task.names.position].low, space[task.names.position].high


def _actions(
    task: ActiveClassification, probabilities: np.ndarray, fixation: np.ndarray, position: np.ndarray
) -> dict[str, np.ndarray]:
    """Movements and predictions in the environment's own spaces."""
    space: Any = task.environments.single_action_space
    moves, predicts = space[task.names.movement], space[task.names.prediction]
    low, high = _limits(task)
    way = (fixation - position) * (high - low) if task.unit is None else (fixation - position) / task.unit
    wanted = low + fixation * (high - low) if task.movement == "absolute" else way
    movement = np.clip(wanted, moves.low, moves.high)
    prediction = probabilities.argmax(axis=-1)
    if isinstance(predicts, spaces.Box):
        log_probability = np.log(np.maximum(probabilities, 1e-12))
        prediction = np.clip(log_probability, predicts.low, predicts.high).astype(predicts.dtype)
    return {task.names.movement: movement.astype(moves.dtype), task.names.prediction: prediction}
