"""The figures of a report."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from foveax import analysis, plot
from foveax._types import InputError
from foveax.evaluation.controls import own_name
from foveax.evaluation.evaluate import Evaluation, table_title
from foveax.report.findings import Findings, Track
from foveax.runs.metrics_file import read_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHEET_TRIALS = 8
"""In the sheet of trials; half of them, if there are as many, end with a wrong decision."""


class CaptionedFigure(NamedTuple):
    """A figure that belongs to no window, and the sentence below it."""

    caption: str
    figure: "Figure"


def figure_makers(findings: Findings) -> dict[str, Callable[[], CaptionedFigure | None]]:
    """Functions that draw the figures, by the names of their files; one gives None where its figure does not apply."""
    makers = findings.by_track(
        accuracy=accuracy_figure,
        speed=speed_figure,
        glimpses=glimpse_figure,
        classes=class_figure,
        saccades=saccade_figure,
        field=field_figure,
    )
    return {
        "trials": lambda: sheet_figure(findings),
        "learning": lambda: learning_figure(findings),
        "trial": lambda: trial_figure(findings),
        **makers,
    }


def sheet_figure(findings: Findings) -> CaptionedFigure | None:
    """Trials that end with a correct decision, then some that do not; without decisions, the first."""
    own = findings.own
    if own.fixations is None:
        return None
    caption = "Trials."
    trials = np.arange(min(SHEET_TRIALS, len(own.fixations)))
    titles = [f"image {index}" if own.label is None else f"{own.label[index]}" for index in trials]
    if own.probabilities is not None and own.label is not None:
        correct = own.predicted[:, -1] == own.label
        wrong = np.flatnonzero(~correct)[: SHEET_TRIALS // 2]
        trials = np.concatenate([np.flatnonzero(correct)[: SHEET_TRIALS - len(wrong)], wrong])
        titles = [f"{own.label[index]}, taken for {own.predicted[index, -1]}" for index in trials]
        caption = "Trials: correct ones, then wrong ones."
    size = findings.retina.get("size")
    sheet = plot.fixation_sheet(findings.images[trials], own.fixations[trials], titles=titles, size=size)
    return CaptionedFigure(caption, sheet)


def learning_figure(findings: Findings) -> CaptionedFigure:
    """The curve of the training.

    Raises:
      InputError: if nothing was recorded that makes one.
    """
    metrics = read_metrics(findings.run.path / "metrics.jsonl")
    curves, title = learning_curves(metrics)
    if not curves:
        raise InputError("the training has recorded no accuracy, loss or reward")
    of_accuracy = title == "accuracy"
    runs = {"training" if of_accuracy else name: values[None] for name, values in curves.items()}
    figure = _figure(3.4, 3.0)
    images = np.array([line["images"] for line in metrics])
    plot.learning_curve(runs, images=images, title=title, ax=figure.add_subplot())
    caption = "Training images: accuracy, after the last glimpse." if of_accuracy else f"Training: {title}."
    return CaptionedFigure(caption, figure)


def learning_curves(metrics: Sequence[Mapping[str, Any]]) -> tuple[dict[str, np.ndarray], str]:
    """Curves over training ``[M]`` by name, and what they are: the accuracy, else the losses, else the rewards.

    Example:
      >>> learning_curves([{"step": 1, "images": 8, "loss/aim.error": 0.5}])
      ({'loss/aim.error': array([0.5])}, 'loss')
    """
    recorded = metrics[-1] if metrics else {}
    kinds = {
        "accuracy": [name for name in recorded if name == "accuracy"],
        "loss": [name for name in recorded if name.startswith("loss/")],
        "reward": [name for name in recorded if name.endswith("/reward")],
    }
    for title, names in kinds.items():
        if names:
            return {name: np.array([line.get(name, np.nan) for line in metrics], np.float64) for name in names}, title
    return {}, ""


def trial_figure(findings: Findings) -> CaptionedFigure | None:
    """The scanpath, the reconstruction and the belief of a trial above its crops, as far as there are any."""
    own = findings.own
    if own.fixations is None:
        return None
    index = representative_trial(own)
    image = findings.images[index]
    path = own.fixations[index]
    retina = findings.retina
    columns = 1 + bool(retina) + (own.probabilities is not None)
    rows = [3, retina["scales"]] if retina else [3]
    figure = _figure(7.0 * columns / 3, 2.6 + 0.4 * sum(rows[1:]))
    grid = figure.add_gridspec(len(rows), columns, height_ratios=rows)
    cells = iter([figure.add_subplot(grid[0, column]) for column in range(columns)])
    plot.scanpath(image, path, size=retina.get("size"), ax=next(cells))
    if retina:
        plot.reconstruction(image, path, size=retina["size"], scales=retina["scales"], ax=next(cells))
        plot.crops(image, path, size=retina["size"], scales=retina["scales"], ax=figure.add_subplot(grid[1, :]))
    if own.probabilities is not None:
        label = None if own.label is None else int(own.label[index])
        plot.belief(own.probabilities[index], label=label, ax=next(cells))
    caption = "A trial: its scanpath, glimpses and beliefs, as far as the graph declares them."
    return CaptionedFigure(caption, figure)


def representative_trial(own: Evaluation) -> int:
    """The image that was decided correctly in the end, and whose class was least expected at first.

    The first image if no decision was correct; without decisions, the one whose score rose most.
    """
    if own.probabilities is None or own.label is None:
        gain = own.score[:, -1] - own.score[:, 0]
        return int(np.argmax(np.where(np.isfinite(gain), gain, -np.inf)))
    correct = own.predicted[:, -1] == own.label
    classes = own.probabilities.shape[-1]
    at_first = own.probabilities[np.arange(len(own.label)), 0, np.clip(own.label, 0, classes - 1)]
    return int(np.argmin(np.where(correct, at_first, np.inf)))


def accuracy_figure(findings: Findings, track: Track) -> CaptionedFigure | None:
    """Scores after each glimpse, of the own policy and its controls."""
    if not track.evaluations:
        return None
    figure = _figure(3.4, 3.0)
    accuracy = {name: evaluation.accuracy for name, evaluation in track.evaluations.items()}
    title = table_title(findings.own)
    plot.accuracy_by_glimpse(accuracy, title=title, ax=figure.add_subplot())
    kind = "Decisions" if title.startswith("test accuracy") else "Score"
    return CaptionedFigure(f"{kind} after each glimpse{track.title}.", figure)


def speed_figure(findings: Findings, track: Track) -> CaptionedFigure | None:
    """The price of accuracy in glimpses, of the own policy and two of its controls."""
    if not track.evaluations or not findings.has_distributions:
        return None
    figure = _figure(3.4, 3.0)
    curves = {
        name: analysis.speed_accuracy(evaluation.probabilities, evaluation.label)
        for name, evaluation in track.evaluations.items()
        if name in (own_name(findings.graph), "best sequence", "random")
        if evaluation.probabilities is not None and evaluation.label is not None
    }
    plot.speed_accuracy_curve(curves, ax=figure.add_subplot())
    return CaptionedFigure(f"Accuracy by the mean number of glimpses{track.title}.", figure)


def glimpse_figure(findings: Findings, track: Track) -> CaptionedFigure | None:
    """Densities of the own policy's fixations by glimpse."""
    if not track.places:
        return None
    maps = plot.densities(track.places[own_name(findings.graph)], **findings.sides)
    return CaptionedFigure(f"Density of fixations, per glimpse{track.title}.", maps)


