"""Scores next to their controls: centre, random, another image's, and the ceiling between observers.

Observers are ``[O, N, T, 2]``: the T fixations of O people, or of O passes of a model, on the same N images; height and
width are those of the images in pixels. What is compared with them is given by name. The bandwidth of their densities
is in pixels, by default 5 % of the longer side. Arrays of another shape, or too few of them, raise an `InputError`.
What needs other images is left out where there is one.
"""

import itertools
from collections.abc import Mapping

import numpy as np

from foveax._arrays import check_fixations, check_numbers
from foveax._types import InputError
from foveax.analysis.bootstrap import Interval, bootstrap_mean
from foveax.analysis.density import density_map
from foveax.analysis.saliency import auc, correlation, information_gain, intersection, kl_divergence, nss
from foveax.analysis.scanpaths import saccade_amplitudes
from foveax.analysis.similarity import dynamic_time_warping, levenshtein, multimatch, scanmatch

Scores = dict[str, dict[str, Interval]]
"""By candidate, by score: the mean over images, with its 95 % interval."""
BINS = 8
"""Cells a side in which ScanMatch and the edit distance read fixations."""


def compare_scanpaths(
    observers: np.ndarray, candidates: Mapping[str, np.ndarray], *, height: int, width: int, seed: int = 0
) -> Scores:
    """How like those of observers the scanpaths of candidates ``[N, U, 2]`` are, next to controls and a ceiling.

    Each candidate is compared with each observer, on the same image, and averaged over observers. The controls are
    ``another image`` (the first observer's, shuffled over the images), ``random`` (uniform over the image) and
    ``centre``, the first fixation of each as the first observer's; with more than one observer the ceiling is
    ``between observers``, each with each.

    Returns:
      by candidate, then control, by score: ``multimatch vector``, ``direction``, ``length``, ``position``,
      ``scanmatch``, ``levenshtein`` (edits) and ``time warping`` (pixels), each with its interval over images; without
      those of MultiMatch where any of the scanpaths has fewer than three fixations.
    """
    observers = check_fixations("observers", observers, O=1, N=1, T=1)
    candidates = {name: check_fixations(f"candidates, {name},", path, N=1, T=1) for name, path in candidates.items()}
    for name, path in candidates.items():
        if len(path) != observers.shape[1]:
            raise InputError(f"candidates must be of the {observers.shape[1]} images; {name} is of {len(path)}")
    amplitudes = saccade_amplitudes(np.concatenate(observers), height=height, width=width) / max(height, width)
    # the cut-off in cells, the same for all candidates
    threshold = max(2 * BINS * float(amplitudes.std()) if amplitudes.size else 0.0, 1.0)

    def score(one: np.ndarray, other: np.ndarray) -> dict[str, np.ndarray]:
        shapes = multimatch(one, other, height=height, width=width)
        return {
            **{f"multimatch {name}": values for name, values in shapes._asdict().items()},
            "scanmatch": scanmatch(one, other, bins=BINS, threshold=threshold),
            "levenshtein": levenshtein(one, other, bins=BINS),
            "time warping": dynamic_time_warping(one, other, height=height, width=width),
        }

    compared = {**candidates, **_controls(observers[0], np.random.default_rng(seed))}
    rows = {name: [score(path, observer) for observer in observers] for name, path in compared.items()}
    if len(observers) > 1:
        rows["between observers"] = list(itertools.starmap(score, itertools.combinations(observers[::-1], 2)))
    means = {row: {name: np.mean([scores[name] for scores in each], axis=0) for name in each[0]}
             for row, each in rows.items()}  # fmt: skip
    measured = [name for name in means["centre"] if all(np.isfinite(scores[name]).all() for scores in means.values())]
    return {row: {name: bootstrap_mean(scores[name]) for name in measured} for row, scores in means.items()}


