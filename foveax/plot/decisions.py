"""Decisions: which classes are taken for which, and how far confidence is to be trusted."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from foveax._arrays import check_count
from foveax._types import InputError
from foveax.analysis.bootstrap import wilson_interval
from foveax.analysis.decisions import Calibration
from foveax.data.dataset import check_label
from foveax.plot.style import COLOURS, FIRST, axes_or_new, name_classes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NUMBERED = 12
"""Classes up to which the cells of a confusion matrix hold their counts."""


def confusion_matrix(
    label: np.ndarray,
    predicted: np.ndarray,
    *,
    classes: int,
    names: Sequence[str] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws which class ``[N]`` was taken for which ``[N]``: shades are shares of a class, numbers counts.

    Classes, K of them, are called by their names, by default their numbers.
    """
    classes = check_count("classes", classes)
    if np.size(label) != np.size(predicted):
        raise InputError(f"label and predicted must be equally many; got {np.size(label)} and {np.size(predicted)}")
    label = check_label("label", label, size=max(np.size(label), 1), classes=classes)
    pairs = np.stack([label, check_label("predicted", predicted, size=len(label), classes=classes)])
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, tuple(pairs), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax = axes_or_new(ax)
    drawn = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    ax.figure.colorbar(drawn, ax=ax, label="share of the class")
    if classes <= NUMBERED:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            ax.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=6, color=colour)
    name_classes(ax.xaxis, names, classes)
    name_classes(ax.yaxis, names, classes)
    if names is not None:
        ax.tick_params(axis="x", rotation=90)
    ax.set(xlabel="decision", ylabel="class")
    ax.set_title(f"n = {pairs.shape[1]:,} images", fontsize=8)
    return ax


def reliability_diagram(calibration: Calibration, *, ax: "Axes | None" = None) -> "Axes":
    """Draws the accuracy by confidence (`foveax.analysis.calibration`), with 95 % Wilson intervals.

    Bars are the shares of the decisions that were as sure. Points under the line are too sure, points above it not sure
    enough.
    """
    ax = axes_or_new(ax)
    total = calibration.size.sum()
    edges = np.linspace(0, 100, len(calibration.size) + 1)
    shares = 100 * calibration.size / total
    ax.bar(edges[:-1], shares, width=np.diff(edges), align="edge", color=FIRST, alpha=0.4, label="share of decisions")
    ax.plot([0, 100], [0, 100], color="0.5", linestyle=(0, (1, 2)), label="as sure as right")
    full = calibration.size > 0
    accuracy = calibration.accuracy[full]
    low, high = wilson_interval(accuracy, calibration.size[full])
    reach = 100 * np.array([accuracy - low, high - accuracy])
    style = {"fmt": "o", "markersize": 4, "linewidth": 1, "color": COLOURS[1], "label": "correct"}
    ax.errorbar(100 * calibration.confidence[full], 100 * accuracy, yerr=np.maximum(reach, 0), **style)
    ax.set(xlim=(0, 100), ylim=(0, 102))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=3, frameon=False, fontsize=7, columnspacing=1.0)
    title = f"expected calibration error {100 * calibration.error:.1f} %, n = {total:,}"
    return plain(ax, x="confidence (%)", y="correct, decisions (%)", title=title)
