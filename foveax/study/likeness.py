"""How like people's scanpaths those of candidates are, trial by trial, next to controls and a ceiling."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from foveax.analysis.comparisons import BINS
from foveax.analysis.scanpaths import saccade_amplitudes
from foveax.analysis.similarity import dynamic_time_warping, levenshtein, multimatch, scanmatch
from foveax.study.trials import Trials, others_elsewhere, others_on_image

OTHERS = 4
"""Trials of other participants with which each is compared, at most."""
CANDIDATES = 24
"""Scanpaths of people among which the best fixed sequence is looked for."""
TRIED_TRIALS = 200
"""Trials on which each is tried."""
CEILING, SHUFFLED = "another participant", "another image"
CONTROLS = ("centre", "random", SHUFFLED, "best fixed")
DISTANCES = ("levenshtein", "time warping")
"""Scores that are smaller where scanpaths are more alike."""

Scored = dict[str, dict[str, np.ndarray]]
"""By candidate or control, by score: a value for each trial ``[R]``, NaN where there is none."""


class Likeness(NamedTuple):
    """How like people's scanpaths others are, by trial.

    Attributes:
      scores: by candidate or control, by score.
      specific: by candidate and for the ceiling: how much more alike scanpaths on the same image are than the same
        candidate's on another image, positive where more; 0 for an eye that does not look at the image, whatever its
        bias to the centre.
    """

    scores: Scored
    specific: Scored


def likeness(trials: Trials, candidates: Mapping[str, np.ndarray], *, seed: int = 0) -> Likeness:
    """The scores of candidates ``[R, T, 2]``, or several of each ``[K, R, T, 2]``, and of the controls, by trial.

    All begin where the participant began. The controls are ``centre``; ``random``, uniform over the image; ``another
    image``, of another participant on another image (up to four, averaged); ``best fixed``, the one sequence that is
    most like people's by ScanMatch, found among their own and their mean on the other half of the images. The ceiling
    is ``another participant`` on the same image. Scores are those of `foveax.analysis.compare_scanpaths`.
    """
    rng = np.random.default_rng(seed)
    own = trials.fixations
    amplitudes = saccade_amplitudes(own, **trials.sides) / max(trials.sides.values())
    threshold = max(2 * BINS * float(amplitudes.std()), 1.0)
    several = {name: paths if paths.ndim == 4 else paths[None] for name, paths in candidates.items()}
    elsewhere = others_elsewhere(trials, rng, OTHERS)
    compared: dict[str, list[np.ndarray]] = {
        **{name: list(paths) for name, paths in several.items()},
        "centre": [np.full(own.shape, 0.5)],
        "random": [rng.random(own.shape)],
        SHUFFLED: _of_others(own, elsewhere),
        "best fixed": [best_fixed(trials, threshold=threshold, seed=seed)],
        CEILING: _of_others(own, others_on_image(trials, rng, OTHERS)),
    }
    scores = {name: _mean([score(own, paths, trials, threshold) for paths in each]) for name, each in compared.items()}
    shuffled = {CEILING: scores[SHUFFLED]}
    for name, paths in several.items():
        taken = [path for other in paths for path in _of_others(other, elsewhere[:, :1])]
        shuffled[name] = _mean([score(own, path, trials, threshold) for path in taken])
    specific = {
        name: {kind: (values - shuffled[name][kind]) * (-1 if kind in DISTANCES else 1)
               for kind, values in scores[name].items()}
        for name in shuffled
    }  # fmt: skip
    return Likeness(scores, specific)


def score(own: np.ndarray, paths: np.ndarray, trials: Trials, threshold: float) -> dict[str, np.ndarray]:
    """The scores ``[R]`` of scanpaths ``[R, T, 2]``, NaN where one of a trial is not there."""
    known = np.isfinite(paths).all(axis=(1, 2))
    one, other = own[known], np.concatenate([own[known, :1], paths[known, 1:]], axis=1)  # the same beginning
    height, width = trials.sides.values()
    shapes = multimatch(one, other, height=height, width=width)
    values = {
        **{f"multimatch {name}": value for name, value in shapes._asdict().items() if name != "duration"},
        "scanmatch": scanmatch(one, other, bins=BINS, threshold=threshold),
        "levenshtein": levenshtein(one, other, bins=BINS),
        "time warping": dynamic_time_warping(one, other, **trials.sides),
    }
    filled = {}
    for name, value in values.items():
        filled[name] = np.full(len(own), np.nan)
        filled[name][known] = value
    return filled


def best_fixed(trials: Trials, *, threshold: float, seed: int = 0) -> np.ndarray:
    """The one sequence that is most like people's, ``[R, T, 2]``: for each half of the images, found on the other."""
    rng = np.random.default_rng(seed)
    half = rng.permutation(len(trials.names))[trials.image] % 2
    paths = np.array(trials.fixations, np.float64)
    if len(trials.names) == 1:
        half = rng.integers(0, 2, len(trials.image))
    for part in (0, 1):
        elsewhere = np.flatnonzero(half != part)
        if not len(elsewhere):
            continue
        tried = rng.permutation(elsewhere)[:TRIED_TRIALS]
        own = trials.fixations[rng.permutation(elsewhere)[:CANDIDATES]]
        mean = trials.fixations[elsewhere].mean(axis=0)
        offers = [*own, mean, np.full_like(mean, 0.5)]
        judged = []
        for offer in offers:
            given = np.broadcast_to(offer, (len(tried), *offer.shape))
            given = np.concatenate([trials.fixations[tried, :1], given[:, 1:]], axis=1)
            judged.append(scanmatch(trials.fixations[tried], given, bins=BINS, threshold=threshold).mean())
        paths[half == part] = offers[int(np.argmax(judged))]
    paths[:, 0] = trials.fixations[:, 0]
    return paths


def _of_others(own: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    """Scanpaths of other trials, NaN where there is none."""
    return [np.where((column >= 0)[:, None, None], own[column], np.nan) for column in rows.T]


def _mean(scored: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The mean of each score over several scanpaths of a trial, as far as there are any."""
    means = {}
    for name in scored[0]:
        values = np.stack([scores[name] for scores in scored])
        known = np.isfinite(values)
        with np.errstate(invalid="ignore", divide="ignore"):
            means[name] = np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)
    return means
