"""The study of people and a model on the same trials: everything that its page shows, as numbers."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from foveax._types import InputError, Params
from foveax.analysis.scanpaths import coverage_by_fixation
from foveax.evaluation.evaluate import Report as Progress
from foveax.evaluation.evaluate import silent
from foveax.study.decisions import DecisionTimes, decision_times, is_correct
from foveax.study.densities import PRIOR, Predictions, information_gain, predictions, with_uniform
from foveax.study.following import Follower, Gaze, best_scale
from foveax.study.likeness import CEILING, CONTROLS, SHUFFLED, Likeness, best_fixed, likeness
from foveax.study.trials import Trials, others_elsewhere, others_on_image

PEOPLE, PEOPLES_GAZE = "people", "people's gaze"
POLICY, FITTED = "policy", "policy, scale fitted"


class Eye(NamedTuple):
    """A model's eye: its name, all parameters of its graph, and numbers in the place of hyper-parameters."""

    name: str
    params: dict[str, Params]
    hyper: Mapping[str, float]


class Study(NamedTuple):
    """Results of people and a model on the same trials.

    Attributes:
      trials: people's.
      eyes: those of models, the run's own first.
      gaze: each eye's own.
      correct: decisions ``[R, T]`` of ``people`` (their answers, where they are known), of each eye with its own gaze,
        and of the run's classifier along ``people's gaze`` and along the controls'. Empty without a belief.
      shares: the share of pixels seen, likewise.
      beliefs: along people's gaze, ``[R, T, K]``; None without a belief.
      likeness: the scores of scanpaths of each eye and the controls.
      densities: those of places, of each eye's sampled fixations and the controls.
      log_density: that of people's fixations under each eye's policy, as it is (``"EYE: policy"``) and with the scale
        that suits people best (``"EYE: policy, scale fitted"``), ``[R, T - 1]``, each with 1 % of the uniform density;
        empty where the policy cannot say.
      scales: the scale of each eye's policy that suits people best.
      decision_times: fixations and seconds until the decision is right for good, by row of `correct`.
    """

    trials: Trials
    eyes: tuple[Eye, ...]
    gaze: dict[str, Gaze]
    correct: dict[str, np.ndarray]
    shares: dict[str, np.ndarray]
    beliefs: np.ndarray | None
    likeness: Likeness
    densities: Predictions
    log_density: dict[str, np.ndarray]
    scales: dict[str, float]
    decision_times: dict[str, DecisionTimes]

    @property
    def gains(self) -> dict[str, np.ndarray]:
        """Bits per fixation over the centre prior ``[R]``, by density and policy; nothing without other images."""
        prior = self.densities.log_density[PRIOR]
        all_of_them = {**self.log_density, **self.densities.log_density}
        gains = {name: information_gain(log, prior) for name, log in all_of_them.items() if name != PRIOR}
        return {name: values for name, values in gains.items() if np.isfinite(values).any()}


