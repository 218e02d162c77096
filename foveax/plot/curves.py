"""Curves of belief, learning, accuracy and speed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from foveax._types import InputError
from foveax.analysis.bootstrap import bootstrap_mean, wilson_interval
from foveax.analysis.decisions import SpeedAccuracy
from foveax.plot.style import COLOURS, LINES, MARKERS, axes_or_new, name_classes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def belief(
    probabilities: np.ndarray,
    *,
    label: int | None = None,
    names: Sequence[str] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws the belief ``[T, K]`` over classes after each glimpse: darker is more; the label's row is framed.

    Classes are called by their names, by default their numbers.
    """
    from matplotlib.patches import Rectangle

    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2:
        raise InputError(f"probabilities must have the shape [T, K]; got {list(probabilities.shape)}")
    ax = axes_or_new(ax)
    glimpses, classes = probabilities.shape
    drawn = ax.imshow(probabilities.T, cmap="Greys", vmin=0, vmax=1, aspect="auto", origin="lower")
    ax.figure.colorbar(drawn, ax=ax, label="probability")
    if label is not None:
        frame = Rectangle((-0.5, label - 0.5), glimpses, 1, fill=False, edgecolor=COLOURS[1], linewidth=1.6)
        ax.add_patch(frame).set_clip_on(False)
    ax.set_title("belief" if label is None else "belief; framed: the label", fontsize=8)
    chosen = np.arange(0, glimpses, -(-glimpses // 20))
    ax.set_xticks(chosen, [str(index + 1) for index in chosen])
    name_classes(ax.yaxis, names, classes)
    ax.set(xlabel="glimpse", ylabel="class")
    return ax


def learning_curve(
    runs: Mapping[str, np.ndarray],
    *,
    images: np.ndarray,
    title: str = "accuracy",
    chance: float | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws a figure over training: for each name the mean over seeds, and a band from the least to the greatest.

    Runs are ``[R, M]`` by name, R seeds at M times; ``images``, ``[M]``, are the training images up to each time.
    Chance is drawn as a line where it is given.
    """
    from matplotlib.ticker import EngFormatter

    ax = axes_or_new(ax)
    ax.set_prop_cycle(color=COLOURS, linestyle=LINES)
    for name, values in runs.items():
        values = np.asarray(values, np.float64)
        if values.ndim != 2 or values.shape[1] != len(images) or not len(values):
            raise InputError(f"runs must have the shape [R, {len(images)}]; {name} has {list(values.shape)}")
        marker = "o" if len(images) == 1 else None  # a line of one point would not be visible
        seeds = f" ({len(values)} seeds: mean, range)" if len(values) > 1 else ""
        (line,) = ax.plot(images, values.mean(axis=0), marker=marker, label=f"{name}{seeds}")
        band = values.min(axis=0), values.max(axis=0)
        ax.fill_between(images, *band, color=line.get_color(), alpha=0.2, linewidth=0)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    _legend(ax, chance)
    return plain(ax, x="training images", y=title)


def accuracy_by_glimpse(
    accuracy: Mapping[str, np.ndarray],
    *,
    title: str = "correct (%)",
    chance: float | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws the accuracy after each glimpse, in %: the policy's own, and its controls.

    Each is a share ``[T]`` by name, or the scores ``[N, T]`` of N images (`foveax.Evaluation.score`), whose mean is
    drawn in a band, its 95 % bootstrap interval. Chance, a share, is drawn as a line where it is given.
    """
    ax = axes_or_new(ax)
    curves, images = {}, set()
    for name, values in accuracy.items():
        values = np.asarray(values, np.float64)
        band = None
        if values.ndim == 2:
            images.add(len(values))
            if np.isfinite(values).all():
                band = np.array([bootstrap_mean(scores)[1:] for scores in values.T]).T
            values = values.mean(axis=0)
        curves[name] = (np.arange(1, len(values) + 1), values, band)
    _lines(ax, curves, chance, images.pop() if len(images) == 1 else None)
    glimpses = max((len(x) for x, _, _ in curves.values()), default=0)
    ax.set_xticks(np.arange(1, glimpses + 1, max(-(-glimpses // 12), 1)))
    return plain(ax, x="glimpse", y=title)


def speed_accuracy_curve(
    curves: Mapping[str, SpeedAccuracy],
    *,
    images: int | None = None,
    chance: float | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws accuracy over glimpses, if looking stops once the belief is sure enough; a line per policy.

    With the number of images that the curves are of, in bands: 95 % Wilson intervals. Chance, a share, is drawn as a
    line where it is given.
    """
    ax = axes_or_new(ax)
    bands = {name: images and np.array(wilson_interval(curve.accuracy, images)) for name, curve in curves.items()}
    _lines(ax, {name: (curve.glimpses, curve.accuracy, bands[name]) for name, curve in curves.items()}, chance, images)
    return plain(ax, x="mean number of glimpses", y="correct (%)")


def _lines(ax: "Axes", curves: Mapping[str, tuple], chance: float | None, images: int | None) -> None:
    """A line of shares, drawn in %, for each name, in a band of the least and the greatest or None."""
    ax.set_prop_cycle(color=COLOURS, linestyle=LINES, marker=MARKERS)
    for name, (x, shares, band) in curves.items():
        (line,) = ax.plot(x, 100 * np.asarray(shares), label=name, markersize=4)
        if band is not None:
            ax.fill_between(x, *(100 * band), color=line.get_color(), alpha=0.15, linewidth=0)
    counted = f"n = {images:,} images; bands: 95 % intervals" if images else ""
    _legend(ax, None if chance is None else 100 * chance, counted)


def _legend(ax: "Axes", chance: float | None, title: str = "") -> None:
    """Draws the level of chance, if it is known, and the legend above the axes, so that it hides no line.

    Chance far below all lines is only named: drawn, it would press them together.
    """
    if chance is not None:
        low, high = ax.get_ylim()
        near = chance > low - (high - low)
        line = ax.axhline(chance if near else low, color="0.5", linestyle=(0, (1, 2)), zorder=0)
        line.set(visible=near, label=f"chance ({chance:.3g}{'' if near else ', below'})")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=7, title=title,
              title_fontsize=7)  # fmt: skip