def compare_densities(
    observers: np.ndarray,
    densities: Mapping[str, np.ndarray],
    *,
    height: int,
    width: int,
    bandwidth: float | None = None,
) -> Scores:
    """How well maps ``[N, H, W]``, everywhere positive, predict where observers look, next to controls and a ceiling.

    The controls are ``another image`` (the observers' density on another of the images), ``all images`` (their density
    on all other images: the bias that images share, and the baseline of the information gain), ``centre`` (a Gaussian
    of a quarter of the image) and ``uniform``. Observers' densities hold 1 % of the uniform one, so that no fixation is
    impossible. The ceiling, ``between observers``, is the density of half of them, scored by the fixations of the
    others; so are all rows. The first fixation, which is given, is left out, and so are those outside the image.

    Returns:
      by map, then control, by score: ``AUC``, ``shuffled AUC``, ``NSS``, ``CC``, ``KL`` (nats), ``SIM`` and
      ``information gain`` (bits), each with its interval over images.
    """
    observers = check_fixations("observers", observers, O=2, N=1, T=2)
    predicting, judging = np.split(observers, [len(observers) // 2])
    own = observed_densities(predicting, height=height, width=width, bandwidth=bandwidth)
    truth = observed_densities(judging, height=height, width=width, bandwidth=bandwidth)
    shared = (own.sum(axis=0) - own) / (len(own) - 1) if len(own) > 1 else None
    middle = density_map(np.array([[0.5, 0.5]]), height=height, width=width, bandwidth=max(height, width) / 4)
    maps = {
        **densities,
        **({} if shared is None else {"another image": np.roll(own, 1, axis=0), "all images": shared}),
        "centre": np.broadcast_to(middle, own.shape),
        "uniform": np.full(own.shape, 1 / (height * width)),
        "between observers": own,
    }
    landings = _landings(judging)
    rows: Scores = {}
    for name, predicted in maps.items():
        predicted = check_numbers(f"densities, {name},", predicted)
        if predicted.shape != own.shape:
            raise InputError(f"densities must have the shape {list(own.shape)}; {name} has {list(predicted.shape)}")
        if not (predicted > 0).all():
            raise InputError(f"densities must be positive everywhere; {name} is not")
        scores = []
        for image, (p, q, points) in enumerate(zip(predicted, truth, landings, strict=True)):
            elsewhere = landings[:image] + landings[image + 1 :]
            shuffled = {"shuffled AUC": auc(p, points, np.concatenate(elsewhere))} if elsewhere else {}
            gain = {} if shared is None else {"information gain": information_gain(p, shared[image], points)}
            divergences = {"CC": correlation(p, q), "KL": kl_divergence(p, q), "SIM": intersection(p, q)}
            scores.append({"AUC": auc(p, points), **shuffled, "NSS": nss(p, points), **divergences, **gain})
        rows[name] = {title: bootstrap_mean(np.array([each[title] for each in scores])) for title in scores[0]}
    return rows


def observed_densities(observers: np.ndarray, *, height: int, width: int, bandwidth: float | None = None) -> np.ndarray:
    """The density on each image of where observers land, with 1 % of the uniform one: ``[N, H, W]``.

    The first fixation, which is given, is left out; on each image one must lie inside.
    """
    maps = [density_map(points, height=height, width=width, bandwidth=bandwidth) for points in _landings(observers)]
    return 0.99 * np.stack(maps) + 0.01 / (height * width)


def _landings(observers: np.ndarray) -> list[np.ndarray]:
    """All observers' fixations inside each image ``[M, 2]``, but for the first."""
    inside = []
    observers = check_fixations("observers", observers, O=1, N=1, T=2)
    for image, points in enumerate(np.moveaxis(observers[:, :, 1:], 1, 0)):
        inside.append(points[((points >= 0) & (points <= 1)).all(axis=-1)])
        if not len(inside[-1]):
            raise InputError(f"on each image a fixation after the first must lie inside it; none does on image {image}")
    return inside


def _controls(paths: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Scanpaths ``[N, T, 2]`` that know nothing of the image; none keeps its own."""
    shift = 1 + int(rng.integers(len(paths) - 1)) if len(paths) > 1 else 0
    return {
        **({"another image": np.roll(paths, shift, axis=0)} if shift else {}),
        "random": np.concatenate([paths[:, :1], rng.random(paths[:, 1:].shape)], axis=1),
        "centre": np.concatenate([paths[:, :1], np.full(paths[:, 1:].shape, 0.5)], axis=1),
    }
