"""Decisions: how sure, how soon, and what waiting is worth."""

from typing import NamedTuple

import numpy as np

from foveax._types import InputError
from foveax.analysis.information import entropy
from foveax.analysis.scanpaths import check_finite

SUM_ERROR = 1e-3
"""By how much probabilities may miss the sum of 1: they come in float32, or from a file."""


def belief_entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy, in bits, of beliefs ``[..., K]``: from 0, sure, to ``log2(K)``, no idea.

    Raises:
      InputError: if they are negative, not finite, or do not sum to 1.

    Example:
      >>> import numpy as np
      >>> belief_entropy(np.array([[1.0, 0.0], [0.5, 0.5]]))
      array([0., 1.])
    """
    probabilities = np.asarray(probabilities, np.float64)
    check_finite(probabilities, "probabilities")
    if (probabilities < 0).any():
        raise InputError("probabilities must not be negative")
    if not probabilities.ndim or (np.abs(probabilities.sum(axis=-1) - 1) > SUM_ERROR).any():
        raise InputError(f"probabilities must sum to 1 over the last axis, which is {list(probabilities.shape)[-1:]}")
    return entropy(probabilities)


def reading_time(probabilities: np.ndarray, *, threshold: float) -> np.ndarray:
    """How many glimpses it takes until the entropy of the belief falls under a threshold: ``[N]``, from 1 to T.

    Those that never become as sure take all T (Spoerer et al. 2020, PLoS Computational Biology 16: e1008215).

    Args:
      probabilities: ``[N, T, K]`` after each glimpse.
      threshold: in bits; 0 always takes T.

    Raises:
      InputError: if they are not of that shape, negative or not finite.

    Example:
      >>> import numpy as np
      >>> beliefs = np.array([[[0.5, 0.5], [1.0, 0.0], [1.0, 0.0]], [[0.5, 0.5]] * 3])
      >>> reading_time(beliefs, threshold=0.5)
      array([2, 3])
    """
    return _stopped(_entropies(probabilities), threshold) + 1


class SpeedAccuracy(NamedTuple):
    """The speed-accuracy curve, a point per threshold.

    Attributes:
      threshold: in bits.
      glimpses: mean number taken, from 1 to T.
      accuracy: share of correct decisions when stopping there.
    """

    threshold: np.ndarray
    glimpses: np.ndarray
    accuracy: np.ndarray


def speed_accuracy(
    probabilities: np.ndarray, label: np.ndarray, *, thresholds: np.ndarray | None = None
) -> SpeedAccuracy:
    """What accuracy costs in glimpses, if each image is looked at until the belief's entropy falls under a threshold.

    Args:
      probabilities: ``[N, T, K]`` after each glimpse.
      label: ``[N]`` integers.
      thresholds: in bits; by default 25 from ``log2(K)`` down to 0.001, evenly spaced on the logarithmic scale.

    Raises:
      InputError: if they are not of those shapes, negative or not finite, or none.

    Example:
      >>> import numpy as np
      >>> beliefs = np.array([[[0.6, 0.4], [0.1, 0.9]], [[1.0, 0.0], [1.0, 0.0]]])
      >>> curve = speed_accuracy(beliefs, np.array([1, 0]), thresholds=np.array([1.1, 0.5]))
      >>> curve.glimpses, curve.accuracy
      (array([1. , 1.5]), array([0.5, 1. ]))
    """
    entropy, label = _entropies(probabilities), np.asarray(label)
    if label.shape != entropy.shape[:1] or not label.size:
        raise InputError(f"label must have the shape [{len(entropy)}], N at least 1; got {list(label.shape)}")
    most = np.log2(max(np.shape(probabilities)[-1], 2))
    bits = np.geomspace(most, 1e-3, 25) if thresholds is None else np.asarray(thresholds, np.float64)
    correct = np.argmax(probabilities, axis=-1) == label[:, None]
    stops = [_stopped(entropy, threshold) for threshold in bits]
    return SpeedAccuracy(
        bits,
        np.array([stop.mean() + 1 for stop in stops]),
        np.array([correct[np.arange(len(label)), stop].mean() for stop in stops]),
    )


def _entropies(probabilities: np.ndarray) -> np.ndarray:
    if np.ndim(probabilities) != 3 or not np.size(probabilities):
        raise InputError(
            f"probabilities must have the shape [N, T, K], none of them 0; got {list(np.shape(probabilities))}"
        )
    return belief_entropy(probabilities)


def _stopped(entropy: np.ndarray, threshold: float) -> np.ndarray:
    """The index of the first glimpse after which the entropy ``[N, T]`` is under the threshold, else of the last."""
    under = entropy < threshold
    return np.where(under.any(axis=1), under.argmax(axis=1), entropy.shape[1] - 1)
