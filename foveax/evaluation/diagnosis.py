"""Diagnosis: what looking is worth, and a verdict on each eye, in words."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from foveax import analysis
from foveax._types import REFIXATION_PIXELS, InputError
from foveax.evaluation.controls import control_targets, controls_of, own_name
from foveax.evaluation.evaluate import Evaluation
from foveax.graph.graph import Graph

MARGIN = 0.005
"""A gain of less than this share of the images is none."""
DWELL_SHARE = 0.5
"""An eye stays if more than this share of its late fixations are at one place, or on the border."""


class Gain(NamedTuple):
    """By how much the score after the last glimpse exceeds a control's, and the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float


def diagnose(evaluations: dict[str, Evaluation], graph: Graph, *, height: int, width: int) -> dict[str, dict[str, Any]]:
    """What looking is worth to each eye of a pipeline, its measures, and a verdict.

    The verdicts, on the evaluations of `evaluate_with_controls`, for images of some height and width in pixels:

    - *a gaze*: the eye gains over the best fixed sequence and over another image's fixations: both intervals lie
      above 0.
    - *collapsed*: no gaze, and from the second half of its glimpses on more than half its places lie within half a crop
      of the mean of those it chose in the trial, or within a pixel of the border; and the best fixed sequence serves
      better, or the classifier reads no other place (random fixations lose what the first glimpse told).
    - *an itinerary*: one of the two gains is less than half a point, by its whole interval: what it does could be done
      without looking at the image.
    - *cannot be told*: all else; from more images it could.

    The intervals are of paired differences between images (`paired_gain`).

    Returns:
      JSON types, by agent (by the memory of the gaze, if there are none). ``verdict`` and ``because``, a sentence;
      ``collapsed``; ``gain_over_sequence`` and ``gain_over_another``, each a `Gain` as a share of the images. Per
      saccade: ``information`` and ``information_shuffled``, between class and place in bits, with its control, and
      ``map_entropy`` in bits; in all: ``coverage``, ``refixation``, ``refixation_late``, ``border``, ``border_late``,
      ``dwell_late`` (shares) and ``amplitude_median`` (pixels). Measures that the graph's roles do not allow are left
      out; a pipeline that makes no saccades has none.
    """
    if own_name(graph) not in evaluations:
        raise InputError(f"evaluations must hold {own_name(graph)!r}; they hold {', '.join(evaluations) or 'none'}")
    own = evaluations[own_name(graph)]
    diagnoses = {}
    for name in control_targets(graph) if graph.length > 1 else ():
        places = own.tracks.get(name, own.fixations)
        assert places is not None
        controls = controls_of(evaluations, name)
        sequence = paired_gain(own, controls["best sequence"])
        another = paired_gain(own, controls.get("another image", own))  # of a single image there is no other
        measures = _measures(places, own, graph.roles.crop_size, height, width)
        reads_elsewhere = controls["random"].accuracy[-1] >= own.accuracy[0]
        verdict, because = _verdict(sequence, another, measures, len(places), reads_elsewhere=bool(reads_elsewhere))
        if verdict == "collapsed":
            because += f"; try: {_remedies(graph, name)}"
        diagnoses[name] = {
            **measures,
            "gain_over_sequence": sequence._asdict(),
            "gain_over_another": another._asdict(),
            "verdict": verdict,
            "because": because,
            "collapsed": verdict == "collapsed",
        }
    return diagnoses


def paired_gain(own: Evaluation, control: Evaluation) -> Gain:
    """The gain of one evaluation over another on the same images, after the last glimpse.

    Of decisions the 95 % interval is that of Bonett and Price (2012, Journal of Educational and Behavioral Statistics
    37): Wald's for the difference of paired proportions, with one image added to each kind of disagreement, so that it
    keeps its width where few images differ. Of other scores it is the mean's, by the normal distribution.

    Example:
      >>> label = np.zeros(100, np.int32)
      >>> right, wrong = (np.tile(row, (100, 1, 1)).astype(np.float32) for row in ([[1, 0]], [[0, 1]]))
      >>> none = np.zeros((100, 1), np.float32)
      >>> gain = paired_gain(*(Evaluation(each, label, None, {}, none, {}) for each in (right, wrong)))
      >>> round(gain.low, 3), gain.mean
      (0.942, 1.0)
    """
    difference = (own.score[:, -1] - control.score[:, -1]).astype(np.float64)
    mean, size = difference.mean(), len(difference)
    centre, error = mean, difference.std() / np.sqrt(size)
    if own.probabilities is not None and own.label is not None:
        better, worse = (np.sum(difference > 0) + 1) / (size + 2), (np.sum(difference < 0) + 1) / (size + 2)
        centre = better - worse
        error = np.sqrt((better + worse - centre**2) / (size + 2))
    return Gain(float(mean), float(centre - 1.96 * error), float(centre + 1.96 * error))


