"""The tables of a report: numbers next to their controls."""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from foveax import analysis
from foveax.evaluation.evaluate import Evaluation, table_title
from foveax.report.findings import Findings, Makers, Track

Cell = str | float | analysis.Interval
READING_THRESHOLDS = ("1", "0.3", "0.1", "0.01")
"""Entropies of the belief, in bits, at which looking stops in the table of reading times."""
SUBJECTS = 12
"""People who are named under a table."""


class Table(NamedTuple):
    """A table: a sentence on what its numbers are, and rows that begin with a name; intervals are over images."""

    note: str
    header: list[str]
    rows: list[list[Cell]]


class Observers(NamedTuple):
    """Scanpaths ``[O, M, T, 2]`` on some test images ``[M]``, the name of the gaze beside them, and what was kept."""

    images: np.ndarray
    paths: np.ndarray
    gaze: str
    kept: str


def tables_of_track(findings: Findings, track: Track) -> Makers[Table]:
    """The tables of one agent, or of the gaze."""
    tables: Makers[Table] = {}
    if track.evaluations:
        kind = "Decisions" if findings.has_decisions else "Score"
        tables["accuracy"] = (f"{kind} after each glimpse", lambda: _accuracy_table(findings, track))
    if track.places:
        tables["statistics"] = ("Scanpaths", lambda: _statistics_table(findings, track))
        tables["directions"] = ("Directions and returns", lambda: _direction_table(findings, track))
    if track.measures:
        title = "Landings and the class" if "information" in track.measures else "Landings"
        tables["information"] = (title, lambda: _information_table(findings, track))
    if track.evaluations and findings.has_decisions:
        tables["speed"] = ("Reading time", lambda: _speed_table(track.evaluations))
    return tables


def tables_of_decisions(findings: Findings) -> Makers[Table]:
    """Which classes are decided rightly, and how far confidence is to be trusted."""
    if not findings.has_decisions:
        return {}
    return {
        "class_accuracy": ("Accuracy by class", lambda: _class_table(findings)),
        "calibration": ("Confidence", lambda: _calibration_table(findings.evaluations)),
        "stopping": ("Looking longer at what is harder", lambda: _stopping_table(findings.own)),
    }


def tables_of_observers(findings: Findings) -> Makers[Table]:
    """The comparison with the policy's passes and with people; maps are scored by two subjects or more."""
    groups: dict[str, Observers] = {}
    if findings.passes is not None:
        images = np.arange(findings.passes.shape[1])
        groups["the policy's own passes"] = Observers(images, findings.passes, "its mode", "")
    if findings.people is not None:
        images, observers, given, subjects = findings.people
        more = f" and {len(subjects) - SUBJECTS} more" if len(subjects) > SUBJECTS else ""
        kept = (
            f" These are {observers[..., 0].size:,} of people's {given:,} fixations, on {len(images):,} images, by "
            f"{', '.join(subjects[:SUBJECTS])}{more}."
        )
        groups["people"] = Observers(images, observers, "the model", kept)
    tables: Makers[Table] = {}
    for name, group in groups.items():
        file = name.replace(" ", "_").replace("'", "")
        likeness = functools.partial(_similarity_table, findings, name, group)
        tables[f"similarity_to_{file}"] = (f"Likeness to {name}", likeness)
        if len(group.paths) > 1:
            prediction = functools.partial(_density_table, findings, name, group)
            tables[f"prediction_of_{file}"] = (f"Predicting {name}", prediction)
    return tables


def expanded(table: Table) -> list[list[Cell]]:
    """Header and rows of a table with each interval as three numbers, for a file."""
    wide = {index for row in table.rows for index, cell in enumerate(row) if isinstance(cell, analysis.Interval)}
    names = [[title, f"{title} low", f"{title} high"] if index in wide else [title]
             for index, title in enumerate(table.header)]  # fmt: skip
    rows = [[list(cell) if isinstance(cell, analysis.Interval) else [cell] for cell in row] for row in table.rows]
    return [[cell for cells in row for cell in cells] for row in [names, *rows]]


def _accuracy_table(findings: Findings, track: Track) -> Table:
    rows: list[list[Cell]] = [
        [name, *(100 * evaluation.accuracy[:-1]).tolist(), _mean(100.0 * evaluation.score[:, -1])]
        for name, evaluation in track.evaluations.items()
    ]
    score = table_title(findings.own).capitalize()
    count = len(findings.own.losses)
    note = f"{score}, mode of the policy, one pass, n = {count:,}; the last with its 95 % interval over images."
    return Table(note, ["fixations", *_numbered("glimpse", rows)], rows)


