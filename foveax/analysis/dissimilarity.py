"""Representational dissimilarity matrices: which images, or classes, a layer tells apart, and how alike two layers are.

A matrix of P patterns is its upper triangle, row by row, ``[P (P - 1) / 2]``, as in rsatoolbox (van den Bosch et al.
2025, https://doi.org/10.1101/2025.05.22.655542) and in SciPy's `pdist`; R matrices are ``[R, P (P - 1) / 2]``.
"""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from foveax._arrays import check_numbers
from foveax._types import InputError
from foveax.runtime.files import write_atomically

Distance = Literal["correlation", "squared euclidean"]
Likeness = Literal["corr", "cosine", "spearman"]


class NoiseCeiling(NamedTuple):
    """The bounds of what the best model could reach, given how unlike the matrices of subjects, or seeds, are."""

    low: float
    high: float


def class_means(activity: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The mean activity of each class at each glimpse: ``[N, T, ...]`` and labels ``[N]`` to ``[T, K, D]``.

    K are the classes that occur, in order; units are flattened.

    Example:
      >>> class_means(np.array([[[1.0]], [[3.0]], [[5.0]]]), np.array([0, 1, 1])).tolist()
      [[[1.0], [4.0]]]
    """
    array, label = check_numbers("activity", activity), np.asarray(label)
    if array.ndim < 2 or label.shape != array.shape[:1]:
        raise InputError(f"label must be [N] for activity [N, T, ...]; got {list(label.shape)}, {list(array.shape)}")
    array = array.reshape(*array.shape[:2], -1)
    return np.stack([array[label == number].mean(0) for number in np.unique(label)], axis=1)


def dissimilarities(patterns: np.ndarray, distance: Distance = "correlation") -> np.ndarray:
    """The dissimilarity of each two of the patterns ``[..., P, D]``: ``[..., P (P - 1) / 2]``.

    ``correlation`` is 1 - r over units; ``squared euclidean`` the mean squared difference of a unit (Kriegeskorte et
    al. 2008, https://doi.org/10.3389/neuro.06.004.2008). Patterns that do not vary over units have no correlation: NaN.

    Raises:
      InputError: for fewer than 2 patterns, no units, numbers that are not finite, or another distance.

    Example:
      >>> dissimilarities(np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 2.0]])).round(6).tolist()
      [2.0, 0.0, 2.0]
    """
    array = check_numbers("patterns", patterns)
    if array.ndim < 2 or array.shape[-2] < 2 or not array.shape[-1]:
        raise InputError(f"patterns must be [..., P, D], P at least 2, D at least 1; got {list(array.shape)}")
    if distance not in get_args(Distance):
        raise InputError(f"distance must be one of {', '.join(get_args(Distance))}; got {distance!r}")
    rows, columns = np.triu_indices(array.shape[-2], 1)
    if distance == "squared euclidean":
        return ((array[..., rows, :] - array[..., columns, :]) ** 2).mean(-1)
    centred = array - array.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = centred / np.linalg.norm(centred, axis=-1, keepdims=True)
    return 1 - np.einsum("...pd,...pd->...p", centred[..., rows, :], centred[..., columns, :])


def rdm_likeness(first: np.ndarray, second: np.ndarray, method: Likeness = "corr") -> np.ndarray:
    """How alike matrices are: ``[R, pairs]`` and ``[Q, pairs]`` to ``[R, Q]``, in [-1, 1].

    By Pearson's correlation, the cosine, or Spearman's correlation, of ranks.

    Example:
      >>> rdm_likeness(np.array([[1.0, 2.0, 4.0]]), np.array([[1.0, 2.0, 3.0]]), "spearman").round(6).tolist()
      [[1.0]]
    """
    return _even(_matrices(first), method) @ _even(_matrices(second), method).T


def noise_ceiling(matrices: np.ndarray, method: Likeness = "corr") -> NoiseCeiling:
    """What a model could reach at best, from the matrices of several subjects, or seeds, ``[R, pairs]``, R at least 2.

    The high bound is the mean likeness of each matrix to the mean of all, to which it belongs; the low one to the mean
    of the others (Nili et al. 2014, https://doi.org/10.1371/journal.pcbi.1003553). Before the mean each is scaled as
    the method is indifferent to: standardised, divided by its length, or ranked.

    Example:
      >>> noise_ceiling(np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])).low > 0.999
      True
    """
    array = _matrices(matrices)
    if len(array) < 2:
        raise InputError(f"matrices must be of 2 subjects at least to have a ceiling; got {len(array)}")
    even = _ranks(array) if method == "spearman" else _even(array, method)
    others = [np.delete(even, row, axis=0).mean(0, keepdims=True) for row in range(len(even))]
    low = [rdm_likeness(array[[row]], other, method).item() for row, other in enumerate(others)]
    high = rdm_likeness(array, even.mean(0, keepdims=True), method)
    return NoiseCeiling(float(np.mean(low)), float(high.mean()))


def write_rdms(
    file: str | Path,
    matrices: np.ndarray,
    *,
    distance: Distance = "correlation",
    matrix_names: Mapping[str, Sequence[Any]] | None = None,
    pattern_names: Mapping[str, Sequence[Any]] | None = None,
) -> None:
    """Writes matrices ``[R, pairs]`` as a file that ``rsatoolbox.rdm.load_rdm`` reads, whose name ends in ``.pkl``.

    Args:
      file: it is replaced if it is there.
      matrices: as `dissimilarities` gives them.
      distance: what they are of.
      matrix_names: descriptors of the R matrices by name, such as ``{"glimpse": [1, 2, 3]}``.
      pattern_names: descriptors of the P patterns by name, such as ``{"class": ["0", "1"]}``.
    """
    array, path = _matrices(matrices), Path(file).expanduser()
    if path.suffix != ".pkl":
        raise InputError(f"a file for rsatoolbox must end in .pkl; got {path.name}")
    patterns = round((1 + np.sqrt(1 + 8 * array.shape[1])) / 2)
    names = {"matrix_names": (matrix_names or {}, len(array)), "pattern_names": (pattern_names or {}, patterns)}
    for kind, (given, count) in names.items():
        if wrong := [name for name, values in given.items() if len(values) != count]:
            raise InputError(f"{kind} must be one for each of {count}; got {len(given[wrong[0]])} of {wrong[0]}")
    content = {
        "dissimilarities": array,
        "descriptors": {},
        "rdm_descriptors": {"index": list(range(len(array))), **{k: list(v) for k, v in (matrix_names or {}).items()}},
        "pattern_descriptors": {
            "index": list(range(patterns)),
            **{k: list(v) for k, v in (pattern_names or {}).items()},
        },
        "dissimilarity_measure": distance,
    }
    write_atomically(path, lambda opened: pickle.dump(content, opened))


def _matrices(matrices: np.ndarray) -> np.ndarray:
    array = check_numbers("matrices", matrices)
    patterns = (1 + np.sqrt(1 + 8 * array.shape[-1])) / 2 if array.ndim == 2 else 0.5
    if not len(array) or patterns % 1 or patterns < 2:
        raise InputError(f"matrices must be [R, P (P - 1) / 2], P at least 2; got {list(array.shape)}")
    return array


def _even(array: np.ndarray, method: Likeness) -> np.ndarray:
    """Matrices of length 1, centred unless the cosine is meant."""
    if method not in get_args(Likeness):
        raise InputError(f"method must be one of {', '.join(get_args(Likeness))}; got {method!r}")
    array = _ranks(array) if method == "spearman" else array
    array = array if method == "cosine" else array - array.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return array / np.linalg.norm(array, axis=-1, keepdims=True)


def _ranks(array: np.ndarray) -> np.ndarray:
    """Ranks within each row from 1; what is equal shares its mean rank."""
    ranks = np.empty(array.shape)
    for row, values in enumerate(array):
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        ranks[row] = (last - (counts - 1) / 2)[inverse]
    return ranks
