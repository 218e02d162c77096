"""Decisions of people and of a model, by fixation, by the share of pixels seen, by stimulus, and in time."""

from typing import NamedTuple

import numpy as np

from foveax.analysis.bootstrap import Interval
from foveax.study.trials import Trials


class DecisionTimes(NamedTuple):
    """Time until decisions are right for good, by trial ``[R]``; NaN where they never are.

    Attributes:
      fixations: number of fixations, from 1.
      seconds: seconds of people's fixations; NaN where durations are not known.
    """

    fixations: np.ndarray
    seconds: np.ndarray


def is_correct(probabilities: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Whether the most probable class ``[R, T, K]`` is the label ``[R]``, after each fixation: ``[R, T]``."""
    return (probabilities.argmax(axis=-1) == label[:, None]).astype(np.float64)


def decision_times(correct: np.ndarray, duration: np.ndarray | None = None) -> DecisionTimes:
    """Returns when decisions ``[R, T]`` are right, and stay so to the last fixation.

    A decision that is not known is not right; a duration ``[R, T]`` that is not known counts as 0 seconds.

    Example:
      >>> decision_times(np.array([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])).fixations
      array([ 4., nan])
    """
    stays = np.flip(np.minimum.accumulate(np.flip(np.nan_to_num(correct), 1), 1), 1) > 0
    first = np.where(stays.any(axis=1), stays.argmax(axis=1) + 1.0, np.nan)
    seconds = np.full(len(correct), np.nan)
    if duration is not None and np.isfinite(duration).any():
        total = np.cumsum(np.nan_to_num(duration), axis=1)
        known = np.isfinite(first)
        seconds[known] = total[known, first[known].astype(int) - 1]
    return DecisionTimes(first, seconds)


def by_stimulus(values: np.ndarray, trials: Trials) -> np.ndarray:
    """The mean of trials' values ``[R]`` on each stimulus ``[M]``, NaN without any."""
    known = np.isfinite(values)
    count = np.bincount(trials.image[known], minlength=len(trials.names))
    total = np.bincount(trials.image[known], weights=values[known], minlength=len(trials.names))
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / count


def rank_correlation(one: np.ndarray, other: np.ndarray, *, seed: int = 0, resamples: int = 1_000) -> Interval:
    """Spearman's correlation of values ``[M]`` that both are known, with its bootstrap interval over them.

    NaN for fewer than three, or where one of them does not vary.
    """
    known = np.isfinite(one) & np.isfinite(other)
    one, other = one[known], other[known]
    if len(one) < 3:
        return Interval(np.nan, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(one), (resamples, len(one)))
    resampled = np.array([_correlated(one[rows], other[rows]) for rows in drawn])
    low, high = np.nanquantile(resampled, [0.025, 0.975]) if np.isfinite(resampled).any() else (np.nan, np.nan)
    return Interval(_correlated(one, other), float(low), float(high))


def _correlated(one: np.ndarray, other: np.ndarray) -> float:
    a, b = _ranks(one), _ranks(other)
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, equal values having their mean."""
    _, number, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[number]
