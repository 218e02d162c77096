"""Pictures in scenes: each at a random place and of a random size, on a texture, among scrambled pictures."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from foveax._arrays import check_count
from foveax._types import Array, Batch, InputError, Key
from foveax.data.dataset import Data, Split
from foveax.retina.crop import as_float
from foveax.runtime.machine import check_memory

SMALLEST, LARGEST = 1 / 6, 1 / 2
"""Longer side of a picture in a scene, as a share of the scene's."""
DRAWN_AT_ONCE = 64
"""Test scenes."""
BLOCKS, TEXTURE_BLOCKS = 4, 8
"""Blocks along each axis in which a distractor, and a texture, are scrambled."""


def scenes(data: Data, *, side: int = 128, distractors: int = 4, told: bool = False) -> Data:
    """Each picture somewhere in a larger square scene, whole and uncovered, its longer side a sixth to a half of it.

    The scene is another picture of the same batch, or the same test split, as large as the scene, its 8x8 blocks in
    random order; on it lie distractors, pictures of the same sizes as the one to be found, their 4x4 blocks in random
    order, as controls of object recognition have them (Grill-Spector et al. 1998, Human Brain Mapping 6): they have its
    colours and edges, and are of nothing. A new scene is drawn, on the device, each time a training picture is shown;
    the test scenes are fixed.

    Args:
      data: pictures of one size, not padded.
      side: of the scene in pixels.
      distractors: scrambled pictures in each scene.
      told: whether an array ``object`` ``[N, 2]`` says where the middle of each picture lies, as a fixation.

    Raises:
      InputError: if pictures have less than 8 pixels a side or are padded, a sixth of the scene is less than 4 pixels,
        or the test scenes do not fit into memory.

    Example:
      >>> import foveax as fx
      >>> fx.scenes(fx.load("mnist5k"), side=96).test["image"].shape
      (1000, 96, 96, 1)
    """
    side, distractors = check_count("side", side), check_count("distractors", distractors, 0)
    if "extent" in data.test:
        raise InputError("pictures that are padded have no task; crop or stretch them to one size (--fit)")
    if side * SMALLEST < BLOCKS:
        raise InputError(f"canvas must be at least {round(BLOCKS / SMALLEST)} pixels for a scene; got {side}")
    image = data.test["image"]
    if min(image.shape[1:3]) < TEXTURE_BLOCKS:
        raise InputError(
            f"pictures in scenes must have at least {TEXTURE_BLOCKS} pixels a side; got {image.shape[1:3]}"
        )
    check_memory("test scenes", len(image) * side**2 * image.shape[-1] * image.dtype.itemsize)
    draw = functools.partial(scene, side=side, distractors=distractors)

    def render(key: Key, batch: Batch) -> Batch:
        images = batch["image"]
        keys, order = jax.random.split(key, len(images)), jnp.arange(len(images))
        drawn, middle = jax.vmap(draw, in_axes=(0, 0, None))(keys, order, images)
        return {**batch, "image": drawn, **({"object": middle} if told else {})}

    return data.rendered(render)._replace(test=_test_scenes(draw, data.test, told))


def scene(key: Key, index: Array, images: Array, *, side: int, distractors: int) -> tuple[Array, Array]:
    """A scene with one picture of a batch, and where its middle lies.

    Args:
      key: of the texture, the distractors, and all places and sizes.
      index: int32, the picture's in the batch.
      images: ``[B, H, W, C]``, uint8 or float.
      side: of the scene in pixels.
      distractors: scrambled pictures in it.

    Returns:
      the scene ``[side, side, C]``, of the dtype of the images; the middle ``[2]`` float32, (x, y) in [0, 1].
    """
    texture_key, clutter_key, place_key = jax.random.split(key, 3)
    other_key, scramble_key = jax.random.split(texture_key)
    texture = scrambled(scramble_key, _another(other_key, index, images), blocks=TEXTURE_BLOCKS)
    drawn = jax.image.resize(as_float(texture), (side, side, images.shape[-1]), "linear")

    def lay(drawn: Array, key: Key) -> tuple[Array, None]:
        other_key, scramble_key, place_key = jax.random.split(key, 3)
        distractor = scrambled(scramble_key, _another(other_key, index, images), blocks=BLOCKS)
        return _laid(place_key, distractor, drawn)[0], None

    drawn, _ = jax.lax.scan(lay, drawn, jax.random.split(clutter_key, distractors))
    drawn, middle = _laid(place_key, images[index], drawn)
    if images.dtype == jnp.uint8:
        drawn = jnp.round(255 * drawn)
    return drawn.astype(images.dtype), middle


def scrambled(key: Key, image: Array, *, blocks: int) -> Array:
    """An image ``[H, W, C]`` in ``blocks x blocks`` blocks in random order, less the pixels that no block holds."""
    height, width, channels = image.shape
    rows, columns = height // blocks, width // blocks
    cut = image[: rows * blocks, : columns * blocks].reshape(blocks, rows, blocks, columns, channels)
    shuffled = jax.random.permutation(key, cut.swapaxes(1, 2).reshape(blocks**2, rows, columns, channels))
    return (
        shuffled.reshape(blocks, blocks, rows, columns, channels)
        .swapaxes(1, 2)
        .reshape(rows * blocks, columns * blocks, channels)
    )


def _another(key: Key, index: Array, images: Array) -> Array:
    """Another image of a batch; of one, itself."""
    size = len(images)
    return images[(index + jax.random.randint(key, (), 1, max(size, 2))) % size]


def _laid(key: Key, image: Array, drawn: Array) -> tuple[Array, Array]:
    """An image laid at a random place, of a random size, on a scene ``[side, side, C]``; its middle, a fixation."""
    size_key, place_key = jax.random.split(key)
    side, shape = drawn.shape[0], jnp.array(image.shape[:2], jnp.float32)
    scale = side * jax.random.uniform(size_key, (), minval=SMALLEST, maxval=LARGEST) / max(image.shape[:2])
    corner = jax.random.uniform(place_key, (2,)) * (side - scale * shape)
    scales = jnp.stack([scale, scale])
    resample = functools.partial(jax.image.scale_and_translate, shape=drawn.shape, spatial_dims=(0, 1), method="linear")
    laid = resample(as_float(image), scale=scales, translation=corner)
    pixel = jnp.arange(side, dtype=jnp.float32)[None, :] + 0.5
    covers = (corner[:, None] <= pixel) & (pixel < (corner + scale * shape)[:, None])
    middle = (corner + scale * shape / 2 - 0.5)[::-1] / (side - 1)
    return jnp.where((covers[0][:, None] & covers[1][None, :])[..., None], laid, drawn), middle


def _test_scenes(draw: Callable[..., tuple[Array, Array]], test: Split, told: bool) -> Split:
    """The test scenes, the same for everyone, so many at a time that what is drawn on fits into memory."""
    images = jnp.asarray(test["image"])
    keys, order = jax.random.split(jax.random.key(0), len(images)), jnp.arange(len(images))

    @jax.jit
    def draw_all(keys: Key, order: Array, images: Array) -> tuple[Array, Array]:
        return jax.lax.map(lambda one: draw(*one, images), (keys, order), batch_size=DRAWN_AT_ONCE)

    drawn, middle = draw_all(keys, order, images)
    return {**test, "image": np.asarray(drawn), **({"object": np.asarray(middle)} if told else {})}
