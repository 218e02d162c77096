"""Decoding: what can be read from activity by a linear decoder, on images that it was not fitted on.

Activity is ``[N, T, ...]``, as `record_activations` gives it: N images, T glimpses, units in whatever axes follow.
"""

from typing import Any, NamedTuple

import numpy as np

from foveax._arrays import check_count, check_fixations, check_numbers
from foveax._types import InputError
from foveax.analysis.bootstrap import Interval, bootstrap_ratio

PENALTIES = 10.0 ** np.arange(-1, 6)
"""Of which a ridge regression takes the one of the least error on training images left out, for each coordinate."""
INNER = 5
"""One in so many training images is left out for that."""


class Decoding(NamedTuple):
    """How well something is decoded from activity, each image by a decoder that was fitted without it.

    Attributes:
      score: of places R², the share of their variance that is explained, both coordinates together; of classes the
        share that is right. With its 95 % bootstrap interval over images.
      shuffled: the same of decoders whose targets are those of other images at the same glimpse, ``[shuffles]``: what
        the number of the glimpse alone tells, which is much where the eye has an itinerary, and chance.
      predicted: ``[N, T]`` classes or ``[N, T, 2]`` places; -1 or NaN at glimpses without a target.
      importance: of each unit, ``[D]``: the length of its weights for units of variance 1, mean over the folds.
    """

    score: Interval
    shuffled: np.ndarray
    predicted: np.ndarray
    importance: np.ndarray


def decode(
    activity: np.ndarray,
    target: np.ndarray,
    *,
    tested: np.ndarray | None = None,
    folds: int = 5,
    shuffles: int = 5,
    seed: int = 0,
) -> Decoding:
    """Decodes classes or places from activity ``[N, T, ...]``, cross-validated by image.

    An image's glimpses are all in one fold. One decoder reads all glimpses; that of ``activity[:, [t]]`` and
    ``places[:, [t]]`` reads one, so that the number of the glimpse does not help it. Units are standardised. Places
    are decoded by ridge regression, whose penalty is chosen within the training images (`PENALTIES`), by images left
    out as a whole too; classes by regressions of 1 for the class and 0 for others, of which the largest decides.

    Args:
      activity: of at least `folds` images.
      target: classes ``[N]`` or ``[N, T]``, integers, or places ``[N, T, 2]``, such as those of `fixation_targets`; a
        glimpse at which places are NaN is left out.
      tested: activity of the same shape and images, from which the held-out images are decoded instead, by the decoder
        that was fitted on the other: such as the same units after a lesion.
      folds: at least 2.
      shuffles: decoders of shuffled targets.
      seed: of folds and shuffles.

    Raises:
      InputError: for other shapes, activity that is not finite, or places that are known at a glimpse of some images
        and not of others.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> places = rng.random((40, 3, 2))
      >>> activity = places @ rng.normal(size=(2, 8)) + 0.01 * rng.normal(size=(40, 3, 8))
      >>> decoded = decode(activity, places)
      >>> decoded.score.mean > 0.9, bool(decoded.shuffled.max() < 0.1)
      (True, True)
    """
    units = _units("activity", activity)
    held = units if tested is None else _units("tested", tested)
    folds, shuffles = check_count("folds", folds, 2), check_count("shuffles", shuffles, 0)
    if held.shape != units.shape or len(units) < folds:
        came = f"{list(units.shape)} and {list(held.shape)}, {folds} folds"
        raise InputError(f"activity must be of as many images as folds, and that tested of its shape; got {came}")
    wanted, glimpses = _target(target, units.shape[:2])
    rng = np.random.default_rng(seed)
    fold = rng.permutation(len(units)) % folds
    orders = [np.arange(len(units)), *(rng.permutation(len(units)) for _ in range(shuffles))]
    shuffled = np.stack([wanted[order] for order in orders])[:, :, glimpses]
    names = np.unique(wanted) if wanted.ndim == 2 else None
    columns = shuffled if names is None else (shuffled[..., None] == names).astype(np.float32)
    predicted, weights = np.zeros_like(shuffled), []
    for number in range(folds):
        train, test = fold != number, fold == number
        seen, unseen = units[train][:, glimpses], held[test][:, glimpses]
        middle, spread = seen.mean((0, 1)), seen.std((0, 1))
        scale = np.where(spread > 1e-9, spread, 1.0)
        decoded, length = _fit((seen - middle) / scale, columns[:, train], (unseen - middle) / scale)
        predicted[:, test] = decoded if names is None else names[decoded.argmax(-1)]
        weights.append(np.where(spread > 1e-9, length, 0.0))
    scores = [_score(*pair) for pair in zip(predicted, shuffled, strict=True)]
    everywhere = np.full(wanted.shape, -1 if wanted.ndim == 2 else np.nan, wanted.dtype)
    everywhere[:, glimpses] = predicted[0]
    chance = np.array([score.mean for score in scores[1:]])
    return Decoding(scores[0], chance, everywhere, np.mean(weights, axis=0))


