"""Information of fixations, in bits: the entropy of their map, what they tell of the class, and of the image.

Points are ``[N, 2]``, (x, y) as fractions of the image; they are counted in the cells of a grid, `bins` a side.
"""

import numpy as np

from foveax._arrays import check_count, check_fixations
from foveax.analysis.scanpaths import grid_cells
from foveax.data.dataset import check_label


def map_entropy(points: np.ndarray, *, bins: int = 8) -> float:
    """Entropy, in bits, of where points fall on a grid: ``H = -sum p log2 p``, p the share of points in each cell.

    From 0, all in one cell, to ``2 log2(bins)``.

    Example:
      >>> map_entropy(np.array([[0.1, 0.1], [0.9, 0.1]]))
      1.0
    """
    return _entropy(_cells(points, bins))


def mutual_information(points: np.ndarray, labels: np.ndarray, *, bins: int = 8) -> float:
    """Mutual information, in bits, between labels ``[N]``, integers from 0, and the cells in which their points fall.

    ``I = H(cell) + H(label) - H(cell, label)``, of the observed shares. Few points overestimate it: compare
    `shuffled_information`.

    Example:
      >>> mutual_information(np.array([[0.1, 0.1], [0.9, 0.1]]), np.array([0, 1]))
      1.0
    """
    cells = _cells(points, bins)
    # by rank, since what counts is which are alike, however great they are
    labels = np.unique(check_label("labels", labels, size=len(cells)), return_inverse=True)[1]
    both = cells * (labels.max() + 1) + labels
    return max(_entropy(cells) + _entropy(labels) - _entropy(both), 0.0)


def shuffled_information(points: np.ndarray, labels: np.ndarray, *, bins: int = 8, repeats: int = 10) -> float:
    """The bias of `mutual_information`: its mean over random pairings of points and labels, which share none."""
    rng = np.random.default_rng(0)
    labels, repeats = check_label("labels", labels), check_count("repeats", repeats)
    return float(np.mean([mutual_information(points, rng.permutation(labels), bins=bins) for _ in range(repeats)]))


def image_information(observers: np.ndarray, *, bins: int = 8) -> np.ndarray:
    """How much a fixation tells of the image it was made on, in bits, for each fixation of a scanpath: ``[T]``.

    Observers ``[O, N, T, 2]`` are of O at least 2 people, or passes of a policy, over the same N images; T fixations.
    ``I_2 = log2 P(same cell | same image) - log2 P(same cell)``, the information of order 2: by how much the image
    lowers the entropy of order 2, ``-log2`` of the probability that two draws are alike (Rényi 1961, Proceedings of the
    Fourth Berkeley Symposium 1). The first probability is of two observers of an image, the second of two observers of
    any two of the images, the same one included; both are counted without bias, so that few observers are enough. It
    is 0 if the image does not matter, and at most ``log2 N``; where no two observers of an image agree, 0.

    Example:
      >>> left_on_one_right_on_another = np.array([[[0.1, 0.5]], [[0.9, 0.5]]])
      >>> image_information(np.stack([left_on_one_right_on_another] * 2))
      array([1.])
    """
    observers = check_fixations("observers", observers, O=2, N=1, T=1)
    passes, images = observers.shape[:2]
    information = []
    for points in np.moveaxis(observers, 2, 0):
        cells = _cells(points.reshape(-1, 2), bins).reshape(passes, images)
        counts = np.zeros((images, bins * bins))
        np.add.at(counts, (np.arange(images)[None], cells), 1)
        within = (counts * (counts - 1)).sum() / (passes * (passes - 1))
        between = (counts.sum(axis=0) ** 2 - (counts**2).sum(axis=0)).sum() / passes**2
        alike = within / ((within + between) / images) if within else 1.0
        information.append(max(np.log2(alike), 0.0))
    return np.array(information)


def shuffled_image_information(observers: np.ndarray, *, bins: int = 8, repeats: int = 10) -> np.ndarray:
    """The bias of `image_information`: its mean when each observer's images are paired at random with the others'."""
    observers, repeats = check_fixations("observers", observers, O=2, N=1, T=1), check_count("repeats", repeats)
    rng = np.random.default_rng(0)
    shuffled = []
    for _ in range(repeats):
        paired = np.stack([images[rng.permutation(len(images))] for images in observers])
        shuffled.append(image_information(paired, bins=bins))
    return np.mean(shuffled, axis=0)


def _cells(points: np.ndarray, bins: int) -> np.ndarray:
    """The index of each point's cell, row by row."""
    column, row = grid_cells(check_fixations("points", points, N=1), bins).T
    return row * bins + column


def _entropy(values: np.ndarray) -> float:
    """Entropy of the frequencies of integers from 0."""
    return float(entropy(np.bincount(values) / len(values)))


def entropy(shares: np.ndarray) -> np.ndarray:
    """Entropy in bits, ``-sum p log2 p``, over the last axis of shares that sum to 1."""
    # 0 less: of no doubt at all it is 0, not -0
    return 0.0 - (shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(axis=-1)
