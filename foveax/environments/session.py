"""A session: episodes held between one call and the next, for frameworks that ask for a step at a time."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import InputError, Params
from foveax.environments.episodes import Episodes, Seen
from foveax.environments.lessons import Lessons

PROCESS = os.getpid()
"""In which JAX was started: a process forked from it cannot use it."""


class Session:
    """A batch of episodes, all at the same glimpse, as NumPy arrays that belong to the caller.

    A class, since its users' interfaces have state. Actions lie in [-1, 1]^2, which is what most learners expect: the
    fixation is ``(action + 1) / 2``. With lessons the classifier learns from each episode as it ends, and the next
    begins with what it learnt.

    Attributes:
      episodes: what is played.
      size: B, how many at once.
      glimpse: of the episodes under way, from 0; None before the first, and T - 1 when they have ended.
    """

    def __init__(
        self, episodes: Episodes, size: int, params: Mapping[str, Params] | None = None, lessons: Lessons | None = None
    ):
        """Takes either the classifier's parameters, by module, or the lessons in which it learns."""
        if (params is None) == (lessons is None):
            raise InputError("an environment must have either parameters or lessons; got both, or neither")
        self._in_own_process()
        if size < 1:
            raise InputError(f"num_envs must be at least 1; got {size}")
        self.episodes, self.size, self.lessons, self.glimpse = episodes, size, lessons, None
        self._params, self._images = params, jax.device_put(dict(episodes.images))
        self._reset, self._step = jax.jit(episodes.reset, static_argnums=3), jax.jit(episodes.step)
        self._closed = False
        self._shown: Any = None
        self._first: np.ndarray | None = None
        self._fixations: list[np.ndarray] = []

    @property
    def params(self) -> Mapping[str, Params]:
        """The classifier's parameters, by module, as they are now."""
        return self.lessons.params if self.lessons else self._params or {}

    def reset(self, seed: int) -> Seen:
        """Begins new episodes; the seed, in [0, 2^32), decides the images and all that the graph draws."""
        self._usable()
        self._shown, seen = self._reset(self.params, jax.random.key(seed), self._images, self.size)
        seen = _to_host(seen)
        self.glimpse, self._first, self._fixations = 0, _copy(seen.info.get("fixation")), []
        return seen

    def step(self, actions: Any) -> Seen:
        """Moves the eyes: `actions` ``[B, 2]`` in [-1, 1].

        Raises:
          InputError: if the session is closed or another process's, no episode is under way, or the actions are not of
            that shape, not finite or outside [-1, 1].
        """
        self._usable()
        if self.glimpse is None or self.glimpse == self.episodes.length - 1:
            when = "before the first reset" if self.glimpse is None else f"after the end, at glimpse {self.glimpse + 1}"
            raise InputError(f"an episode must be under way to be stepped; got a step {when}: call reset")
        fixations = self._checked(actions)
        self._shown, seen = self._step(self.params, self._shown, fixations)
        self._fixations.append(fixations)
        self.glimpse += 1
        if self.lessons and self.glimpse == self.episodes.length - 1:
            self.lessons.attend(self._shown.states.inputs, jnp.asarray(np.stack(self._fixations, axis=1)))
        return _to_host(seen)

    def close(self) -> None:
        """Gives up the images; closing twice does nothing more."""
        self._closed, self._images, self._shown = True, {}, None

    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """The images looked at, ``[B, H, W, C]``, and the fixations so far, ``[B, t, 2]``."""
        self._usable()
        if self._first is None:
            raise InputError("there must be an episode with a retina to render; got none: call reset first")
        return np.asarray(self._shown.states.inputs["image"]), np.stack([self._first, *self._fixations], axis=1)

    def _usable(self) -> None:
        if self._closed:
            raise InputError("an environment must not be used once it is closed; make a new one")
        self._in_own_process()

    def _in_own_process(self) -> None:
        if os.getpid() != PROCESS:
            raise InputError(
                f"an environment must be made and used in a process that imported foveax, such as {PROCESS}; this is "
                f"{os.getpid()}, forked from it, where JAX would hang: start it by spawn, or use the batch"
            )

    def _checked(self, actions: Any) -> np.ndarray:
        actions = np.asarray(actions)
        if actions.shape != (self.size, 2) or not np.issubdtype(actions.dtype, np.number):
            raise InputError(f"actions must be numbers of the shape [{self.size}, 2]; got {actions.dtype} "
                             f"{list(actions.shape)}")  # fmt: skip
        actions = actions.astype(np.float32)
        if not (np.abs(actions) <= 1).all():  # false for NaN as well
            raise InputError(f"actions must lie in [-1, 1]; got values from {actions.min()} to {actions.max()}")
        return (actions + 1) / 2

    def __reduce__(self):
        raise InputError(
            "an environment must not be pickled, since it holds compiled programs and arrays of a device; "
            "pass on a function that makes it"
        )


def _to_host(seen: Seen) -> Seen:
    """As NumPy arrays that may be written to, and share nothing with the next ones."""
    return jax.tree.map(np.array, seen)


def _copy(array: np.ndarray | None) -> np.ndarray | None:
    return None if array is None else array.copy()
