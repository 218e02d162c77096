"""Curves of belief, learning, accuracy and speed."""

from collections.abc import ItemsView, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from foveax._arrays import check_numbers, check_probabilities, shown
from foveax._types import InputError
from foveax.analysis.bootstrap import bootstrap_mean, wilson_interval
from foveax.analysis.decisions import SpeedAccuracy
from foveax.data.dataset import check_label
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

    probabilities = check_probabilities("probabilities", probabilities, "T", "K")
    glimpses, classes = probabilities.shape
    label = None if label is None else int(check_label("label", np.ravel(label), size=1, classes=classes)[0])
    ax = axes_or_new(ax)
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

    images = check_numbers("images", images)
    if images.ndim != 1 or not images.size:
        raise InputError(f"images must have the shape [M], M at least 1; got {list(images.shape)}")
    curves = {name: check_numbers(f"runs, {name},", values, finite=False) for name, values in _some("runs", runs)}
    for name, values in curves.items():
        if values.ndim != 2 or values.shape[1] != len(images) or not len(values):
            raise InputError(f"runs must have the shape [R, {len(images)}]; {name} has {list(values.shape)}")
    ax = axes_or_new(ax)
    ax.set_prop_cycle(color=COLOURS, linestyle=LINES)
    for name, values in curves.items():
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
    given = {
        name: check_numbers(f"accuracy, {name},", values, finite=False) for name, values in _some("accuracy", accuracy)
    }
    curves, images = {}, set()
    for name, values in given.items():
        if values.ndim not in (1, 2) or not values.size:
            came = f"{name} has {list(values.shape)}"
            raise InputError(f"accuracy must have the shape [T] or [N, T], T and N at least 1; {came}")
        band = None
        if values.ndim == 2:
            images.add(len(values))
            if np.isfinite(values).all():
                band = np.array([bootstrap_mean(scores)[1:] for scores in values.T]).T
            values = values.mean(axis=0)
        curves[name] = (np.arange(1, len(values) + 1), values, band)
    ax = axes_or_new(ax)
    _lines(ax, curves, chance, images.pop() if len(images) == 1 else None)
    glimpses = max(len(x) for x, _, _ in curves.values())
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
    drawn = {
        name: (check_numbers(f"curves, {name},", curve.glimpses), check_numbers(f"curves, {name},", curve.accuracy))
        for name, curve in _some("curves", curves)
    }
    for name, (glimpses, accuracy) in drawn.items():
        if glimpses.ndim != 1 or glimpses.shape != accuracy.shape:
            came = f"{list(glimpses.shape)} and {list(accuracy.shape)}"
            raise InputError(f"curves must have as many glimpses as accuracies; {name} has {came}")
    bands = {name: images and np.array(wilson_interval(shares, images)) for name, (_, shares) in drawn.items()}
    ax = axes_or_new(ax)
    _lines(ax, {name: (*curve, bands[name]) for name, curve in drawn.items()}, chance, images)
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


def _some(name: str, values: Mapping[str, Any]) -> ItemsView[str, Any]:
    """The items of a mapping that holds one at least."""
    if not isinstance(values, Mapping) or not values:
        raise InputError(f"{name} must hold a curve at least, by name; got {shown(values)}")
    return values.items()


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
