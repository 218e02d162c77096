"""Sessions: episodes held between one call and the next, and classifiers that learn from them.

Both are classes, since other frameworks ask for a step at a time, and hold what acts and learns within them.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from foveax._arrays import check_count
from foveax._types import Array, InputError, Key, Metrics, Params
from foveax.environments.episodes import BatchTimeStep, Episodes, acting_agent
from foveax.graph.graph import Graph
from foveax.learning.hyperparameters import LearningConfig
from foveax.modules.scripted import following
from foveax.training.adversary import learner_of
from foveax.training.learner import Learner, TrainState

PROCESS = os.getpid()  # JAX was started in it: a process forked from it cannot use JAX


def make_classifier_training(
    graph: Graph, learning: LearningConfig, agent: str | None = None, *, key: Key, batch: int, steps: int = 0
) -> "ClassifierTraining":
    """The training of all modules of a graph but the agent that acts, from the parameters of `foveax.make_learner`.

    Graph and agent are as in `make_episodes`, with the same refusals; other agents, which stay in the environment,
    learn by reinforcement. A step learns from at least `batch` episodes. Learning rates and the entropy bonus fall
    along `steps`; 0 keeps them constant.

    Example:
      >>> import foveax as fx, jax
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"), fx.PipelineConfig(hidden=8, features=8))
      >>> training = make_classifier_training(graph, fx.LearningConfig(), key=jax.random.key(0), batch=32)
      >>> training.steps, sorted(name for name, params in training.params.items() if params)
      (0, ['classifier'])
    """
    learning = learning if steps else dataclasses.replace(learning, decay="constant")
    port, role = acting_agent(graph, agent)
    position = graph.wiring.sources[port.module].get("position")
    followed = following(graph, port, role.reach, str(position))
    learner = learner_of(followed.remove(port.module), learning, steps=max(steps, 1))
    return ClassifierTraining(learner, learner.init(key), batch)


class ClassifierTraining:
    """The learner's `state`, the number of its `steps` so far, and the episodes that await the next.

    The batching capsule (`foveax.batching`) decides after how many steps the parameters change.
    """

    def __init__(self, learner: Learner, state: TrainState, batch: int):
        def step(state: TrainState, batches: list[dict[str, Array]]) -> tuple[TrainState, Metrics]:
            return learner.step(state, jax.tree.map(lambda *parts: jnp.concatenate(parts), *batches))

        self.state = state
        self.steps = 0
        self._step = jax.jit(step)
        self._batch = batch
        self._episodes = list[dict[str, Any]]()
        self._sums = dict[str, Any]()
        self._steps_before = 0

    @property
    def params(self) -> dict[str, Params]:
        """The newest parameters, by module."""
        return self.state.params

    def add_episodes(self, inputs: dict[str, Any], fixations: Array) -> None:
        """Adds episodes: inputs ``[B, ...]``, fixations after the first ``[B, T - 1, 2]``; may take a step."""
        self._episodes.append({**inputs, "fixations": fixations})
        if sum(len(episodes["fixations"]) for episodes in self._episodes) < self._batch:
            return
        self.state, metrics = self._step(self.state, self._episodes)
        self._episodes = []
        self.steps += 1
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in metrics.items()}

    def take_metrics(self) -> dict[str, float]:
        """Metrics by name, averaged over the steps since the last call; nothing without any."""
        sums, steps = self._sums, self.steps - self._steps_before
        self._sums, self._steps_before = {}, self.steps
        return {name: float(value) / steps for name, value in sums.items()}


def is_forked() -> bool:
    """Whether this process was forked from the one that imported foveax."""
    return os.getpid() != PROCESS


def check_process() -> None:
    """Refuses a process in which JAX would hang."""
    if is_forked():
        raise InputError(
            f"an environment must be made and used in a process that imported foveax, such as {PROCESS}; this is "
            f"{os.getpid()}, forked from it, where JAX would hang: start it by spawn, as AsyncVectorEnv(..., "
            "context='spawn') does, or use the batch"
        )


def as_action(action: Any) -> np.ndarray:
    """An action as NumPy's array; a tensor of PyTorch leaves its graph and its device."""
    try:
        return np.asarray(action.detach().cpu().numpy() if hasattr(action, "detach") else action)
    except (TypeError, ValueError) as error:
        raise InputError(f"actions must be an array of numbers; got {type(action).__name__}: {error}") from None


ModuleParams = Mapping[str, Params] | ClassifierTraining
"""The parameters of the modules in an environment, by name; or their training, whose newest are taken."""


