"""Tasks where looking matters: an image somewhere on a larger canvas, alone or among pieces of others."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from foveax._arrays import check_count
from foveax._types import Array, Batch, InputError, Key
from foveax.data.dataset import Data
from foveax.runtime.machine import check_memory

UNROLLED = 8
"""Pieces that are laid in one turn of the compiled loop."""


def translated(data: Data, *, side: int = 60) -> Data:
    """Each image at a random place of an empty square canvas (Mnih et al. 2014, arXiv 1406.6247, section 4.1).

    A new place is drawn, on the device, each time a training image is shown; the test canvases are fixed.

    Raises:
      InputError: if an image is larger than the canvas, of `side` pixels.

    Example:
      >>> import foveax as fx
      >>> fx.translated(fx.load("mnist5k"), side=60).test["image"].shape
      (1000, 60, 60, 1)
    """
    return cluttered(data, side=side, pieces=0)


def cluttered(data: Data, *, side: int = 60, pieces: int = 4, piece: int = 8, told: bool = False) -> Data:
    """As `translated`, with square pieces of other images strewn about it (Mnih et al. 2014, section 4.1).

    There are `pieces` of them, `piece` pixels a side, from other images of the same batch, or of the same test split.
    If `told`, an array ``object`` ``[N, 2]`` says where the middle of each image lies on its canvas, as a fixation.

    Raises:
      InputError: if an image is larger than the canvas, or a piece than an image, or the test canvases do not fit into
        memory.
    """
    side, pieces, piece = check_count("side", side), check_count("pieces", pieces, 0), check_count("piece", piece)
    height, width = data.inputs["image"].shape[:2]
    if side < max(height, width):
        raise InputError(f"canvas must be at least as large as an image, {max(height, width)}; got {side}")
    if piece > min(height, width):
        raise InputError(f"piece must be at most as large as an image, {min(height, width)}; got {piece}")
    if "extent" in data.test:
        raise InputError("pictures that are padded have no task; crop or stretch them to one size (--fit)")
    image = data.test["image"]
    check_memory("test canvases", len(image) * side**2 * image.shape[-1] * image.dtype.itemsize)
    draw = functools.partial(canvas, side=side, pieces=pieces, piece=piece)

    def render(key: Key, batch: Batch) -> Batch:
        images = batch["image"]
        keys, order = jax.random.split(key, len(images)), jnp.arange(len(images))
        middle = functools.partial(_middle, shape=images.shape[1:], side=side)
        places = {"object": jax.vmap(middle)(keys)} if told else {}
        return {**batch, "image": jax.vmap(draw, in_axes=(0, 0, None))(keys, order, images), **places}

    test = jax.jit(render)(jax.random.key(0), data.test)  # the same test canvases for everyone
    return data.rendered(render)._replace(test={name: np.asarray(array) for name, array in test.items()})


def canvas(key: Key, index: Array, images: Array, *, side: int, pieces: int = 0, piece: int = 8) -> Array:
    """One image of a batch on a canvas, its place and those of the pieces uniform over all that lie inside.

    Each piece is cut from a uniform place of another image; where they overlap the brighter pixel shows. A single image
    is its own source of pieces.

    The image is that at `index`, int32, of ``[B, H, W, C]``; the canvas ``[side, side, C]``, of the same dtype. `side`
    must be at least H and W, and `piece`, the side of each piece in pixels, at most H and W.
    """
    size, *shape = images.shape
    place_key, pieces_key = jax.random.split(key)
    empty = jnp.zeros((side, side, shape[-1]), images.dtype)
    drawn = jax.lax.dynamic_update_slice(empty, images[index], _corner(place_key, shape, empty.shape))
    if not pieces:
        return drawn

    def lay(drawn: Array, piece_key: Key) -> tuple[Array, None]:
        which_key, from_key, to_key = jax.random.split(piece_key, 3)
        other = images[(index + jax.random.randint(which_key, (), 1, size)) % size]
        window = (piece, piece, shape[-1])
        cut = jax.lax.dynamic_slice(other, _corner(from_key, window, shape), window)
        to = _corner(to_key, window, empty.shape)
        there = jax.lax.dynamic_slice(drawn, to, window)
        return jax.lax.dynamic_update_slice(drawn, jnp.maximum(there, cut), to), None

    return jax.lax.scan(lay, drawn, jax.random.split(pieces_key, pieces), unroll=min(pieces, UNROLLED))[0]


def _middle(key: Key, *, shape: tuple[int, ...], side: int) -> Array:
    """Where the middle of the image lies that `canvas` places by the same key."""
    row, column, _ = _corner(jax.random.split(key)[0], shape, (side, side, shape[-1]))
    corner = jnp.stack([column, row]).astype(jnp.float32)
    return (corner + jnp.array([shape[1] - 1, shape[0] - 1], jnp.float32) / 2) / max(side - 1, 1)


def _corner(key: Key, window: tuple[int, ...] | list[int], whole: tuple[int, ...] | list[int]) -> tuple[Array, ...]:
    """Where a window begins, uniformly among the places at which it lies inside the whole; all channels."""
    row_key, column_key = jax.random.split(key)
    row = jax.random.randint(row_key, (), 0, whole[0] - window[0] + 1)
    column = jax.random.randint(column_key, (), 0, whole[1] - window[1] + 1)
    return row, column, jnp.zeros_like(row)
