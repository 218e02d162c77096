"""The reverse: a foveax classifier and saccader in an active-classification environment that others wrote.

What such an environment must be:

* a Gymnasium environment, or a batch of them (`gymnasium.vector.VectorEnv`);
* its observation a dictionary with a *glimpse*, a box of floats or uint8 ``[G, G, C]``, and a *position*, a finite box
  of two numbers: where the glimpse was taken;
* its action a dictionary with a *movement*, a finite box of two numbers: where to look next, as a position, or by how
  much to move; and a *prediction*, a `Discrete` of K classes, or a box of K log-probabilities, which are at most 0;
* its episodes of exactly T steps: each step is given what the glimpses so far say, and where to look next;
* its ``info`` at the end of an episode with the *label*.

The entries may have other names (`Names`). Its reward is told, and not learnt from: the saccader is paid by the graph's
own reward, as in all of foveax.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from foveax._types import Array, InputError, Key, Params
from foveax.graph.detach import DetachedState, detach
from foveax.graph.graph import Graph
from foveax.graph.modules import Module, State, Values
from foveax.graph.ports import Port
from foveax.pipelines import Model, standard_pipeline
from foveax.retina import contrast_luminance
from foveax.training.evaluate import greedy

OF_LABEL = ("classifier.label", "classifier.correct", "classifier.cross_entropy", "reward.reward", "saccader.reward")
"""The pipeline's ports that depend on the label, which is not known before the end."""


class Names(NamedTuple):
    """What an environment calls the entries of its observations, actions and infos."""

    glimpse: str = "glimpse"
    position: str = "position"
    movement: str = "movement"
    prediction: str = "prediction"
    label: str = "label"


class Foreign(NamedTuple):
    """An environment of others, checked, with the pipeline that acts in it.

    Attributes:
      environments: a batch of B.
      graph: whose module ``retina`` stands for the environment: it takes the glimpses of an episode as they came.
      names: of the entries.
      movement: ``"absolute"``, where to look next, or ``"relative"``, by how much to move.
      contrast: whether contrast and luminance of a glimpse become channels of their own.
    """

    environments: VectorEnv
    graph: Graph
    names: Names
    movement: Literal["absolute", "relative"]
    contrast: bool


class Driven(NamedTuple):
    """What happened in a batch of episodes.

    Attributes:
      values: of the graph's ports that do not depend on the label, ``[B, T, ...]`` by ``"module.port"``.
      glimpses: ``[B, T, ...]`` as the graph took them.
      positions: ``[B, T, 2]`` in [0, 1].
      label: ``[B]`` int32.
      reward: ``[B, T]``, the environment's own.
    """

    values: dict[str, np.ndarray]
    glimpses: np.ndarray
    positions: np.ndarray
    label: np.ndarray
    reward: np.ndarray

    @property
    def accuracy(self) -> np.ndarray:
        """Share of correct predictions after each glimpse, ``[T]``."""
        return (self.values["classifier.predicted"] == self.label[:, None]).mean(axis=0)


def foreign(
    environment: gymnasium.Env | VectorEnv,
    model: Model,
    *,
    names: Names | None = None,
    movement: Literal["absolute", "relative"] = "absolute",
) -> Foreign:
    """Checks an environment of others, and makes the pipeline for it.

    Args:
      environment: that keeps to what the head of this module says; a single one becomes a batch of one.
      model: of the pipeline; its number of glimpses is the number of steps of an episode, and its retina is not used.
      names: of the entries.
      movement: what a movement is: where to look next in the space of positions, or the way there.

    Raises:
      InputError: if the spaces are not of that kind; the message says what must hold, and what came.
    """
    names = names or Names()
    if model.glimpses < 2:
        raise InputError(f"an episode must have at least 2 glimpses to be acted in; got {model.glimpses}")
    single, disabled = environment, AutoresetMode.DISABLED
    batch = SyncVectorEnv([lambda: single], autoreset_mode=disabled) if isinstance(single, gymnasium.Env) else single
    observation, action = batch.single_observation_space, batch.single_action_space
    glimpse = _entry(observation, names.glimpse, "observation")
    for space, name, kind in ((observation, names.position, "observation"), (action, names.movement, "action")):
        box = _entry(space, name, kind)
        if not isinstance(box, spaces.Box) or box.shape != (2,) or not box.is_bounded():
            raise InputError(f"{kind} {name!r} must be a bounded box of 2 numbers; got {box}")
    classes = _classes(_entry(action, names.prediction, "action"), names.prediction)
    if not isinstance(glimpse, spaces.Box) or not 1 <= len(glimpse.shape) <= 3:
        raise InputError(f"observation {names.glimpse!r} must be a box of 1 to 3 axes; got {glimpse}")
    sides = (*glimpse.shape, 1, 1)[:3]
    return Foreign(batch, _pipeline(model, (model.glimpses, *sides), classes), names, movement, model.contrast)