class Session:
    """A batch of B episodes, all at the same glimpse, as NumPy arrays that belong to the caller.

    Actions lie in [-1, 1]^2, which is what most learners expect: the fixation is ``(action + 1) / 2``. With a training,
    the classifier learns from each episode as it ends, and the next begins with its new parameters. Nothing runs before
    the first reset, so that a session may be made, though not used, in a forked process.
    """

    def __init__(self, episodes: Episodes, size: int, params: ModuleParams):
        self._closed = False
        self.episodes = episodes
        self.size = check_count("num_envs", size)
        self._params = params
        self._images: Any = None
        self._reset = jax.jit(episodes.reset, static_argnums=3)
        self._reset_each = jax.jit(self._begin_each)
        self._step = jax.jit(episodes.step)
        self._state: Any = None
        self._fixations: list[np.ndarray] = []
        self._gaze: list[np.ndarray] = []

    @property
    def params(self) -> Mapping[str, Params]:
        """The parameters of the modules in the environment, by name, as they are now."""
        return self._params.params if isinstance(self._params, ClassifierTraining) else self._params

    @property
    def ended(self) -> bool:
        """Whether the episodes have ended."""
        return len(self._fixations) == self.episodes.graph.length - 1

    def reset(self, seed: int | Sequence[int]) -> BatchTimeStep:
        """Begins new episodes; the seed, in [0, 2^32), decides the images and all that the graph draws.

        Of a sequence of seeds each decides one episode: that of a session of one with this seed.
        """
        self._check_usable()
        if self._images is None:
            self._images = jax.device_put(dict(self.episodes.images))
        if isinstance(seed, int):
            self._state, time_step = self._reset(self.params, jax.random.key(seed), self._images, self.size)
        else:
            self._state, time_step = self._reset_each(self.params, np.asarray(seed, np.uint32), self._images)
        self._fixations = []
        self._gaze = []
        return self._answer(time_step)

    def step(self, actions: Any) -> BatchTimeStep:
        """Moves the eyes: `actions` ``[B, 2]``, brought to the border of [-1, 1] where they lie outside.

        Raises `InputError` if they are no finite numbers of this shape, no episode is under way, or the session cannot
        be used.
        """
        self._check_usable()
        if self._state is None or self.ended:
            end = f"after the end, at glimpse {self.episodes.graph.length}"
            when = "before the first reset" if self._state is None else end
            raise InputError(f"an episode must be under way to be stepped; got a step {when}: call reset")
        fixations = self._fixations_of(actions)
        self._state, time_step = self._step(self.params, self._state, fixations)
        self._fixations.append(fixations)
        if self.ended and isinstance(self._params, ClassifierTraining):
            self._params.add_episodes(self._state.episodes.inputs, jnp.asarray(np.stack(self._fixations, axis=1)))
        return self._answer(time_step)

    def close(self) -> None:
        """Gives up the images; closing twice does nothing more."""
        self._closed = True
        self._images = self._state = None

    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """The images of the episodes, ``[B, H, W, C]``, and their fixations so far, ``[B, t, 2]``."""
        self._check_usable()
        if self._state is None:
            raise InputError("there must be an episode to render; got none: call reset first")
        inputs = self._state.episodes.inputs
        if "image" not in inputs or not self._gaze:
            raise InputError("a graph must have an input image and declare its gaze (Roles) to be rendered")
        return np.asarray(inputs["image"]), np.stack(self._gaze, axis=1)

    def _begin_each(self, params: Any, seeds: Array, images: Any) -> Any:
        one = jax.vmap(lambda seed: self.episodes.reset(params, jax.random.key(seed), images, 1))
        return jax.tree.map(lambda leaf: leaf[:, 0], one(seeds))

    def _answer(self, time_step: BatchTimeStep) -> BatchTimeStep:
        """NumPy arrays that may be written to, and share nothing with the next ones."""
        answer = jax.tree.map(np.array, time_step)
        if "fixation" in answer.info:
            self._gaze.append(answer.info["fixation"].copy())
        return answer

    def _check_usable(self) -> None:
        if self._closed:
            raise InputError("an environment must not be used once it is closed; make a new one")
        check_process()

    def _fixations_of(self, actions: Any) -> np.ndarray:
        actions, shape = as_action(actions), [self.size, 2]
        if list(actions.shape) != shape or actions.dtype.kind not in "iuf":
            raise InputError(f"actions must be numbers of the shape {shape}; got {actions.dtype} {list(actions.shape)}")
        if not np.isfinite(actions).all():
            raise InputError(f"actions must be finite; got {actions[~np.isfinite(actions)][0]}")
        return (np.clip(actions, -1, 1).astype(np.float32) + 1) / 2

    def __reduce__(self):
        raise InputError(
            "an environment must not be pickled, since it holds compiled programs and arrays of a device; "
            "pass on a function that makes it"
        )
