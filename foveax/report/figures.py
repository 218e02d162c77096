"""The figures of a report."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from foveax import analysis, plot
from foveax.data.dataset import Data
from foveax.training.config import Config
from foveax.training.evaluate import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRIALS = 8
"""In the sheet of trials; half of them, where there are as many, wrong."""

Captioned = tuple[str, "Figure"]


def figures(
    evaluations: Mapping[str, Evaluation], config: Config, data: Data, metrics: Sequence[Mapping[str, float]]
) -> dict[str, Captioned]:
    """The figures of a report by the names of their files, each with its caption; none belongs to a window.

    Args:
      evaluations: of the test split under the pipeline's own policy, first, and under its controls.
      config: of the run.
      data: as the run was shown them.
      metrics: of the training, as ``metrics.jsonl`` holds them.
    """
    own, images = evaluations[config.model.policy], data.test["image"]
    sides = {"height": images.shape[1], "width": images.shape[2]}
    retina = {"size": config.model.crop, "scales": config.model.scales}
    curves = {
        name: analysis.speed_accuracy(done.probabilities, done.label)
        for name, done in evaluations.items()
        if name in (config.model.policy, "best sequence", "random")
    }
    first = telling_trial(own)
    return {
        "trials": ("Trials: right ones, then wrong ones.", _sheet(own, images, retina["size"])),
        "learning": ("Accuracy on the images of training, after the last glimpse.", _learning(metrics)),
        "accuracy": ("Decisions after each glimpse.", _accuracy(evaluations)),
        "speed": ("What accuracy costs in glimpses.", _speed(curves)),
        "trial": (
            "A trial: what the retina gave, what has been seen, what was believed.",
            _trial(own, images, first, retina),
        ),
        "glimpses": ("Where fixations land, per glimpse.", plot.densities(own.fixations, **sides)),
        "classes": ("Where saccades land, per class.", plot.densities(own.fixations, label=own.label, **sides)),
        "saccades": ("Amplitudes, directions, and turns of saccades.", _saccades(own.fixations, **sides)),
        "field": ("Where the eye goes from here, over the mean image.", _field(own.fixations, images)),
    }


def _sheet(own: Evaluation, images: np.ndarray, size: int) -> "Figure":
    right = own.predicted[:, -1] == own.label
    wrong = np.flatnonzero(~right)[: TRIALS // 2]
    shown = np.concatenate([np.flatnonzero(right)[: TRIALS - len(wrong)], wrong])
    titles = [f"{own.label[index]}, taken for {own.predicted[index, -1]}" for index in shown]
    return plot.fixation_sheet(images[shown], own.fixations[shown], titles=titles, size=size)


def _learning(metrics: Sequence[Mapping[str, float]]) -> "Figure":
    figure = _figure(3.4, 3.0)
    images, accuracy = (np.array([line[name] for line in metrics]) for name in ("images", "accuracy"))
    plot.learning_curve({"training": accuracy[None]}, images=images, ax=figure.add_subplot())
    return figure


def _accuracy(evaluations: Mapping[str, Evaluation]) -> "Figure":
    figure = _figure(3.4, 3.0)
    plot.accuracy_by_glimpse({name: done.accuracy for name, done in evaluations.items()}, ax=figure.add_subplot())
    return figure


def _speed(curves: Mapping[str, analysis.SpeedAccuracy]) -> "Figure":
    figure = _figure(3.4, 3.0)
    plot.speed_accuracy_curve(curves, ax=figure.add_subplot())
    return figure


def telling_trial(own: Evaluation) -> int:
    """The image that was told right in the end, and least expected so at first; the first if none was."""
    right = own.predicted[:, -1] == own.label
    at_first = own.probabilities[np.arange(len(own.label)), 0, own.label]
    return int(np.argmin(np.where(right, at_first, 2.0)))


def _trial(own: Evaluation, images: np.ndarray, index: int, retina: dict[str, int]) -> "Figure":
    figure = _figure(7.0, 2.6 + 0.4 * retina["scales"])
    grid = figure.add_gridspec(2, 3, height_ratios=[3, retina["scales"]])
    image, path = images[index], own.fixations[index]
    plot.scanpath(image, path, size=retina["size"], ax=figure.add_subplot(grid[0, 0]))
    plot.seen(image, path, **retina, ax=figure.add_subplot(grid[0, 1]))
    plot.belief(own.probabilities[index], label=int(own.label[index]), ax=figure.add_subplot(grid[0, 2]))
    plot.crops(image, path, **retina, ax=figure.add_subplot(grid[1, :]))
    return figure


def _saccades(fixations: np.ndarray, *, height: int, width: int) -> "Figure":
    figure, sides = _figure(7.0, 2.5), {"height": height, "width": width}
    plot.amplitudes(fixations, **sides, ax=figure.add_subplot(131))
    measures = (analysis.saccade_directions, analysis.saccade_turns)  # unknown beside saccades of no length
    known = [np.isfinite(measure(fixations, **sides)).any() for measure in measures]
    for place, relative in ((2, False), (3, True)):
        if known[relative]:
            ax = figure.add_subplot(1, 3, place, projection="polar")
            plot.directions(fixations, **sides, relative=relative, ax=ax)
    return figure


def _field(fixations: np.ndarray, images: np.ndarray) -> "Figure":
    figure, saccades = _figure(7.0, 2.6), fixations.shape[1] - 1
    mean = images.mean(axis=0).astype(images.dtype)
    chosen = sorted({2, (saccades + 2) // 2, saccades} & set(range(1, saccades + 1))) or [1]
    for place, saccade in enumerate(chosen, start=1):
        ax = figure.add_subplot(1, len(chosen), place)
        plot.policy_field(fixations, image=mean, glimpse=saccade, ax=ax).set_title(f"saccade {saccade}", fontsize=8)
    return figure


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
