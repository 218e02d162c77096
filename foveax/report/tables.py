"""The tables of a report: numbers next to their controls."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from foveax import analysis
from foveax.analysis.bootstrap import Interval
from foveax.evaluation.controls import own_name
from foveax.evaluation.evaluate import table_title
from foveax.report.findings import Findings, Track

Cell = str | float | Interval
READING_THRESHOLDS = ("1", "0.3", "0.1", "0.01")
"""Entropies of the belief, in bits, at which looking stops in the table of reading times."""


class Table(NamedTuple):
    """A table.

    Attributes:
      title: above it.
      note: below it: the meaning of the numbers.
      header: of the columns.
      rows: each a name and its numbers; an interval stands for a mean and its 95 % bounds, over images.
    """

    title: str
    note: str
    header: list[str]
    rows: list[list[Cell]]


def table_makers(findings: Findings) -> dict[str, Callable[[], Table | None]]:
    """Functions that make the tables, by the names of their files; one gives None where its table does not apply."""
    passes, people = findings.passes, findings.people
    policy = "the policy's own passes"
    makers = findings.by_track(
        accuracy=accuracy_table,
        statistics=statistics_table,
        directions=direction_table,
        information=information_table,
        speed=speed_table,
    )
    return {
        **makers,
        "similarity_to_the_policys_own_passes": lambda: similarity_table(findings, policy, passes, "its mode"),
        "prediction_of_the_policys_own_passes": lambda: density_table(findings, policy, passes),
        "similarity_to_people": lambda: similarity_table(findings, "people", people, "the model"),
        "prediction_of_people": lambda: density_table(findings, "people", people),
    }


def accuracy_table(findings: Findings, track: Track) -> Table | None:
    """The score after each glimpse, under the pipeline's own policy and under its controls."""
    if not track.evaluations:
        return None
    rows: list[list[Cell]] = []
    for name, evaluation in track.evaluations.items():
        last = _mean(100.0 * evaluation.score[:, -1])
        rows.append([name, *(100 * evaluation.accuracy[:-1]).tolist(), last])
    header = ["fixations", *(f"glimpse {index + 1}" for index in range(findings.graph.length))]
    score = table_title(findings.own)
    title = "Decisions after each glimpse" if score.startswith("test accuracy") else "Score after each glimpse"
    note = f"{score.capitalize()}, mode of the policy, one pass; the last with its 95 % interval over images."
    return Table(f"{title}{track.title}", note, header, rows)


def statistics_table(findings: Findings, track: Track) -> Table | None:
    """Statistics of scanpaths, of the own policy and its controls."""
    if not track.places:
        return None
    sides = findings.sides
    crop_size = findings.retina.get("size", 0) if track.is_gaze else 0
    rows: dict[str, dict[str, Cell]] = {}
    for name, paths in track.places.items():
        landings = paths[:, 1:]
        rows[name] = {
            "amplitude": _mean(analysis.saccade_amplitudes(paths, **sides).mean(axis=1)),
            "from centre": _mean(analysis.centre_distances(landings, **sides).mean(axis=1)),
            "refixations": 100 * analysis.refixation_rate(paths, **sides),
            "border": 100 * analysis.border_share(paths, **sides),
            **({"coverage": 100 * analysis.coverage(paths, size=crop_size, **sides)} if crop_size else {}),
            "map entropy": analysis.map_entropy(landings.reshape(-1, 2)),
        }
    covered = ", and the share of the image that crops cover, in %" if crop_size else ", in %"
    note = (
        "Mean saccade amplitude and distance of the landings from the centre in pixels, each with its 95 % interval "
        f"over images; refixations within 3 pixels, landings within a pixel of the border{covered}; entropy of the map "
        "of landings in bits, on a grid of 8 by 8."
    )
    return _score_table(f"Scanpaths{track.title}", note, rows, corner="fixations")


def direction_table(findings: Findings, track: Track) -> Table | None:
    """Shares of saccades by direction, absolute and relative, and returns at each lag, of the own policy."""
    if not track.places:
        return None
    sides = findings.sides
    fixations = track.places[own_name(findings.graph)]
    measures = {
        "direction: right, up, left, down": analysis.saccade_directions,
        "turn: on, left, back, right": analysis.saccade_turns,
    }
    rows: list[list[Cell]] = []
    for name, measure in measures.items():
        angles = measure(fixations, **sides)
        known = angles[~np.isnan(angles)]
        counts = np.bincount(np.mod(np.rint(known / (np.pi / 2)).astype(int), 4), minlength=4)
        rows.append([name, *(100 * counts / len(known)).tolist()] if len(known) else [name])
    rows.append(["returns at lag 1, 2, ...", *(100 * analysis.return_rates(fixations, **sides)).tolist()])
    columns = max(5, len(rows[-1]))
    filled = [[*row, *[""] * (columns - len(row))] for row in rows]
    note = (
        "In %: of saccades, by the nearest quarter; of fixations, those within 3 pixels of the one that many fixations "
        "earlier."
    )
    return Table(f"Directions and returns{track.title}", note, ["", *map(str, range(1, columns))], filled)


