"""Augmentation on the device: random shifts and warps of training images."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from foveax._types import Array, Batch, InputError, Key
from foveax.data.dataset import Data

WARP_GRID = 4
"""Points per axis of the coarse grid of displacements."""


def shifted(data: Data, *, pixels: int) -> Data:
    """The same data, each training image shifted at random every time it is shown (`random_shift`).

    Raises `InputError` for a shift as wide as the images, which would leave nothing of them.
    """
    side = min(data.train["image"].shape[1:3])
    if pixels >= side:
        raise InputError(f"shift must be less than the shorter side of the images, {side} pixels; got {pixels}")
    return _moved(data, functools.partial(random_shift, pixels=pixels))


def warped(data: Data, *, pixels: float) -> Data:
    """The same data, each training image warped at random every time it is shown (`random_warp`)."""
    return _moved(data, functools.partial(random_warp, pixels=pixels))


def _moved(data: Data, move: Callable[[Key, Array], Array]) -> Data:
    def render(key: Key, batch: Batch) -> Batch:
        keys = jax.random.split(key, len(batch["image"]))
        return {**batch, "image": jax.vmap(move)(keys, batch["image"])}

    return data.rendered(render)


def random_shift(key: Key, image: Array, *, pixels: int) -> Array:
    """Shifts an image by whole pixels, as many as `pixels` each way, uniformly; what comes in is zero.

    ``[H, W, C]`` to ``[H, W, C]``, of the same dtype.
    """
    padded = jnp.pad(image, ((pixels, pixels), (pixels, pixels), (0, 0)))
    row, column = jax.random.randint(key, (2,), 0, 2 * pixels + 1)
    return jax.lax.dynamic_slice(padded, (row, column, jnp.zeros_like(row)), image.shape)


def random_warp(key: Key, image: Array, *, pixels: float) -> Array:
    """Moves every pixel along a smooth random field: small rotations, scalings, shears and bends at once.

    A coarse grid of 4 x 4 displacements, each normal with standard deviation `pixels` along each axis, is interpolated
    cubically to the image's size; the image is sampled there, bilinearly, and is zero outside (elastic distortion, as
    Simard et al. 2003, section 2, with a coarse grid in place of their blurred noise). ``[H, W, C]``, uint8 or float,
    to ``[H, W, C]``, of the same dtype.
    """
    height, width, _ = image.shape
    coarse = pixels * jax.random.normal(key, (WARP_GRID, WARP_GRID, 2))
    rows, columns = jnp.moveaxis(jax.image.resize(coarse, (height, width, 2), "cubic"), -1, 0)
    rows += jnp.arange(height, dtype=jnp.float32)[:, None]
    columns += jnp.arange(width, dtype=jnp.float32)[None, :]
    planes = jnp.moveaxis(image.astype(jnp.float32), -1, 0)
    sampled = [jax.scipy.ndimage.map_coordinates(plane, [rows, columns], order=1) for plane in planes]
    moved = jnp.stack(sampled, axis=-1)
    return jnp.round(moved).astype(image.dtype) if image.dtype == jnp.uint8 else moved
