"""The retina's zoom: a crop of any width, averaged to one size."""

import math

import jax
import jax.numpy as jnp

from foveax._arrays import check_glimpse, is_traced
from foveax._types import Array, InputError
from foveax.retina.crop import as_float, read_window


def zoom(image: Array, fixation: Array, factor: Array, *, size: int, widest: float) -> Array:
    """Samples a square crop about a fixation that is ``factor G`` pixels wide: means over the cells of a grid of G x G.

    A pixel, a square about its place, counts in a cell by the area that it shares with it, and is zero outside the
    image. With the factor 1 this is `crop`, with the factor ``2^s`` the scale s of `foveate`; in between too it is
    differentiable in the image, the fixation and the factor (where edges of cells and pixels meet, from one side). The
    cost depends on `widest` and not on the size of the image.

    Args:
      image: ``[H, W, C]``, uint8 in [0, 255] or a float in [0, 1].
      fixation: ``[2]`` float32, (x, y) as fractions of the image.
      factor: float32, from 1 to `widest`; what lies outside is moved there.
      size: the side G in pixels.
      widest: the largest factor.

    Returns:
      ``[G, G, C]``: float32 in [0, 1] for uint8 images, else of the image's dtype.

    Raises:
      InputError: if `widest` is less than 1, and outside of traced code as `crop`.

    Example:
      >>> import foveax as fx, jax.numpy as jnp
      >>> image = jnp.arange(16.0).reshape(4, 4, 1)
      >>> fx.zoom(image, jnp.array([0.5, 0.5]), jnp.float32(2), size=2, widest=2)[..., 0].tolist()
      [[2.5, 4.5], [10.5, 12.5]]
    """
    if not 1 <= widest < math.inf:
        raise InputError(f"widest must be at least 1; got {widest}")
    if not is_traced(image, fixation, factor):
        check_glimpse(image, fixation, size)
    height, width, _ = image.shape
    cell = jnp.clip(factor, 1.0, widest)
    edge = fixation * jnp.array([width - 1, height - 1], fixation.dtype) + 0.5 - size * cell / 2
    begins = jnp.floor(edge).astype(jnp.int32)
    window, shift = read_window(image, begins, math.ceil(size * widest) + 1)
    window = as_float(window)
    edges = edge - (begins - shift).astype(edge.dtype)  # counted from the window's first pixel
    columns, rows = (
        cell_shares(edges[axis], cell, size, window.shape[1 - axis]).astype(window.dtype) for axis in (0, 1)
    )
    return jnp.einsum("gr,rsc,hs->ghc", rows, window, columns, precision=jax.lax.Precision.HIGHEST)


def cell_shares(edge: Array | float, cell: Array, size: int, pixels: int) -> Array:
    """How much each of n pixels along an axis counts in each of G cells, of some width, from an edge on: ``[G, n]``."""
    low = edge + cell * jnp.arange(size, dtype=jnp.float32)[:, None]
    pixel = jnp.arange(pixels, dtype=jnp.float32)[None, :]
    shared = jnp.minimum(low + cell, pixel + 1) - jnp.maximum(low, pixel)
    return jnp.maximum(shared, 0) / cell
