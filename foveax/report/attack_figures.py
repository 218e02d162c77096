"""The figures of an evaluation of robustness; shares of images have 95 % Wilson intervals."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from foveax.analysis.bootstrap import Interval, wilson_interval
from foveax.plot.scanpath import scanpath
from foveax.plot.style import COLOURS, LINES, MARKERS, plain, show_image, trial_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = {
    "own gaze, free": ("clean", "at"),
    "clean fixations replayed": ("clean fixations, clean", "clean fixations at"),
    "whole image": ("whole image, clean", "whole image at"),
}
"""By curve: the row without an attack, and how the names of the others begin."""
KINDS = {
    "none": ("no attack", "0.45"),
    "weak": ("weak", COLOURS[4]),
    "white": ("white box", COLOURS[1]),
    "more": ("white box", COLOURS[1]),
    "black": ("black box", COLOURS[0]),
    "gaze": ("on the gaze, or past it", COLOURS[2]),
    "noise": ("on the eye's noise", COLOURS[3]),
    "control": ("controls", "black"),
}
"""By the kind of a row (`foveax.evaluation.attack_rows.Row`): what it is called in figures, and its colour."""
TRIALS = 4
"""Images whose attack is drawn."""


def share_interval(row: Mapping[str, Any]) -> Interval:
    """The accuracy of a row of ``attack.json``, in %, with its 95 % Wilson interval.

    Example:
      >>> share_interval({"accuracy": 0.5, "images": 100})
      Interval(mean=50.0, low=40.38315..., high=59.61684...)
    """
    low, high = wilson_interval(np.array(row["accuracy"]), row["images"])
    return Interval(100 * row["accuracy"], float(100 * low), float(100 * high))


def radius_curves(results: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Radii ``[R]`` and their accuracies with intervals ``[R, 3]`` in %, by curve; the radius 0 is no attack."""
    rows, radii = results["rows"], results["config"]["sweep"]
    curves = {}
    for name, (clean, prefix) in CURVES.items():
        named = {0.0: clean} | {radius: f"{prefix} {radius:g}" for radius in radii}
        there = {radius: share_interval(rows[row]) for radius, row in named.items() if row in rows}
        if len(there) > 1:
            name = name if "clean fixations, clean" in rows or prefix != "at" else "model"
            curves[name] = np.array([*there]), np.array([*there.values()])
    return curves


