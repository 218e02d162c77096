"""The figures and the table of common corruptions."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from foveax.analysis.bootstrap import Interval, wilson_interval
from foveax.plot.style import COLOURS, LINES, MARKERS, plain, show_image
from foveax.report.tables import Cell, Table
from foveax.robustness.corruptions import CORRUPTIONS, SEVERITIES

COLUMNS = 4
PICTURED = (1, 3, 5)
"""Severities that are pictured."""


def corruption_figures(corruptions: Mapping[str, Any], image: np.ndarray) -> dict[str, tuple[str, Figure]]:
    """The figures of ``attack.json``'s corruptions by name, each with its caption; one pictures them on an image."""
    counted = f"n = {corruptions['images']:,} test images; bands: 95 % Wilson intervals"
    severities = ", ".join(map(str, PICTURED))
    return {
        "corruptions": (
            f"Accuracy under common corruptions by their severity, 0: none; {counted}",
            _curves(corruptions),
        ),
        "corruptions_pictured": (f"The corruptions on one test image, at severities {severities}", _pictures(image)),
    }


def corruption_table(corruptions: Mapping[str, Any]) -> Table:
    """The accuracy of each subject by corruption, the mean over severities, and over all corruptions."""
    kinds = list(next(iter(corruptions["subjects"].values()))["accuracy"])
    rows: list[list[Cell]] = []
    for name, values in corruptions["subjects"].items():
        mean = Interval(*(100 * values[part] for part in ("mean", "low", "high")))
        rows.append(
            [name, 100 * values["clean"], mean, *(100 * float(np.mean(values["accuracy"][kind])) for kind in kinds)]
        )
    note = (
        f"Right decisions (%), the mean over {SEVERITIES} severities, n = {corruptions['images']:,} test images; the "
        "mean over corruptions with its 95 % bootstrap interval over images. Held fixations are those on the clean "
        "images, as they are, at random, or their mean over images."
    )
    return Table(note, ["eye", "clean", "mean", *kinds], rows)


def _curves(corruptions: Mapping[str, Any]) -> Figure:
    subjects, images = corruptions["subjects"], corruptions["images"]
    kinds = list(next(iter(subjects.values()))["accuracy"])
    figure = Figure(figsize=(8.0, 2.0 * -(-len(kinds) // COLUMNS) + 0.5), layout="constrained")
    axes = figure.subplots(-(-len(kinds) // COLUMNS), COLUMNS, sharex=True, sharey=True, squeeze=False)
    steps = np.arange(SEVERITIES + 1)
    for ax, kind in zip(axes.flat, kinds, strict=False):
        for number, (name, values) in enumerate(subjects.items()):
            share = np.array([values["clean"], *values["accuracy"][kind]])
            style = {"color": COLOURS[number], "linestyle": LINES[number], "marker": MARKERS[number]}
            ax.plot(steps, 100 * share, label=name, markersize=3, linewidth=1.1, **style)
            low, high = wilson_interval(share, images)
            ax.fill_between(steps, 100 * low, 100 * high, color=COLOURS[number], alpha=0.1, linewidth=0)
        plain(ax, x="", y="", title=kind)
        ax.set_xticks(steps)
        ax.tick_params(labelsize=7)
    axes[0, 0].set_ylim(-2, 102)
    figure.supxlabel("severity", fontsize=8)
    figure.supylabel("right decisions (%)", fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False, fontsize=7)
    return figure


def _pictures(image: np.ndarray) -> Figure:
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    axes = figure.subplots(len(PICTURED), len(CORRUPTIONS), squeeze=False)
    for column, (name, corruption) in enumerate(CORRUPTIONS.items()):
        compiled = jax.jit(corruption)
        for row, severity in enumerate(PICTURED):
            shown = compiled(jnp.asarray(image), jax.random.key(0), jnp.int32(severity))
            show_image(axes[row, column], np.asarray(shown))
        axes[0, column].set_title(name, fontsize=7)
    for ax, severity in zip(axes[:, 0], PICTURED, strict=True):
        ax.annotate(f"{severity}", (0, 0.5), (-8, 0), xycoords="axes fraction", textcoords="offset points", fontsize=7,
                    va="center", ha="right")  # fmt: skip
    return figure