def fixation_targets(fixations: np.ndarray, objects: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """What may be decoded about where the eye is, from fixations ``[N, T, 2]``; each ``[N, T, 2]``, NaN where unknown.

    ``position`` is allocentric: the fixation in the image. ``previous`` and ``next`` are the fixations before and after
    it; ``saccade`` is how the eye came here, ``following`` how it goes on, as differences. With the places of objects
    in the image ``[N, 2]``, such as `brightness_centres`, ``retinal`` is where the object lies from the fovea.

    Example:
      >>> targets = fixation_targets(np.array([[[0.5, 0.5], [1.0, 0.5]]]))
      >>> targets["saccade"][0].tolist()
      [[nan, nan], [0.5, 0.0]]
    """
    points = check_fixations("fixations", fixations, N=1, T=1)
    unknown = np.full_like(points[:, :1], np.nan)
    targets = {
        "position": points,
        "previous": np.concatenate([unknown, points[:, :-1]], axis=1),
        "next": np.concatenate([points[:, 1:], unknown], axis=1),
        "saccade": np.concatenate([unknown, np.diff(points, axis=1)], axis=1),
        "following": np.concatenate([np.diff(points, axis=1), unknown], axis=1),
    }
    if objects is None:
        return targets
    places = check_fixations("objects", objects, N=len(points))
    return {**targets, "retinal": places[:, None] - points}


def brightness_centres(images: np.ndarray) -> np.ndarray:
    """The mean place of each image's light, ``[N, H, W, C]`` to ``[N, 2]``; of a dark image its centre.

    Example:
      >>> image = np.zeros((1, 3, 5, 1))
      >>> image[0, 2, 4] = 1.0
      >>> brightness_centres(image).tolist()
      [[1.0, 1.0]]
    """
    light = np.stack([np.asarray(image, np.float64).sum(-1) for image in images])
    places = [np.linspace(0, 1, size) for size in light.shape[:0:-1]]
    total = light.sum((1, 2))
    sums = np.stack([light.sum(1) @ places[0], light.sum(2) @ places[1]], axis=-1)
    return np.where(total[:, None] > 0, sums / np.maximum(total, 1e-12)[:, None], 0.5)


def _units(name: str, activity: np.ndarray) -> np.ndarray:
    """Activity as ``[N, T, D]`` float32."""
    array = np.asarray(activity)
    if array.ndim < 2 or array.dtype.kind not in "biuf":
        raise InputError(f"{name} must be numbers [N, T, ...]; got {array.dtype}{list(array.shape)}")
    array = array.reshape(*array.shape[:2], -1).astype(np.float32)
    if not array.size or not np.isfinite(array).all():
        raise InputError(f"{name} must be finite, of an image, a glimpse and a unit at least; got {list(array.shape)}")
    return array


def _target(target: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Classes ``[N, T]`` or places ``[N, T, 2]``, and at which glimpses ``[T]`` they are known."""
    array = np.asarray(target)
    if array.dtype.kind in "iu" and array.shape in (shape, shape[:1]):
        classes = np.broadcast_to(array[:, None] if array.ndim == 1 else array, shape)
        return classes.astype(np.int64), np.ones(shape[1], bool)
    if array.dtype.kind != "f" or array.shape != (*shape, 2):
        wanted = f"classes {list(shape[:1])} or {list(shape)}, integers, or places {[*shape, 2]}"
        raise InputError(f"target must be {wanted}; got {array.dtype}{list(array.shape)}")
    places = check_numbers("target", array, finite=False)
    known = np.asarray(np.isfinite(places).all(-1))
    if not known.any() or (known.any(0) != known.all(0)).any():
        raise InputError("target must be known at a glimpse of all images or of none, and at one glimpse at least")
    return places, np.asarray(known.all(0))


def _fit(seen: np.ndarray, wanted: np.ndarray, unseen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regressions of all targets ``[1 + shuffles, N, T, C]`` at once, and the length of the first's weights."""
    units, columns = seen.shape[-1], wanted.shape[-1]
    targets = np.moveaxis(wanted, 0, 2).reshape(*seen.shape[:2], -1)
    middle = targets.mean((0, 1))
    left_out = np.arange(len(seen)) % INNER == 0
    inner = seen[left_out].reshape(-1, units), (targets - middle)[left_out].reshape(-1, len(middle))
    whole = seen.reshape(-1, units), (targets - middle).reshape(-1, len(middle))
    (products, answers), (some, others) = (_products(*part) for part in (whole, inner))
    wrong = []
    for penalty in PENALTIES:
        weights = _solve(products - some, answers - others, penalty)
        wrong.append(((inner[0] @ weights - inner[1]) ** 2).sum(0))
    chosen = PENALTIES[np.argmin(wrong, axis=0)]
    weights = np.empty((units, len(middle)))
    for penalty in np.unique(chosen):
        weights[:, chosen == penalty] = _solve(products, answers[:, chosen == penalty], penalty)
    decoded = (unseen.reshape(-1, units) @ weights + middle).reshape(*unseen.shape[:2], len(wanted), columns)
    return np.moveaxis(decoded, 2, 0), np.linalg.norm(weights[:, :columns], axis=1)


def _products(units: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``X'X`` and ``X'Y``, of units in float32, which is exact enough for the least of the penalties."""
    return (units.T @ units).astype(np.float64), (units.T @ targets.astype(np.float32)).astype(np.float64)


def _solve(products: np.ndarray, answers: np.ndarray, penalty: float) -> np.ndarray:
    """``(X'X + λ)⁻¹ X'Y`` (Hoerl, Kennard 1970, Technometrics 12)."""
    return np.linalg.solve(products + penalty * np.eye(len(products)), answers)


def _score(predicted: np.ndarray, wanted: np.ndarray) -> Interval:
    """R² of places or the share of classes that are right, over images ``[N, T, ...]``."""
    if wanted.ndim == 2:
        return bootstrap_ratio((predicted == wanted).sum(1), np.full(len(wanted), wanted.shape[1]))
    total = ((wanted - wanted.mean((0, 1))) ** 2).sum((1, 2))
    wrong = ((wanted - predicted) ** 2).sum((1, 2))
    return bootstrap_ratio(total - wrong, total)
