"""Curves of belief, learning, accuracy and speed."""

from collections.abc import ItemsView, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from foveax._arrays import check_numbers, check_probabilities, shown
from foveax._types import InputError
from foveax.analysis.decisions import SpeedAccuracy
from foveax.data.dataset import check_label
from foveax.plot.style import COLOURS, LINES, MARKERS, axes_or_new, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def belief(probabilities: np.ndarray, *, label: int | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draws the belief ``[T, K]`` over classes after each glimpse: darker is more; the label's row is framed."""
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
    ax.set_xticks(np.arange(glimpses), map(str, range(1, glimpses + 1)))
    ax.set_yticks(np.arange(0, classes, max(classes // 10, 1)))
    ax.set(xlabel="glimpse", ylabel="class")
    return ax


def learning_curve(
    runs: Mapping[str, np.ndarray], *, images: np.ndarray, title: str = "accuracy", ax: "Axes | None" = None
) -> "Axes":
    """Draws a figure over training: for each name the mean over seeds, and a band from the least to the greatest.

    Runs are ``[R, M]`` by name, R seeds at M times; ``images``, ``[M]``, are the training images up to each time.
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
        (line,) = ax.plot(images, values.mean(axis=0), marker=marker, label=name)
        band = values.min(axis=0), values.max(axis=0)
        ax.fill_between(images, *band, color=line.get_color(), alpha=0.2, linewidth=0)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    _legend(ax)
    return plain(ax, x="training images", y=title)


def accuracy_by_glimpse(
    accuracy: Mapping[str, np.ndarray], *, title: str = "correct (%)", ax: "Axes | None" = None
) -> "Axes":
    """Draws the accuracy after each glimpse, in %, of shares ``[T]`` by name: the policy's own, and its controls."""
    shares = {name: check_numbers(f"accuracy, {name},", values, finite=False) for name, values in
              _some("accuracy", accuracy)}  # fmt: skip
    for name, values in shares.items():
        if values.ndim != 1 or not values.size:
            raise InputError(f"accuracy must have the shape [T], T at least 1; {name} has {list(values.shape)}")
    ax = axes_or_new(ax)
    _lines(ax, {name: (np.arange(1, len(values) + 1), values) for name, values in shares.items()})
    ax.set_xticks(np.arange(1, max(map(len, shares.values())) + 1))
    return plain(ax, x="glimpse", y=title)


def speed_accuracy_curve(curves: Mapping[str, SpeedAccuracy], *, ax: "Axes | None" = None) -> "Axes":
    """Draws accuracy over glimpses, if looking stops once the belief is sure enough; a line per policy."""
    drawn = {
        name: (check_numbers(f"curves, {name},", curve.glimpses), check_numbers(f"curves, {name},", curve.accuracy))
        for name, curve in _some("curves", curves)
    }
    for name, (glimpses, accuracy) in drawn.items():
        if glimpses.ndim != 1 or glimpses.shape != accuracy.shape:
            came = f"{list(glimpses.shape)} and {list(accuracy.shape)}"
            raise InputError(f"curves must have as many glimpses as accuracies; {name} has {came}")
    ax = axes_or_new(ax)
    _lines(ax, drawn)
    return plain(ax, x="mean number of glimpses", y="correct (%)")


def _lines(ax: "Axes", curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """A line of shares, drawn in %, for each name."""
    ax.set_prop_cycle(color=COLOURS, linestyle=LINES, marker=MARKERS)
    for name, (x, shares) in curves.items():
        ax.plot(x, 100 * np.asarray(shares), label=name, markersize=4)
    _legend(ax)


def _some(name: str, values: Mapping[str, Any]) -> ItemsView[str, Any]:
    """The items of a mapping that holds one at least."""
    if not isinstance(values, Mapping) or not values:
        raise InputError(f"{name} must hold a curve at least, by name; got {shown(values)}")
    return values.items()


def _legend(ax: "Axes") -> None:
    """Draws the legend above the axes, so that it hides no line."""
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=7)
