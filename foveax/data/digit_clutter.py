"""Digit clutter and digit debris: digits at random places, covered by others or by fragments (Spoerer et al. 2017)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from foveax._arrays import check_count
from foveax._types import Array, InputError, Key
from foveax.data.dataset import Data, from_arrays
from foveax.data.debris import strew
from foveax.data.glyphs import BLOCK, CANVAS, DIGITS, GROUND, SIDE, glyphs

ACROSS, DOWN = 0.29, 0.19
"""Farthest that a digit is moved from the middle, as a share of the canvas."""
TRAIN, TEST = 100_000, 10_000
"""Images of a set."""
DRAWN_AT_ONCE = 64
"""Images; each is drawn on a canvas of 512 x 512."""


def digit_debris(pieces: int = 50, images: int = TRAIN, test: int = TEST, overflow: bool = False) -> Data:
    """A digit at a random place, 32 x 32, under fragments of digits: 10 are light, 30 moderate, 50 heavy debris.

    Class is the digit. Settings of Spoerer, McClure and Kriegeskorte 2017 (https://doi.org/10.3389/fpsyg.2017.01551).
    Other than theirs are the font (DejaVu Sans Bold, not Helvetica Bold: wider, so that at the farthest places up to
    20 of the canvas's 512 pixels are cut off at the side), the middle of a digit, which is that of its ink, and the
    random numbers.

    Args:
      pieces: fragments in each image.
      images: for training.
      test: images for tests.
      overflow: whether the digit, and the ground behind it, have the grey levels that the published generator gives
        them since its last commit, of December 2017, later than the paper: three equal channels are averaged in eight
        bits, so that 119 becomes 33 and 255 becomes 84. Debris keeps its own, and is told from digits by them.

    Example:
      >>> digit_debris(pieces=10, images=20, test=10).train["image"].shape
      (20, 32, 32, 1)
    """
    return _drawn(1, check_count("pieces", pieces, 0), images, test, bool(overflow))


def digit_clutter(digits: int = 3, images: int = TRAIN, test: int = TEST) -> Data:
    """Different digits at random places, 32 x 32, each partly covering those before: 3, 4 or 5 of them.

    Class is the last, which nothing covers; all of them, in the order in which they are drawn, are the array ``digits``
    ``[N, digits]``. The published task asks for all of them at once, which no single label can say. Otherwise as
    `digit_debris`, without debris.

    Raises `InputError` for more than ten digits.

    Example:
      >>> digit_clutter(digits=3, images=20, test=10).train["digits"].shape
      (20, 3)
    """
    digits = check_count("digits", digits)
    if digits > DIGITS:
        raise InputError(f"digits must be at most {DIGITS}, since all differ; got {digits}")
    return _drawn(digits, 0, images, test)


DIGIT_SETS = {"digit_debris": digit_debris, "digit_clutter": digit_clutter}


def _drawn(digits: int, pieces: int, images: int, test: int, overflow: bool = False) -> Data:
    """The data set of a number of digits and fragments in each image."""
    splits = []
    for seed, count in enumerate((check_count("images", images), check_count("test", test))):
        image, identity = draw_images(jax.random.key(seed), count, digits, pieces, overflow)
        more = {"digits": np.asarray(identity)} if digits > 1 else {}
        splits.append({"image": np.asarray(image), "label": np.asarray(identity)[:, -1], **more})
    return from_arrays(*splits, classes=DIGITS)


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def draw_images(key: Key, count: int, digits: int, pieces: int, overflow: bool = False) -> tuple[Array, Array]:
    """Images ``[count, 32, 32, 1]`` uint8 and their digits ``[count, digits]`` int32, in the order of drawing."""

    def draw(key: Key) -> tuple[Array, Array]:
        place_key, debris_key = jax.random.split(key)
        identity, shift = place_digits(place_key, digits)
        image = compose(identity, shift)
        image = (3 * image) // 3 if overflow else image  # of uint8, whose products are taken modulo 256
        return strew(debris_key, image[..., None], pieces), identity

    return jax.lax.map(draw, jax.random.split(key, count), batch_size=DRAWN_AT_ONCE)


def place_digits(key: Key, digits: int) -> tuple[Array, Array]:
    """Different digits ``[n]``, all equally likely, and how far right and down each is moved in pixels, ``[n, 2]``.

    Shifts are uniform, ``int(512 u)``, truncated towards zero.
    """
    identity_key, shift_key = jax.random.split(key)
    identity = jax.random.permutation(identity_key, DIGITS)[:digits].astype(jnp.int32)
    farthest = jnp.array([ACROSS, DOWN], jnp.float32)[None]
    share = jax.random.uniform(shift_key, (digits, 2), minval=-1.0, maxval=1.0) * farthest
    return identity, jnp.trunc(CANVAS * share).astype(jnp.int32)


def compose(identity: Array, shift: Array) -> Array:
    """Digits ``[n]`` moved right and down ``[n, 2]``, the later over the earlier, on grey: ``[SIDE, SIDE]`` uint8.

    They are drawn on the canvas; an image is the mean of each of its blocks of 16 x 16 pixels, rounded.
    """
    margin = int(CANVAS * max(ACROSS, DOWN))
    cover, white = (jnp.asarray(np.pad(layer, ((0, 0), (margin,) * 2, (margin,) * 2))) for layer in glyphs())
    canvas = jnp.full((CANVAS, CANVAS), GROUND, jnp.uint32)
    for number in range(len(identity)):
        begin = (identity[number], margin - shift[number, 1], margin - shift[number, 0])
        there, light = (
            jax.lax.dynamic_slice(layer, begin, (1, CANVAS, CANVAS))[0].astype(jnp.uint32) for layer in (cover, white)
        )
        canvas = (canvas * (255 - there) + 255 * light + 127) // 255
    blocks = canvas.reshape(SIDE, BLOCK, SIDE, BLOCK).sum((1, 3))
    return ((blocks + BLOCK**2 // 2) // BLOCK**2).astype(jnp.uint8)
