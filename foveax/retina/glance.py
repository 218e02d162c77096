"""The glance: the whole picture at once, at low resolution."""

import jax
import jax.numpy as jnp

from foveax._arrays import check_glimpse, is_traced
from foveax._types import Array
from foveax.retina.crop import as_float
from foveax.retina.zoom import cell_shares


def glance(image: Array, *, size: int, extent: Array | None = None) -> Array:
    """A picture's means over the cells of a grid, `size` along each axis, whatever its proportions.

    A pixel counts in a cell by the area that it shares with it, so that nothing is aliased.

    Args:
      image: ``[H, W, C]``, uint8 in [0, 255] or a float in [0, 1].
      size: cells a side, G.
      extent: ``[2]`` float32, the shares along x and y of the image, from its first pixel to its last, that are
        picture, if the rest is padding.

    Returns:
      ``[G, G, C]``: float32 in [0, 1] for uint8 images, else of the image's dtype.

    Raises:
      InputError: outside of traced code, for an image of another shape or dtype.

    Example:
      >>> import foveax as fx, jax.numpy as jnp
      >>> image = jnp.arange(16.0).reshape(4, 4, 1) / 16
      >>> fx.glance(image, size=2)[..., 0].tolist()
      [[0.15625, 0.28125], [0.65625, 0.78125]]
    """
    share = jnp.ones(2, jnp.float32) if extent is None else extent
    if not is_traced(image, share):
        check_glimpse(image, share, size)
    height, width, _ = image.shape
    values = as_float(image)
    sides = jnp.array([width, height], jnp.float32)
    cells = (share * (sides - 1) + 1) / size
    columns, rows = (
        cell_shares(0.0, cells[axis], size, side).astype(values.dtype) for axis, side in enumerate((width, height))
    )
    return jnp.einsum("gr,rsc,hs->ghc", rows, values, columns, precision=jax.lax.Precision.HIGHEST)
