"""The tables of a report: numbers beside their controls."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from foveax import analysis
from foveax.analysis.bootstrap import Interval
from foveax.training.evaluate import Evaluation

Cell = str | float | Interval


class Table(NamedTuple):
    """A table.

    Attributes:
      name: of its file.
      title: above it.
      note: below it: what the numbers are.
      header: of the columns.
      rows: each a name and its numbers; an interval stands for a mean and its 95 % bounds, over images.
    """

    name: str
    title: str
    note: str
    header: list[str]
    rows: list[list[Cell]]


def accuracy_table(evaluations: Mapping[str, Evaluation]) -> Table:
    """Correct decisions after each glimpse, under the pipeline's own policy and under its controls."""
    glimpses = next(iter(evaluations.values())).fixations.shape[1]
    rows: list[list[Cell]] = []
    for name, done in evaluations.items():
        last = analysis.bootstrap_mean(100.0 * (done.predicted[:, -1] == done.label))
        rows.append([name, *(100 * done.accuracy[:-1]).tolist(), last])
    header = ["fixations", *(f"glimpse {index + 1}" for index in range(glimpses))]
    note = "Correct, in %, mean action, one pass; the last with its 95 % interval over images."
    return Table("accuracy", "Decisions after each glimpse", note, header, rows)


def statistics_table(evaluations: Mapping[str, Evaluation], *, height: int, width: int, crop: int) -> Table:
    """Statistics of scanpaths, of the own policy and its controls."""
    sides = {"height": height, "width": width}
    rows: list[list[Cell]] = []
    for name, done in evaluations.items():
        paths = done.fixations
        amplitude = analysis.bootstrap_mean(analysis.saccade_amplitudes(paths, **sides).mean(axis=1))
        away = analysis.bootstrap_mean(analysis.centre_distances(paths[:, 1:], **sides).mean(axis=1))
        shares = (
            analysis.refixation_rate(paths, **sides),
            analysis.border_share(paths, **sides),
            analysis.coverage(paths, size=crop, **sides),
        )
        entropy = analysis.map_entropy(paths[:, 1:].reshape(-1, 2))
        rows.append([name, amplitude, away, *(100 * share for share in shares), entropy])
    header = ["fixations", "amplitude", "from centre", "refixations", "border", "coverage", "map entropy"]
    note = (
        "Mean saccade amplitude and distance of the landings from the centre in pixels, each with its 95 % interval "
        "over images; refixations within 3 pixels, landings within a pixel of the border, and the share of the image "
        "that crops cover, in %; entropy of the map of landings in bits, on a grid of 8 by 8."
    )
    return Table("statistics", "Scanpaths", note, header, rows)


def direction_table(fixations: np.ndarray, *, height: int, width: int) -> Table:
    """Shares of saccades by direction, absolute and relative, and returns at each lag."""
    sides = {"height": height, "width": width}
    rows: list[list[Cell]] = []
    for name, angles in (
        ("direction: right, up, left, down", analysis.saccade_directions(fixations, **sides)),
        ("turn: on, left, back, right", analysis.saccade_turns(fixations, **sides)),
    ):
        known = angles[~np.isnan(angles)]
        quarter = np.mod(np.rint(known / (np.pi / 2)).astype(int), 4)
        counts = np.bincount(quarter, minlength=4)
        rows.append([name, *(100 * counts / len(known)).tolist()] if len(known) else [name, *[""] * 4])
    returns = analysis.return_rates(fixations, **sides)
    rows.append(["returns at lag 1, 2, ...", *(100 * returns).tolist()])
    longest = max(len(row) for row in rows)
    filled = [[*row, *[""] * (longest - len(row))] for row in rows]
    note = "In %: of saccades, by the nearest quarter; of fixations, those within 3 pixels of the one so many before."
    return Table("directions", "Directions and returns", note, ["", *map(str, range(1, longest))], filled)


def information_table(verdict: Mapping[str, Any]) -> Table:
    """What each landing says about the class, beside its shuffled control."""
    names = {
        "information": "information about the class",
        "information_shuffled": "of shuffled pairs",
        "map_entropy": "entropy of the map",
    }
    rows: list[list[Cell]] = [[title, *verdict[name]] for name, title in names.items()]
    saccades = len(verdict["information"])
    header = ["bits", *(f"saccade {index + 1}" for index in range(saccades))]
    return Table("information", "What landings tell", "Bits, on a grid of 8 by 8.", header, rows)


def speed_table(evaluations: Mapping[str, Evaluation]) -> Table:
    """Speed and accuracy, if looking stops once the belief is sure enough."""
    rows: list[list[Cell]] = []
    for name, done in evaluations.items():
        curve = analysis.speed_accuracy(done.probabilities, done.label, thresholds=np.array([1.0, 0.3, 0.1, 0.01]))
        pairs = zip(curve.glimpses.tolist(), (100 * curve.accuracy).tolist(), strict=True)
        rows.append([name, *(number for pair in pairs for number in pair)])
    header = ["fixations", *(cell for bits in ("1", "0.3", "0.1", "0.01") for cell in (f"glimpses, {bits} bits", "%"))]
    note = "Mean number of glimpses until the entropy of the belief falls under so many bits, and what is correct then."
    return Table("speed", "Reading time", note, header, rows)


def similarity_table(
    whom: str, observers: np.ndarray, candidates: Mapping[str, np.ndarray], *, height: int, width: int
) -> Table:
    """How like observers' scanpaths others are."""
    scores = analysis.compare_scanpaths(observers, candidates, height=height, width=width)
    note = (
        f"Scanpaths compared with those of {whom} on the same image, beside controls and the ceiling between "
        "observers, each with its 95 % interval over images. MultiMatch and ScanMatch: 1 is alike; levenshtein in "
        f"edits and time warping in pixels: 0 is alike. Of each scanpath the first {observers.shape[2]} fixations."
    )
    return _scored(f"similarity to {whom}", f"Likeness to {whom}", note, scores)


def density_table(
    whom: str, observers: np.ndarray, densities: Mapping[str, np.ndarray], *, height: int, width: int
) -> Table:
    """How well maps predict where observers look."""
    scores = analysis.compare_densities(observers, densities, height=height, width=width)
    note = (
        f"Maps scored by where half of {whom} land; the ceiling is the map of the other half. Information gain in bits "
        "over the map of all other images, KL in nats; all with their 95 % intervals over images."
    )
    return _scored(f"prediction of {whom}", f"Predicting {whom}", note, scores)


def _scored(name: str, title: str, note: str, scores: Mapping[str, Mapping[str, Interval]]) -> Table:
    rows: list[list[Cell]] = [[candidate, *found.values()] for candidate, found in scores.items()]
    header = ["", *next(iter(scores.values()))]
    return Table(name.replace(" ", "_").replace("'", ""), title, note, header, rows)


def expanded(table: Table) -> list[list[Cell]]:
    """Header and rows of a table with each interval as three numbers, for a file."""
    wide = {index for row in table.rows for index, cell in enumerate(row) if isinstance(cell, Interval)}
    names = [[title, f"{title} low", f"{title} high"] if index in wide else [title]
             for index, title in enumerate(table.header)]  # fmt: skip
    rows = [[list(cell) if isinstance(cell, Interval) else [cell] for cell in row] for row in table.rows]
    return [[cell for cells in row for cell in cells] for row in [names, *rows]]
