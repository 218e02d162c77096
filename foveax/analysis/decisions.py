"""Decisions: how sure, how soon, and what waiting is worth.

Beliefs are ``[N, T, K]``, distributions over K classes after each of T glimpses; others raise an `InputError`.
"""

from typing import NamedTuple

import numpy as np

from foveax._arrays import check_number, check_numbers, check_probabilities
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


def _stopped(entropy: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """The first glimpse, from 0, after which the entropy ``[N, T]`` is under each threshold, else the last."""
    under = entropy < np.asarray(threshold)[..., None, None]
    return np.where(under.any(axis=-1), under.argmax(axis=-1), entropy.shape[1] - 1)
