"""Similarity of scanpaths, two by two: MultiMatch, ScanMatch, edit distance, dynamic time warping.

Everywhere the scanpaths are ``[N, T, 2]`` and ``[N, U, 2]``, (x, y) as fractions of the image; the n-th of the first
are compared with the n-th of the second, all N at once. Height and width are those of the image in pixels. Fixations
of another shape, or that are not finite, raise an `InputError`.
"""

from typing import NamedTuple

import numpy as np

from foveax._arrays import check_number, check_numbers
from foveax._types import InputError
from foveax.analysis.scanpaths import grid_cells, in_pixels

Pair = tuple[np.ndarray, np.ndarray]


class MultiMatch(NamedTuple):
    """Similarities in [0, 1], each ``[N]``: 1 is alike.

    They are of the saccades as vectors, scaled by twice the image's diagonal; of their directions, scaled by pi; of
    their lengths and the positions where they begin, scaled by the diagonal; and of the durations of the fixations
    before them, scaled by the longer one, NaN where none are given.
    """

    vector: np.ndarray
    direction: np.ndarray
    length: np.ndarray
    position: np.ndarray
    duration: np.ndarray


def multimatch(
    first: np.ndarray, second: np.ndarray, *, height: int, width: int, durations: Pair | None = None
) -> MultiMatch:
    """MultiMatch: scanpaths as sequences of saccades, aligned by shape, and compared in five ways.

    The saccades are aligned along the path through the matrix of their vector differences whose sum is least; each
    measure is 1 less the median difference along it (Jarodzka, Holmqvist, Nyström 2010, ETRA; Dewhurst et al. 2012,
    Behavior Research Methods 44). Scanpaths are not simplified beforehand. Where several paths are equally short, the
    one that moves on in both scanpaths, seen from their ends, is taken. A scanpath of fewer than three fixations gives
    NaN. Durations of the fixations are ``[N, T]`` and ``[N, U]``, in any one unit.

    Example:
      >>> path = np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]])
      >>> multimatch(path, path, height=28, width=28).vector
      array([1.])
    """
    one, other = _paired(first, second, height, width)
    if min(one.shape[1], other.shape[1]) < 3:
        return MultiMatch(*np.full((5, len(one)), np.nan))
    steps = np.diff(one, axis=1)[:, :, None], np.diff(other, axis=1)[:, None, :]
    vector = np.linalg.norm(steps[0] - steps[1], axis=-1)
    turn = np.abs(np.subtract(*(np.arctan2(step[..., 1], step[..., 0]) for step in steps)))
    length = np.abs(np.subtract(*(np.linalg.norm(step, axis=-1) for step in steps)))
    diagonal = np.hypot(width, height)
    on_path = _shortest_path(vector)

    def similarity(differences: np.ndarray, scale: float) -> np.ndarray:
        return 1 - np.nanmedian(np.where(on_path, differences, np.nan), axis=(1, 2)) / scale

    return MultiMatch(
        vector=similarity(vector, 2 * diagonal),
        direction=similarity(np.minimum(turn, 2 * np.pi - turn), np.pi),
        length=similarity(length, diagonal),
        position=similarity(_distances(one[:, :-1], other[:, :-1]), diagonal),
        duration=similarity(_duration_differences(durations, one, other), 1)
        if durations
        else np.full(len(one), np.nan),
    )


