"""The figures of a report."""

import fnmatch
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from foveax import analysis, plot
from foveax._types import InputError
from foveax.evaluation.evaluate import Evaluation, table_title
from foveax.plot.scanpath import SHEET_COLUMNS
from foveax.plot.style import short_name, trial_title
from foveax.report.findings import Findings, Makers, Track
from foveax.runtime.metrics_file import read_metrics

SHEET_TRIALS = 8
"""Half of them, if there are as many, end with a wrong decision."""


def figures_of_run(findings: Findings) -> Makers[Figure]:
    """The figures that stand for the whole run."""
    figures: Makers[Figure] = {}
    if findings.own.fixations is not None:
        trials = "Trials: correct ones, then wrong ones" if findings.has_decisions else "Trials"
        trial = "A trial: its scanpath, glimpses and beliefs, as far as the graph declares them"
        figures = {"trials": (trials, lambda: _sheet(findings)), "trial": (trial, lambda: _trial(findings))}
    if findings.has_decisions:
        wrong = "Which class is taken for which, after the last glimpse"
        sure = "Correct decisions by confidence, after the last glimpse"
        figures["confusion"] = (wrong, lambda: _confusion(findings))
        figures["reliability"] = (sure, lambda: _reliability(findings.own))
    if findings.people is not None:
        paths, title = functools.partial(_beside_people, findings), "of the model and of people, on the same images"
        figures["people_trials"] = (f"Trials {title}", lambda: _people_sheet(findings, *paths().values()))
        figures["people_places"] = (f"Density of landings {title}", lambda: _people_places(findings, paths()))
        figures["people_saccades"] = (f"Saccades {title}", lambda: _saccades(paths(), findings.sides))
    return {**figures, "learning": ("Training images, after the last glimpse", lambda: _learning(findings))}


def figures_of_track(findings: Findings, track: Track) -> Makers[Figure]:
    """The figures of one agent, or of the gaze."""
    sides = findings.sides
    label = findings.own.label
    figures: Makers[Figure] = {}
    if track.evaluations:
        kind = "Decisions" if findings.has_decisions else "Score"
        figures["accuracy"] = (f"{kind} after each glimpse", lambda: _accuracy(findings, track.evaluations))
    if track.evaluations and findings.has_decisions:
        figures["speed"] = ("Accuracy by the mean number of glimpses", lambda: _speed(findings, track.evaluations))
    if track.places:
        places = next(iter(track.places.values()))
        by_class = "Density of landings, per class"
        over = "Mean saccades by where they begin, over the mean image"
        figures["glimpses"] = ("Density of fixations, per glimpse", lambda: plot.densities(places, **sides))
        if label is not None:
            figures["classes"] = (by_class, lambda: _classes(findings, places))
        figures["saccades"] = ("Amplitudes, directions, and turns of saccades", lambda: _saccades({"": places}, sides))
        figures["field"] = (over, lambda: _field(places, findings.images))
    return figures


def representative_trial(own: Evaluation) -> int:
    """The correctly decided image whose class was least expected at first; without decisions, whose score rose most."""
    if own.probabilities is None or own.label is None:
        gain = own.score[:, -1] - own.score[:, 0]
        return int(np.argmax(np.where(np.isfinite(gain), gain, -np.inf)))
    decided = own.predicted[:, -1]
    at_first = own.probabilities[np.arange(len(decided)), 0, decided]
    return int(np.argmin(np.where(decided == own.label, at_first, np.inf)))


def learning_curves(metrics: Sequence[Mapping[str, Any]]) -> tuple[dict[str, np.ndarray], str]:
    """Curves over training ``[M]`` by name, and their title: the accuracy, else the losses, else the rewards."""
    recorded = list(metrics[-1]) if metrics else []
    for title, pattern in (("accuracy", "accuracy"), ("loss", "loss/*"), ("reward", "*/reward")):
        if names := fnmatch.filter(recorded, pattern):
            return {name: np.array([line.get(name, np.nan) for line in metrics], np.float64) for name in names}, title
    return {}, ""


