"""The order in which training sees its images: a stateless permutation of key and epoch."""

import jax
import jax.numpy as jnp

from foveax._types import Array, Key


def batch_indices(key: Key, first_step: Array | int, *, steps: int, batch: int, size: int) -> Array:
    """Which examples make the batches of some consecutive steps.

    Each epoch is a permutation, drawn from the key and the number of the epoch, of which the last ``size % batch``
    are left out. Any step's batch can be had without those before it.

    Args:
      key: of the whole training.
      first_step: the step of the first batch.
      steps: the number of batches.
      batch: B.
      size: N, at least B.

    Returns:
      ``[steps, B]`` int32 in [0, N).

    Example:
      >>> import jax
      >>> order = batch_indices(jax.random.key(0), 0, steps=2, batch=3, size=6)
      >>> sorted(order.ravel().tolist())
      [0, 1, 2, 3, 4, 5]
    """
    per_epoch = size // batch
    step = first_step + jnp.arange(steps)
    first_epoch = step[0] // per_epoch
    epochs = first_epoch + jnp.arange((steps - 1) // per_epoch + 2)
    orders = jax.vmap(lambda epoch: jax.random.permutation(jax.random.fold_in(key, epoch), size))(epochs)
    place = (step % per_epoch)[:, None] * batch + jnp.arange(batch)[None, :]
    return orders[(step // per_epoch - first_epoch)[:, None], place]