def has_collapsed(diagnoses: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether any eye has collapsed."""
    return any(measures["collapsed"] for measures in diagnoses.values())


def format_diagnosis(diagnoses: Mapping[str, Mapping[str, Any]]) -> str:
    """Diagnoses as text: what was measured per saccade, in all, and the verdict; of several agents, each by name."""
    titles = [f"{name}:\n" if len(diagnoses) > 1 else "" for name in diagnoses]
    parts = [title + _format(measures) for title, measures in zip(titles, diagnoses.values(), strict=True)]
    return "\n".join(parts) or "no saccades to diagnose"


def _late(places: np.ndarray) -> int:
    """The first glimpse of the second half."""
    return max((places.shape[1] + 1) // 2, 1)


def _measures(places: np.ndarray, own: Evaluation, crop_size: int, height: int, width: int) -> dict[str, Any]:
    sides: dict[str, Any] = {"height": height, "width": width}
    landings = np.moveaxis(places[:, 1:], 1, 0)
    measures: dict[str, Any] = {}
    label, in_picture = own.label, own.in_picture(places)
    if label is not None:
        measures["information"] = [analysis.mutual_information(points, label) for points in landings]
        measures["information_shuffled"] = [analysis.shuffled_information(points, label) for points in landings]
    measures["map_entropy"] = [analysis.map_entropy(points) for points in landings]
    if crop_size:
        measures["coverage"] = analysis.coverage(places, size=crop_size, **sides)
    rates = {"refixation": (analysis.refixation_rate, places), "border": (analysis.border_share, in_picture)}
    for name, (rate, looked_at) in rates.items():
        measures[name] = rate(looked_at, **sides)
        measures[f"{name}_late"] = rate(looked_at, begin=_late(places), **sides)
    chosen = places[:, 1:] * np.array([width - 1, height - 1])
    distance = np.linalg.norm(chosen - chosen.mean(axis=1, keepdims=True), axis=-1)[:, _late(places) - 1 :]
    measures["dwell_late"] = float((distance <= (crop_size or 2 * REFIXATION_PIXELS) / 2).mean())
    measures["amplitude_median"] = float(np.median(analysis.saccade_amplitudes(places, **sides)))
    return measures


def _verdict(
    sequence: Gain, another: Gain, measures: Mapping[str, Any], images: int, *, reads_elsewhere: bool
) -> tuple[str, str]:
    """The verdict and why, as `diagnose` describes them."""
    over = (
        f"{format_gain(sequence)} over the best fixed sequence",
        f"{format_gain(another)} over another image's places",
    )
    gains = f"it gains {' and '.join(over)}"
    dwell, border = measures["dwell_late"], measures["border_late"]
    if sequence.low > 0 and another.low > 0:
        return "a gaze", gains
    if max(dwell, border) > DWELL_SHARE and (sequence.high < 0 or not reads_elsewhere):
        place = "at one place" if dwell >= border else "on the border"
        return "collapsed", f"{max(dwell, border):.0%} of its late fixations are {place}; {gains}"
    if min(sequence.high, another.high) < MARGIN:
        return "an itinerary", gains
    return f"cannot be told from {images:,} images", gains


def format_gain(gain: Gain) -> str:
    """A gain in points, with its interval."""
    return f"{100 * gain.mean:.1f} points ({100 * gain.low:.1f} to {100 * gain.high:.1f})"


def _remedies(graph: Graph, agent: str) -> str:
    """What can be tried against a collapse that is not in force already."""
    scale = graph.hyperparameters.get("scale_start")
    now = "" if scale is None else f", now {float(scale):g}"
    sources = graph.wiring.sources.get(agent, {})
    missing = [port for port in ("index", "position") if port in graph.modules.get(agent, graph).inputs]
    links = [f"a link into {agent}.{port}" for port in missing if port not in sources]
    paid = "pay for what a glimpse tells alone (--glimpse-reward 1 --saccade relative --saccader-sees both)"
    alone = [] if "glimpse_reward" in graph.hyperparameters else [paid]
    return ", ".join([f"more exploration (--scale-start{now}; --entropy)", *alone, *links])


def _format(measures: Mapping[str, Any]) -> str:
    lines = [f"{'per saccade':<34}" + "".join(f"{index + 1:>8}" for index in range(len(measures["map_entropy"])))]
    titles = {
        "information": "information about the class (bits)",
        "information_shuffled": "  of shuffled pairs",
        "map_entropy": "entropy of the map (bits)",
    }
    for name, title in titles.items():
        if name in measures:
            lines.append(f"{title:<34}" + "".join(f"{value:>8.2f}" for value in measures[name]))
    shares = ("coverage", "refixation", "refixation_late", "border", "border_late", "dwell_late")
    present = [name for name in shares if name in measures]
    lines.append(", ".join(f"{name.replace('_', ' ')} {100 * measures[name]:.0f} %" for name in present))
    lines.append(f"median saccade {measures['amplitude_median']:.1f} px")
    verdict = measures["verdict"].upper() if measures["collapsed"] else measures["verdict"]
    lines.append(f"{verdict}: {measures['because']}")
    return "\n".join(lines)