def class_figure(findings: Findings, track: Track) -> CaptionedFigure | None:
    """Densities of the own policy's landings by class."""
    label = findings.own.label
    if not track.places or label is None:
        return None
    maps = plot.densities(track.places[own_name(findings.graph)], **findings.sides, label=label)
    return CaptionedFigure(f"Density of landings, per class{track.title}.", maps)


def saccade_figure(findings: Findings, track: Track) -> CaptionedFigure | None:
    """Histograms of the own policy's saccades; without those that are unknown since saccades have no length."""
    if not track.places:
        return None
    places = track.places[own_name(findings.graph)]
    sides = findings.sides
    figure = _figure(7.0, 2.5)
    plot.amplitudes(places, **sides, ax=figure.add_subplot(131))
    if np.isfinite(analysis.saccade_directions(places, **sides)).any():
        plot.directions(places, **sides, ax=figure.add_subplot(132, projection="polar"))
    if np.isfinite(analysis.saccade_turns(places, **sides)).any():
        plot.directions(places, **sides, relative=True, ax=figure.add_subplot(133, projection="polar"))
    return CaptionedFigure(f"Amplitudes, directions, and turns of saccades{track.title}.", figure)


def field_figure(findings: Findings, track: Track) -> CaptionedFigure | None:
    """Fields of three of the own policy's saccades."""
    if not track.places:
        return None
    places = track.places[own_name(findings.graph)]
    figure = _figure(7.0, 2.6)
    saccades = places.shape[1] - 1
    mean = findings.images.mean(axis=0).astype(findings.images.dtype)
    chosen = sorted({min(2, saccades), (saccades + 2) // 2, saccades})
    for place, saccade in enumerate(chosen, start=1):
        ax = figure.add_subplot(1, len(chosen), place)
        plot.policy_field(places, image=mean, glimpse=saccade, ax=ax).set_title(f"saccade {saccade}", fontsize=8)
    return CaptionedFigure(f"Mean saccades by where they begin, over the mean image{track.title}.", figure)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
