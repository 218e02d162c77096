"""Distributions of fixations and saccades: densities, amplitudes, directions, and the field of mean saccades."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from foveax._arrays import check_count, check_fixations
from foveax._types import InputError
from foveax.analysis.density import density_map
from foveax.analysis.scanpaths import grid_cells, in_pixels, saccade_amplitudes, saccade_directions, saccade_turns
from foveax.data.dataset import check_label
from foveax.plot.style import FIRST, LAST, LATER, as_image, axes_or_new, outline, plain, short_name, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNIFORM = "density (uniform: 1)"
GRID = 7
"""Places a side at which `policy_field` draws."""


def density(
    points: np.ndarray, *, height: int, width: int, image: np.ndarray | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draws the density of points ``[N, 2]``, uniform being 1, with lines around half and nine tenths of its mass.

    It is darker where it is greater; if an image is given, that is drawn instead of the shades, under the lines.
    """
    smooth = density_map(points, height=height, width=width)
    picture = None if image is None else _picture(image, height, width)
    ax = axes_or_new(ax)
    shades = _draw_density(ax, smooth, picture)
    if shades is not None:
        ax.figure.colorbar(shades, ax=ax, label=UNIFORM)
    ax.set_title(f"n = {len(points):,} fixations", fontsize=8)
    ax.legend(handles=_contours(), loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, frameon=False, fontsize=7)
    return ax


def _draw_density(ax: "Axes", smooth: np.ndarray, picture: np.ndarray | None, most: float | None = None) -> Any:
    """Draws a map and its lines; returns the shades, up to the most, for a colour bar, or None over a picture."""
    shades = None
    if picture is None:
        shades = ax.imshow(smooth * smooth.size, cmap="Greys", vmin=0, vmax=most, interpolation="nearest")
    else:
        show_image(ax, picture)
    falling = np.sort(smooth.ravel())[::-1]
    levels = [falling[np.searchsorted(np.cumsum(falling), mass)] for mass in (0.9, 0.5)]
    if levels[0] < levels[1] and min(smooth.shape) > 1:
        lines = ax.contour(smooth, levels=levels, colors=[FIRST, LAST], linewidths=1.2, linestyles=["--", "-"])
        lines.set_path_effects(outline(1.2) if picture is not None else [])
    ax.set(xticks=[], yticks=[])
    return shades


def _contours() -> list:
    """Handles for the legend of a map's lines."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=FIRST, linestyle="--", label="90 % of the mass"),
        Line2D([], [], color=LAST, linestyle="-", label="50 %"),
    ]


def densities(
    fixations: np.ndarray,
    *,
    height: int,
    width: int,
    label: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    image: np.ndarray | None = None,
) -> "Figure":
    """A figure of density maps, side by side: one per glimpse, or one per class of all saccades' landings.

    Maps are by class if a label ``[N]`` is given, called by the classes' names or numbers, and over an image as in
    `density`. Of more than 48, 48 are drawn, evenly spaced. All have one scale of shades, up to the median of their
    greatest densities: a first fixation that is always at the centre would leave no shade to the others.
    """
    from matplotlib.figure import Figure

    fixations = check_fixations("fixations", fixations, N=1, T=1 if label is None else 2)
    image = None if image is None else _picture(image, height, width)
    named = None if names is None else len(names)
    label = None if label is None else check_label("label", label, size=len(fixations), classes=named)
    if label is None:
        maps = [(f"glimpse {index}", points) for index, points in enumerate(fixations.swapaxes(0, 1), start=1)]
    else:
        called = {kind: f"class {kind}" if names is None else short_name(names[int(kind)]) for kind in np.unique(label)}
        maps = [(name, fixations[label == kind, 1:].reshape(-1, 2)) for kind, name in called.items()]
    chosen = np.linspace(0, len(maps) - 1, min(len(maps), 48)).round().astype(int)
    columns = min(len(chosen), 6)
    rows = -(-len(chosen) // columns)
    smooth = [density_map(maps[index][1], height=height, width=width) for index in chosen]
    most = float(np.median([one.max() * one.size for one in smooth]))
    figure = Figure(figsize=(1.3 * columns + 0.8, 1.6 * rows + 0.6), layout="constrained")
    shades = None
    for place, (index, one) in enumerate(zip(chosen, smooth, strict=True), start=1):
        ax = figure.add_subplot(rows, columns, place)
        shades = _draw_density(ax, one, image, most)
        title, points = maps[index]
        ax.set_title(f"{title}\nn = {len(points):,}", fontsize=7)
    if shades is not None:
        figure.colorbar(shades, ax=figure.axes, extend="max").set_label(UNIFORM, fontsize=7)
    figure.legend(handles=_contours(), loc="outside lower center", ncols=2, frameon=False, fontsize=7)
    return figure


def amplitudes(fixations: np.ndarray, *, height: int, width: int, ax: "Axes | None" = None) -> "Axes":
    """Draws the histogram of saccade amplitudes in pixels, of ``[N, T, 2]`` with T at least 2, and their median."""
    lengths = _nonempty(saccade_amplitudes(fixations, height=height, width=width))
    ax = axes_or_new(ax)
    bins = np.linspace(0, max(lengths.max(), 1.0), 31)
    ax.hist(lengths, bins=bins, weights=np.full(len(lengths), 1 / len(lengths)), color=FIRST, edgecolor="black", lw=0.4)
    median = float(np.median(lengths))
    ax.axvline(median, color=LAST, linestyle="--")
    title = f"n = {len(lengths):,} saccades; dashed: median {median:.1f}"
    return plain(ax, x="saccade amplitude (pixels)", y="share of saccades", title=title)


def directions(
    fixations: np.ndarray, *, height: int, width: int, relative: bool = False, ax: "Axes | None" = None
) -> "Axes":
    """Draws the histogram of saccade directions around a circle, 36 bins; areas are shares. The axes are polar.

    The rings are shares of the saccades in a bin: the larger is the greatest of all, the smaller a quarter of it.

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
    shares = [f"{100 * radius.max() ** 2 * part:.2g} %" for part in (0.25, 1.0)]
    ax.set_yticks(radius.max() * np.array([0.5, 1.0]), shares)
    ax.tick_params(axis="y", labelsize=6)
    for label in ax.get_yticklabels():
        label.set_path_effects(outline(0, "white"))
    ax.set_rlabel_position(68)  # pyright: ignore[reportAttributeAccessIssue]
    ax.set_title(f"{'turns' if relative else 'directions'}, n = {len(angles):,}", fontsize=8)
    return ax


def policy_field(
    fixations: np.ndarray, *, image: np.ndarray, glimpse: int | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draws the field of saccades over an image: on a grid of 7 by 7, the mean of those that begin in each cell.

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
    arrows = {"color": LATER, "edgecolor": "black", "linewidth": 0.6, "width": 0.014}
    ax.quiver(*mean, angles="xy", scale_units="xy", scale=1, **arrows).set_in_layout(False)
    which_saccades = "saccades" if glimpse is None else f"saccade {glimpse}"
    ax.set_title(f"{which_saccades}, n = {len(steps):,}", fontsize=8)
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