def _class_table(findings: Findings) -> Table:
    """The accuracy of each class after the last glimpse, and what its images are most often taken for."""
    own, called = findings.own, findings.run.data.class_name
    assert own.label is not None
    decided = own.predicted[:, -1]
    rows: list[list[Cell]] = []
    for kind in np.unique(own.label):
        taken = decided[own.label == kind]
        share = float((taken == kind).mean())
        low, high = analysis.wilson_interval(np.array(share), len(taken))
        wrong = np.bincount(taken[taken != kind])
        mistake = f"{called(int(wrong.argmax()))} ({wrong.max()})" if wrong.size else ""
        rows.append(
            [
                called(kind),
                str(len(taken)),
                analysis.Interval(100 * share, 100 * float(low), 100 * float(high)),
                mistake,
            ]
        )
    note = "After the last glimpse, correct in % with 95 % Wilson intervals; how often in brackets."
    return Table(note, ["class", "n", "correct", "most often taken for"], rows)


def _calibration_table(evaluations: Mapping[str, Evaluation]) -> Table:
    rows: list[list[Cell]] = []
    for name, evaluation in evaluations.items():
        assert evaluation.probabilities is not None
        last = evaluation.probabilities[:, -1]
        assert evaluation.label is not None
        error = analysis.calibration(last, evaluation.label).error
        rows.append([name, _mean(100.0 * evaluation.score[:, -1]), _mean(100.0 * last.max(axis=-1)), 100 * error])
    count = len(next(iter(evaluations.values())).losses)
    note = (
        f"After the last glimpse, in %, n = {count:,} images. Expected calibration error: the sum over 15 bins of "
        "confidence of |share of decisions in the bin| x |correct in it - mean confidence in it| (Guo et al. 2017, On "
        "Calibration of Modern Neural Networks, ICML, equation 3); 0 is best."
    )
    return Table(note, ["fixations", "correct", "mean confidence", "calibration error"], rows)


def _statistics_table(findings: Findings, track: Track) -> Table:
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
            **({"coverage": 100 * analysis.coverage(paths, **sides, size=crop_size)} if crop_size else {}),
            "map entropy": analysis.map_entropy(landings.reshape(-1, 2)),
        }
    covered = ", and the share of the image that crops cover" if crop_size else ""
    note = (
        f"n = {len(findings.own.losses):,} scanpaths. Mean saccade amplitude and distance of the landings from the "
        "centre in pixels, each with its 95 % interval over images; refixations within 3 pixels, landings "
        f"within a pixel of the border{covered}, in %; entropy of the map of landings in bits, on a grid of 8 by 8."
    )
    return _table_of_scores(note, "fixations", rows)


def _direction_table(findings: Findings, track: Track) -> Table:
    """Of the own policy."""
    sides = findings.sides
    fixations = next(iter(track.places.values()))

    def quarters(name: str, angles: np.ndarray) -> list[Cell]:
        nearest = np.rint(angles[~np.isnan(angles)] / (np.pi / 2)).astype(int) % 4
        return [name, *(100 * (np.bincount(nearest, minlength=4) / len(nearest))).tolist()] if len(nearest) else [name]

    rows = [
        quarters("direction: right, up, left, down", analysis.saccade_directions(fixations, **sides)),
        quarters("turn: on, left, back, right", analysis.saccade_turns(fixations, **sides)),
        ["returns at lag 1, 2, ...", *(100 * analysis.return_rates(fixations, **sides)).tolist()],
    ]
    note = "In %: saccades by the nearest quarter; fixations within 3 pixels of the one that many fixations earlier."
    columns = max(5, *map(len, rows))
    filled = [[*row, *[""] * (columns - len(row))] for row in rows]
    return Table(note, ["", *map(str, range(1, columns))], filled)


def _information_table(findings: Findings, track: Track) -> Table:
    titles = {
        "information": "information about the class",
        "information_shuffled": "of shuffled pairs",
        "map_entropy": "entropy of the map",
    }
    measures, note = track.measures, "Bits, on a grid of 8 by 8."
    rows: list[list[Cell]] = [[title, *measures[name]] for name, title in titles.items() if name in measures]
    if track.is_gaze and findings.passes is not None:
        note += f" That about the image is of order 2, of {len(findings.passes)} passes of the policy as it is sampled."
        rows.append(["information about the image", *analysis.image_information(findings.passes)[1:]])
        rows.append(["of shuffled images", *analysis.shuffled_image_information(findings.passes)[1:]])
    return Table(note, ["bits", *_numbered("saccade", rows)], rows)


