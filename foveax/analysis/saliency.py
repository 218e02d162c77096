"""Saliency scores: how well a map predicts where fixations fall.

Maps are ``[H, W]``, a number per pixel, more where more is expected; points are ``[N, 2]``, (x, y) as fractions of the
image, and are read at the nearest pixel. NSS, CC, KL and SIM are defined as in Bylinskii et al. 2019, IEEE Transactions
on Pattern Analysis and Machine Intelligence 41 (https://arxiv.org/abs/1604.03605); the AUC as in pysaliency, with all
pixels to tell fixations from; the information gain as in Kümmerer, Wallis, Bethge 2015. Maps or points of another
shape, that are not finite, or points outside the image raise an `InputError`.
"""

import numpy as np

from foveax._arrays import check_fixations
from foveax._types import InputError
from foveax.analysis.density import as_density, as_map


def auc(saliency: np.ndarray, points: np.ndarray, others: np.ndarray | None = None) -> float:
    """Area under the ROC curve: how often the map is greater where a fixation is than elsewhere, ties counted half.

    From 0 to 1; 0.5 is chance. Elsewhere is by default every pixel of the image, so that it stays a little below 1. If
    the others are the fixations of other images, it is the *shuffled AUC*, to which a bias that all images share, as
    the centre's, adds nothing.

    Example:
      >>> auc(np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[1.0, 1.0]]))
      0.875
    """
    saliency = as_map("saliency", saliency)
    positive = _at(saliency, points)
    negative = np.sort(saliency.ravel() if others is None else _at(saliency, others, "others"))
    below, up_to = (np.searchsorted(negative, positive, side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(negative)))


def nss(saliency: np.ndarray, points: np.ndarray) -> float:
    """Normalised scanpath saliency: the mean of the standardised map at the fixations; 0 is chance.

    A constant map gives 0.

    Example:
      >>> nss(np.array([[0.0, 2.0]]), np.array([[1.0, 0.0]]))
      1.0
    """
    saliency = as_map("saliency", saliency)
    looked = _at(saliency, points)
    return float((looked - saliency.mean()).mean() / saliency.std()) if np.ptp(saliency) else 0.0


def correlation(saliency: np.ndarray, density: np.ndarray) -> float:
    """CC: Pearson's correlation of two maps of one shape; 0 where one of them is constant.

    Example:
      >>> round(correlation(np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])), 6)
      -1.0
    """
    one, other = _same_shape(as_map("saliency", saliency), as_map("density", density))
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) if np.ptp(one) and np.ptp(other) else 0.0


def kl_divergence(saliency: np.ndarray, density: np.ndarray) -> float:
    """KL: ``sum_i q_i log(ε + q_i / (p_i + ε))`` in nats, of the fixations' density q from the map p; 0 is alike.

    Both are divided by their sums, and must be densities; ε is 2.2204e-16, as in the MIT saliency benchmark.

    Example:
      >>> round(kl_divergence(np.array([[1.0, 1.0]]), np.array([[1.0, 0.0]])), 4)
      0.6931
    """
    p, q = _same_shape(as_density("saliency", saliency), as_density("density", density))
    epsilon = 2.2204e-16
    return float((q * np.log(epsilon + q / (p + epsilon))).sum())


def intersection(saliency: np.ndarray, density: np.ndarray) -> float:
    """SIM: ``sum_i min(p_i, q_i)`` of two densities divided by their sums; 1 is alike, 0 is nowhere together.

    Example:
      >>> intersection(np.array([[1.0, 1.0]]), np.array([[1.0, 0.0]]))
      0.5
    """
    p, q = _same_shape(as_density("saliency", saliency), as_density("density", density))
    return float(np.minimum(p, q).sum())


def information_gain(density: np.ndarray, baseline: np.ndarray, points: np.ndarray) -> float:
    """Bits per fixation by which a density tells more than a baseline, ``mean_n log2(p(x_n) / b(x_n))``.

    Both are divided by their sums. The baseline is usually the bias towards the centre, such as the density of the
    fixations on all other images (Kümmerer, Wallis, Bethge 2015, PNAS 112). Minus infinity if a fixation falls where
    the density is 0, else infinity if one falls where the baseline is.

    Example:
      >>> information_gain(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]]), np.array([[1.0, 0.0]]))
      1.0
    """
    p, b = _same_shape(as_density("density", density), as_density("baseline", baseline))
    with np.errstate(divide="ignore"):
        density_bits, baseline_bits = np.log2(_at(p, points)), np.log2(_at(b, points))
    return float("-inf") if np.isneginf(density_bits).any() else float((density_bits - baseline_bits).mean())


def _same_shape(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if one.shape != other.shape:
        raise InputError(f"maps must have one shape; got {list(one.shape)} and {list(other.shape)}")
    return one, other


def _at(values: np.ndarray, points: np.ndarray, name: str = "points") -> np.ndarray:
    """The map at each point's nearest pixel."""
    points = check_fixations(name, points, N=1)
    outside = np.count_nonzero(((points < 0) | (points > 1)).any(axis=-1))
    if outside:
        raise InputError(f"{name} must lie in the image, in [0, 1]; {outside} of {len(points)} do not")
    column, row = np.rint(points * [values.shape[1] - 1, values.shape[0] - 1]).astype(int).T
    return values[row, column]
