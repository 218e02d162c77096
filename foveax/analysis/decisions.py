"""Decisions: how sure, how soon, and what waiting is worth.

Beliefs are ``[N, T, K]``, distributions over K classes after each of T glimpses; others raise an `InputError`.
"""

from typing import NamedTuple

import numpy as np

from foveax._arrays import check_count, check_number, check_numbers, check_probabilities
from foveax._types import InputError
from foveax.analysis.information import entropy
from foveax.data.dataset import check_label


def belief_entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy, in bits, of beliefs ``[..., K]``: from 0, sure, to ``log2(K)``, no idea.

    Example:
      >>> belief_entropy(np.array([[1.0, 0.0], [0.5, 0.5]]))
      array([0., 1.])
    """
    return entropy(check_probabilities("probabilities", probabilities))


def reading_time(probabilities: np.ndarray, *, threshold: float) -> np.ndarray:
    """The number of glimpses until the entropy of the belief falls under a threshold in bits: ``[N]``, from 1 to T.

    Those that never become as sure take all T (Spoerer et al. 2020, PLoS Computational Biology 16: e1008215).

    Example:
      >>> beliefs = np.array([[[0.5, 0.5], [1.0, 0.0], [1.0, 0.0]], [[0.5, 0.5]] * 3])
      >>> reading_time(beliefs, threshold=0.5)
      array([2, 3])
    """
    beliefs = check_probabilities("probabilities", probabilities, "N", "T", "K")
    return _stopped(entropy(beliefs), check_number("threshold", threshold)) + 1


class SpeedAccuracy(NamedTuple):
    """The curve by threshold, in bits: the mean number of glimpses, and the share of correct decisions then."""

    threshold: np.ndarray
    glimpses: np.ndarray
    accuracy: np.ndarray


def speed_accuracy(
    probabilities: np.ndarray, label: np.ndarray, *, thresholds: np.ndarray | None = None
) -> SpeedAccuracy:
    """The accuracy for labels ``[N]``, and its price, if looking stops once the belief's entropy is under a threshold.

    The thresholds, in bits, are by default 25 from ``log2(K)`` down to 0.001, evenly spaced on the logarithmic scale.

    Example:
      >>> beliefs = np.array([[[0.6, 0.4], [0.1, 0.9]], [[1.0, 0.0], [1.0, 0.0]]])
      >>> curve = speed_accuracy(beliefs, np.array([1, 0]), thresholds=np.array([1.1, 0.5]))
      >>> curve.glimpses, curve.accuracy
      (array([1. , 1.5]), array([0.5, 1. ]))
    """
    beliefs = check_probabilities("probabilities", probabilities, "N", "T", "K")
    label = check_label("label", label, size=len(beliefs), classes=beliefs.shape[-1])
    most = np.log2(max(beliefs.shape[-1], 2))
    bits = np.geomspace(most, 1e-3, 25) if thresholds is None else check_numbers("thresholds", thresholds)
    correct = beliefs.argmax(axis=-1) == label[:, None]
    stops = _stopped(entropy(beliefs), bits)
    return SpeedAccuracy(bits, stops.mean(axis=-1) + 1, correct[np.arange(len(label)), stops].mean(axis=-1))


class Allocation(NamedTuple):
    """Shares of correct decisions, if each image has its own number of glimpses, and under the controls.

    Attributes:
      own: as the numbers were given.
      random: the mean, if the same numbers are dealt to the images at random.
      reversed: if those that were given most have least, in reverse order.
    """

    own: float
    random: float
    reversed: float


def allocation(probabilities: np.ndarray, label: np.ndarray, glimpses: np.ndarray) -> Allocation:
    """What it is worth to give each image ``[N]`` a number of glimpses ``[N]``, from 1 to T, instead of any other.

    Beside it stand the same numbers in another order: stopping is learned as far as it beats these, which look as long
    on average (Wang et al. 2025, AdaptiveNN, supplementary tables 46 and 47). Among images with the same number, the
    surer ones count as those given less.

    Example:
      >>> beliefs = np.array([[[1.0, 0.0], [1.0, 0.0]], [[0.6, 0.4], [0.2, 0.8]]])
      >>> allocation(beliefs, np.array([0, 1]), np.array([1, 2]))
      Allocation(own=1.0, random=0.75, reversed=0.5)
    """
    beliefs = check_probabilities("probabilities", probabilities, "N", "T", "K")
    label = check_label("label", label, size=len(beliefs), classes=beliefs.shape[-1])
    length = beliefs.shape[1]
    stops = check_label("glimpses", glimpses, size=len(beliefs)) - 1
    if stops.min() < 0 or stops.max() >= length:
        raise InputError(f"glimpses must lie from 1 to {length}; got {stops.min() + 1} to {stops.max() + 1}")
    correct, images = beliefs.argmax(axis=-1) == label[:, None], np.arange(len(label))
    order = np.lexsort((-beliefs[images, stops].max(axis=-1), stops))
    other = np.empty_like(stops)
    other[order] = stops[order[::-1]]
    shares = np.bincount(stops, minlength=length) / len(label)
    own, reverse = (float(correct[images, numbers].mean()) for numbers in (stops, other))
    return Allocation(own, float(shares @ correct.mean(axis=0)), reverse)


class Calibration(NamedTuple):
    """How far confidence is to be trusted.

    Attributes:
      confidence, accuracy: ``[M]``, the mean confidence and the share of correct decisions by bin of the confidence;
        NaN in an empty bin.
      size: ``[M]``, the number of decisions in each.
      error: the expected calibration error, from 0 to 1.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    size: np.ndarray
    error: float


def calibration(probabilities: np.ndarray, label: np.ndarray, *, bins: int = 15) -> Calibration:
    """How reliable beliefs ``[N, K]`` are on labels ``[N]``: of decisions that are 80 % sure, 80 % should be right.

    The confidence is the greatest probability. By bins ``B_m = ((m - 1)/M, m/M]`` of it, M of one width,

      ``ECE = Σ_m |B_m|/N · |accuracy(B_m) - confidence(B_m)|``

    (Guo, Pleiss, Sun, Weinberger 2017, On Calibration of Modern Neural Networks, ICML, equations 2, 3 and 5).

    Example:
      >>> beliefs = np.tile([[0.8, 0.2]], (10, 1))
      >>> round(calibration(beliefs, np.repeat([0, 1], [6, 4])).error, 3)  # 80 % sure, 60 % correct
      0.2
    """
    probabilities, bins = check_probabilities("probabilities", probabilities, "N", "K"), check_count("bins", bins)
    label = check_label("label", label, size=len(probabilities), classes=probabilities.shape[1])
    confidence = probabilities.max(axis=-1)
    correct = probabilities.argmax(axis=-1) == label
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    size = np.bincount(which, minlength=bins)
    empty = np.where(size, 1.0, np.nan)
    means = [np.bincount(which, values, bins) / np.maximum(size, 1) for values in (confidence, correct)]
    error = float((size / len(label)) @ np.abs(means[1] - means[0]))
    return Calibration(means[0] * empty, means[1] * empty, size, error)


def _stopped(entropy: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """The first glimpse, from 0, after which the entropy ``[N, T]`` is under each threshold, else the last."""
    under = entropy < np.asarray(threshold)[..., None, None]
    return np.where(under.any(axis=-1), under.argmax(axis=-1), entropy.shape[1] - 1)