def drive(
    world: Foreign, params: dict[str, Params], *, key: Key, progress: float = 1.0, sample: bool = False
) -> Driven:
    """Plays a batch of episodes: the classifier predicts after each glimpse, the saccader moves.

    Args:
      world: of `foreign`.
      params: of its graph's modules, by name (`foveax.init`).
      key: of the saccader's exploration; the images are the environment's own affair.
      progress: the share of training done, for a scheduled deviation.
      sample: whether the saccader explores, as in training, or takes its usual action.

    Raises:
      InputError: if an episode has not exactly as many steps as the pipeline has glimpses, or its end tells no label.
    """
    environments, names, size = world.environments, world.names, world.environments.num_envs
    begin, apply = _stepper(world.graph, sample, world.contrast)
    shape = world.graph.inputs["glimpses"].shape[1:]
    keys = jax.random.split(key, size)
    state = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (size, *leaf.shape)), begin())
    inputs = {"label": jnp.zeros(size, jnp.int32), "progress": jnp.full(size, progress, jnp.float32)}
    low, high = _limits(environments.single_observation_space, names.position)
    observation, _ = environments.reset()
    steps: list[tuple[Any, ...]] = []
    ended, info = np.zeros(size, bool), {}
    for glimpse in range(world.graph.length):
        position = ((np.asarray(observation[names.position]) - low) / (high - low)).astype(np.float32)
        seen = _as_glimpse(observation[names.glimpse], shape)
        values, state = apply(params, state, seen, position, inputs, keys)
        values = {port: np.asarray(value) for port, value in values.items() if port not in OF_LABEL}
        action = _action(world, values, position)
        observation, reward, terminated, truncated, info = environments.step(action)
        ended = terminated | truncated
        steps.append((values, seen, position, reward))
        if ended.any() != (glimpse == world.graph.length - 1) or ended.any() != ended.all():
            raise InputError(
                f"an episode must end after exactly {world.graph.length} steps; after {glimpse + 1} of them "
                f"{ended.sum()} of {size} had ended"
            )
    label = _label(info, names.label, size)
    values, glimpses, positions, rewards = jax.tree.map(lambda *parts: np.stack(parts, axis=1), *steps)
    return Driven(values, glimpses, positions, label, rewards)


def received(*, contrast: bool) -> Module:
    """A retina whose glimpses come from elsewhere.

    Inputs: ``glimpses`` ``[T, G, G, C]``, ``positions`` ``[T, 2]``, and ``index``, from ``loop.index``. Outputs:
    ``glimpse``, with contrast and luminance apart if asked for (`foveax.contrast_luminance`), and ``fixation`` ``[2]``.
    """

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        del params, key
        glimpse, position = (inputs[port][inputs["index"]] for port in ("glimpses", "positions"))
        return _told(glimpse, position, contrast), state

    ports = {
        "glimpses": Port(("T", "G", "W", "C"), (jnp.float32,)),
        "positions": Port(("T", 2), (jnp.float32,)),
        "index": Port((), (jnp.int32,)),
    }
    return Module(inputs=ports, apply=apply)


def _told(glimpse: Array, position: Array, contrast: bool) -> dict[str, Array]:
    return {"glimpse": contrast_luminance(glimpse) if contrast else glimpse, "fixation": position}


