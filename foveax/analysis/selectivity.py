"""Selectivity of single units, and how activity goes on over fixations.

Activity is ``[N, T, ...]``, as `record_activations` gives it; its units are flattened to D.
"""

from typing import NamedTuple

import numpy as np

from foveax._arrays import check_numbers
from foveax._types import InputError


class Dynamics(NamedTuple):
    """Activity over fixations, each entry ``[T]`` or ``[T, T]``.

    Attributes:
      mean: over images and units.
      sparseness: of each image's activity, its mean over images, in [0, 1]: 0 if all units are equally active, 1 if one
        is, ``(1 - (Σ|r| / D)² / (Σ r² / D)) / (1 - 1 / D)`` (Vinje, Gallant 2000, Science 287); NaN of silent units.
      change: the length of the step from the glimpse before, as a share of the mean length of both; NaN at the first.
      dimensions: the participation ratio of the activity's variance over images, ``(Σ λ)² / Σ λ²`` of the eigenvalues
        of its covariance (Gao et al. 2017, https://doi.org/10.1101/214262); NaN where nothing varies.
      likeness: the mean over images of the correlation of activity at two glimpses, over units.
    """

    mean: np.ndarray
    sparseness: np.ndarray
    change: np.ndarray
    dimensions: np.ndarray
    likeness: np.ndarray


def place_selectivity(activity: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How well each unit by itself follows a place: ``[D]``, the share of its variance, R², in [0, 1].

    By a linear regression on x and y over images and glimpses; 0 for a unit that does not vary. Glimpses at which
    places ``[N, T, 2]`` are NaN are left out.

    Example:
      >>> places = np.random.default_rng(0).random((9, 3, 2))
      >>> activity = np.stack([places[..., 0] - places[..., 1], np.ones((9, 3))], axis=-1)
      >>> place_selectivity(activity, places).round(6).tolist()
      [1.0, 0.0]
    """
    units, points = _flat(activity), check_numbers("places", places, finite=False)
    if points.shape != (*units.shape[:2], 2):
        raise InputError(f"places must be {[*units.shape[:2], 2]}; got {list(points.shape)}")
    known = np.isfinite(points).all(-1)
    x, r = points[known], units[known]
    if len(x) < 4:
        raise InputError(f"places must be known at 4 glimpses at least; got {len(x)}")
    x, r = x - x.mean(0), r - r.mean(0)
    fitted = x @ np.linalg.lstsq(x, r, rcond=None)[0]
    total = (r**2).sum(0)
    return np.where(total > 1e-12, (fitted**2).sum(0) / np.maximum(total, 1e-12), 0.0).clip(0, 1)


def class_selectivity(activity: np.ndarray, label: np.ndarray) -> np.ndarray:
    """How well each unit by itself tells classes apart: ``[T, D]``, η² at each glimpse, in [0, 1].

    The share of a unit's variance over images that lies between the means of the classes (Fisher 1925); 0 for a unit
    that does not vary. Labels are ``[N]`` integers.

    Example:
      >>> class_selectivity(np.array([[[0.0, 1.0]], [[2.0, 1.0]]]), np.array([0, 1])).tolist()
      [[1.0, 0.0]]
    """
    units, label = _flat(activity), np.asarray(label)
    if label.shape != units.shape[:1] or label.dtype.kind not in "iu":
        raise InputError(f"label must be [{len(units)}] integers; got {label.dtype}{list(label.shape)}")
    total = ((units - units.mean(0)) ** 2).sum(0)
    between = np.zeros_like(total)
    for number in np.unique(label):
        own = units[label == number]
        between += len(own) * (own.mean(0) - units.mean(0)) ** 2
    return np.where(total > 1e-12, between / np.maximum(total, 1e-12), 0.0).clip(0, 1)


def dynamics(activity: np.ndarray) -> Dynamics:
    """How activity goes on from glimpse to glimpse (`Dynamics`).

    Example:
      >>> went_on = dynamics(np.random.default_rng(0).normal(size=(50, 3, 4)))
      >>> went_on.likeness.shape, went_on.mean.shape
      ((3, 3), (3,))
    """
    units = _flat(activity)
    count = units.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.abs(units).mean(-1) ** 2 / (units**2).mean(-1)
        sparseness = ((1 - ratio) / (1 - 1 / count)).mean(0) if count > 1 else np.full(units.shape[1], np.nan)
        lengths = np.linalg.norm(units, axis=-1)
        steps = np.linalg.norm(np.diff(units, axis=1), axis=-1) / ((lengths[:, 1:] + lengths[:, :-1]) / 2)
        spread = (np.linalg.svd(units[:, t] - units[:, t].mean(0), compute_uv=False) ** 2 for t in range(len(units[0])))
        dimensions = [values.sum() ** 2 / (values**2).sum() for values in spread]
        centred = units - units.mean(-1, keepdims=True)
        centred /= np.linalg.norm(centred, axis=-1, keepdims=True)
    likeness = np.einsum("ntd,nsd->ts", centred, centred) / len(units)
    change = np.concatenate([[np.nan], steps.mean(0)])
    return Dynamics(units.mean((0, 2)), sparseness, change, np.array(dimensions), likeness)


def _flat(activity: np.ndarray) -> np.ndarray:
    """Activity as ``[N, T, D]`` float64."""
    array = np.asarray(activity)
    if array.ndim < 2 or not array.size:
        raise InputError(f"activity must be [N, T, ...], none of them 0; got {list(array.shape)}")
    return check_numbers("activity", array).reshape(*array.shape[:2], -1)
