"""Density maps: where fixations fall, smoothed.

An `InputError` refuses points of another shape, not finite, or too far outside to reach the image, a bandwidth that is
not positive, and maps that are no density: negative, not finite, or nothing but zeros.
"""

import numpy as np

from foveax._arrays import check_count, check_fixations, check_numbers
from foveax._types import InputError
from foveax.analysis.information import entropy


def density_map(points: np.ndarray, *, height: int, width: int, bandwidth: float | None = None) -> np.ndarray:
    """A kernel density estimate of where points ``[N, 2]`` fall, at each pixel of the image: ``[H, W]`` of sum 1.

    ``p(q) ∝ sum_n exp(-|q - p_n|^2 / (2 bandwidth^2))``: the exact sum of Gaussian kernels at the pixels' centres, not
    of a histogram, normalised over the image, so that what a kernel lays outside is lost (Parzen 1962, Annals of
    Mathematical Statistics 33).

    Points are (x, y) as fractions of the image, whose sides are in pixels; those outside it count by what reaches in.
    The bandwidth is the kernel's standard deviation in pixels, by default 5 % of the longer side.

    Example:
      >>> density_map(np.array([[0.0, 0.0]]), height=1, width=3, bandwidth=1.0).round(2)
      array([[0.57, 0.35, 0.08]])
    """
    points = check_fixations("points", points, N=1)
    height, width = check_count("height", height), check_count("width", width)
    scale = 0.05 * max(height, width) if bandwidth is None else bandwidth
    if not 0 < scale < np.inf:
        raise InputError(f"bandwidth must be more than 0, and finite; got {scale}")
    x, y = (points * [width - 1, height - 1]).T
    columns = np.exp(-0.5 * ((np.arange(width) - x[:, None]) / scale) ** 2)
    rows = np.exp(-0.5 * ((np.arange(height) - y[:, None]) / scale) ** 2)
    density = rows.T @ columns
    if not density.sum() > 0:
        raise InputError("points must reach the image; all of them lie too far outside")
    return density / density.sum()


def density_entropy(density: np.ndarray) -> float:
    """Entropy of a density map in bits, ``-sum p log2 p``: from 0, one pixel, to ``log2(H W)``, all alike.

    Example:
      >>> density_entropy(np.ones((4, 4)))
      4.0
    """
    return float(entropy(as_density("density", density).ravel()))


def as_map(name: str, values: np.ndarray) -> np.ndarray:
    """A map ``[H, W]`` in float64; an `InputError` if it is not finite, or of another shape."""
    values = check_numbers(name, values)
    if values.ndim != 2 or not values.size:
        raise InputError(f"{name} must be a map of the shape [H, W]; got {list(values.shape)}")
    return values


def as_density(name: str, values: np.ndarray) -> np.ndarray:
    """A map ``[H, W]`` of sum 1, in float64; an `InputError` if it is no density."""
    values = as_map(name, values)
    if (values < 0).any() or not values.any():
        raise InputError(f"{name} must be a density: nowhere negative, and somewhere positive")
    return values / values.sum()
