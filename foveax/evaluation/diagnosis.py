"""Diagnosis: is the eye doing anything? Its controls, its measures, and a verdict."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from foveax import analysis
from foveax._types import InputError
from foveax.evaluation.controls import control_targets, controls_of, own_name
from foveax.evaluation.evaluate import Evaluation
from foveax.graph.graph import Graph

COLLAPSE_SHARE = 0.5
"""The eye has collapsed if more than this share of its late fixations are refixations, or lie on the border."""
GAIN = 0.01
"""What the eye must gain over the best fixed sequence where looking matters, as a share of the images."""
REMEDIES = {
    "refixation": "explore more (--scale-start, --entropy), pay what each glimpse adds (--reward cross_entropy_drop), "
    "link the number of the glimpse and the gaze to the saccader",
    "border": "raise --entropy, which draws the eye inwards, or lower --policy-learning-rate",
    "fixed": "train longer, raise --policy-learning-rate, or let the retina see further (--scales)",
}


def diagnose(
    evaluations: dict[str, Evaluation], graph: Graph, *, height: int, width: int, matters: bool = False
) -> dict[str, dict[str, Any]]:
    """The measures of each eye of a pipeline, and whether it has collapsed.

    An eye has *collapsed* if, from the second half of its glimpses on, more than half its places lie within 3 pixels
    of an earlier one, or within a pixel of the border; or if, where looking must matter (`matters`: on a canvas), it
    gains less than 1 point over the best fixed sequence. The evaluations are those of `evaluate_with_controls`, the
    height and width of the images in pixels.

    Returns:
      JSON types, by agent (by the memory of the gaze, if there are none). Per saccade: ``information`` and
      ``information_shuffled``, between class and place in bits, with its control, and ``map_entropy`` in bits; in all:
      ``coverage``, ``refixation``, ``refixation_late``, ``border``, ``border_late`` (shares), ``amplitude_median``
      (pixels) and ``gain_over_sequence`` (a share of the images); ``collapsed``, and the ``reasons``, each with its
      remedy. Measures that the graph's roles do not allow are left out; a pipeline that makes no saccades has none.
    """
    if own_name(graph) not in evaluations:
        raise InputError(f"evaluations must hold {own_name(graph)!r}; they hold {', '.join(evaluations) or 'none'}")
    own = evaluations[own_name(graph)]
    diagnoses = {}
    for name in control_targets(graph) if graph.length > 1 else ():
        places = own.tracks.get(name, own.fixations)
        assert places is not None
        sequence = controls_of(evaluations, name)["best sequence"]
        gain = float(own.accuracy[-1] - sequence.accuracy[-1])
        measures = {**_measures(places, own.label, graph.roles.crop_size, height, width), "gain_over_sequence": gain}
        reasons = _reasons(measures, _late(places) + 1, matters=matters)
        diagnoses[name] = {**measures, "collapsed": bool(reasons), "reasons": reasons}
    return diagnoses


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


def _measures(places: np.ndarray, label: Any, crop_size: int, height: int, width: int) -> dict[str, Any]:
    sides: dict[str, Any] = {"height": height, "width": width}
    landings = np.moveaxis(places[:, 1:], 1, 0)
    measures: dict[str, Any] = {}
    if label is not None:
        measures["information"] = [analysis.mutual_information(points, label) for points in landings]
        measures["information_shuffled"] = [analysis.shuffled_information(points, label) for points in landings]
    measures["map_entropy"] = [analysis.map_entropy(points) for points in landings]
    if crop_size:
        measures["coverage"] = analysis.coverage(places, size=crop_size, **sides)
    for name, rate in (("refixation", analysis.refixation_rate), ("border", analysis.border_share)):
        measures[name] = rate(places, **sides)
        measures[f"{name}_late"] = rate(places, begin=_late(places), **sides)
    measures["amplitude_median"] = float(np.median(analysis.saccade_amplitudes(places, **sides)))
    return measures


def _reasons(measures: dict[str, Any], late: int, *, matters: bool) -> list[str]:
    """Why an eye counts as collapsed, each reason with what to try."""
    refixation, border, gain = (measures[name] for name in ("refixation_late", "border_late", "gain_over_sequence"))
    since = f"of its fixations from glimpse {late} on"
    cases = (
        (refixation > COLLAPSE_SHARE, "refixation", f"{refixation:.0%} {since} return to an earlier one"),
        (border > COLLAPSE_SHARE, "border", f"{border:.0%} {since} lie on the border"),
        (matters and gain < GAIN, "fixed", f"it gains {100 * gain:.1f} points over the best fixed sequence"),
    )
    return [f"{reason}; try: {REMEDIES[kind]}" for met, kind, reason in cases if met]


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
    shares = ("coverage", "refixation", "refixation_late", "border", "border_late")
    present = [name for name in shares if name in measures]
    lines.append(", ".join(f"{name.replace('_', ' ')} {100 * measures[name]:.0f} %" for name in present))
    gain = f"gain over the best sequence {100 * measures['gain_over_sequence']:.1f} points"
    lines.append(f"median saccade {measures['amplitude_median']:.1f} px, {gain}")
    lines += [f"COLLAPSED: {reason}" for reason in measures["reasons"]] or ["not collapsed"]
    return "\n".join(lines)
