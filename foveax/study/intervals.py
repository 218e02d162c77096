"""Intervals over stimuli and participants at once, tests of differences, and their correction."""

import math
from typing import NamedTuple

import numpy as np

from foveax.analysis.bootstrap import Interval

RESAMPLES = 1_000
LEVEL = 0.95


class Difference(NamedTuple):
    """A mean paired difference, its interval, and the probability of one as far from 0 by chance, two-sided."""

    interval: Interval
    p: float


def crossed_intervals(
    values: np.ndarray, image: np.ndarray, subject: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Interval]:
    """The means of values ``[R, C]``, column by column, with their intervals over stimuli and participants.

    Trials of one image are alike, and so are those of one participant. Images and participants are resampled with
    replacement, each by itself, and the variances of the means, each corrected by ``n / (n - 1)``, joined as
    ``V = V_image + V_participant - V_trial``, at least the larger of the first two, V_trial being that of independent
    trials (two-way clusters: Cameron, Gelbach, Miller 2011, Journal of Business & Economic Statistics 29). The interval
    is ``mean ± t √V``, t Student's quantile of 97.5 % with the `degrees_of_freedom`. NaN in the values is left out, and
    images and participants of which nothing else is known do not count. Where there is one image, or one participant,
    the interval is over the others alone; of one of each it is NaN.
    """
    values = np.asarray(values, np.float64).reshape(len(image), -1)
    known = np.isfinite(values)
    intervals = [Interval(np.nan, np.nan, np.nan)] * values.shape[1]
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    for number, rows in enumerate(patterns.T):  # columns of the same trials share their resamples
        columns = np.flatnonzero(which.reshape(-1) == number)
        if not rows.any():
            continue
        own, freedom = values[rows][:, columns], degrees_of_freedom(image[rows], subject[rows])
        means = own.mean(axis=0)
        variance = _joined_variance(own, image[rows], subject[rows], np.random.default_rng(seed), resamples)
        half = t_quantile(freedom) * np.sqrt(variance) if freedom else np.full(len(means), np.nan)
        for column, mean, width in zip(columns, means, half, strict=True):
            intervals[column] = Interval(float(mean), float(mean - width), float(mean + width))
    return intervals


def degrees_of_freedom(image: np.ndarray, subject: np.ndarray) -> int:
    """The fewer of images and participants, less one; a single one does not count; 0 if there is one of each.

    Example:
      >>> degrees_of_freedom(np.array([0, 1, 2]), np.array([4, 4, 4]))
      2
    """
    counts = [len(np.unique(clusters)) for clusters in (image, subject)]
    return min((count for count in counts if count > 1), default=1) - 1


def paired_difference(
    one: np.ndarray, other: np.ndarray, image: np.ndarray, subject: np.ndarray, *, seed: int = 0
) -> Difference:
    """The mean of ``one - other`` ``[R]`` over the trials that have both, with its interval and its probability."""
    values = one - other
    interval = crossed_intervals(values, image, subject, seed=seed)[0]
    half = (interval.high - interval.low) / 2
    if not np.isfinite(half):
        return Difference(interval, float("nan"))
    if half == 0:
        return Difference(interval, 1.0 if interval.mean == 0 else 0.0)
    known = np.isfinite(values)
    freedom = degrees_of_freedom(image[known], subject[known])
    return Difference(interval, t_tail(abs(interval.mean) / half * t_quantile(freedom), freedom))


def holm(p: np.ndarray) -> np.ndarray:
    """Probabilities corrected for the number of tests, NaN left as they are (Holm 1979, Scand. J. Statistics 6).

    Example:
      >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
      [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, np.float64)
    order = np.argsort(np.where(np.isnan(p), np.inf, p))
    count = int(np.isfinite(p).sum())
    corrected = np.full(p.shape, np.nan)
    factors = count - np.arange(count)
    corrected[order[:count]] = np.minimum(np.maximum.accumulate(p[order[:count]] * factors), 1)
    return corrected


def t_tail(value: float, freedom: int) -> float:
    """The probability of Student's t beyond ± a value, of whole degrees of freedom.

    Abramowitz, Stegun 1964, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.

    Example:
      >>> round(t_tail(2.228, 10), 3)
      0.05
    """
    angle = math.atan(value / math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    if freedom == 1:
        return 1 - 2 * angle / math.pi
    odd = freedom % 2
    term = total = cosine if odd else 1.0
    for step in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine**2 * (step - 1) / step
        total += term
    within = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return min(max(1 - within, 0.0), 1.0)


def t_quantile(freedom: int, level: float = LEVEL) -> float:
    """The value that Student's t lies within ± of with a probability.

    Example:
      >>> round(t_quantile(10), 3)
      2.228
    """
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, freedom) > 1 - level else (low, middle)
    return high


def _joined_variance(
    values: np.ndarray, image: np.ndarray, subject: np.ndarray, rng: np.random.Generator, resamples: int
) -> np.ndarray:
    """The variance ``[C]`` of the means of values ``[R, C]``, over images and participants at once."""
    clusters = [np.unique(numbers, return_inverse=True)[1] for numbers in (image, subject)]
    of_image, of_subject = (_cluster_variance(values, numbers, rng, resamples) for numbers in clusters)
    least = np.maximum(of_image, of_subject)
    if any(numbers.max() == 0 for numbers in clusters):
        return least
    of_trial = values.var(axis=0) / (len(values) - 1)
    return np.maximum(of_image + of_subject - of_trial, least)


def _cluster_variance(values: np.ndarray, numbers: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """The variance ``[C]`` of means over clusters that are drawn with replacement; 0 of a single cluster."""
    count = int(numbers.max()) + 1
    if count < 2:
        return np.zeros(values.shape[1])
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, numbers, values)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)
    means = (weights @ sums) / (weights @ np.bincount(numbers))[:, None]
    return means.var(axis=0) * count / (count - 1)
