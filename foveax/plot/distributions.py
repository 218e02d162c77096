"""Distributions of fixations and saccades: densities, amplitudes, directions, and the field of mean saccades."""

from typing import TYPE_CHECKING

import numpy as np

from foveax._arrays import check_count, check_fixations
from foveax._types import InputError
from foveax.analysis.density import density_map
from foveax.analysis.scanpaths import grid_cells, in_pixels, saccade_amplitudes, saccade_directions, saccade_turns
from foveax.data.dataset import check_label
from foveax.plot.style import COLOURS, FIRST, LAST, as_image, axes_or_new, plain, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRID = 7
"""Places a side at which `policy_field` draws."""


def density(
    points: np.ndarray, *, height: int, width: int, image: np.ndarray | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draws the density of points ``[N, 2]``, with lines around half and nine tenths of the mass.

    It is darker where it is greater; if an image is given, that is drawn instead of the shades, under the lines.
    """
    smooth = density_map(points, height=height, width=width)
    picture = None if image is None else _picture(image, height, width)
    ax = axes_or_new(ax)
    if picture is None:
        ax.imshow(smooth, cmap="Greys", vmin=0, interpolation="nearest")
    else:
        show_image(ax, picture)
    falling = np.sort(smooth.ravel())[::-1]
    levels = [falling[np.searchsorted(np.cumsum(falling), mass)] for mass in (0.9, 0.5)]
    if levels[0] < levels[1] and min(height, width) > 1:
        ax.contour(smooth, levels=levels, colors=[FIRST, LAST], linewidths=1.2, linestyles=["--", "-"])
    ax.set(xticks=[], yticks=[])
    return ax


def densities(
    fixations: np.ndarray, *, height: int, width: int, label: np.ndarray | None = None, image: np.ndarray | None = None
) -> "Figure":
    """A figure of density maps, side by side: one per glimpse, or one per class of all saccades' landings.

    Maps are by class if a label ``[N]`` is given, over an image as in `density`. Of more than 48, 48 are drawn, evenly
    spaced.
    """
    from matplotlib.figure import Figure

    fixations = check_fixations("fixations", fixations, N=1, T=1 if label is None else 2)
    image = None if image is None else _picture(image, height, width)
    label = None if label is None else check_label("label", label, size=len(fixations))
    if label is None:
        maps = [(f"glimpse {index}", points) for index, points in enumerate(fixations.swapaxes(0, 1), start=1)]
    else:
        maps = [(f"class {kind}", fixations[label == kind, 1:].reshape(-1, 2)) for kind in np.unique(label)]
    chosen = np.linspace(0, len(maps) - 1, min(len(maps), 48)).round().astype(int)
    columns = min(len(chosen), 6)
    rows = -(-len(chosen) // columns)
    figure = Figure(figsize=(1.3 * columns, 1.5 * rows), layout="constrained")
    for place, (title, points) in enumerate((maps[index] for index in chosen), start=1):
        ax = figure.add_subplot(rows, columns, place)
        density(points, height=height, width=width, image=image, ax=ax).set_title(title, fontsize=8)
    return figure


def amplitudes(fixations: np.ndarray, *, height: int, width: int, ax: "Axes | None" = None) -> "Axes":
    """Draws the histogram of saccade amplitudes in pixels, of ``[N, T, 2]`` with T at least 2, and their median."""
    lengths = _nonempty(saccade_amplitudes(fixations, height=height, width=width))
    ax = axes_or_new(ax)
    bins = np.linspace(0, max(lengths.max(), 1.0), 31)
    ax.hist(lengths, bins=bins, weights=np.full(len(lengths), 1 / len(lengths)), color=FIRST, edgecolor="black", lw=0.4)
    median = float(np.median(lengths))
    ax.axvline(median, color=LAST, linestyle="--")
    ax.annotate(f"median {median:.1f}", (median, 1), (3, -2), xycoords=("data", "axes fraction"),
                textcoords="offset points", va="top", fontsize=8)  # fmt: skip
    return plain(ax, x="saccade amplitude (pixels)", y="share of saccades")


def directions(
    fixations: np.ndarray, *, height: int, width: int, relative: bool = False, ax: "Axes | None" = None
) -> "Axes":
    """Draws the histogram of saccade directions around a circle, 36 bins; areas are shares. The axes are polar.

    Up is up or, if directions are relative to the saccade before (T at least 3, else 2), straight on.
    """
    angles = (saccade_turns if relative else saccade_directions)(fixations, height=height, width=width)
    angles = _nonempty(angles[~np.isnan(angles)])
    ax = axes_or_new(ax, polar=True)
    if ax.name != "polar":
        raise InputError("ax must be polar: figure.add_subplot(projection='polar')")
    counts, edges = np.histogram(angles, bins=36, range=(-np.pi, np.pi))
    radius = np.sqrt(counts / counts.sum())
    ax.bar(edges[:-1], radius, width=np.diff(edges), align="edge", color=FIRST, edgecolor="black", linewidth=0.4)
    if relative:
        ax.set_theta_zero_location("N")  # pyright: ignore[reportAttributeAccessIssue]
    names = ("on", "left", "back", "right") if relative else ("right", "up", "left", "down")
    ax.set_xticks(np.arange(4) * np.pi / 2, names)
    ax.set_yticks([])
    return ax


def policy_field(
    fixations: np.ndarray, *, image: np.ndarray, glimpse: int | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draws the field of saccades over an image: on a grid of places, the mean of those that begin near each.

    Fixations, T at least 2, are of many passes over one image from many places, or of many images; `glimpse` is that of
    the saccades, from 1, by default all.
    """
    image = as_image(image)
    points = in_pixels(fixations, *image.shape[:2])
    glimpse = None if glimpse is None else check_count("glimpse", glimpse)
    chosen = slice(None) if glimpse is None else slice(glimpse - 1, glimpse)
    begins = points[:, :-1][:, chosen].reshape(-1, 2)
    steps = _nonempty(np.diff(points, axis=1)[:, chosen]).reshape(-1, 2)
    column, row = grid_cells(np.asarray(fixations)[:, :-1][:, chosen].reshape(-1, 2), GRID).T
    which = row * GRID + column
    counts = np.bincount(which, minlength=GRID**2)
    full = counts > 0
    mean = [np.bincount(which, values, GRID**2)[full] / counts[full] for values in (*begins.T, *steps.T)]
    ax = axes_or_new(ax)
    show_image(ax, image)
    arrows = {"color": COLOURS[4], "edgecolor": "black", "linewidth": 0.3, "width": 0.012}
    ax.quiver(*mean, angles="xy", scale_units="xy", scale=1, **arrows).set_in_layout(False)
    return ax


def _picture(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image of these sides."""
    image = as_image(image)
    if image.shape[:2] != (height, width):
        raise InputError(f"image must be of the height and width, {height} and {width}; got {list(image.shape)}")
    return image


def _nonempty(values: np.ndarray) -> np.ndarray:
    if not values.size:
        raise InputError("fixations must hold at least one saccade, of some length")
    return values.ravel()
