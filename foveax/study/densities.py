"""Densities of where people look, at their own fixations: information gain over a centre prior, and shuffled AUC.

Densities are masses on a grid of the image, times the number of cells: 1 is uniform. Those of people are made of
others' fixations alone. All hold 1 % of the uniform one, so that no place is impossible.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from foveax.study.trials import Trials, others_elsewhere

CELLS = 48
"""Cells along each axis of the grid."""
BANDWIDTHS = (0.02, 0.035, 0.06, 0.1, 0.16, 0.25)
"""Standard deviations of the kernels, as fractions of the image; each density takes the one that predicts best."""
UNIFORM_SHARE = 0.01
"""The share of the uniform density in every other one."""
PRIOR = "centre prior"
NEGATIVES = 10
"""Trials on other images whose fixations the shuffled AUC compares each of a trial with."""


class Predictions(NamedTuple):
    """Predictions of people's fixations by densities.

    Attributes:
      log_density: natural logarithm of each density at each fixation after the first ``[R, T - 1]``; NaN outside the
        image, and where there is no density.
      shuffled_auc: of each density, for each trial ``[R]``, how often it is greater at its fixations than at those
        of trials on other images, ties counted half.
    """

    log_density: dict[str, np.ndarray]
    shuffled_auc: dict[str, np.ndarray]


def predictions(trials: Trials, candidates: Mapping[str, np.ndarray], *, seed: int = 0) -> Predictions:
    """The densities of candidates' scanpaths ``[K, R, T, 2]`` and of the controls, at people's fixations.

    A candidate's density on an image is that of all its scanpaths there. The controls: ``uniform``; ``centre``, a
    Gaussian about it; ``centre prior``, the fixations of all people on the other images, the baseline of the
    information gain; ``best fixed``, the same for each number of the fixation; ``another image``, those on the next
    image. The ceiling ``another participant`` is made of the other participants' fixations on the same image. The
    fixation that is given, the first, counts nowhere.
    """
    rng = np.random.default_rng(seed)
    places = trials.fixations[:, 1:]
    cells = _cells(places)
    images = len(trials.names)
    counts = _histograms(cells, trials.image, images)
    whole = counts.sum(axis=0)
    elsewhere = whole - counts
    saccade = np.arange(places.shape[1])
    steps = np.stack([_histograms(cells[:, [step]], trials.image, images) for step in saccade])  # [T - 1, M, C, C]
    steps = steps.sum(axis=1, keepdims=True) - steps
    of_trials = _histograms(cells, np.arange(len(cells)), len(cells))
    others = counts[trials.image] - _of_subject(of_trials, trials)
    points = cells, others_elsewhere(trials, rng, NEGATIVES)
    centre = np.zeros((1, CELLS, CELLS))
    centre[:, CELLS // 2 - 1 : CELLS // 2 + 1, CELLS // 2 - 1 : CELLS // 2 + 1] = 1
    own: dict[str, np.ndarray] = {}
    for name, paths in candidates.items():
        own[name] = _histograms(_cells(paths[:, :, 1:]), np.tile(trials.image, (len(paths), 1)), images)
    by_image = {**own, "centre": centre, PRIOR: elsewhere, "another image": np.roll(counts, 1, axis=0)}
    logs: dict[str, np.ndarray] = {}
    aucs: dict[str, np.ndarray] = {}
    for name, mass in by_image.items():
        rows = np.zeros_like(trials.image) if len(mass) == 1 else trials.image
        logs[name], aucs[name] = _fitted(mass, rows, *points)
    logs["another participant"], aucs["another participant"] = _fitted(others, np.arange(len(cells)), *points)
    by_step = [_fitted(counts, trials.image, cells[:, [step]], points[1])[0] for step, counts in enumerate(steps)]
    logs["best fixed"], aucs["best fixed"] = np.concatenate(by_step, axis=1), aucs[PRIOR]  # which no step distinguishes
    logs["uniform"] = np.where(cells[..., 0] < 0, np.nan, 0.0)
    aucs["uniform"] = np.where(np.isfinite(aucs[PRIOR]), 0.5, np.nan)
    return Predictions(logs, aucs)


def information_gain(log_density: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Bits per fixation over a prior, the mean over each trial's fixations ``[R]``.

    Kümmerer, Wallis, Bethge 2015, PNAS 112. NaN where a trial has no fixation with both.
    """
    gain = (log_density - prior) / np.log(2)
    known = np.isfinite(gain)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, gain, 0).sum(axis=1) / known.sum(axis=1)


