"""The retina's one operation: a square crop at a fixation, sharp or averaged in blocks."""

import jax
import jax.numpy as jnp

from foveax._types import Array


def crop(image: Array, fixation: Array, *, size: int, block: int = 1) -> Array:
    """Samples a square crop at a fixation: bilinear, sub-pixel, zero outside the image.

    Crop pixel ``(i, j)`` samples the image at row ``y (H - 1) + i - (G - 1) / 2`` and column
    ``x (W - 1) + j - (G - 1) / 2``. The samples lie one pixel apart, so that all share one sub-pixel offset and a
    window of ``(G + 1)^2`` pixels is all that is read: the cost does not depend on the size of the image. With blocks
    of b pixels the crop is that of ``b G`` pixels a side, averaged over each block of ``b x b`` of them.

    Sampling and averaging are linear and separable, so that both are done by two matrix products, ``R window C^T``.

    The crop is differentiable in the image and in the fixation, where the derivative is that of the bilinear
    interpolant (Jaderberg et al. 2015, https://arxiv.org/abs/1506.02025, section 3.3), taken from the right at whole
    pixels.

    Args:
      image: ``[H, W, C]``, uint8 in [0, 255] or a float in [0, 1].
      fixation: ``[2]`` float32, (x, y) as fractions of the image.
      size: the side G of the crop in pixels, odd or even.
      block: the side of the blocks that are averaged, in pixels of the image.

    Returns:
      ``[G, G, C]``: float32 in [0, 1] for uint8 images, else of the image's dtype.

    Example:
      >>> import foveax as fx, jax.numpy as jnp
      >>> image = jnp.arange(9.0).reshape(3, 3, 1)
      >>> fx.crop(image, jnp.array([0.5, 0.5]), size=1).item()
      4.0
      >>> fx.crop(image, jnp.array([0.5, 1.0]), size=3)[..., 0].tolist()
      [[3.0, 4.0, 5.0], [6.0, 7.0, 8.0], [0.0, 0.0, 0.0]]
    """
    height, width, channels = image.shape
    side = size * block
    corner = fixation * jnp.array([width - 1, height - 1], fixation.dtype) - (side - 1) / 2
    whole = jnp.floor(corner)
    (column, row), (right, down) = whole.astype(jnp.int32), corner - whole
    rows, columns = min(side + 1, height), min(side + 1, width)
    top, left = jnp.clip(row, 0, height - rows), jnp.clip(column, 0, width - columns)
    window = as_float(jax.lax.dynamic_slice(image, (top, left, jnp.zeros_like(top)), (rows, columns, channels)))
    down_weights = _weights(top - row + jnp.arange(rows), down, size, block).astype(window.dtype)
    right_weights = _weights(left - column + jnp.arange(columns), right, size, block).astype(window.dtype)
    exact = jax.lax.Precision.HIGHEST
    return jnp.einsum("gr,rsc,hs->ghc", down_weights, window, right_weights, precision=exact)


def _weights(pixels: Array, offset: Array, size: int, block: int) -> Array:
    """How much each pixel of the window counts in each of the crop's, along one axis.

    Args:
      pixels: int32 ``[n]``, each of the window's pixels as counted from the first that the crop reads.
      offset: of the samples beyond whole pixels, in [0, 1).
      size: G.
      block: samples that make one of the crop's pixels.

    Returns:
      ``[G, n]``.
    """
    ahead = pixels[None, :] - block * jnp.arange(size)[:, None]
    here, after = (ahead >= 0) & (ahead < block), (ahead >= 1) & (ahead <= block)
    return (jnp.where(here, 1 - offset, 0) + jnp.where(after, offset, 0)) / block


def as_float(image: Array) -> Array:
    """uint8 in [0, 255] as float32 in [0, 1]; floats as they are."""
    return image.astype(jnp.float32) / 255 if image.dtype == jnp.uint8 else image
