"""The order in which training sees its images: a stateless permutation of key and epoch."""

import functools
from collections.abc import Callable

import jax
import numpy as np

from foveax._types import Key

Orders = Callable[[int], np.ndarray]
"""The permutation ``[N]`` of an epoch."""


def epoch_orders(key: Key, size: int) -> Orders:
    """A permutation ``[N]`` for each epoch, drawn from the training's key and the epoch's number; the latest cached.

    Example:
      >>> import jax
      >>> sorted(epoch_orders(jax.random.key(0), 4)(7).tolist())
      [0, 1, 2, 3]
    """
    permute = jax.jit(lambda epoch: jax.random.permutation(jax.random.fold_in(key, epoch), size))
    return functools.lru_cache(maxsize=2)(lambda epoch: np.asarray(permute(epoch)))


def batch_indices(orders: Orders, first_step: int, *, steps: int, batch: int, size: int) -> np.ndarray:
    """Which of `size` examples make the batches of `steps` consecutive steps: ``[steps, B]`` in [0, N).

    Of each epoch's permutation the last ``size % batch`` are left out. No step's batch depends on those before.
    """
    places = [divmod(step, size // batch) for step in range(first_step, first_step + steps)]
    return np.stack([orders(epoch)[place * batch : (place + 1) * batch] for epoch, place in places])
