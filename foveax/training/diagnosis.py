"""Diagnosis: is the eye doing anything? Its controls, its measures, and a verdict."""

import dataclasses
from typing import Any

import jax
import numpy as np

from foveax.analysis import (
    border_share,
    coverage,
    map_entropy,
    mutual_information,
    refixation_rate,
    saccade_amplitudes,
    shuffled_information,
)
from foveax.data.dataset import Data
from foveax.training.config import Config
from foveax.training.evaluate import Evaluation, evaluate
from foveax.training.fit import fit
from foveax.training.learner import make_learner

COLLAPSE_SHARE = 0.5
"""The eye has collapsed if more than this share of its late fixations are refixations, or lie on the border."""
GAIN = 0.01
"""What the eye must gain over the best fixed sequence where looking matters, as a share of the images."""
REMEDIES = {
    "refixation": "explore more (--deviation-start, --entropy), pay what each glimpse adds (--reward "
    "cross_entropy_drop), tell the saccader the time and its place (--time --position)",
    "border": "raise --entropy, which draws the eye inwards, or lower --policy-learning-rate",
    "fixed": "train longer, raise --policy-learning-rate, or let the retina see further (--scales)",
}


def diagnose(evaluations: dict[str, Evaluation], *, policy: str, config: Config, data: Data) -> dict[str, Any]:
    """The measures of an eye, and whether it has collapsed.

    A run has *collapsed* if, from the second half of its glimpses on, more than half its fixations lie within 3 pixels
    of an earlier one, or within a pixel of the border; or if, where looking must matter (on a canvas), it gains less
    than 1 point over the best fixed sequence.

    Args:
      evaluations: of `evaluate_with_controls`.
      policy: the name of the pipeline's own.
      config: of the run.
      data: as the run was shown them.

    Returns:
      JSON types. Per saccade: ``information`` and ``information_shuffled``, between class and fixation in bits, with
      its control, and ``map_entropy`` in bits; in all: ``coverage``, ``refixation``, ``refixation_late``, ``border``,
      ``border_late`` (shares), ``amplitude_median`` (pixels) and ``gain_over_sequence`` (a share of the images);
      ``collapsed``, and the ``reasons``, each with its remedy. A pipeline without saccades gives ``collapsed`` alone.
    """
    own = evaluations[policy]
    glimpses = own.fixations.shape[1]
    if glimpses == 1:
        return {"collapsed": False, "reasons": []}
    height, width = data.test["image"].shape[1:3]
    sides: dict[str, Any] = {"height": height, "width": width}
    late = max((glimpses + 1) // 2, 1)
    landings = np.moveaxis(own.fixations[:, 1:], 1, 0)
    measures = {
        "information": [mutual_information(points, own.label) for points in landings],
        "information_shuffled": [shuffled_information(points, own.label) for points in landings],
        "map_entropy": [map_entropy(points) for points in landings],
        "coverage": coverage(own.fixations, size=config.model.crop, **sides),
        "refixation": refixation_rate(own.fixations, **sides),
        "refixation_late": refixation_rate(own.fixations, begin=late, **sides),
        "border": border_share(own.fixations, **sides),
        "border_late": border_share(own.fixations, begin=late, **sides),
        "amplitude_median": float(np.median(saccade_amplitudes(own.fixations, **sides))),
        "gain_over_sequence": float(own.accuracy[-1] - evaluations["best sequence"].accuracy[-1]),
    }
    reasons = _reasons(measures, late + 1, matters=config.task != "original")
    return {**measures, "collapsed": bool(reasons), "reasons": reasons}


def _reasons(measures: dict[str, Any], late: int, *, matters: bool) -> list[str]:
    """Why a run counts as collapsed, each reason with what to try."""
    refixation, border, gain = (measures[name] for name in ("refixation_late", "border_late", "gain_over_sequence"))
    since = f"of its fixations from glimpse {late} on"
    cases = (
        (refixation > COLLAPSE_SHARE, "refixation", f"{refixation:.0%} {since} return to an earlier one"),
        (border > COLLAPSE_SHARE, "border", f"{border:.0%} {since} lie on the border"),
        (matters and gain < GAIN, "fixed", f"it gains {100 * gain:.1f} points over the best fixed sequence"),
    )
    return [f"{said}; try: {REMEDIES[kind]}" for met, kind, said in cases if met]


def whole_image_accuracy(config: Config, data: Data, *, images: int) -> float:
    """Test accuracy of a network of like size that sees the whole image at once.

    It is the standard pipeline with one glimpse, as wide as the image, and no memory.

    Args:
      config: of the run, whose sizes and learning it shares.
      data: as the run was shown them.
      images: how many to train on.
    """
    height, width = data.test["image"].shape[1:3]
    whole: dict[str, Any] = {"glimpses": 1, "crop": max(height, width), "scales": 1, "core": "feedforward"}
    model = dataclasses.replace(config.model, **whole, policy="centre", sequence=())
    config = dataclasses.replace(config, model=model, images=images)
    return _test_accuracy(config, data)


def _test_accuracy(config: Config, data: Data) -> float:
    graph = config.pipeline(data)
    learner = make_learner(graph, config.learning, steps=config.steps)
    state = learner.init(jax.random.key(config.seed))
    for state, _ in fit(learner, data, state, steps=config.steps, batch=config.batch):  # noqa: B007
        pass
    return float(evaluate(graph, state.params, data.test, key=jax.random.key(config.seed)).accuracy[-1])


def format_diagnosis(measures: dict[str, Any]) -> str:
    """A diagnosis as text: what was measured per saccade, in all, and the verdict."""
    if "information" not in measures:
        return "one glimpse: no saccades to diagnose"
    lines = [f"{'per saccade':<34}" + "".join(f"{index + 1:>8}" for index in range(len(measures["information"])))]
    names = {
        "information": "information about the class (bits)",
        "information_shuffled": "  of shuffled pairs",
        "map_entropy": "entropy of the map (bits)",
    }
    lines += [f"{title:<34}" + "".join(f"{value:>8.2f}" for value in measures[name]) for name, title in names.items()]
    shares = ("coverage", "refixation", "refixation_late", "border", "border_late")
    lines.append(", ".join(f"{name.replace('_', ' ')} {100 * measures[name]:.0f} %" for name in shares))
    lines.append(
        f"median saccade {measures['amplitude_median']:.1f} px, "
        f"gain over the best sequence {100 * measures['gain_over_sequence']:.1f} points"
    )
    lines += [f"COLLAPSED: {reason}" for reason in measures["reasons"]] or ["not collapsed"]
    return "\n".join(lines)