def dynamic_time_warping(first: np.ndarray, second: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """The least sum of distances, in pixels, over all ways to pair fixations in order, none left out: ``[N]``.

    ``D(t, u) = |p_t - q_u| + min(D(t-1, u), D(t, u-1), D(t-1, u-1))`` (Sakoe, Chiba 1978, IEEE Transactions on
    Acoustics, Speech and Signal Processing 26).

    Example:
      >>> path = np.array([[[0.0, 0.0], [1.0, 0.0]]])
      >>> dynamic_time_warping(path, path[:, :1], height=11, width=11)
      array([10.])
    """
    return _warped(_distances(*_paired(first, second, height, width)))[:, -1, -1]


def levenshtein(first: np.ndarray, second: np.ndarray, *, bins: int = 8) -> np.ndarray:
    """The edit distance: the fewest insertions, deletions and moves that make one scanpath of the other: ``[N]``.

    Fixations are read as the cells, ``bins`` a side, in which they fall; outside the image, as the nearest (Levenshtein
    1966, Soviet Physics Doklady 10).

    Example:
      >>> path = np.array([[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]])
      >>> levenshtein(path, path[:, 1:])
      array([1])
    """
    cells = (grid_cells(path, bins) for path in _paired(first, second, 2, 2))
    return np.rint(-_aligned(-np.sign(_distances(*cells)), gap=-1.0)).astype(int)


def scanmatch(
    first: np.ndarray, second: np.ndarray, *, bins: int = 8, threshold: float | None = None, gap: float = 0.0
) -> np.ndarray:
    """ScanMatch: the best global alignment of two scanpaths as sequences of cells, where near cells match in part.

    Cells are those of `levenshtein`. A pair of them, d cells apart, scores ``threshold - d``, an unpaired fixation
    `gap`, at most 0; the sum is divided by that of a perfect match of the longer scanpath: ``[N]``, 1 is alike
    (Cristino et al. 2010, Behavior Research Methods 42; Needleman, Wunsch 1970, Journal of Molecular Biology 48). Pairs
    beyond the threshold are worse than none; it is by default twice the standard deviation of the saccades' amplitudes
    in cells, over both, which must then differ. For time, repeat each fixation once per interval of its duration.

    Example:
      >>> path = np.array([[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]])
      >>> scanmatch(path, path, threshold=2.0)
      array([1.])
    """
    one, other = (grid_cells(path, bins) for path in _paired(first, second, 2, 2))
    reason = ""
    if threshold is None:
        amplitudes = np.concatenate([np.linalg.norm(np.diff(cells, axis=1), axis=-1).ravel() for cells in (one, other)])
        threshold = 2 * float(amplitudes.std()) if amplitudes.size else 0.0
        reason = ", since all saccades are equally long: give one"
    if not check_number("threshold", threshold) > 0:
        raise InputError(f"threshold must be more than 0; got {threshold}{reason}")
    if check_number("gap", gap, -np.inf) > 0:
        raise InputError(f"gap must be at most 0; got {gap}")
    return _aligned(threshold - _distances(one, other), gap=gap) / (threshold * max(one.shape[1], other.shape[1]))


def _paired(first: np.ndarray, second: np.ndarray, height: int, width: int) -> Pair:
    one, other = in_pixels(first, height, width, "first"), in_pixels(second, height, width, "second")
    if len(one) != len(other):
        raise InputError(f"first and second must be pairs of scanpaths; got {len(one)} and {len(other)}")
    return one, other


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distances ``[N, T, U]`` of points ``[N, T, 2]`` and ``[N, U, 2]``."""
    return np.linalg.norm(one[:, :, None] - other[:, None, :], axis=-1)


def _duration_differences(durations: Pair, *paths: np.ndarray) -> np.ndarray:
    first, second = (check_numbers("durations", duration) for duration in durations)
    for duration, path in zip((first, second), paths, strict=True):
        shape = path.shape[:2]
        if duration.shape != shape or not (duration > 0).all():
            raise InputError(f"durations must be positive, of the shape {list(shape)}; got {list(duration.shape)}")
    before, after = first[:, :-1, None], second[:, None, :-1]
    return np.abs(before - after) / np.maximum(before, after)


def _warped(cost: np.ndarray) -> np.ndarray:
    """Least sums of costs ``[N, T, U]`` up to each pair, by steps of one in either or both: ``[N, T + 1, U + 1]``."""
    total = np.full((len(cost), cost.shape[1] + 1, cost.shape[2] + 1), np.inf)
    total[:, 0, 0] = 0
    for row, column in np.ndindex(cost.shape[1:]):
        before = total[:, row : row + 2, column : column + 2].reshape(len(cost), 4)[:, :3].min(axis=1)
        total[:, row + 1, column + 1] = cost[:, row, column] + before
    return total


def _shortest_path(cost: np.ndarray) -> np.ndarray:
    """Which pairs lie on the path of least cost from the first to the last: bool ``[N, T, U]``."""
    total = _warped(cost)
    examples = np.arange(len(cost))
    on_path = np.zeros(total.shape, bool)
    row, column = (np.full(len(cost), size) for size in cost.shape[1:])
    for _ in range(sum(cost.shape[1:])):
        on_path[examples, row, column] = True
        moves = np.array([[1, 1], [1, 0], [0, 1]])
        options = total[examples[:, None], row[:, None] - moves[:, 0], column[:, None] - moves[:, 1]]
        step = moves[options.argmin(axis=1)] * ((row > 1) | (column > 1))[:, None]
        row, column = row - step[:, 0], column - step[:, 1]
    return on_path[:, 1:, 1:]


def _aligned(score: np.ndarray, *, gap: float) -> np.ndarray:
    """The greatest sum over global alignments of scores ``[N, T, U]`` of pairs and of gaps: ``[N]``."""
    size, rows, columns = score.shape
    best = np.zeros((size, rows + 1, columns + 1))
    best[:, :, 0], best[:, 0, :] = gap * np.arange(rows + 1), gap * np.arange(columns + 1)
    for row, column in np.ndindex(rows, columns):
        paired = best[:, row, column] + score[:, row, column]
        unpaired = np.maximum(best[:, row, column + 1], best[:, row + 1, column]) + gap
        best[:, row + 1, column + 1] = np.maximum(paired, unpaired)
    return best[:, -1, -1]
