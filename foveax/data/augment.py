"""Augmentation on the device: training images mirrored, rescaled, shifted, warped, recoloured, cut out, mixed."""

import functools
from collections.abc import Callable
from typing import Any

import dm_pix as pix
import jax
import jax.numpy as jnp

from foveax._types import Array, Batch, InputError, Key
from foveax.data.dataset import Data
from foveax.retina.crop import as_float

WARP_GRID = 4
"""Points per axis of the coarse grid of displacements."""
PLACES = ("first", "fixations", "object")
"""Arrays that hold fixations in an image, (x, y), and are mirrored with it."""


def mirrored(data: Data) -> Data:
    """The same data, each training image, and the fixations in it, mirrored left to right half of the times.

    An image that is padded is mirrored within its picture (`extent`).
    """
    return data.rendered(lambda key, batch: jax.vmap(random_mirror)(jax.random.split(key, len(batch["image"])), batch))


def rescaled(data: Data, *, factor: float) -> Data:
    """The same data, each training image magnified or shrunk about its centre at random (`random_rescale`)."""
    return _moved(data, functools.partial(random_rescale, factor=factor))


def recoloured(data: Data, *, strength: float) -> Data:
    """The same data, each training image's light, contrast and saturation changed at random (`random_colour`)."""
    return _moved(data, functools.partial(random_colour, strength=strength))


def cut_out(data: Data, *, pixels: int) -> Data:
    """The same data, each training image without a square at a random place (`random_cutout`)."""
    return _moved(data, functools.partial(random_cutout, pixels=pixels))


def mixed(data: Data, *, strength: float) -> Data:
    """The same data, each training image mixed with another of its batch (`random_mix`)."""
    return data.rendered(functools.partial(random_mix, strength=strength))


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


def random_mirror(key: Key, example: Batch) -> Batch:
    """Mirrors an example's ``image`` ``[H, W, C]``, left to right, with probability a half, and the fixations in it.

    With an ``extent`` ``[2]``, pixels from the first column to the share ``extent[0]`` of the last are mirrored, those
    beyond are padding and stay.
    """
    mirror, image = jax.random.bernoulli(key), example["image"]
    column = jnp.arange(image.shape[1])
    share = example["extent"][0] if "extent" in example else jnp.float32(1)
    last = jnp.round(share * (image.shape[1] - 1)).astype(column.dtype)
    source = jnp.where(mirror & (column <= last), last - column, column)
    places = {name: example[name] for name in PLACES if name in example}
    across = {name: place.at[..., 0].set(1 - place[..., 0]) for name, place in places.items()}
    return {
        **example,
        "image": image[:, source],
        **{name: jnp.where(mirror, across[name], places[name]) for name in places},
    }


def random_rescale(key: Key, image: Array, *, factor: float) -> Array:
    """Magnifies an image about its centre by ``(1 + factor)^u``, u uniform in [-1, 1]; what comes in is zero.

    Sampled by `jax.image.scale_and_translate`, linearly, averaged where it shrinks. ``[H, W, C]``, uint8 or float, to
    ``[H, W, C]``, of the same dtype.
    """
    scale = (1 + factor) ** jax.random.uniform(key, (), minval=-1, maxval=1)
    sides = jnp.array(image.shape[:2], jnp.float32)
    resample = functools.partial(jax.image.scale_and_translate, shape=image.shape, spatial_dims=(0, 1), method="linear")
    sampled = resample(image.astype(jnp.float32), scale=jnp.stack([scale, scale]), translation=sides / 2 * (1 - scale))
    return _as_dtype(sampled, image.dtype)


def random_colour(key: Key, image: Array, *, strength: float) -> Array:
    """Changes an image's light, contrast and, of three channels, saturation, in this order, each at random.

    A number uniform in [-strength, strength] is added to all; contrast and saturation are multiplied by factors uniform
    in [1 - strength, 1 + strength], by `dm_pix`. ``[H, W, C]``, uint8 in [0, 255] or float in [0, 1], to ``[H, W, C]``
    in the same range, of the same dtype.
    """
    light_key, contrast_key, saturation_key = jax.random.split(key, 3)
    low, high = 1 - strength, 1 + strength
    changed = pix.random_contrast(contrast_key, pix.random_brightness(light_key, as_float(image), strength), low, high)
    if image.shape[-1] == 3:
        with jax.numpy_dtype_promotion("standard"):  # it adds numbers and booleans
            changed = pix.random_saturation(saturation_key, jnp.clip(changed, 0, 1), low, high)
    changed = jnp.clip(changed, 0, 1)
    return _as_dtype(255 * changed, image.dtype) if image.dtype == jnp.uint8 else changed.astype(image.dtype)


def random_cutout(key: Key, image: Array, *, pixels: int) -> Array:
    """Gives a square of `pixels` a side, about any pixel of an image, the image's mean colour.

    Beyond the image there is nothing to cut out (DeVries, Taylor 2017, https://arxiv.org/abs/1708.04552, section 3.2).
    ``[H, W, C]``, uint8 or float, to ``[H, W, C]``, of the same dtype.
    """
    middles = jax.random.randint(key, (2,), 0, jnp.array(image.shape[:2]))
    along = [jnp.arange(side) - middle for side, middle in zip(image.shape[:2], middles, strict=True)]
    row, column = ((-pixels <= 2 * place) & (2 * place < pixels) for place in along)
    mean = _as_dtype(image.astype(jnp.float32).mean(axis=(0, 1)), image.dtype)
    return jnp.where((row[:, None] & column[None, :])[..., None], mean[None, None, :], image)


def random_mix(key: Key, batch: Batch, *, strength: float) -> Batch:
    """Mixes each image of a batch with another, and gives it the label of one of the two.

    ``x = s x_i + (1 - s) x_j``, with a share s ~ Beta(strength, strength) and j from a permutation of the batch; the
    label is ``y_i`` with probability s, else ``y_j``. Since cross-entropy is linear in the label, the expected loss is
    that of mixup's labels, ``s y_i + (1 - s) y_j`` (Zhang et al. 2018, https://arxiv.org/abs/1710.09412, section 2),
    and all else still finds one label per image. ``image`` ``[B, H, W, C]``, uint8 or float, keeps its dtype; what
    else is in the batch stays that of the first image.
    """
    share_key, order_key, label_key = jax.random.split(key, 3)
    images, labels = batch["image"], batch["label"]
    share = jax.random.beta(share_key, strength, strength, (len(images),))
    order = jax.random.permutation(order_key, len(images))
    first = share.reshape(-1, 1, 1, 1) * images.astype(jnp.float32)
    second = (1 - share).reshape(-1, 1, 1, 1) * images[order].astype(jnp.float32)
    label = jnp.where(jax.random.bernoulli(label_key, share), labels, labels[order])
    return {**batch, "image": _as_dtype(first + second, images.dtype), "label": label}


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
    return _as_dtype(moved, image.dtype)


def _as_dtype(values: Array, dtype: Any) -> Array:
    """Floats as `dtype`, rounded if it is of integers."""
    return (jnp.round(values) if jnp.issubdtype(dtype, jnp.integer) else values).astype(dtype)
