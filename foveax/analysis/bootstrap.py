"""Confidence intervals: of means by the bootstrap, of shares by Wilson."""

from typing import NamedTuple

import numpy as np

from foveax._arrays import check_count, check_number, check_numbers
from foveax._types import InputError

NORMAL_95 = 1.959964
"""The 97.5 % quantile of the normal distribution."""


class Interval(NamedTuple):
    """A mean and the bounds of its confidence interval."""

    mean: float
    low: float
    high: float


def wilson_interval(share: np.ndarray, count: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest value of the 95 % interval of shares in [0, 1], each of a count of independent trials.

    ``(p + z²/2n ± z √(p(1 - p)/n + z²/4n²)) / (1 + z²/n)``, z = 1.96 (Wilson 1927, Journal of the American Statistical
    Association 22): within [0, 1], and right where few trials, or nearly all, succeed.

    Example:
      >>> low, high = wilson_interval(np.array([0.5, 1.0]), 10)
      >>> low.round(2), high.round(2)
      (array([0.24, 0.72]), array([0.76, 1.  ]))
    """
    share = check_numbers("shares", share)
    if not ((share >= 0) & (share <= 1)).all() or not (np.asarray(count) > 0).all():
        raise InputError("shares must lie in [0, 1], of counts of at least 1")
    square = NORMAL_95**2 / np.asarray(count)
    middle = (share + square / 2) / (1 + square)
    half = np.sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def bootstrap_mean(values: np.ndarray, *, level: float = 0.95, resamples: int = 1000, seed: int = 0) -> Interval:
    """The mean of values ``[N]``, N at least 1, and its percentile bootstrap interval of a level in (0, 1).

    The values are drawn anew with replacement, as many as there are, `resamples` times; the bounds are the
    ``(1 ± level) / 2`` quantiles of the means (Efron, Tibshirani 1993, An Introduction to the Bootstrap, section 13.3).
    Give one value per image or subject: what is drawn must be independent. Of one value there is no interval: its
    bounds are NaN.

    Raises:
      InputError: if values are missing, not finite or of another shape; if the level or `resamples` is out of range.

    Example:
      >>> interval = bootstrap_mean(np.arange(100.0))
      >>> interval.low < interval.mean < interval.high
      True
    """
    values = check_numbers("values", values)
    if values.ndim != 1 or not values.size:
        raise InputError(f"values must have the shape [N], N at least 1; got {list(values.shape)}")
    if not 0 < check_number("level", level) < 1:
        raise InputError(f"level must be more than 0 and less than 1; got {level}")
    resamples = check_count("resamples", resamples)
    if len(values) == 1:
        return Interval(float(values[0]), float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    # one resample at a time bounds the memory
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def bootstrap_ratio(parts: np.ndarray, wholes: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> Interval:
    """The ratio of two sums ``Σ parts / Σ wholes``, each ``[N]``, and its 95 % percentile bootstrap interval.

    Both are drawn anew together, as `bootstrap_mean` draws values: one pair for each image or subject. With wholes that
    are 1 it is `bootstrap_mean`. Raises `InputError` for what is not finite, of another shape, or wholes of sum 0.

    Example:
      >>> bootstrap_ratio(np.array([1.0, 2.0]), np.array([2.0, 4.0]))
      Interval(mean=0.5, low=0.5, high=0.5)
    """
    parts, wholes = check_numbers("parts", parts), check_numbers("wholes", wholes)
    if parts.ndim != 1 or parts.shape != wholes.shape or not wholes.sum():
        shapes = f"{list(parts.shape)} and {list(wholes.shape)}"
        raise InputError(f"parts and wholes must be [N], wholes of a sum that is not 0; got {shapes}")
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(parts), len(parts)) for _ in range(check_count("resamples", resamples)))
    low, high = np.quantile([parts[rows].sum() / wholes[rows].sum() for rows in draws], [0.025, 0.975])
    return Interval(float(parts.sum() / wholes.sum()), float(low), float(high))