def _speed_table(evaluations: Mapping[str, Evaluation]) -> Table:
    thresholds = np.array(READING_THRESHOLDS, np.float64)
    rows: list[list[Cell]] = []
    for name, evaluation in evaluations.items():
        assert evaluation.probabilities is not None
        assert evaluation.label is not None
        curve = analysis.speed_accuracy(evaluation.probabilities, evaluation.label, thresholds=thresholds)
        rows.append([name, *np.stack([curve.glimpses, 100 * curve.accuracy], axis=1).ravel().tolist()])
    header = ["fixations", *(cell for bits in READING_THRESHOLDS for cell in (f"glimpses, {bits} bits", "%"))]
    note = "Mean number of glimpses until the entropy of the belief falls below a threshold, and the accuracy then."
    return Table(note, header, rows)


def _stopping_table(own: Evaluation) -> Table:
    assert own.probabilities is not None
    assert own.label is not None
    rows: list[list[Cell]] = []
    for bits in READING_THRESHOLDS:
        glimpses = analysis.reading_time(own.probabilities, threshold=float(bits))
        shares = analysis.allocation(own.probabilities, own.label, glimpses)
        rows.append([f"{bits} bits", float(glimpses.mean()), *(100 * share for share in shares)])
    note = (
        "Accuracy if looking stops once the entropy of the belief is below a threshold, and if the same numbers of "
        "glimpses are dealt to the images at random, or in reverse order."
    )
    return Table(note, ["threshold", "mean glimpses", "each its own %", "at random %", "reversed %"], rows)


def _similarity_table(findings: Findings, name: str, group: Observers) -> Table:
    """Similarity of the gaze to the scanpaths of observers, both cut to the shorter length."""
    fixations = findings.own.fixations
    assert fixations is not None
    length = min(group.paths.shape[2], fixations.shape[1])
    candidates = {group.gaze: fixations[group.images, :length]}
    note = (
        f"Scanpaths compared with those of {name} on the same image, next to controls and the ceiling between "
        "observers, each with its 95 % interval over images. MultiMatch and ScanMatch: 1 is alike; levenshtein in "
        f"edits and time warping in pixels: 0 is alike. Of each scanpath, on both sides, the first {length} fixations."
        f"{group.kept}"
    )
    scores = analysis.compare_scanpaths(group.paths[:, :, :length], candidates, **findings.sides)
    return _table_of_scores(note + _on_one(group.images), "", scores)


def _density_table(findings: Findings, name: str, group: Observers) -> Table:
    """Scores of the density of the policy's passes where observers, not they themselves, look."""
    passes = findings.passes
    assert passes is not None
    shown = group.images < passes.shape[1]
    images, observers = group.images[shown], group.paths[:, shown]
    model = {"the model": analysis.observed_densities(passes[:, images], **findings.sides)}
    maps = {} if group.paths is passes else model
    note = (
        f"Maps scored by where half of {name} land; the ceiling is the map of the other half. Information gain in "
        f"bits over the map of all other images, KL in nats; all with their 95 % intervals over {len(images):,} images."
    )
    scores = analysis.compare_densities(observers, maps, **findings.sides)
    return _table_of_scores(note + _on_one(images), "", scores)


def _on_one(images: np.ndarray) -> str:
    """A sentence on what a single image leaves out."""
    return " On one image there is no interval, and no other image to compare with." if len(images) == 1 else ""


def _table_of_scores(note: str, corner: str, scores: Mapping[str, Mapping[str, Cell]]) -> Table:
    rows: list[list[Cell]] = [[name, *columns.values()] for name, columns in scores.items()]
    return Table(note, [corner, *next(iter(scores.values()))], rows)


def _numbered(name: str, rows: list[list[Cell]]) -> list[str]:
    return [f"{name} {index}" for index in range(1, len(rows[0]))]


def _mean(values: np.ndarray) -> analysis.Interval:
    """A mean with its interval; without one where the values are not all finite, as losses may be."""
    if np.isfinite(values).all():
        return analysis.bootstrap_mean(values)
    return analysis.Interval(float(values.mean()), float("nan"), float("nan"))
