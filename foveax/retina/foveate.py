"""The multi-scale retina: sharp at the fixation, coarser and wider around it."""

import jax
import jax.numpy as jnp

from foveax._arrays import check_glimpse, is_traced
from foveax._types import Array
from foveax.retina.crop import as_float, corner, crop, read_window


def foveate(image: Array, fixation: Array, *, size: int, scales: int) -> Array:
    """Samples `scales` concentric square crops, each twice as wide as the one before, all resampled to one size.

    Scale s, from 0 to S - 1, covers ``2^s G`` pixels a side and averages blocks of ``2^s x 2^s`` of them (Mnih et al.
    2014, https://arxiv.org/abs/1406.6247, section 3.1, the glimpse sensor). Image, fixation and size G are as in
    `crop`, with the same refusals.

    Returns:
      ``[S, G, G, C]``, the sharpest scale first: float32 in [0, 1] for uint8 images, else of the image's dtype.

    Example:
      >>> import foveax as fx, jax.numpy as jnp
      >>> image = jnp.arange(16.0).reshape(4, 4, 1)
      >>> fx.foveate(image, jnp.array([0.5, 0.5]), size=2, scales=2)[..., 0].tolist()
      [[[5.0, 6.0], [9.0, 10.0]], [[2.5, 4.5], [10.5, 12.5]]]
    """
    if not is_traced(image, fixation):
        check_glimpse(image, fixation, size, scales)
    coarse = [_averaged(image, fixation, size, 1 << scale) for scale in range(1, scales)]
    return jnp.stack([crop(image, fixation, size=size), *coarse])


def _averaged(image: Array, fixation: Array, size: int, block: int) -> Array:
    """A crop of ``b G`` pixels a side, averaged over each block of ``b x b`` of them: ``[G, G, C]``.

    Sampling and averaging are linear and separable, so that both are done by two matrix products, ``R window C^T``.
    """
    begins, offset = corner(image, fixation, size * block)
    window, shift = read_window(image, begins, size * block + 1)
    window, (right, down), (column, row) = as_float(window), offset, -shift  # where the window lies in the crop
    rows = _weights(row + jnp.arange(window.shape[0]), down, size, block).astype(window.dtype)
    columns = _weights(column + jnp.arange(window.shape[1]), right, size, block).astype(window.dtype)
    return jnp.einsum("gr,rsc,hs->ghc", rows, window, columns, precision=jax.lax.Precision.HIGHEST)


def _weights(pixels: Array, offset: Array, size: int, block: int) -> Array:
    """How much each of the window's pixels counts in each of the crop's, along one axis: ``[G, n]``.

    The pixels, int32 ``[n]``, are counted from the first that the crop reads; `offset`, in [0, 1), is that of the
    samples beyond whole pixels, of which a block makes one of the crop's pixels.
    """
    ahead = pixels[None, :] - block * jnp.arange(size)[:, None]
    here, after = (ahead >= 0) & (ahead < block), (ahead >= 1) & (ahead <= block)
    return (jnp.where(here, 1 - offset, 0) + jnp.where(after, offset, 0)) / block