def information_table(findings: Findings, track: Track) -> Table | None:
    """Information between each landing and the class, next to its shuffled control, and the entropy of the map."""
    if not track.measures:
        return None
    titles = {
        "information": "information about the class",
        "information_shuffled": "of shuffled pairs",
        "map_entropy": "entropy of the map",
    }
    measures = track.measures
    rows: list[list[Cell]] = [[title, *measures[name]] for name, title in titles.items() if name in measures]
    header = ["bits", *(f"saccade {index}" for index in range(1, findings.graph.length))]
    title = "Landings and the class" if "information" in measures else "Landings"
    return Table(f"{title}{track.title}", "Bits, on a grid of 8 by 8.", header, rows)


def speed_table(findings: Findings, track: Track) -> Table | None:
    """Reading time and accuracy, if looking stops once the belief is sure enough."""
    if not track.evaluations or not findings.has_distributions:
        return None
    thresholds = np.array(READING_THRESHOLDS, np.float64)
    rows: list[list[Cell]] = []
    for name, evaluation in track.evaluations.items():
        assert evaluation.probabilities is not None
        assert evaluation.label is not None
        curve = analysis.speed_accuracy(evaluation.probabilities, evaluation.label, thresholds=thresholds)
        rows.append([name, *np.stack([curve.glimpses, 100 * curve.accuracy], axis=1).ravel().tolist()])
    header = ["fixations", *(cell for bits in READING_THRESHOLDS for cell in (f"glimpses, {bits} bits", "%"))]
    note = "Mean number of glimpses until the entropy of the belief falls below a threshold, and the accuracy then."
    return Table(f"Reading time{track.title}", note, header, rows)


def similarity_table(findings: Findings, observer: str, observers: np.ndarray | None, candidate: str) -> Table | None:
    """Similarity of the gaze, under the name of the candidate, to the scanpaths ``[O, N, T, 2]`` of observers."""
    gaze = findings.own.fixations
    if observers is None or gaze is None:
        return None
    scores = analysis.compare_scanpaths(observers, {candidate: gaze[: observers.shape[1]]}, **findings.sides)
    note = (
        f"Scanpaths compared with those of {observer} on the same image, next to controls and the ceiling between "
        "observers, each with its 95 % interval over images. MultiMatch and ScanMatch: 1 is alike; levenshtein in "
        f"edits and time warping in pixels: 0 is alike. Of each scanpath the first {observers.shape[2]} fixations."
    )
    return _score_table(f"Likeness to {observer}", note, scores)


def density_table(findings: Findings, observer: str, observers: np.ndarray | None) -> Table | None:
    """Scores of maps, that of the policy's passes among them, that predict where observers ``[O, N, T, 2]`` look."""
    passes = findings.passes
    if observers is None or passes is None or len(observers) < 2:
        return None
    images = min(observers.shape[1], passes.shape[1])
    model = {"the model": analysis.observed_densities(passes[:, :images], **findings.sides)}
    maps = {} if observers is passes else model
    scores = analysis.compare_densities(observers[:, :images], maps, **findings.sides)
    note = (
        f"Maps scored by where half of {observer} land; the ceiling is the map of the other half. Information gain in "
        "bits over the map of all other images, KL in nats; all with their 95 % intervals over images."
    )
    return _score_table(f"Predicting {observer}", note, scores)


def expanded(table: Table) -> list[list[Cell]]:
    """Header and rows of a table with each interval as three numbers, for a file."""
    wide = {index for row in table.rows for index, cell in enumerate(row) if isinstance(cell, Interval)}
    names = [[title, f"{title} low", f"{title} high"] if index in wide else [title]
             for index, title in enumerate(table.header)]  # fmt: skip
    rows = [[list(cell) if isinstance(cell, Interval) else [cell] for cell in row] for row in table.rows]
    return [[cell for cells in row for cell in cells] for row in [names, *rows]]


def _score_table(title: str, note: str, scores: Mapping[str, Mapping[str, Cell]], corner: str = "") -> Table:
    """A table of scores by row and column."""
    rows: list[list[Cell]] = [[name, *columns.values()] for name, columns in scores.items()]
    return Table(title, note, [corner, *next(iter(scores.values()))], rows)


def _mean(values: np.ndarray) -> Interval:
    """A mean with its interval; without one where the values are not all finite, as losses may be."""
    if np.isfinite(values).all():
        return analysis.bootstrap_mean(values)
    return Interval(float(values.mean()), float("nan"), float("nan"))
