"""Statistics of scanpaths: how far, whereto, how often back, how much of the image.

Everywhere fixations are ``[N, T, 2]``: N scanpaths of T fixations, (x, y) as fractions of the image; they may lie
outside it, as people's do, and are measured where they lie. Height and width are those of the image in pixels.
Fixations of another shape, not finite, or plainly in pixels raise an `InputError`.
"""

import numpy as np

from foveax._arrays import check_count, check_fixations, check_number
from foveax._types import BORDER_PIXELS, REFIXATION_PIXELS


def saccade_amplitudes(fixations: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Lengths of saccades in pixels, Euclidean: ``[N, T - 1]``.

    Example:
      >>> saccade_amplitudes(np.array([[[0.0, 0.0], [1.0, 1.0]]]), height=4, width=5)
      array([[5.]])
    """
    return np.linalg.norm(np.diff(in_pixels(fixations, height, width), axis=1), axis=-1)


def saccade_directions(fixations: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Directions of saccades: ``[N, T - 1]``, in radians in (-pi, pi], 0 to the right and pi / 2 upwards.

    A saccade of no length has no direction: NaN.

    Example:
      >>> saccade_directions(np.array([[[0.5, 0.5], [0.5, 0.0], [1.0, 0.0]]]), height=9, width=9) / np.pi
      array([[0.5, 0. ]])
    """
    steps = np.diff(in_pixels(fixations, height, width), axis=1)
    # 0.0 - y, not -y: the direction of a saccade to the left is pi, not minus pi
    angles = np.arctan2(0.0 - steps[..., 1], steps[..., 0])
    return np.where((steps == 0).all(axis=-1), np.nan, angles)


def saccade_turns(fixations: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Directions of saccades relative to those before: ``[N, T - 2]``, in radians in (-pi, pi].

    0 goes straight on, pi / 2 turns left, pi goes back; NaN beside a saccade of no length.

    Example:
      >>> saccade_turns(np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]]), height=9, width=9) / np.pi
      array([[1.]])
    """
    turns = np.diff(saccade_directions(fixations, height=height, width=width), axis=1)
    return np.pi - np.mod(np.pi - turns, 2 * np.pi)


def refixation_rate(
    fixations: np.ndarray, *, height: int, width: int, radius: float = REFIXATION_PIXELS, begin: int = 1
) -> float:
    """Share of the fixations, from the index `begin`, within a radius in pixels of any earlier one of their scanpath.

    NaN where there is none to judge.

    Example:
      >>> refixation_rate(np.array([[[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]), height=28, width=28)
      0.5
    """
    near = _near(fixations, height, width, radius)
    begin = check_count("begin", begin, 0)
    again = np.any(near & np.tri(near.shape[1], k=-1, dtype=bool), axis=2)[:, begin:]
    return float(again.mean()) if again.size else float("nan")


def return_rates(fixations: np.ndarray, *, height: int, width: int, radius: float = REFIXATION_PIXELS) -> np.ndarray:
    """Share of the fixations that land within a radius, inclusive, of the one k before: ``[T - 1]``, for k from 1.

    A rate at lag 1 is one of saccades that stay; at lag 2, of those that go straight back: low where return is
    inhibited (Klein 2000, Trends in Cognitive Sciences 4). NaN without scanpaths.

    Example:
      >>> return_rates(np.array([[[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]), height=28, width=28)
      array([0., 1.])
    """
    near = _near(fixations, height, width, radius)
    return np.array([np.diagonal(near, -lag, 1, 2).mean() if len(near) else np.nan for lag in range(1, near.shape[1])])


def border_share(
    fixations: np.ndarray, *, height: int, width: int, margin: float = BORDER_PIXELS, begin: int = 1
) -> float:
    """Share of the fixations, from the index `begin`, within a margin in pixels of the image's border, or beyond it.

    NaN where there is none to judge.

    Example:
      >>> border_share(np.array([[[0.5, 0.5], [1.0, 0.2], [0.5, 0.9]]]), height=28, width=28)
      0.5
    """
    points = in_pixels(fixations, height, width)[:, check_count("begin", begin, 0) :]
    near = np.minimum(points, np.array([width - 1, height - 1]) - points) <= check_number("margin", margin)
    return float(near.any(axis=-1).mean()) if near.size else float("nan")


def centre_distances(fixations: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Distances of fixations from the image's centre, in pixels: ``[N, T]``; their mean measures the bias towards it.

    Example:
      >>> centre_distances(np.array([[[0.5, 0.5], [1.0, 1.0]]]), height=7, width=9)
      array([[0., 5.]])
    """
    points = in_pixels(fixations, height, width)
    return np.linalg.norm(points - np.array([width - 1, height - 1]) / 2, axis=-1)


def coverage(fixations: np.ndarray, *, height: int, width: int, size: int) -> float:
    """Mean share of an image's pixels that lie in at least one of its square crops, `size` pixels a side.

    From 0 to 1; NaN without scanpaths. Of a retina with several scales, the sharpest is meant.

    Example:
      >>> coverage(np.array([[[0.5, 0.5], [0.5, 0.5]]]), height=5, width=5, size=3)
      0.36
    """
    shares = coverage_by_fixation(fixations, height=height, width=width, size=size)
    return float(shares[:, -1].mean()) if len(shares) else float("nan")


def coverage_by_fixation(fixations: np.ndarray, *, height: int, width: int, size: int) -> np.ndarray:
    """Share of an image's pixels that lie in any of the square crops up to each fixation, ``[N, T]``.

    Example:
      >>> coverage_by_fixation(np.array([[[0.5, 0.5], [1.0, 0.5]]]), height=5, width=5, size=3)
      array([[0.36, 0.48]])
    """
    points = in_pixels(fixations, height, width)
    size = check_count("size", size)
    shares = np.zeros(points.shape[:2])
    at_once = max((1 << 24) // (height * width), 1)  # bounds the memory
    for start in range(0, len(points), at_once):
        part = points[start : start + at_once]
        covered = np.zeros((len(part), height, width), bool)
        for number in range(part.shape[1]):
            x, y = np.arange(width) - part[:, number, :1], np.arange(height) - part[:, number, 1:]
            columns, rows = ((offset >= -size / 2) & (offset < size / 2) for offset in (x, y))
            covered |= rows[:, :, None] & columns[:, None, :]
            shares[start : start + at_once, number] = covered.mean(axis=(1, 2))
    return shares


def in_pixels(fixations: np.ndarray, height: int, width: int, name: str = "fixations") -> np.ndarray:
    """Fixations as fractions to pixels, ``fixation * (size - 1)``, in float64."""
    sides = np.array([check_count("width", width), check_count("height", height)])
    return check_fixations(name, fixations, N=0, T=1) * (sides - 1)


def grid_cells(points: np.ndarray, bins: int) -> np.ndarray:
    """The column and row, from 0, of each point's cell on a grid of ``bins x bins``: ``[..., 2]`` integers.

    Points on the border or outside the image belong to the nearest cell.
    """
    bins = check_count("bins", bins)
    return np.clip(np.floor(points * bins), 0, bins - 1).astype(int)


def _near(fixations: np.ndarray, height: int, width: int, radius: float) -> np.ndarray:
    """Which fixations of each scanpath lie within a radius, in pixels, of which others: bool ``[N, T, T]``."""
    points = in_pixels(fixations, height, width)
    return np.linalg.norm(points[:, :, None] - points[:, None, :], axis=-1) <= check_number("radius", radius)
