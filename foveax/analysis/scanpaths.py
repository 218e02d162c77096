"""Statistics of scanpaths."""

import numpy as np

from foveax._types import InputError

REFIXATION_PIXELS, BORDER_PIXELS = 3.0, 1.0
"""How near to an earlier fixation, or to the border, counts as on it."""


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


def refixation_rate(
    fixations: np.ndarray, *, height: int, width: int, radius: float = REFIXATION_PIXELS, begin: int = 1
) -> float:
    """Share of the fixations from one on that land within `radius` pixels of any earlier one of their scanpath.

    Args:
      fixations: ``[N, T, 2]``, (x, y) in [0, 1].
      height: of the image in pixels.
      width: of the image in pixels.
      radius: in pixels, inclusive.
      begin: the index of the first fixation that is judged.

    Returns:
      a share in [0, 1]; NaN where there is none to judge.

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
    again = ((distance <= radius) & earlier).any(axis=2)[:, begin:]
    return float(again.mean()) if again.size else float("nan")


def border_share(
    fixations: np.ndarray, *, height: int, width: int, margin: float = BORDER_PIXELS, begin: int = 1
) -> float:
    """Share of the fixations from one on that lie within `margin` pixels of the image's border.

    Args:
      fixations: ``[N, T, 2]``, (x, y) in [0, 1].
      height: of the image in pixels.
      width: of the image in pixels.
      margin: in pixels, inclusive.
      begin: the index of the first fixation that is judged.

    Returns:
      a share in [0, 1]; NaN where there is none to judge.

    Raises:
      InputError: if the fixations are not of that shape.

    Example:
      >>> import numpy as np
      >>> border_share(np.array([[[0.5, 0.5], [1.0, 0.2], [0.5, 0.9]]]), height=28, width=28)
      0.5
    """
    points = _in_pixels(fixations, height, width)[:, begin:]
    near = np.minimum(points, np.array([width - 1, height - 1]) - points) <= margin
    return float(near.any(axis=-1).mean()) if near.size else float("nan")


def coverage(fixations: np.ndarray, *, height: int, width: int, size: int) -> float:
    """Mean share of an image's pixels that lie in at least one of its square crops.

    Args:
      fixations: ``[N, T, 2]``, (x, y) in [0, 1].
      height: of the image in pixels.
      width: of the image in pixels.
      size: side of a crop in pixels.

    Returns:
      a share in [0, 1].

    Raises:
      InputError: if the fixations are not of that shape.

    Example:
      >>> import numpy as np
      >>> coverage(np.array([[[0.5, 0.5], [0.5, 0.5]]]), height=5, width=5, size=3)
      0.36
    """
    points = _in_pixels(fixations, height, width)
    columns = np.abs(np.arange(width) - points[..., :1]) < size / 2
    rows = np.abs(np.arange(height) - points[..., 1:]) < size / 2
    seen = [np.einsum("tr,tc->rc", row, column).mean() for row, column in zip(rows, columns, strict=True)]
    return float(np.mean(seen))


def _in_pixels(fixations: np.ndarray, height: int, width: int) -> np.ndarray:
    fixations = np.asarray(fixations, np.float64)
    if fixations.ndim != 3 or fixations.shape[-1] != 2:
        raise InputError(f"fixations must have the shape [N, T, 2]; got {list(fixations.shape)}")
    return fixations * np.array([width - 1, height - 1])
