"""Statistics of scanpaths."""

import numpy as np

from foveax._types import InputError


def saccade_amplitudes(fixations: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Lengths of saccades in pixels, Euclidean.

    Args:
      fixations: ``[N, T, 2]``, (x, y) in [0, 1].
      height: of the image in pixels.
      width: of the image in pixels.

    Returns:
      ``[N, T - 1]``.

    Raises:
      InputError: if the fixations are not of that shape.

    Example:
      >>> import numpy as np
      >>> saccade_amplitudes(np.array([[[0.0, 0.0], [1.0, 1.0]]]), height=4, width=5)
      array([[5.]])
    """
    return np.linalg.norm(np.diff(_in_pixels(fixations, height, width), axis=1), axis=-1)


def refixation_rate(fixations: np.ndarray, *, height: int, width: int, radius: float = 3.0) -> float:
    """Share of the fixations after the first that land within `radius` pixels of an earlier one of their scanpath.

    Args:
      fixations: ``[N, T, 2]``, (x, y) in [0, 1].
      height: of the image in pixels.
      width: of the image in pixels.
      radius: in pixels, inclusive.

    Returns:
      a share in [0, 1]; NaN where there is but one fixation.

    Raises:
      InputError: if the fixations are not of that shape.

    Example:
      >>> import numpy as np
      >>> refixation_rate(np.array([[[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]), height=28, width=28)
      0.5
    """
    points = _in_pixels(fixations, height, width)
    distance = np.linalg.norm(points[:, :, None] - points[:, None, :], axis=-1)
    earlier = np.tri(points.shape[1], k=-1, dtype=bool)
    again = ((distance <= radius) & earlier).any(axis=2)[:, 1:]
    return float(again.mean()) if again.size else float("nan")


def _in_pixels(fixations: np.ndarray, height: int, width: int) -> np.ndarray:
    fixations = np.asarray(fixations, np.float64)
    if fixations.ndim != 3 or fixations.shape[-1] != 2:
        raise InputError(f"fixations must have the shape [N, T, 2]; got {list(fixations.shape)}")
    return fixations * np.array([width - 1, height - 1])