def draw_curves(results: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Numbers of draws ``[K]`` and accuracies with intervals ``[K, 3]`` in %, of the sampled gaze and other noise."""
    curves = {}
    for target, name in (("sampled", "sampled gaze"), ("free", "the model's other noise")):
        rows = [row for row in results["rows"].values() if row["kind"] == "noise" and row["target"] == target]
        if rows:
            curves[name] = np.array([row["draws"] for row in rows]), np.array([*map(share_interval, rows)])
    return curves


def attack_figures(
    results: Mapping[str, Any], examples: Mapping[str, np.ndarray], called: Callable[[int], str]
) -> dict[str, tuple[str, Figure]]:
    """The figures of ``attack.json``, and of the arrays of ``examples.npz``, by name, each with its caption.

    Classes are called by their names (`foveax.Data.class_name`).
    """
    images = next(iter(results["rows"].values()))["images"]
    counted = f"n = {images:,} test images, with 95 % Wilson intervals"
    norm = {"linf": "L-infinity", "l2": "L2"}[results["config"]["norm"]]
    figures: dict[str, tuple[str, Figure]] = {}
    if curves := radius_curves(results):
        is_looking = "clean fixations replayed" in curves
        attack = "APGD at every glimpse and, where that fails, on the last" if is_looking else "APGD"
        figures["radius"] = (
            f"Robust accuracy over the radius ({norm}; a pixel's range is 1) of {attack}, each made for the model that "
            f"it is shown for (the whole image: APGD); {counted}",
            _over(curves, x=f"radius ({norm})"),
        )
    figures["rows"] = (
        f"Robust accuracy of every row of the checklist at the radius {results['config']['epsilon']:g}; {counted}",
        _rows(results["rows"]),
    )
    if trials := example_rows(examples):
        figures["examples"] = (
            f"The first {len(trials)} test images that are classified rightly, attacked by the strongest attack, "
            f"{results['examples']}: the scanpath before, the change (red: brighter, blue: darker; the mean over "
            "channels), and the scanpath after; titles: the class, and what it is taken for",
            _examples(examples, trials, called),
        )
    if curves := draw_curves(results):
        random = "a gaze that is sampled, as in training," if "sampled gaze" in curves else "the random model"
        figures["draws"] = (
            f"Robust accuracy of {random} against attacks on the mean over K draws of its noise; each image is judged "
            f"with one further draw. Dotted: without an attack, and the mode of its policy, attacked; {counted}",
            _draws(curves, results["rows"]),
        )
    return figures


def example_rows(examples: Mapping[str, np.ndarray]) -> list[int]:
    """The first images that are right without an attack, at most four."""
    return np.flatnonzero(examples["predicted"] == examples["label"])[:TRIALS].tolist()


def _draws(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], rows: Mapping[str, Mapping[str, Any]]) -> Figure:
    """The curves over draws, next to the sampled gaze without an attack, and to the mode of its policy."""
    figure = _over(curves, x="draws K of the expectation")
    ax = figure.axes[0]
    for name, level in (("sampled gaze, clean", "clean"), ("APGD, every glimpse", "mode")):
        if name in rows:
            height = 100 * rows[name]["accuracy"]
            ax.axhline(height, color="0.5", linestyle=":", linewidth=1, zorder=0)
            ax.annotate(level, (1, height), (3, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                        fontsize=7, color="0.4", va="center", annotation_clip=False)  # fmt: skip
    ax.set_xscale("log")
    ticks = sorted({int(place) for places, _ in curves.values() for place in places})
    ax.set_xticks(ticks, list(map(str, ticks)))
    ax.minorticks_off()
    return figure


def _over(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], *, x: str) -> Figure:
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    ax = figure.add_subplot()
    for number, (name, (places, values)) in enumerate(curves.items()):
        style = {"color": COLOURS[number], "linestyle": LINES[number], "marker": MARKERS[number]}
        ax.plot(places, values[:, 0], label=name, markersize=4, **style)
        ax.fill_between(places, values[:, 1], values[:, 2], color=COLOURS[number], alpha=0.15, linewidth=0)
    ax.set_ylim(-2, 102)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=7)
    plain(ax, x=x, y="robust accuracy (%)")
    return figure


def _rows(rows: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A dot with its interval for each row at the configured radius, from the top in the order of the checklist."""
    from matplotlib.lines import Line2D

    chosen = {name: row for name, row in rows.items() if row["epsilon"] is None}
    figure = Figure(figsize=(6.4, 0.2 * len(chosen) + 1.2), layout="constrained")
    ax = figure.add_subplot()
    for place, row in enumerate(chosen.values()):
        mean, low, high = share_interval(row)
        colour = KINDS[row["kind"]][1]
        ax.plot([low, high], [place, place], color=colour, linewidth=1.4)
        marker = "s" if row["kind"] == "control" else "D" if row["kind"] in ("black", "gaze") else "o"
        ax.plot(mean, place, marker, color=colour, markersize=4, clip_on=False)
        is_right = mean > 85
        ax.annotate(
            f"{mean:.1f}", (low if is_right else high, place), (-4 if is_right else 4, 0), textcoords="offset points",
            ha="right" if is_right else "left", va="center", fontsize=6.5, color="0.3",
        )  # fmt: skip
    ax.set_yticks(range(len(chosen)), list(chosen), fontsize=7)
    ax.set(xlim=(-2, 102), ylim=(len(chosen) - 0.4, -0.6))
    ax.grid(axis="y", color="0.92", linewidth=0.6)
    ax.set_axisbelow(True)
    kinds = dict(KINDS[row["kind"]] for row in chosen.values())
    handles = [Line2D([], [], color=colour, linewidth=2, label=kind) for kind, colour in kinds.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False, fontsize=7)
    plain(ax, x="robust accuracy (%)", y="")
    return figure


def _examples(examples: Mapping[str, np.ndarray], trials: Sequence[int], called: Callable[[int], str]) -> Figure:
    figure = Figure(figsize=(6.4, 2.0 * len(trials) + 0.2), layout="constrained")
    axes = figure.subplots(len(trials), 3, squeeze=False)
    for row, index in zip(axes, trials, strict=True):
        clean, attacked = examples["image"][index], examples["attacked"][index]
        label = called(int(examples["label"][index]))
        _trial(row[0], clean, examples["fixations"][index], trial_title(label, called(examples["predicted"][index])))
        change = (attacked - clean).mean(axis=-1)
        largest = max(float(np.abs(change).max()), 1e-9)
        row[1].imshow(change, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
        row[1].axis("off")
        row[1].set_title(f"change, ±{largest:.2g}", fontsize=8)
        title = trial_title(label, called(examples["predicted_attacked"][index]))
        _trial(row[2], attacked, examples["fixations_attacked"][index], title)
    return figure


def _trial(ax: "Axes", image: np.ndarray, fixations: np.ndarray, title: str) -> None:
    """An image under its scanpath, or without one where the model has no gaze."""
    if fixations.shape[-1] == 2:
        legend = scanpath(image, fixations, ax=ax).get_legend()
        if legend is not None:
            legend.remove()
    else:
        show_image(ax, image)
    ax.set_title(title, fontsize=8)