def with_uniform(log_density: np.ndarray) -> np.ndarray:
    """Log densities, of which 1 % is the uniform one: as of all densities of a study, no place is impossible.

    Example:
      >>> with_uniform(np.array([0.0, -np.inf])).round(2).tolist()
      [0.0, -4.61]
    """
    return np.log((1 - UNIFORM_SHARE) * np.exp(log_density) + UNIFORM_SHARE)


def _cells(places: np.ndarray) -> np.ndarray:
    """The column and row of each place, -1 outside the image."""
    cells = np.minimum(np.floor(np.nan_to_num(places, nan=-1) * CELLS), CELLS - 1).astype(int)
    inside = np.all((places >= 0) & (places <= 1), axis=-1)
    return np.where(inside[..., None], cells, -1)


def _histograms(cells: np.ndarray, numbers: np.ndarray, size: int) -> np.ndarray:
    """Counts of fixations by image, or by trial, and cell: ``[size, C, C]``, rows first."""
    counts = np.zeros((size, CELLS, CELLS))
    owner = np.broadcast_to(numbers[..., None], cells.shape[:-1])
    inside = cells[..., 0] >= 0
    np.add.at(counts, (owner[inside], cells[inside][:, 1], cells[inside][:, 0]), 1)
    return counts


def _of_subject(of_trials: np.ndarray, trials: Trials) -> np.ndarray:
    """Counts, for each trial, of its own participant on its image."""
    pairs = np.unique(np.stack([trials.image, trials.subject]), axis=1, return_inverse=True)[1].reshape(-1)
    sums = np.zeros((int(pairs.max()) + 1, CELLS, CELLS))
    np.add.at(sums, pairs, of_trials)
    return sums[pairs]


def _smoothed(counts: np.ndarray, bandwidth: float) -> np.ndarray:
    """Densities ``[N, C, C]`` of counts, 1 where uniform; NaN where there is no count."""
    grid = (np.arange(CELLS) + 0.5) / CELLS
    kernel = np.exp(-0.5 * ((grid[:, None] - grid) / bandwidth) ** 2)
    kernel /= kernel.sum(axis=0)  # what a kernel would lay outside stays in
    mass = kernel @ counts @ kernel.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mass = mass / counts.sum(axis=(1, 2), keepdims=True)
    return (1 - UNIFORM_SHARE) * CELLS**2 * mass + UNIFORM_SHARE


def _at(density: np.ndarray, rows: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The density of each trial's row at cells ``[R, T, 2]``; NaN outside."""
    values = density[rows[:, None], cells[..., 1], cells[..., 0]]
    return np.where(cells[..., 0] < 0, np.nan, values)


def _fitted(
    counts: np.ndarray, rows: np.ndarray, cells: np.ndarray, negatives: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The log density at fixations, with the bandwidth that is best for them, and its shuffled AUC."""
    options = [_smoothed(counts, bandwidth) for bandwidth in BANDWIDTHS]
    logs = [np.log(_at(density, rows, cells)) for density in options]
    means = [float(np.nanmean(log)) if np.isfinite(log).any() else -np.inf for log in logs]
    best = means.index(max(means))
    return logs[best], _shuffled_auc(options[best], rows, cells, negatives)


def _shuffled_auc(density: np.ndarray, rows: np.ndarray, cells: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    own = _at(density, rows, cells)
    values = np.full(len(rows), np.nan)
    at = cells[np.maximum(negatives, 0)]  # [R, J, T, 2]
    other = density[rows[:, None, None], at[..., 1], at[..., 0]]
    other = np.where((at[..., 0] < 0) | (negatives < 0)[..., None], np.nan, other).reshape(len(rows), -1)
    for row in range(len(rows)):
        positive, negative = own[row][np.isfinite(own[row])], np.sort(other[row][np.isfinite(other[row])])
        if len(positive) and len(negative):
            below, up_to = (np.searchsorted(negative, positive, side) for side in ("left", "right"))
            values[row] = (below + up_to).mean() / (2 * len(negative))
    return values
