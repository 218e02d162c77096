"""The figures of a study, of a column's width, to be printed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from foveax.analysis.density import density_map
from foveax.plot.scanpath import scanpath
from foveax.plot.style import COLOURS, LINES, MARKERS, outline, plain
from foveax.study.compare import PEOPLE, PEOPLES_GAZE, Study
from foveax.study.likeness import CEILING
from foveax.study.tables import difficulties, intervals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRIALS = 4
"""Images whose scanpaths are drawn."""
WIDE, HIGH = 6.8, 2.9
"""Inches of a figure of two columns."""


def figures_of(study: Study) -> dict[str, tuple[str, Callable[[], "Figure"]]]:
    """The caption of each figure, by name, and the function that draws it."""
    figures: dict[str, tuple[str, Callable[[], Figure]]] = {}
    people = "people's answers, " if PEOPLE in study.correct else ""
    if study.correct:
        caption = (
            f"Right decisions after each fixation: {people}the model with its own gaze, and its classifier along the "
            "gaze of others, from the same beginnings; bands are 95 % intervals over images and participants"
        )
        figures["accuracy"] = caption, lambda: _figure(accuracy, study)
        if study.shares:
            caption = f"The same by the share of the image that the fixations have shown: {people}and the model"
            figures["accuracy_by_share"] = caption, lambda: _figure(accuracy_by_share, study)
        caption = "How often decisions are right on each image, the mean over fixations"
        figures["difficulty"] = caption, lambda: _figure(difficulty, study)
    if study.gains:
        height = 0.22 * len(study.gains) + 1.0
        caption = "Bits per fixation over the centre prior, with 95 % intervals"
        figures["information"] = caption, lambda: _figure(information, study, high=height)
    caption = "Likeness of scanpaths, ScanMatch: left, as it is; right, what is owed to the image"
    figures["specific"] = caption, lambda: specific(study)
    caption = (
        "Where people and the model look, over all images, and the fixations of a few trials; the first fixation, "
        "which is given, is not counted"
    )
    figures["densities"] = caption, lambda: places(study)
    return figures


def _figure(draw: Callable[[Study, "Axes"], None], study: Study, *, high: float = HIGH) -> "Figure":
    from matplotlib import pyplot

    figure, ax = pyplot.subplots(figsize=(5.0, high), layout="constrained")
    draw(study, ax)
    return figure


def _rows(study: Study) -> list[str]:
    """The rows of decisions that are drawn, at most six."""
    names = (PEOPLE, *(eye.name for eye in study.eyes), PEOPLES_GAZE, "best fixed", "another image", "random")
    return [name for name in names if name in study.correct][: len(COLOURS)]


def _legend_outside(ax: "Axes") -> None:
    ax.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def accuracy(study: Study, ax: "Axes") -> None:
    """Draws the accuracy after each fixation."""
    length = study.trials.fixations.shape[1]
    steps = np.arange(1, length + 1)
    for number, name in enumerate(_rows(study)):
        columns = {str(step): study.correct[name][:, step] for step in range(length)}
        found = np.clip(100 * np.array(list(intervals(study, columns).values())), 0, 100)
        style = {"color": COLOURS[number], "linestyle": LINES[number], "marker": MARKERS[number], "markersize": 3}
        ax.plot(steps, found[:, 0], label=name, linewidth=1.2, **style)
        ax.fill_between(steps, found[:, 1], found[:, 2], color=COLOURS[number], alpha=0.12, linewidth=0)
    ax.set_xticks(steps if length <= 12 else steps[:: -(-length // 12)])
    plain(ax, x="fixation", y="right decisions (%)")
    _legend_outside(ax)


def accuracy_by_share(study: Study, ax: "Axes") -> None:
    """Draws the accuracy by the share of pixels seen."""
    for number, name in enumerate(_rows(study)):
        if name not in study.shares:
            continue
        share = 100 * np.nanmean(study.shares[name], axis=0)
        right = 100 * np.nanmean(study.correct[name], axis=0)
        style = {"color": COLOURS[number], "linestyle": LINES[number], "marker": MARKERS[number]}
        ax.plot(share, right, label=name, linewidth=1.2, markersize=3, **style)
    plain(ax, x="pixels seen (%)", y="right decisions (%)")
    _legend_outside(ax)


def difficulty(study: Study, ax: "Axes") -> None:
    """Draws how often people's and the model's decisions are right, a dot for each image."""
    values = difficulties(study)
    one = PEOPLE if PEOPLE in values else PEOPLES_GAZE
    other = study.eyes[0].name
    jitter = np.random.default_rng(0).normal(0, 0.4, (2, len(values[one])))
    ax.plot([0, 100], [0, 100], color="0.7", linewidth=0.8)
    ax.plot(
        100 * values[one] + jitter[0], 100 * values[other] + jitter[1], ".", color=COLOURS[0], alpha=0.6, markersize=5
    )
    plain(ax, x=f"{one}, right decisions (%)", y=f"{other} (%)", title=f"{len(values[one])} images")


def information(study: Study, ax: "Axes") -> None:
    """Draws the information gain of each density, with its interval; those below the axis are written at its edge."""
    found = intervals(study, study.gains)
    known = {name: each for name, each in found.items() if np.isfinite(each.mean)}
    order = sorted(known, key=lambda name: known[name].mean)
    best = max(*(each.mean for each in known.values()), *(np.nan_to_num(each.high) for each in known.values()), 0.1)
    least = max(min(min(each.mean, np.nan_to_num(each.low)) for each in known.values()), -3 * best)
    for number, name in enumerate(order):
        mean, low, high = known[name]
        colour = COLOURS[1] if name == CEILING else COLOURS[0] if name.startswith(study.eyes[0].name) else "0.45"
        if mean < least:
            ax.text(least, number, f"   {mean:.1f}", va="center", fontsize=7, color=colour)
            ax.plot(least, number, "<", color=colour, markersize=5, clip_on=False)
            continue
        ax.plot([max(low, least), high], [number, number], color=colour, linewidth=1.4)
        ax.plot(mean, number, "o", color=colour, markersize=4)
    ax.axvline(0, color="0.7", linewidth=0.8)
    ax.set_yticks(range(len(order)), order, fontsize=7)
    plain(ax, x="bits per fixation over the centre prior", y="")


def specific(study: Study) -> "Figure":
    """Draws ScanMatch of each row, and what is owed to the image."""
    from matplotlib import pyplot

    scores, own = study.likeness.scores, study.likeness.specific
    figure, axes = pyplot.subplots(1, 2, figsize=(WIDE, HIGH), layout="constrained", width_ratios=(1.2, 1))
    left = intervals(study, {name: values["scanmatch"] for name, values in scores.items()})
    right = intervals(study, {name: values["scanmatch"] for name, values in own.items()})
    for ax, found, title in zip(axes, (left, right), ("as it is", "owed to the image"), strict=True):
        order = sorted((name for name in found if np.isfinite(found[name].mean)), key=lambda name: found[name].mean)
        for number, name in enumerate(order):
            mean, low, high = found[name]
            colour = COLOURS[1] if name == CEILING else COLOURS[0] if name in own else "0.45"
            ax.plot([low, high], [number, number], color=colour, linewidth=1.4)
            ax.plot(mean, number, "o", color=colour, markersize=4)
        ax.set_yticks(range(len(order)), order, fontsize=7)
        plain(ax, x="ScanMatch", y="", title=title)
    axes[1].axvline(0, color="0.7", linewidth=0.8)
    return figure


def places(study: Study) -> "Figure":
    """Draws the densities of people's and the model's fixations, and trials of both."""
    from matplotlib import pyplot

    trials, own = study.trials, study.eyes[0].name
    figure, axes = pyplot.subplots(2, TRIALS // 2 + 1, figsize=(WIDE, 4.6), layout="constrained")
    looked = {PEOPLE: trials.fixations[:, 1:], own: study.gaze[own].passes[:, :, 1:]}
    for ax, (name, fixations) in zip(axes[:, 0], looked.items(), strict=True):
        points = fixations.reshape(-1, 2)
        inside = points[((points >= 0) & (points <= 1)).all(axis=-1)]
        mass = density_map(inside, height=64, width=64)
        ax.imshow(mass, cmap="Greys", extent=(0, 1, 1, 0), vmin=0)
        ax.plot(*inside.mean(axis=0), "+", color=COLOURS[1], markersize=9, markeredgewidth=1.6)
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{name}, n = {len(inside):,}", fontsize=8)
    chosen = np.linspace(0, len(trials.image) - 1, TRIALS + 2).round().astype(int)[1:-1]
    for number, row in enumerate(chosen):
        ax = axes[number // (TRIALS // 2), 1 + number % (TRIALS // 2)]
        image = np.asarray(trials.stimuli["image"][trials.image[row]])
        legend = scanpath(image, trials.fixations[row], ax=ax).get_legend()
        if legend is not None:
            legend.remove()
        model = study.gaze[own].fixations[row] * (np.array(image.shape[1::-1]) - 1)
        ax.plot(*model.T, "-", color=COLOURS[5], linewidth=1.0, path_effects=outline(1.0), label=own)
        ax.set_title(f"{trials.names[trials.image[row]]}; thin: {own}", fontsize=7)
    return figure