def _sheet(findings: Findings) -> Figure:
    own, called = findings.own, findings.run.data.class_name
    assert own.fixations is not None
    if own.probabilities is not None and own.label is not None:
        correct = own.predicted[:, -1] == own.label
        wrong = np.flatnonzero(~correct)[: SHEET_TRIALS // 2]
        trials = np.concatenate([np.flatnonzero(correct)[: SHEET_TRIALS - len(wrong)], wrong])
        pairs = zip(own.label[trials], own.predicted[trials, -1], strict=True)
        titles = [trial_title(*map(called, pair)) for pair in pairs]
    else:
        trials = np.arange(min(SHEET_TRIALS, len(own.fixations)))
        titles = [f"image {index}" if own.label is None else short_name(called(own.label[index])) for index in trials]
    size = findings.retina.get("size")
    return plot.fixation_sheet(findings.images[trials], own.fixations[trials], titles=titles, size=size)


def _classes(findings: Findings, places: np.ndarray) -> Figure:
    names = findings.run.data.names or None
    return plot.densities(places, label=findings.own.label, names=names, **findings.sides)


def _learning(findings: Findings) -> Figure:
    metrics = read_metrics(findings.run.path / "metrics.jsonl")
    curves, title = learning_curves(metrics)
    if not curves:
        raise InputError("the training has recorded no accuracy, loss or reward")
    runs = {"training" if name == "accuracy" else name: values[None] for name, values in curves.items()}
    images = np.array([line["images"] for line in metrics])
    level = {"title": "share correct", "chance": findings.chance} if title == "accuracy" else {"title": title}
    return _single(plot.learning_curve, runs, images=images, **level)


def _accuracy(findings: Findings, evaluations: Mapping[str, Evaluation]) -> Figure:
    scores = {name: evaluation.score for name, evaluation in evaluations.items()}
    title = table_title(next(iter(evaluations.values())))
    return _single(plot.accuracy_by_glimpse, scores, title=title, chance=findings.chance)


def _confusion(findings: Findings) -> Figure:
    own, names = findings.own, findings.names
    assert own.probabilities is not None
    assert own.label is not None
    classes = own.probabilities.shape[-1]
    figure = Figure(figsize=(5.4, 4.4) if names else (4.4, 3.6), layout="constrained")
    plot.confusion_matrix(own.label, own.predicted[:, -1], classes=classes, names=names, ax=figure.add_subplot())
    return figure


def _reliability(own: Evaluation) -> Figure:
    assert own.probabilities is not None
    assert own.label is not None
    return _single(plot.reliability_diagram, analysis.calibration(own.probabilities[:, -1], own.label))


def _beside_people(findings: Findings) -> dict[str, np.ndarray]:
    """Scanpaths of the model ``[M, T, 2]`` and of people ``[S M, T, 2]`` on the same images, of one length."""
    people, fixations = findings.people, findings.own.fixations
    assert people is not None
    assert fixations is not None
    length = min(people.observers.shape[2], fixations.shape[1])
    return {
        "the model": fixations[people.images, :length],
        "people": people.observers[:, :, :length].reshape(-1, length, 2),
    }


def _people_sheet(findings: Findings, model: np.ndarray, people: np.ndarray) -> Figure:
    """A row of trials of the model, and below it a row of each person's."""
    assert findings.people is not None
    numbers = findings.people.images[:SHEET_COLUMNS]
    paths = [model, *people.reshape(-1, *model.shape)[: SHEET_TRIALS // 2]]
    names = ["the model", *map(short_name, findings.people.subjects)][: len(paths)]
    titles = [f"{name}, image {number}" for name in names for number in numbers]
    shown = np.concatenate([rows[: len(numbers)] for rows in paths])
    return plot.fixation_sheet(findings.images[np.tile(numbers, len(paths))], shown, titles=titles)


def _people_places(findings: Findings, paths: Mapping[str, np.ndarray]) -> Figure:
    label = np.repeat(np.arange(len(paths)), [len(rows) for rows in paths.values()])
    return plot.densities(np.concatenate([*paths.values()]), label=label, names=list(paths), **findings.sides)


def _speed(findings: Findings, evaluations: Mapping[str, Evaluation]) -> Figure:
    curves = {
        name: analysis.speed_accuracy(evaluation.probabilities, evaluation.label)
        for name, evaluation in evaluations.items()
        if name not in ("another image", "centre")
        if evaluation.probabilities is not None and evaluation.label is not None
    }
    images = len(next(iter(evaluations.values())).losses)
    return _single(plot.speed_accuracy_curve, curves, images=images, chance=findings.chance)


def _single(draw: Callable[..., Any], curves: Any, **options: Any) -> Figure:
    figure = Figure(figsize=(3.6, 3.4), layout="constrained")
    draw(curves, **options, ax=figure.add_subplot())
    return figure


def _trial(findings: Findings) -> Figure:
    """The scanpath, the reconstruction and the belief of a trial above its crops, as far as there are any."""
    own = findings.own
    retina = findings.retina
    assert own.fixations is not None
    index = representative_trial(own)
    trial = findings.images[index], own.fixations[index]
    columns = 1 + bool(retina) + (findings.beliefs is not None)
    rows = [3, retina["scales"]] if retina else [3]
    width = 7.0 * columns / 3 + 1.5 * bool(findings.names)  # which stand beside the belief
    figure = Figure(figsize=(width, 2.6 + 0.4 * sum(rows[1:])), layout="constrained")
    grid = figure.add_gridspec(len(rows), columns, height_ratios=rows)
    cells = iter([figure.add_subplot(grid[0, column]) for column in range(columns)])
    plot.scanpath(*trial, size=retina.get("size"), ax=next(cells))
    if retina:
        plot.reconstruction(*trial, **retina, ax=next(cells)).set_title("seen; hatched: not", fontsize=8)
        plot.crops(*trial, **retina, ax=figure.add_subplot(grid[1, :]))
    if findings.beliefs is not None:
        label = None if own.label is None else int(own.label[index])
        plot.belief(findings.beliefs[index], label=label, names=findings.names, ax=next(cells))
    return figure


def _saccades(paths: Mapping[str, np.ndarray], sides: Mapping[str, Any]) -> Figure:
    """A row for each name: the amplitudes, directions and turns of its saccades."""
    figure = Figure(figsize=(8.0, 2.7 * len(paths)), layout="constrained")
    first = None
    for row, (name, fixations) in enumerate(paths.items()):
        ax = first = figure.add_subplot(len(paths), 3, 3 * row + 1, sharex=first)
        plot.amplitudes(fixations, **sides, ax=ax)
        for column, measure in ((2, analysis.saccade_directions), (3, analysis.saccade_turns)):
            if np.isfinite(measure(fixations, **sides)).any():  # unknown next to saccades of no length
                polar = figure.add_subplot(len(paths), 3, 3 * row + column, projection="polar")
                plot.directions(fixations, **sides, relative=measure is analysis.saccade_turns, ax=polar)
        for each in figure.axes[-3:] if name else ():
            each.set_title(f"{name}: {each.get_title()}", fontsize=7)
    return figure


def _field(fixations: np.ndarray, images: np.ndarray) -> Figure:
    figure = Figure(figsize=(7.0, 2.6), layout="constrained")
    saccades = fixations.shape[1] - 1
    mean = images.mean(axis=0).astype(images.dtype)
    chosen = sorted({min(2, saccades), (saccades + 2) // 2, saccades})
    for place, saccade in enumerate(chosen, start=1):
        ax = figure.add_subplot(1, len(chosen), place)
        plot.policy_field(fixations, image=mean, glimpse=saccade, ax=ax)
    return figure
