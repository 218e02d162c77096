"""The screen on which images were shown: where, and in which units and from which origin gaze was measured."""

import dataclasses
from typing import Literal

import numpy as np

from foveax._checked import Checked, bounded
from foveax._types import InputError

Origin = Literal["upper left", "lower left", "centre"]
Unit = Literal["pixel", "degree"]


@dataclasses.dataclass(frozen=True)
class Screen(Checked):
    """A screen, and the image on it; lengths are in pixels unless they say otherwise.

    Raises `InputError` for a value out of range; the message names the field.
    """

    width: float = bounded(1920.0, above=0.0)
    """Width of the screen."""
    height: float = bounded(1080.0, above=0.0)
    """Height of the screen."""
    image_left: float = bounded(0.0)
    """Place of the image's leftmost pixel."""
    image_top: float = bounded(0.0)
    """Place of the image's topmost pixel."""
    image_width: float = bounded(1920.0, above=1.0)
    """Width of the image as it is shown."""
    image_height: float = bounded(1080.0, above=1.0)
    """Height of the image as it is shown."""
    width_cm: float = bounded(0.0, 0.0)
    """Width of the screen in centimetres; 0 where it is not known."""
    height_cm: float = bounded(0.0, 0.0)
    """Height of the screen in centimetres; 0 where it is not known."""
    distance_cm: float = bounded(0.0, 0.0)
    """Distance from eye to screen in centimetres; 0 where it is not known."""
    origin: Origin = "upper left"
    """The place where both coordinates are 0; from the lower left and the centre, y grows upwards."""
    first_pixel: int = bounded(0, 0, 1)
    """The number of the first pixel: 0, or 1 as in Matlab."""


def image_screen(height: int, width: int, **choices: object) -> Screen:
    """The screen that is nothing but an image of a height and width in pixels, so that places are its pixels."""
    sides = {"width": float(width), "height": float(height)}
    return Screen(**sides, image_width=float(width), image_height=float(height), **choices)  # pyright: ignore


def to_fractions(places: np.ndarray, screen: Screen, unit: Unit = "pixel") -> np.ndarray:
    """Places ``[..., 2]`` on a screen, in its units and from its origin, as fractions of the image; NaN stays.

    Degrees are of visual angle from the origin along each axis, ``tan(angle) distance``, on a flat screen.

    Raises:
      InputError: for degrees on a screen whose size or distance is not known, or whose origin is not its centre.

    Example:
      >>> screen = image_screen(28, 28, origin="lower left")
      >>> to_fractions(np.array([27.0, 0.0]), screen)
      array([1., 1.])
    """
    places = np.asarray(places, np.float64)
    x, y = np.moveaxis(_in_pixels(places, screen) if unit == "degree" else places - screen.first_pixel, -1, 0)
    if screen.origin == "lower left":
        y = screen.height - 1 - y
    elif screen.origin == "centre":
        x, y = x + (screen.width - 1) / 2, (screen.height - 1) / 2 - y
    fractions = [(x - screen.image_left) / (screen.image_width - 1), (y - screen.image_top) / (screen.image_height - 1)]
    return np.stack(fractions, axis=-1)


def from_fractions(fractions: np.ndarray, screen: Screen, unit: Unit = "pixel") -> np.ndarray:
    """Fractions of the image ``[..., 2]`` as places on a screen: the inverse of `to_fractions`, to rounding.

    Example:
      >>> from_fractions(np.array([1.0, 1.0]), image_screen(28, 28, origin="lower left"))
      array([27.,  0.])
    """
    x, y = np.moveaxis(np.asarray(fractions, np.float64), -1, 0)
    x = x * (screen.image_width - 1) + screen.image_left
    y = y * (screen.image_height - 1) + screen.image_top
    if screen.origin == "lower left":
        y = screen.height - 1 - y
    elif screen.origin == "centre":
        x, y = x - (screen.width - 1) / 2, (screen.height - 1) / 2 - y
    places = np.stack([x, y], axis=-1)
    if unit == "degree":
        return np.rad2deg(np.arctan(places * _cm_per_pixel(screen) / screen.distance_cm))
    return places + screen.first_pixel


def _in_pixels(degrees: np.ndarray, screen: Screen) -> np.ndarray:
    return np.tan(np.deg2rad(degrees)) * screen.distance_cm / _cm_per_pixel(screen)


def _cm_per_pixel(screen: Screen) -> np.ndarray:
    known = screen.width_cm > 0 and screen.height_cm > 0 and screen.distance_cm > 0
    if not known or screen.origin != "centre":
        raise InputError(
            "degrees must come with width_cm, height_cm and distance_cm of the screen, and the origin 'centre'; "
            f"got {screen.width_cm:g}, {screen.height_cm:g}, {screen.distance_cm:g} and {screen.origin!r}"
        )
    return np.array([screen.width_cm / screen.width, screen.height_cm / screen.height])
