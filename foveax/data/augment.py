"""Augmentation on the device."""

import jax
import jax.numpy as jnp

from foveax._types import Array, Key


def random_shift(key: Key, image: Array, *, pixels: int) -> Array:
    """Shifts an image by whole pixels, as many as `pixels` each way, uniformly; what comes in is zero.

    Args:
      key: consumed.
      image: ``[H, W, C]``.
      pixels: the largest shift along each axis.

    Returns:
      ``[H, W, C]``, of the same dtype.
    """
    padded = jnp.pad(image, ((pixels, pixels), (pixels, pixels), (0, 0)))
    row, column = jax.random.randint(key, (2,), 0, 2 * pixels + 1)
    return jax.lax.dynamic_slice(padded, (row, column, jnp.zeros_like(row)), image.shape)