def _pipeline(model: Model, shape: tuple[int, ...], classes: int) -> Graph:
    """The standard pipeline with a retina that receives its glimpses, ``[T, G, G, C]``."""
    inputs = {
        "glimpses": jax.ShapeDtypeStruct(shape, jnp.float32),
        "positions": jax.ShapeDtypeStruct((shape[0], 2), jnp.float32),
        "label": jax.ShapeDtypeStruct((), jnp.int32),
        "progress": jax.ShapeDtypeStruct((), jnp.float32),
    }
    image = {"image": jax.ShapeDtypeStruct((model.crop, model.crop, 1), jnp.float32)}  # for the retina that goes
    standard = standard_pipeline(model, {**inputs, **image}, classes=classes)
    links = ["input.glimpses -> retina.glimpses", "input.positions -> retina.positions", "loop.index -> retina.index"]
    graph = standard.swap("retina", received(contrast=model.contrast), *links)
    return Graph(inputs, graph.modules, graph.links, graph.length)


@functools.lru_cache(maxsize=4)
def _stepper(graph: Graph, sample: bool, contrast: bool) -> tuple[Callable[[], DetachedState], Callable[..., Any]]:
    """The pipeline without its retina, for a batch, compiled once; raw glimpses are what it is given."""
    begin, apply = detach(graph if sample else greedy(graph), "retina")

    def seen(params: Any, state: Any, glimpse: Array, position: Array, inputs: Any, key: Key) -> Any:
        return apply(params, state, _told(glimpse, position, contrast), inputs, key)

    return begin, jax.jit(jax.vmap(seen, in_axes=(None, 0, 0, 0, 0, 0)))


def _entry(space: spaces.Space, name: str, kind: str) -> spaces.Space:
    if not isinstance(space, spaces.Dict):
        raise InputError(f"{kind}s must be a dictionary with {name!r}; got {space}")
    if name not in space.spaces:
        raise InputError(f"{kind}s must have an entry {name!r}; they have {', '.join(space.spaces)}")
    return space.spaces[name]


def _classes(space: spaces.Space, name: str) -> int:
    """How many classes a space of predictions has."""
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return int(space.n)
    if isinstance(space, spaces.Box) and len(space.shape) == 1 and (space.low < 0).all():
        return space.shape[0]
    raise InputError(f"action {name!r} must be Discrete from 0, or a box of one log-probability per class; got {space}")


def _limits(space: spaces.Space, name: str) -> tuple[np.ndarray, np.ndarray]:
    box: Any = _entry(space, name, "space")
    return box.low, box.high


def _as_glimpse(glimpse: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Glimpses as float32 ``[B, G, G, C]``; uint8 becomes [0, 1]."""
    glimpse = np.asarray(glimpse)
    scaled = glimpse.astype(np.float32) / (255 if glimpse.dtype == np.uint8 else 1)
    return scaled.reshape(len(glimpse), *shape)


def _action(world: Foreign, values: dict[str, np.ndarray], position: np.ndarray) -> dict[str, np.ndarray]:
    """The batch's actions: movements and predictions in the environment's own spaces."""
    space: Any = world.environments.single_action_space
    moves, predicts = space[world.names.movement], space[world.names.prediction]
    low, high = _limits(world.environments.single_observation_space, world.names.position)
    fixation = values["saccader.fixation"]
    absolute = world.movement == "absolute"
    wanted = low + fixation * (high - low) if absolute else (fixation - position) * (high - low)
    movement = np.clip(wanted, moves.low, moves.high)
    predicted = values["classifier.predicted"].astype(np.int64)
    if isinstance(predicts, spaces.Box):
        log_probability = np.log(np.maximum(values["classifier.probabilities"], 1e-12))
        predicted = np.clip(log_probability, predicts.low, predicts.high).astype(predicts.dtype)
    return {world.names.movement: movement.astype(moves.dtype), world.names.prediction: predicted}


def _label(info: dict[str, Any], name: str, size: int) -> np.ndarray:
    told = info.get("final_info", info)
    if name not in told:
        raise InputError(f"the info at an episode's end must hold {name!r}; it holds {', '.join(told) or 'nothing'}")
    return np.asarray(told[name]).reshape(size).astype(np.int32)
