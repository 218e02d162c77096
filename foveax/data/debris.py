"""Digit debris: fragments of digits, strewn over an image (Spoerer et al. 2017)."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from foveax._arrays import check_count
from foveax._types import Array, Batch, InputError, Key
from foveax.data.dataset import Data
from foveax.data.glyphs import DIGITS, templates

SMALLEST, LARGEST = 6, 9
"""Side of a fragment in pixels."""
UNROLLED = 5
"""Fragments that are laid in one turn of the compiled loop."""


class Fragments(NamedTuple):
    """Squares cut from the templates of digits, in the order in which they are laid; int32.

    Attributes:
      digit: digits from which they are cut, ``[P]``.
      side: sides in pixels, ``[P]``.
      source: row and column of its upper left corner in the template, ``[P, 2]``.
      corner: row and column of the same corner in the image, ``[P, 2]``.
    """

    digit: Array
    side: Array
    source: Array
    corner: Array


def debris(data: Data, *, pieces: int = 50) -> Data:
    """Fragments of digits laid over each image: 10 are light, 30 moderate, 50 heavy debris on images of 32 x 32.

    New ones are drawn, on the device, each time a training image is shown; those of the test images are fixed.
    After Spoerer, McClure and Kriegeskorte 2017 (https://doi.org/10.3389/fpsyg.2017.01551).

    Raises:
      InputError: if images have fewer than 10 pixels a side, or are padded.

    Example:
      >>> import foveax as fx
      >>> fx.debris(fx.load("mnist5k"), pieces=10).test["image"].shape
      (1000, 28, 28, 1)
    """
    pieces = check_count("pieces", pieces, 0)
    if "extent" in data.test:
        raise InputError("pictures that are padded have no task; crop or stretch them to one size (--fit)")
    shape = data.inputs["image"].shape[:2]
    if min(shape) <= LARGEST:
        raise InputError(f"images must have at least {LARGEST + 1} pixels a side for debris; got {shape}")

    def render(key: Key, batch: Batch) -> Batch:
        image = batch["image"]
        return {**batch, "image": jax.vmap(strew, (0, 0, None))(jax.random.split(key, len(image)), image, pieces)}

    test = jax.jit(render)(jax.random.key(0), data.test)  # the same for everyone
    return data.rendered(render)._replace(test={name: np.asarray(array) for name, array in test.items()})


def strew(key: Key, image: Array, pieces: int) -> Array:
    """An image ``[H, W, C]``, uint8 or float, under `pieces` fragments drawn by a key."""
    return lay(image, draw_fragments(key, pieces, image.shape[:2]))


def draw_fragments(key: Key, pieces: int, shape: tuple[int, ...]) -> Fragments:
    """Fragments for an image ``[H, W]``: digits, sides and places are uniform and independent.

    A corner lies in ``[0, H - side) x [0, W - side)``, and likewise in the template. As in the published generator the
    last position is left out, so that the last row and column of an image are never covered.
    """
    digit_key, side_key, source_key, corner_key = jax.random.split(key, 4)
    digit = jax.random.randint(digit_key, (pieces,), 0, DIGITS)
    side = jax.random.randint(side_key, (pieces,), SMALLEST, LARGEST + 1)
    shapes = jnp.array([template.value.shape for template in templates()], jnp.int32)
    source = jax.random.randint(source_key, (pieces, 2), 0, shapes[digit] - side[:, None])
    corner = jax.random.randint(corner_key, (pieces, 2), 0, jnp.array(shape, jnp.int32)[None] - side[:, None])
    return Fragments(digit, side, source, corner)


def lay(image: Array, fragments: Fragments) -> Array:
    """Lays fragments over an image ``[H, W, C]``, the later over the earlier, where their templates are of the digit.

    Grey levels are the templates', of 255 for images of uint8, else of 1.
    """
    if not len(fragments.digit):
        return image
    height, width, channels = image.shape
    value, mask = (jnp.asarray(array) for array in _padded())
    offset = jnp.arange(LARGEST)
    window = (LARGEST, LARGEST)

    def lay_one(canvas: Array, fragment: Fragments) -> tuple[Array, None]:
        begin = (fragment.digit, fragment.source[0], fragment.source[1])
        cut, is_ink = (jax.lax.dynamic_slice(array, begin, (1, *window))[0] for array in (value, mask))
        inside = (offset[:, None] < fragment.side) & (offset[None, :] < fragment.side)
        level = cut if image.dtype == jnp.uint8 else (cut.astype(jnp.float32) / 255).astype(image.dtype)
        corner = (fragment.corner[0], fragment.corner[1], jnp.zeros_like(fragment.side))
        below = jax.lax.dynamic_slice(canvas, corner, (*window, channels))
        above = jnp.where((inside & is_ink)[..., None], level[..., None], below)
        return jax.lax.dynamic_update_slice(canvas, above, corner), None

    room = jnp.pad(image, ((0, LARGEST), (0, LARGEST), (0, 0)))  # for windows that are larger than their fragments
    return jax.lax.scan(lay_one, room, fragments, unroll=UNROLLED)[0][:height, :width]


@functools.cache
def _padded() -> tuple[np.ndarray, np.ndarray]:
    """Values and masks of all templates, ``[10, R, C]``, with room for a window at any of their corners."""
    height, width = np.max([template.value.shape for template in templates()], axis=0) + LARGEST
    padded = []
    for name in ("value", "mask"):
        arrays = [getattr(template, name) for template in templates()]
        room = [((0, height - array.shape[0]), (0, width - array.shape[1])) for array in arrays]
        padded.append(np.stack([np.pad(array, more) for array, more in zip(arrays, room, strict=True)]))
    return padded[0], padded[1]