def compare(
    follower: Follower,
    eyes: tuple[Eye, ...],
    trials: Trials,
    *,
    passes: int = 4,
    aperture: int = 0,
    seed: int = 0,
    report: Progress = silent,
) -> Study:
    """Compares people with a run's eye, or several eyes that share a graph, on the same trials.

    All scanpaths of a trial begin where the participant began. The classifier is the first eye's.

    Args:
      follower: that of the graph, of as many glimpses as the trials have fixations (`make_follower`).
      eyes: the run's own first.
      trials: people's.
      passes: samples of each policy.
      aperture: the side in pixels of the square that people saw at each fixation; 0: as large as the model's crop.
      seed: the seed of all random numbers.
      report: called with what is done next.

    Raises:
      InputError: if the graph declares no gaze, there are no eyes, or one has the name of another or of a control.
    """
    if not eyes:
        raise InputError("eyes must be at least one; got none")
    names = [eye.name for eye in eyes]
    if len(set(names) - {PEOPLE, PEOPLES_GAZE, CEILING, *CONTROLS}) < len(names):
        raise InputError(f"eyes must have names of their own, which no control has; got {', '.join(names)}")
    key, rng = jax.random.key(seed), np.random.default_rng(seed)
    own = eyes[0]
    gaze: dict[str, Gaze] = {}
    log_density: dict[str, np.ndarray] = {}
    scales: dict[str, float] = {}
    for eye in eyes:
        report(f"{eye.name}: its own gaze, and the probability of people's")
        gaze[eye.name] = follower.gaze(eye.params, trials, passes, key, eye.hyper)
        along = follower.follow(eye.params, trials, trials.fixations, eye.hyper).log_density
        if along is not None:
            log_density[f"{eye.name}: {POLICY}"] = with_uniform(along)
            if follower.scale_name:
                scales[eye.name], log_density[f"{eye.name}: {FITTED}"] = best_scale(
                    follower, eye.params, trials, eye.hyper
                )
    report("the classifier along people's gaze and controls")
    paths = control_paths(trials, rng, seed)
    beliefs_along = {
        name: follower.follow(own.params, trials, path, own.hyper).probabilities for name, path in paths.items()
    }
    beliefs = beliefs_along[PEOPLES_GAZE]
    own_beliefs = {eye.name: gaze[eye.name].probabilities for eye in eyes}
    correct = _correct(trials, {**own_beliefs, **beliefs_along}, paths)
    crop = follower.graph.roles.crop_size
    places = {**{eye.name: gaze[eye.name].fixations for eye in eyes}, **paths}
    sides = trials.sides
    shares = {name: _shares(path, **sides, size=crop) for name, path in places.items() if crop}
    if crop or aperture:
        shares[PEOPLE] = coverage_by_fixation(trials.fixations, **sides, size=aperture or crop)
    report("likeness of scanpaths")
    candidates = {eye.name: gaze[eye.name].passes for eye in eyes}
    modes = {f"{eye.name}: mode": gaze[eye.name].fixations for eye in eyes}
    alike = likeness(trials, {**candidates, **modes}, seed=seed)
    report("densities")
    densities = predictions(trials, candidates, seed=seed)
    times = {
        name: decision_times(values, trials.duration if name == PEOPLE else None) for name, values in correct.items()
    }
    return Study(trials, eyes, gaze, correct, shares, beliefs, alike, densities, log_density, scales, times)


def _correct(
    trials: Trials, beliefs: Mapping[str, np.ndarray | None], paths: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Right decisions ``[R, T]`` of people, where their answers are known, and of beliefs; NaN without a scanpath."""
    label = np.asarray(trials.stimuli["label"])[trials.image]
    correct = {PEOPLE: trials.correct} if np.isfinite(trials.correct).any() else {}
    for name, probabilities in beliefs.items():
        missing = np.any(np.isnan(paths.get(name, trials.fixations)), axis=(1, 2), keepdims=True)[:, :, 0]
        if probabilities is not None and not missing.all():  # else nobody else, or no other image
            correct[name] = np.where(missing, np.nan, is_correct(probabilities, label))
    return correct


def _shares(paths: np.ndarray, *, height: int, width: int, size: int) -> np.ndarray:
    """The share of the image's pixels seen up to each fixation, ``[R, T]``; NaN of a scanpath that is not there."""
    shares = np.full(paths.shape[:2], np.nan)
    known = np.isfinite(paths).all(axis=(1, 2))
    shares[known] = coverage_by_fixation(paths[known], height=height, width=width, size=size)
    return shares


def control_paths(trials: Trials, rng: np.random.Generator, seed: int) -> dict[str, np.ndarray]:
    """The scanpaths ``[R, T, 2]`` that the classifier follows: people's and the controls', NaN without any."""
    own = trials.fixations

    def begun(paths: np.ndarray) -> np.ndarray:
        return np.concatenate([own[:, :1], paths[:, 1:]], axis=1)

    def of_others(rows: np.ndarray) -> np.ndarray:
        return np.where((rows >= 0)[:, None, None], begun(own[rows]), np.nan)

    return {
        PEOPLES_GAZE: own,
        CEILING: of_others(others_on_image(trials, rng, 1)[:, 0]),
        SHUFFLED: of_others(others_elsewhere(trials, rng, 1)[:, 0]),
        "best fixed": best_fixed(trials, seed=seed),
        "centre": begun(np.full(own.shape, 0.5)),
        "random": begun(rng.random(own.shape)),
    }
