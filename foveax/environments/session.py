"""A session: episodes held between one call and the next, for frameworks that ask for a step at a time."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import InputError, Params
from foveax.environments.classifier_training import ClassifierTraining, ModuleParams
from foveax.environments.episodes import BatchTimeStep, Episodes

PROCESS = os.getpid()
"""The process in which JAX was started: one forked from it cannot use it."""


class Session:
    """A batch of B episodes, all at the same glimpse, as NumPy arrays that belong to the caller.

    A class, since its users' interfaces have state. Actions lie in [-1, 1]^2, which is what most learners expect: the
    fixation is ``(action + 1) / 2``. With a training, the classifier learns from each episode as it ends, and the next
    begins with its new parameters. `glimpse` counts from 0 to T - 1; it is None before the first episodes.
    """

    def __init__(self, episodes: Episodes, size: int, params: ModuleParams):
        self._closed = False
        self._check_usable()
        if size < 1:
            raise InputError(f"num_envs must be at least 1; got {size}")
        self.episodes = episodes
        self.size = size
        self.glimpse: int | None = None
        self._params = params
        self._images = jax.device_put(dict(episodes.images))
        self._reset = jax.jit(episodes.reset, static_argnums=3)
        self._step = jax.jit(episodes.step)
        self._state: Any = None

    @property
    def params(self) -> Mapping[str, Params]:
        """The parameters of the modules in the environment, by name, as they are now."""
        return self._params.params if isinstance(self._params, ClassifierTraining) else self._params

    @property
    def ended(self) -> bool:
        """Whether the episodes have ended."""
        return self.glimpse == self.episodes.graph.length - 1

    def reset(self, seed: int) -> BatchTimeStep:
        """Begins new episodes; the seed, in [0, 2^32), decides the images and all that the graph draws."""
        self._check_usable()
        self._state, answer = self._reset(self.params, jax.random.key(seed), self._images, self.size)
        self.glimpse = 0
        self._fixations: list[np.ndarray] = []
        self._gaze: list[np.ndarray] = []
        return self._answer(answer)

    def step(self, actions: Any) -> BatchTimeStep:
        """Moves the eyes: `actions` ``[B, 2]`` in [-1, 1].

        Raises:
          InputError: if they are anything else, no episode is under way, or the session is closed or another process's.
        """
        self._check_usable()
        if self.glimpse is None or self.ended:
            when = "before the first reset" if self.glimpse is None else f"after the end, at glimpse {self.glimpse + 1}"
            raise InputError(f"an episode must be under way to be stepped; got a step {when}: call reset")
        fixations = self._fixations_of(actions)
        self._state, answer = self._step(self.params, self._state, fixations)
        self._fixations.append(fixations)
        self.glimpse += 1
        if self.ended and isinstance(self._params, ClassifierTraining):
            self._params.add_episodes(self._state.episodes.inputs, jnp.asarray(np.stack(self._fixations, axis=1)))
        return self._answer(answer)

    def close(self) -> None:
        """Gives up the images; closing twice does nothing more."""
        self._closed = True
        self._images = {}
        self._state = None

    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """The images of the episodes, ``[B, H, W, C]``, and their fixations so far, ``[B, t, 2]``."""
        self._check_usable()
        if self._state is None:
            raise InputError("there must be an episode to render; got none: call reset first")
        inputs = self._state.episodes.inputs
        if "image" not in inputs or not self._gaze:
            raise InputError("a graph must have an input image and declare its gaze (Roles) to be rendered")
        return np.asarray(inputs["image"]), np.stack(self._gaze, axis=1)

    def _answer(self, time_step: BatchTimeStep) -> BatchTimeStep:
        """NumPy arrays that may be written to, and share nothing with the next ones."""
        answer = jax.tree.map(np.array, time_step)
        if "fixation" in answer.info:
            self._gaze.append(answer.info["fixation"].copy())
        return answer

    def _check_usable(self) -> None:
        if self._closed:
            raise InputError("an environment must not be used once it is closed; make a new one")
        if os.getpid() != PROCESS:
            raise InputError(
                f"an environment must be made and used in a process that imported foveax, such as {PROCESS}; this is "
                f"{os.getpid()}, forked from it, where JAX would hang: start it by spawn, or use the batch"
            )

    def _fixations_of(self, actions: Any) -> np.ndarray:
        actions, shape = np.asarray(actions), [self.size, 2]
        if list(actions.shape) != shape or not np.issubdtype(actions.dtype, np.number):
            raise InputError(f"actions must be numbers of the shape {shape}; got {actions.dtype} {list(actions.shape)}")
        actions = actions.astype(np.float32)
        if not (np.abs(actions) <= 1).all():  # false for NaN as well
            raise InputError(f"actions must lie in [-1, 1]; got values from {actions.min()} to {actions.max()}")
        return (actions + 1) / 2

    def __reduce__(self):
        raise InputError(
            "an environment must not be pickled, since it holds compiled programs and arrays of a device; "
            "pass on a function that makes it"
        )
