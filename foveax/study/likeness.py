"""Likeness of candidates' scanpaths to people's, trial by trial, next to controls and a ceiling."""

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

Scores = dict[str, dict[str, np.ndarray]]
"""Scores by candidate or control, by kind: a value for each trial ``[R]``, NaN where there is none."""


class Likeness(NamedTuple):
    """Likeness to people's scanpaths, by trial.

    Attributes:
      scores: those of each candidate and control.
      specific: of each candidate and the ceiling, how much more alike scanpaths on the same image are than the same
        candidate's on another image, positive where more; 0 for an eye that does not look at the image, whatever its
        bias to the centre.
    """

    scores: Scores
    specific: Scores


def likeness(trials: Trials, candidates: Mapping[str, np.ndarray], *, seed: int = 0) -> Likeness:
    """The scores of candidates ``[R, T, 2]``, or several of each ``[K, R, T, 2]``, and of the controls, by trial.

    All begin where the participant began. The controls are ``centre``; ``random``, uniform over the image; ``another
    image``, of another participant on another image (up to four, averaged); ``best fixed``, the one sequence that is
    most like people's by ScanMatch, found among their own and their mean on the other half of the images. The ceiling
    is ``another participant`` on the same image. Scores are those of `foveax.analysis.compare_scanpaths`.
    """
    rng = np.random.default_rng(seed)
    own, threshold = trials.fixations, scanmatch_threshold(trials)
    several = {name: paths if paths.ndim == 4 else paths[None] for name, paths in candidates.items()}
    elsewhere = others_elsewhere(trials, rng, OTHERS)
    compared: dict[str, list[np.ndarray]] = {
        **{name: list(paths) for name, paths in several.items()},
        "centre": [np.full(own.shape, 0.5)],
        "random": [rng.random(own.shape)],
        SHUFFLED: _of_others(own, elsewhere),
        "best fixed": [best_fixed(trials, seed=seed)],
        CEILING: _of_others(own, others_on_image(trials, rng, OTHERS)),
    }
    scores = {name: _mean([score(own, paths, trials, threshold) for paths in each]) for name, each in compared.items()}
    shuffled = {CEILING: scores[SHUFFLED]}
    for name, paths in several.items():
        taken = [path for other in paths for path in _of_others(other, elsewhere[:, :1])]
        shuffled[name] = _mean([score(own, path, trials, threshold) for path in taken])
    specific: Scores = {}
    for name, elsewhere_scores in shuffled.items():
        gains = {kind: scores[name][kind] - values for kind, values in elsewhere_scores.items()}
        specific[name] = {kind: -gain if kind in DISTANCES else gain for kind, gain in gains.items()}
    return Likeness(scores, specific)


def scanmatch_threshold(trials: Trials) -> float:
    """The threshold of ScanMatch in cells: twice the standard deviation of people's saccades, at least 1."""
    amplitudes = saccade_amplitudes(trials.fixations, **trials.sides) / max(trials.sides.values())
    return max(2 * BINS * float(amplitudes.std()), 1.0)


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


def best_fixed(trials: Trials, *, seed: int = 0) -> np.ndarray:
    """The one sequence that is most like people's by ScanMatch, ``[R, T, 2]``, after each trial's own first fixation.

    Trials on each half of the images, or each half of the trials where there is one image, have the sequence that is
    best on the other half; NaN where that is empty.
    """
    rng = np.random.default_rng(seed)
    threshold = scanmatch_threshold(trials)
    half = rng.permutation(len(trials.names))[trials.image] % 2
    if len(trials.names) == 1:
        half = rng.permutation(len(trials.image)) % 2
    paths = np.full(trials.fixations.shape, np.nan)
    for part in (0, 1):
        elsewhere = np.flatnonzero(half != part)
        if not len(elsewhere):
            continue
        sample = trials.fixations[rng.permutation(elsewhere)[:TRIED_TRIALS]]
        mean = trials.fixations[elsewhere].mean(axis=0)
        offers = [*trials.fixations[rng.permutation(elsewhere)[:CANDIDATES]], mean, np.full_like(mean, 0.5)]
        scores = []
        for offer in offers:
            later = np.broadcast_to(offer[1:], sample[:, 1:].shape)
            path = np.concatenate([sample[:, :1], later], axis=1)
            scores.append(scanmatch(sample, path, bins=BINS, threshold=threshold).mean())
        paths[half == part] = offers[int(np.argmax(scores))]
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
