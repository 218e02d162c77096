"""Scanpaths over their images, crops and reconstructions along them, and sheets and films of trials."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from foveax._arrays import check_count, check_fixations, check_number, check_probabilities
from foveax._types import InputError
from foveax.data.dataset import check_image
from foveax.plot.style import FIRST, LAST, LATER, as_image, axes_or_new, legend_below, name_classes, outline, show_image
from foveax.retina.foveate import foveate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHEET_COLUMNS = 4
NEAR = np.array([0.1, 0.06])
"""Of an image's longer side: nearer fixations have their numbers in one place, to be read."""
_foveate = jax.jit(foveate, static_argnames=("size", "scales"))
"""Compiled once for all glimpses of a film or sheet."""


def scanpath(image: np.ndarray, fixations: np.ndarray, *, size: int | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draws a scanpath ``[T, 2]`` over its image: numbered from 1, a long one in steps, and joined by arrows.

    The first fixation is a square, the last a diamond, with the crop around it. One outside the image is drawn white,
    at the border. Fixations near each other share a place for their numbers.
    """
    image, path, size = as_image(image), check_fixations("fixations", fixations, T=1), _crop_size(size)
    ax = axes_or_new(ax)
    _draw_scanpath(ax, image, path, size=size)
    legend_below(ax)
    ax.set_title(f"scanpath, {len(path)} fixations", fontsize=8)
    return ax


def _draw_scanpath(ax: "Axes", image: np.ndarray, path: np.ndarray, *, size: int | None) -> None:
    """Draws a scanpath without its legend."""
    from matplotlib.patches import Rectangle

    show_image(ax, image)
    places = path * [image.shape[1] - 1, image.shape[0] - 1]
    points = np.clip(places, 0, [image.shape[1] - 1, image.shape[0] - 1])
    arrow = {"arrowstyle": "->", "color": LATER, "linewidth": 1.2, "shrinkA": 3, "shrinkB": 4}
    for start, end in itertools.pairwise(points):
        drawn = ax.annotate("", end, start, arrowprops=arrow, annotation_clip=False, in_layout=False, zorder=1.5)
        assert drawn.arrow_patch is not None
        drawn.arrow_patch.set_path_effects(outline(1.2))
    for index, ((x, y), place) in enumerate(zip(points, places, strict=True)):
        first, last = index == 0, index == len(points) - 1
        colour, marker, label = (FIRST, "s", "first") if first else (LAST, "D", "last") if last else (LATER, "o", None)
        if (place != (x, y)).any():
            colour, label = "white", "outside the image"
        style = {"markersize": 6, "markeredgecolor": "black", "markeredgewidth": 0.9, "clip_on": False}
        ax.plot(x, y, marker, color=colour, label=label, **style, in_layout=False)
    for (x, y), numbers in _numbers(points, NEAR * max(image.shape[:2])):
        left, below = x > 0.85 * image.shape[1], y < 0.1 * image.shape[0]  # so that it stays on the image
        text = ax.annotate(
            numbers, (x, y), (-4 if left else 4, -9 if below else 3), textcoords="offset points",
            ha="right" if left else "left", color="white", fontsize=7, annotation_clip=False, in_layout=False,
        )  # fmt: skip
        text.set_path_effects(outline(0.4))
    if size:
        x, y = places[-1] - size / 2
        frame = Rectangle((x, y), size, size, fill=False, edgecolor=LAST, linewidth=1.2, label="crop at the last")
        frame.set_path_effects(outline(1.2))
        ax.add_patch(frame)


def _numbers(points: np.ndarray, near: np.ndarray) -> list[tuple[np.ndarray, str]]:
    """The numbers of at most about twenty points, from 1, and where: those of near points are in one place."""
    places: list[tuple[np.ndarray, list[str]]] = []
    for index in range(0, len(points), -(-len(points) // 20)):
        together = [numbers for place, numbers in places if (np.abs(points[index] - place) < near).all()]
        if together:
            together[0].append(str(index + 1))
        else:
            places.append((points[index], [str(index + 1)]))
    return [(place, " ".join(numbers)) for place, numbers in places]


def crops(image: np.ndarray, fixations: np.ndarray, *, size: int, scales: int = 1, ax: "Axes | None" = None) -> "Axes":
    """Draws the crops along a scanpath ``[T, 2]`` from left to right, a row per scale, the sharpest on top.

    A row's number is how many pixels of the image a sample of it is wide.

    The network may receive their contrast and luminance separately (`foveax.contrast_luminance`).
    """
    glimpses = _glimpses(image, fixations, size, scales)  # [T, S, G, G, C]
    framed = np.pad(glimpses, ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0)), constant_values=1.0)
    rows = [np.concatenate(list(framed[:, scale]), axis=1) for scale in range(framed.shape[1])]
    ax = axes_or_new(ax)
    show_image(ax, np.concatenate(rows)[:-1, :-1])
    ax.axis("on")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelsize=7)
    middles = (np.arange(max(len(glimpses), scales)) + 0.5) * (size + 1) - 1
    chosen = slice(0, len(glimpses), -(-len(glimpses) // 20))
    ax.set_xticks(middles[: len(glimpses)][chosen], list(map(str, range(1, len(glimpses) + 1)))[chosen])
    ax.set_yticks(middles[:scales], [str(1 << scale) for scale in range(scales)])
    ax.set_xlabel("glimpse", fontsize=8)
    ax.set_ylabel("pixels a sample", fontsize=8)
    return ax


def reconstruction(
    image: np.ndarray, fixations: np.ndarray, *, size: int, scales: int = 1, ax: "Axes | None" = None
) -> "Axes":
    """Draws the image as known from its glimpses: each pixel from the latest of the sharpest, the rest hatched grey."""
    image = as_image(image)
    height, width = image.shape[:2]
    picture = np.full(image.shape, 0.5)
    unknown = np.ones((height, width), bool)
    glimpses = _glimpses(image, fixations, size, scales)
    for scale in reversed(range(scales)):  # sharper ones over coarser ones
        block = 1 << scale
        for glimpse, point in zip(glimpses[:, scale], np.asarray(fixations), strict=True):
            corner = point * [width - 1, height - 1] - (size * block - 1) / 2
            column = np.floor((np.arange(width) - corner[0] + 0.5) / block).astype(int)
            row = np.floor((np.arange(height) - corner[1] + 0.5) / block).astype(int)
            inside = ((row >= 0) & (row < size))[:, None] & ((column >= 0) & (column < size))[None]
            sampled = glimpse[np.clip(row, 0, size - 1)[:, None], np.clip(column, 0, size - 1)[None]]
            picture = np.where(inside[..., None], sampled, picture)
            unknown &= ~inside
    ax = axes_or_new(ax)
    show_image(ax, picture)
    if unknown.any() and min(unknown.shape) > 1:
        ax.contourf(unknown.astype(float), levels=[0.5, 1.5], colors="none", hatches=["////"])
    return ax


def trial_picture(image: np.ndarray, fixations: np.ndarray, *, size: int | None = None) -> np.ndarray:
    """A trial so far as a picture, uint8 ``[height, width, 3]``: the image with the scanpath, and the latest crop."""
    from matplotlib.figure import Figure

    image, path, size = as_image(image), check_fixations("fixations", fixations, T=1), _crop_size(size)
    figure = Figure(figsize=(4.4 if size else 2.8, 2.8), layout="constrained")
    cells = figure.subplots(1, 2, width_ratios=[2, 1]) if size else [figure.add_subplot()]
    _draw_scanpath(cells[0], image, path, size=size)
    cells[0].set_title(f"fixation {len(path)}", fontsize=9)
    if size:
        crops(image, path[-1:], size=size, ax=cells[1]).axis("off")
        cells[1].set_title("glimpse", fontsize=9)
    return _pixels(figure)


def fixation_sheet(
    images: np.ndarray, fixations: np.ndarray, *, titles: Sequence[str] | None = None, size: int | None = None
) -> "Figure":
    """A sheet of trials, four to a row: each of N images with its title, its scanpath and, below it, its crops.

    Squares are first fixations, diamonds the last, and the frame is the crop around that.
    """
    from matplotlib.figure import Figure

    images, size = check_image("images", images), _crop_size(size)
    fixations = check_fixations("fixations", fixations, N=1, T=1)
    counts = len(images), len(fixations), len(images if titles is None else titles)
    if len(set(counts)) > 1:
        raise InputError(f"images, fixations and titles must be equally many; got {', '.join(map(str, counts))}")
    rows = -(-len(images) // SHEET_COLUMNS)
    heights = [4, 1] if size else [4]
    figure = Figure(figsize=(10, (3.1 if size else 2.5) * rows), layout="constrained")
    cells = figure.subplots(len(heights) * rows, SHEET_COLUMNS, height_ratios=heights * rows, squeeze=False)
    for ax in cells.ravel():
        ax.axis("off")
    above, below = (cells[offset :: len(heights)].ravel() for offset in (0, len(heights) - 1))
    lines = [""] * len(images) if titles is None else titles
    for index, (image, path, title) in enumerate(zip(images, fixations, lines, strict=True)):
        _draw_scanpath(above[index], image, path, size=size)
        above[index].set_title(title, fontsize=9)
        if size:
            crops(image, path, size=size, ax=below[index]).set(xlabel="", ylabel="", yticks=[])
    _legend_of(figure, *above)
    return figure


def _legend_of(figure: "Figure", *axes: "Axes") -> None:
    """Draws the legend of all axes, each name once, at the foot of their figure."""
    named = {name: handle for ax in axes for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=7)


def animate_trial(
    path: str | Path,
    image: np.ndarray,
    fixations: np.ndarray,
    *,
    size: int | None = None,
    scales: int = 1,
    probabilities: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    seconds: float = 0.8,
) -> None:
    """Writes an animated GIF of a trial: at each fixation the scanpath so far, the `reconstruction`, and the belief.

    Without a size the reconstruction is left out, without probabilities ``[T, K]`` after each glimpse the belief, over
    classes that are called by their names, by default their numbers. Each fixation stays for a time in seconds.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    points, image, size = check_fixations("fixations", fixations, T=1), as_image(image), _crop_size(size)
    seconds = check_number("seconds", seconds)
    if probabilities is not None:
        probabilities = check_probabilities("probabilities", probabilities, "T", "K")
        if len(probabilities) != len(points):
            raise InputError(f"probabilities must have the shape [{len(points)}, K]; got {list(probabilities.shape)}")
    panels = 1 + bool(size) + (probabilities is not None)
    frames = []
    for index in range(len(points)):
        figure = Figure(figsize=(2.6 * panels, 2.8), layout="constrained")
        cells = iter(figure.subplots(1, panels, squeeze=False)[0])
        past = points[: index + 1]
        ax = next(cells)
        _draw_scanpath(ax, image, past, size=size)
        ax.set_title(f"fixation {index + 1} of {len(points)}", fontsize=9)
        _legend_of(figure, ax)
        if size:
            reconstruction(image, past, size=size, scales=scales, ax=next(cells)).set_title("seen so far", fontsize=9)
        if probabilities is not None:
            ax = next(cells)
            ax.bar(np.arange(probabilities.shape[1]), probabilities[index], color=LATER, edgecolor="black")
            ax.set(ylim=(0, 1), xlabel="class", ylabel="probability")
            ax.set_title("belief", fontsize=9)
            name_classes(ax.xaxis, names, probabilities.shape[1])
            ax.tick_params(axis="x", rotation=90 if names else 0)
        frames.append(Image.fromarray(_pixels(figure)))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=round(1000 * seconds), loop=0)


def _pixels(figure: "Figure") -> np.ndarray:
    """A figure as uint8 ``[height, width, 3]``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _crop_size(size: int | None) -> int | None:
    """The side of a crop, None for none."""
    return check_count("size", size) if size else None


def _glimpses(image: np.ndarray, fixations: np.ndarray, size: int, scales: int) -> np.ndarray:
    """The retina's glimpses: ``[T, S, G, G, C]``."""
    image, points = as_image(image), check_fixations("fixations", fixations, T=1).astype(np.float32)
    size, scales = check_count("size", size), check_count("scales", scales)
    return np.stack([_foveate(image, point, size=size, scales=scales) for point in points])
