"""Values at public doors: one check for each kind, called where a value comes in, never within traced code.

A check gives the value in the form that is computed with, or raises an `InputError` of one line that names the
argument. Images and labels have theirs in `foveax.data.dataset`.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from foveax._checked import in_line
from foveax._types import InputError

FARTHEST, FAR = 10.0, 2.0
"""How far people look past an image, in widths of it: ever, and in half of their fixations."""


def check_count(name: str, value: Any, least: int = 1) -> int:
    """A whole number, at least `least`."""
    number = _float(value)
    if not (number.is_integer() and number >= least):
        raise InputError(f"{name} must be a whole number, at least {least}; got {shown(value)}")
    return int(value)


def check_number(name: str, value: Any, least: float = 0.0) -> float:
    """A finite number, at least `least`."""
    number = _float(value)
    if not (math.isfinite(number) and number >= least):
        raise InputError(f"{name} must be a finite number, at least {least:g}; got {shown(value)}")
    return number


def check_numbers(name: str, values: Any, *, finite: bool = True) -> np.ndarray:
    """Numbers in float64, finite unless they need not be; says how many are not."""
    try:
        if np.iscomplexobj(values):
            raise TypeError
        with np.errstate(all="ignore"):
            numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be an array of numbers; got {shown(values)}") from None
    bad = np.count_nonzero(~np.isfinite(numbers)) if finite else 0
    if bad:
        raise InputError(f"{name} must be finite; {bad} of {numbers.size} numbers are not")
    return numbers


def check_fixations(name: str, fixations: Any, **least: int) -> np.ndarray:
    """Fixations in float64, fractions of the image; `least` names their axes but the last, and how long each must be.

    They may lie outside the image, as people's do; what lies outside as far, or as often, as pixels is refused.

    Example:
      >>> check_fixations("points", [[0.5, 1.2]], N=1)
      array([[0.5, 1.2]])
    """
    points, sizes = check_numbers(name, fixations), tuple(least.values())
    if points.shape[-1:] != (2,) or points.ndim != len(sizes) + 1 or (np.less(points.shape[:-1], sizes)).any():
        rules = "".join(f", {axis} at least {size}" for axis, size in least.items() if size)
        raise InputError(f"{name} must have the shape [{', '.join([*least, '2'])}]{rules}; got {list(points.shape)}")
    check_fractions(name, points)
    return points


def check_fractions(name: str, points: np.ndarray) -> None:
    """Refuses places ``[..., 2]`` that are plainly no fractions of the image."""
    distance = np.abs(points).max(axis=-1)
    if distance.size and (distance.max() > FARTHEST or (distance.size > 1 and np.median(distance) > FAR)):
        came = f"got values from {points.min():g} to {points.max():g}, as pixels are"
        raise InputError(f"{name} must be fractions of the image, from 0 to 1, or not far outside; {came}")


def check_probabilities(name: str, probabilities: Any, *axes: str) -> np.ndarray:
    """Distributions over the last axis in float64; `axes` names those that there must be, none of length 0."""
    shares = check_numbers(name, probabilities)
    if not shares.size or not shares.ndim or (axes and shares.ndim != len(axes)):
        wanted = f"[{', '.join(axes or ('...', 'K'))}]"
        raise InputError(f"{name} must have the shape {wanted}, none of them 0; got {list(shares.shape)}")
    if (shares < 0).any():
        raise InputError(f"{name} must not be negative; got {shares.min():g}")
    sums = shares.sum(axis=-1)
    if (np.abs(sums - 1) > 1e-3).any():  # they come in float32, or from a file
        raise InputError(f"{name} must sum to 1 over the classes; got sums from {sums.min():g} to {sums.max():g}")
    return shares


def is_traced(*values: Any) -> bool:
    """Whether one of the values is not known yet, since a function is being traced."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(values))


def check_glimpse(image: Any, fixation: Any, size: int, scales: int = 1) -> None:
    """Refuses what a retina cannot sample; anywhere outside an image is zero, so that a fixation is only finite."""
    shape, kind = np.shape(image), jnp.result_type(image)
    if len(shape) != 3 or not all(shape) or not (kind == jnp.uint8 or jnp.issubdtype(kind, jnp.floating)):
        raise InputError(f"image must be uint8 or a float of the shape [H, W, C]; got {kind} {list(shape)}")
    check_count("size", size)
    check_count("scales", scales)
    if check_numbers("fixation", fixation).shape != (2,):
        raise InputError(f"fixation must have the shape [2]; got {list(np.shape(fixation))}")


def shown(value: Any) -> str:
    """A value in a line."""
    if isinstance(value, np.ndarray | jax.Array):
        return f"{value.dtype} {list(value.shape)}"
    return in_line(value)


def _float(value: Any) -> float:
    """A number, NaN if it is none."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    try:
        return float(value) if is_number else math.nan
    except OverflowError:
        return math.inf
