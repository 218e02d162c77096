"""The retina's one operation: a square crop at a fixation."""

import jax
import jax.numpy as jnp

from foveax._arrays import check_glimpse, is_traced
from foveax._types import Array


def crop(image: Array, fixation: Array, *, size: int) -> Array:
    """Samples a square crop at a fixation: bilinear, sub-pixel, zero outside the image.

    Crop pixel ``(i, j)`` samples the image at row ``y (H - 1) + i - (G - 1) / 2`` and column
    ``x (W - 1) + j - (G - 1) / 2``. The samples lie one pixel apart, so that all share one sub-pixel offset and a
    window of ``(G + 1)^2`` pixels is all that is read: the cost does not depend on the size of the image.

    The crop is differentiable in the image and in the fixation, where the derivative is that of the bilinear
    interpolant (Jaderberg et al. 2015, https://arxiv.org/abs/1506.02025, section 3.3), taken from the right at whole
    pixels.

    Args:
      image: ``[H, W, C]``, uint8 in [0, 255] or a float in [0, 1].
      fixation: ``[2]`` float32, (x, y) as fractions of the image.
      size: the side G of the crop in pixels, odd or even.

    Returns:
      ``[G, G, C]``: float32 in [0, 1] for uint8 images, else of the image's dtype.

    Raises:
      InputError: outside of traced code, for an image of another shape or dtype, or a fixation that is not finite.

    Example:
      >>> import foveax as fx, jax.numpy as jnp
      >>> image = jnp.arange(9.0).reshape(3, 3, 1)
      >>> fx.crop(image, jnp.array([0.5, 0.5]), size=1).item()
      4.0
      >>> fx.crop(image, jnp.array([0.5, 1.0]), size=3)[..., 0].tolist()
      [[3.0, 4.0, 5.0], [6.0, 7.0, 8.0], [0.0, 0.0, 0.0]]
    """
    if not is_traced(image, fixation):
        check_glimpse(image, fixation, size)
    begins, offset = corner(image, fixation, size)
    window, shift = read_window(image, begins, size + 1)
    span = size + 1
    padded = jnp.pad(window, ((span, span), (span, span), (0, 0)))  # zero where the image has no pixels
    column, row = jnp.maximum(span + shift, 0)  # a negative index would count from the end
    window = jax.lax.dynamic_slice(padded, (row, column, jnp.zeros_like(row)), (span, span, window.shape[-1]))
    window = as_float(window)
    right, down = offset.astype(window.dtype)
    window = (1 - down) * window[:-1] + down * window[1:]
    return (1 - right) * window[:, :-1] + right * window[:, 1:]


def corner(image: Array, fixation: Array, side: int) -> tuple[Array, Array]:
    """Where a crop of `side` pixels begins: in whole pixels (x, y), int32, and the rest, in [0, 1)."""
    height, width, _ = image.shape
    first = fixation * jnp.array([width - 1, height - 1], fixation.dtype) - (side - 1) / 2
    whole = jnp.floor(first)
    return whole.astype(jnp.int32), first - whole


def read_window(image: Array, begins: Array, side: int) -> tuple[Array, Array]:
    """As much of the pixels ``[begins, begins + side)`` as an image ``[H, W, C]`` can give, in one slice.

    `begins` is int32 ``[2]``, (x, y), in or outside the image.

    Returns:
      the window ``[min(side, H), min(side, W), C]``, which lies within the image, and int32 ``[2]``, (x, y): how far
      before the window's first pixel the wanted ones begin (negative), or behind it.
    """
    height, width, channels = image.shape
    rows, columns = min(side, height), min(side, width)
    left, top = start = jnp.clip(begins, 0, jnp.array([width - columns, height - rows]))
    window = jax.lax.dynamic_slice(image, (top, left, jnp.zeros_like(top)), (rows, columns, channels))
    return window, begins - start


def as_float(image: Array) -> Array:
    """uint8 in [0, 255] as float32 in [0, 1]; floats as they are."""
    return image.astype(jnp.float32) / 255 if image.dtype == jnp.uint8 else image
