"""Lesions of a code: what becomes of it, and of the decisions, without the units that carry it."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from foveax._arrays import check_count, check_number
from foveax._types import InputError, Key, Params
from foveax.analysis.activations import record_activations
from foveax.analysis.bootstrap import Interval, bootstrap_mean
from foveax.analysis.decoding import decode, fixation_targets
from foveax.analysis.selectivity import place_selectivity
from foveax.data.dataset import Split
from foveax.evaluation.evaluate import greedy, silent, watch
from foveax.graph.graph import Graph, parse_port
from foveax.modules.interventions import lesion
from foveax.modules.scripted import following

LESIONED_IMAGES = 1_000
"""Images on which a code is decoded, at most."""


class LesionRow(NamedTuple):
    """A code with some units lesioned.

    Attributes:
      units: their numbers.
      same_decoder: R² of the decoder of the intact network, read from lesioned activity.
      new_decoder: R² of a decoder that was fitted to lesioned activity.
      accuracy: after the last glimpse; None without a belief and a label.
    """

    units: list[int]
    same_decoder: Interval
    new_decoder: Interval
    accuracy: Interval | None


def lesion_code(
    graph: Graph,
    params: dict[str, Params],
    split: Split,
    port: str,
    folder: str | Path,
    *,
    key: Key,
    code: str = "position",
    share: float = 0.005,
    randoms: int = 5,
    report: Any = silent,
) -> dict[str, LesionRow]:
    """Lesions the units that carry a code of where the eye is, and as many at random, and decodes it again.

    The units are those of a port whose activity follows the code best, each by itself (`place_selectivity`); a lesioned
    unit stays at its mean. The eye is moved as it was without lesions, so that all decode the same fixations. Activity
    is recorded in folders (`record_activations`), so that a stopped analysis is resumed.

    Args:
      graph: of a run, with a gaze.
      params: of its modules.
      split: at most `LESIONED_IMAGES` of it are shown.
      port: a layer (`lesion`), such as ``classifier.core``.
      folder: for the recordings.
      key: of whatever is drawn at random.
      code: one of `fixation_targets`.
      share: of the units, in (0, 1]; at least one is lesioned.
      randoms: lesions of as many units at random.
      report: called with what is done next, as a line.

    Returns:
      by name: ``"intact"``, ``"best units"``, and ``"random units 1"`` and so on.

    Raises:
      InputError: if the graph declares no gaze, there is no such code, or the share is out of range.
    """
    gaze = graph.roles.gaze
    if not gaze or gaze not in graph.wiring.writes:
        raise InputError("the graph must declare a gaze (Roles) that is written, to lesion a code of it; it does not")
    if not 0 < check_number("share", share) <= 1:
        raise InputError(f"share must be more than 0 and at most 1; got {share}")
    size = min(len(next(iter(split.values()))), LESIONED_IMAGES)
    images = {name: split[name][:size] for name in graph.inputs}
    own, held = greedy(graph), following(greedy(graph), graph.wiring.writes[gaze])
    ports = list(dict.fromkeys(filter(None, [port, f"memory.{gaze}", graph.roles.belief, graph.roles.label])))

    def record(name: str, shown: Graph, given: Split) -> dict[str, np.ndarray]:
        report(name)
        place = Path(folder).expanduser() / name.replace(" ", "-")
        return record_activations(shown, params, given, ports, place, key=key, watch=watch)

    intact = record("intact", own, images)
    fixations = np.asarray(intact[f"memory.{gaze}"])
    targets = fixation_targets(fixations)
    if code not in targets:
        raise InputError(f"code must be one of {', '.join(targets)}; got {code!r}")
    activity = np.asarray(intact[port]).reshape(size, graph.length, -1)
    count = max(round(share * activity.shape[-1]), 1)
    best = np.argsort(-place_selectivity(activity, targets[code]), kind="stable")[:count]
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    others = np.setdiff1d(np.arange(activity.shape[-1]), best)
    draws = check_count("randoms", randoms, 0) if len(others) >= count else 0
    chosen = {"best units": best}
    chosen |= {f"random units {number + 1}": rng.choice(others, count, replace=False) for number in range(draws)}
    means = activity.mean((0, 1)).reshape(graph.wiring.outputs[parse_port(port).module][parse_port(port).port].shape)
    whole = decode(activity, targets[code], shuffles=0).score
    rows = {"intact": LesionRow([], whole, whole, _accuracy(graph, intact))}
    given = {**images, "fixations": fixations[:, 1:].astype(np.float32)}
    for name, units in chosen.items():
        recorded = record(name, lesion(held, port, units, means), given)
        lesioned = np.asarray(recorded[port]).reshape(activity.shape)
        same = decode(activity, targets[code], tested=lesioned, shuffles=0).score
        new = decode(lesioned, targets[code], shuffles=0).score
        rows[name] = LesionRow(units.tolist(), same, new, _accuracy(graph, recorded))
    return rows


def format_lesions(rows: dict[str, LesionRow]) -> str:
    """A table of lesions, a row each, as text."""

    def cell(interval: Interval | None, factor: float = 1.0) -> str:
        numbers = ("-",) * 3 if interval is None else tuple(f"{factor * value:.3f}" for value in interval)
        return "{} ({} to {})".format(*numbers).rjust(28)

    lines = [f"{'':<16}{'units':>6}" + "".join(f"{name:>28}" for name in ("same decoder", "new decoder", "accuracy"))]
    for name, row in rows.items():
        cells = cell(row.same_decoder) + cell(row.new_decoder) + cell(row.accuracy)
        lines.append(f"{name:<16}{len(row.units):>6}{cells}")
    return "\n".join(lines)


def _accuracy(graph: Graph, recorded: dict[str, np.ndarray]) -> Interval | None:
    if not graph.roles.belief or not graph.roles.label:
        return None
    label = recorded[graph.roles.label][:, -1]
    return bootstrap_mean((recorded[graph.roles.belief][:, -1].argmax(-1) == label).astype(float))
