"""The retina's one operation: a square crop at a fixation."""

import jax.numpy as jnp

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

    Example:
      >>> import foveax as fx, jax.numpy as jnp
      >>> image = jnp.arange(9.0).reshape(3, 3, 1)
      >>> fx.crop(image, jnp.array([0.5, 0.5]), size=1).item()
      4.0
      >>> fx.crop(image, jnp.array([0.5, 1.0]), size=3)[..., 0].tolist()
      [[3.0, 4.0, 5.0], [6.0, 7.0, 8.0], [0.0, 0.0, 0.0]]
    """
    height, width, _ = image.shape
    corner = fixation * jnp.array([width - 1, height - 1], fixation.dtype) - (size - 1) / 2
    whole = jnp.floor(corner)
    column, row = whole.astype(jnp.int32)
    window = image.at[row + jnp.arange(size + 1)[:, None], column + jnp.arange(size + 1)[None, :]].get(
        mode="fill", fill_value=0, wrap_negative_indices=False
    )
    window = as_float(window)
    right, down = (corner - whole).astype(window.dtype)
    window = window[:-1] * (1 - down) + window[1:] * down
    return window[:, :-1] * (1 - right) + window[:, 1:] * right


def as_float(image: Array) -> Array:
    """uint8 in [0, 255] as float32 in [0, 1]; floats as they are."""
    return image.astype(jnp.float32) / 255 if image.dtype == jnp.uint8 else image
