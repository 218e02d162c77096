"""Shapes to find and tell apart: under a strong gradient of light, or by the colour of the one that counts."""

import functools

import numpy as np

from foveax.data.dataset import Split
from foveax.data.known_answers import drawn

SIDE, RADIUS = 40, 6.0
"""Side of an image, and half the width of a shape, in pixels."""
SMALL_SIDE = 28
"""Side of an image of a circle or square."""
CHUNK = 1_000
"""Images drawn at a time, so that memory stays small."""
LIGHT = 1.8
"""Logarithm of how much brighter one end of a shaded image is than the other: six times."""
RELIEF = 0.25
"""How much brighter or darker than its ground a shaded shape is."""
HUES = np.array([[0.75, 0.30, 0.30], [0.30, 0.75, 0.30], [0.30, 0.30, 0.75], [0.60, 0.60, 0.15]], np.float32)
"""Red, and the colours of those that do not count: all of one mean, so that only colour tells."""

DISTANCES = (
    lambda x, y: np.hypot(x, y) - RADIUS,
    lambda x, y: np.maximum(np.abs(x), np.abs(y)) - 0.85 * RADIUS,
    lambda x, y: np.maximum(-y - RADIUS / 2, 0.866 * np.abs(x) + y / 2 - RADIUS / 2),
    lambda x, y: np.minimum(
        np.maximum(np.abs(x) - RADIUS, np.abs(y) - RADIUS / 3), np.maximum(np.abs(x) - RADIUS / 3, np.abs(y) - RADIUS)
    ),
    lambda x, y: np.abs(np.hypot(x, y) - 0.75 * RADIUS) - 0.25 * RADIUS,
)
"""Of a disc, a square, a triangle, a cross and a ring about the origin: how far a point lies outside."""


@functools.partial(drawn, chunk=CHUNK)
def shaded_shapes(rng: np.random.Generator, size: int) -> Split:
    """A disc, square, triangle, cross or ring anywhere, a little brighter or darker than a ground lit from one side.

    The light varies sixfold over the image, the shape by a quarter from its ground: raw pixels say next to nothing.

    Example:
      >>> shaded_shapes().train["image"].shape
      (20000, 40, 40, 1)
    """
    label = rng.integers(0, 5, size)
    place = rng.uniform(RADIUS, SIDE - 1 - RADIUS, (size, 2))
    across, down = _grid(rng.uniform(0, 2 * np.pi, size), np.full((size, 2), (SIDE - 1) / 2))
    waves = np.pi / rng.uniform(SIDE / 2, SIDE, (size, 1, 1)).astype(np.float32)
    bump = 0.3 * np.cos(down * waves)
    light = np.exp(LIGHT * across / (2**0.5 * SIDE) + bump - LIGHT / 2 - 0.3)
    relief = RELIEF * rng.choice(np.array([-1, 1], np.float32), (size, 1, 1))
    image = light * (1 + relief * _draw(rng, label, place))
    return {"image": _uint8(image[..., None]), "label": label}


@functools.partial(drawn, chunk=CHUNK)
def coloured_shapes(rng: np.random.Generator, size: int) -> Split:
    """Four shapes of four colours, all of one mean brightness, one in each quarter; the label is that of the red one.

    Example:
      >>> coloured_shapes().train["image"].shape
      (20000, 40, 40, 3)
    """
    shapes = rng.integers(0, 5, (size, 4))
    quarter = rng.permuted(np.tile(np.arange(4), (size, 1)), axis=1)
    image = np.full((size, SIDE, SIDE, 3), HUES[0].mean(), np.float32)
    for colour, hue in enumerate(HUES):
        middle = np.stack([quarter[:, colour] % 2, quarter[:, colour] // 2], -1) * SIDE / 2 + (SIDE / 2 - 1) / 2
        mask = _draw(rng, shapes[:, colour], middle + rng.uniform(-3, 3, (size, 2)))[..., None]
        image += mask * (hue - HUES[0].mean())
    image *= rng.uniform(0.7, 1.2, (size, 1, 1, 1)).astype(np.float32)
    return {"image": _uint8(image + 0.02 * rng.standard_normal(image.shape, np.float32)), "label": shapes[:, 0]}


@functools.partial(drawn, chunk=CHUNK)
def circle_square(rng: np.random.Generator, size: int) -> Split:
    """A bright circle or square, as large as a disc of 6 to 10 pixels, anywhere; light falls off about it.

    As ``CircleSquare-v0`` of ap_gym (https://pypi.org/project/ap-gym/), where shapes are all of one size, and fainter.
    Through a small crop that moves a little at a time the shape must first be found, by going where it is brighter.

    Example:
      >>> circle_square().train["image"].shape
      (20000, 28, 28, 1)
    """
    label, radius = rng.integers(0, 2, size), rng.uniform(3.0, 5.0, size).astype(np.float32)
    place = rng.uniform(radius[:, None], SMALL_SIDE - 1 - radius[:, None], (size, 2))
    across, down = _grid(np.zeros(size), place, SMALL_SIDE)
    away, farther = np.hypot(across, down), np.maximum(np.abs(across), np.abs(down))
    half = radius * np.where(label == 0, 1, np.sqrt(np.pi) / 2)  # of a square, as large as the disc
    beyond = np.where(label[:, None, None] == 0, away, farther) - half[:, None, None]
    ground = 0.7 * (1 - away / (2**0.5 * SMALL_SIDE))
    return {"image": _uint8((ground + (0.95 - ground) * np.clip(0.5 - beyond, 0, 1))[..., None]), "label": label}


SHAPE_SETS = {"shaded_shapes": shaded_shapes, "coloured_shapes": coloured_shapes, "circle_square": circle_square}


def _draw(rng: np.random.Generator, shape: np.ndarray, place: np.ndarray) -> np.ndarray:
    """How far each pixel lies within a shape ``[N]`` at (x, y) ``[N, 2]``, a little turned: ``[N, SIDE, SIDE]``."""
    across, down = _grid(rng.uniform(-0.3, 0.3, len(shape)), place)
    outside = np.empty_like(across)
    for label, distance in enumerate(DISTANCES):
        outside[shape == label] = distance(across[shape == label], down[shape == label])
    return np.clip(0.5 - outside, 0, 1)


def _grid(turn: np.ndarray, place: np.ndarray, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel's distance in pixels from a place ``[N, 2]`` along two axes, turned by radians ``[N]``."""
    place, turn = place.astype(np.float32), turn.astype(np.float32)[:, None, None]
    x = np.arange(side, dtype=np.float32)[None, None, :] - place[:, 0, None, None]
    y = np.arange(side, dtype=np.float32)[None, :, None] - place[:, 1, None, None]
    cosine, sine = np.cos(turn), np.sin(turn)
    return x * cosine + y * sine, y * cosine - x * sine


def _uint8(image: np.ndarray) -> np.ndarray:
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
