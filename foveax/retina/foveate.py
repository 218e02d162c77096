"""The multi-scale retina: sharp at the fixation, coarser and wider around it."""

import jax.numpy as jnp

from foveax._types import Array
from foveax.retina.crop import crop


def foveate(image: Array, fixation: Array, *, size: int, scales: int) -> Array:
    """Samples concentric square crops, each twice as wide as the one before, all resampled to one size.

    Scale s, from 0 to S - 1, covers ``2^s G`` pixels a side and averages blocks of ``2^s x 2^s`` of them (Mnih et al.
    2014, https://arxiv.org/abs/1406.6247, section 3.1, the glimpse sensor).

    Args:
      image: ``[H, W, C]``, uint8 in [0, 255] or a float in [0, 1]; zero outside.
      fixation: ``[2]`` float32, (x, y) as fractions of the image.
      size: the side G of each scale's crop in pixels.
      scales: S, at least 1.

    Returns:
      ``[S, G, G, C]``, the sharpest scale first: float32 in [0, 1] for uint8 images, else of the image's dtype.

    Example:
      >>> import foveax as fx, jax.numpy as jnp
      >>> image = jnp.arange(16.0).reshape(4, 4, 1)
      >>> fx.foveate(image, jnp.array([0.5, 0.5]), size=2, scales=2)[..., 0].tolist()
      [[[5.0, 6.0], [9.0, 10.0]], [[2.5, 4.5], [10.5, 12.5]]]
    """
    return jnp.stack([crop(image, fixation, size=size, block=1 << scale) for scale in range(scales)])
