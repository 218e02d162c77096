"""A scanpath over its image, and the crops that it took."""

import itertools
from typing import TYPE_CHECKING

import jax
import numpy as np

from foveax.retina.crop import crop

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIRST, LATER, LAST = "#56b4e9", "#e69f00", "#d55e00"  # Okabe, Ito 2008: told apart by colour-blind readers


def scanpath(image: np.ndarray, fixations: np.ndarray, *, size: int | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draws a scanpath over its image: numbered from 1, joined by arrows, the first and the last in other colours.

    Args:
      image: ``[H, W, C]``, uint8 or a float in [0, 1], C of 1 or 3.
      fixations: ``[T, 2]``, (x, y) in [0, 1].
      size: if given, the side of the crop in pixels, drawn as a square at the last fixation.
      ax: where to draw; by default new axes.

    Returns:
      the axes.
    """
    from matplotlib import patheffects, pyplot
    from matplotlib.patches import Rectangle

    ax = ax or pyplot.figure().add_subplot()
    _show(ax, image)
    points = np.asarray(fixations) * [image.shape[1] - 1, image.shape[0] - 1]
    for start, end in itertools.pairwise(points):
        ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": LATER, "linewidth": 1.2, "shrinkA": 3})
    for index, (x, y) in enumerate(points):
        colour = FIRST if index == 0 else LAST if index == len(points) - 1 else LATER
        ax.plot(x, y, "o", color=colour, markersize=6, markeredgecolor="black", markeredgewidth=0.4, clip_on=False)
        outline = [patheffects.withStroke(linewidth=1.2, foreground="black")]
        label = ax.annotate(str(index + 1), (x, y), (4, 3), textcoords="offset points", color="white", fontsize=7)
        label.set_path_effects([*outline])
    if size:
        x, y = points[-1] - size / 2
        ax.add_patch(Rectangle((x, y), size, size, fill=False, edgecolor=LAST, linewidth=1, clip_on=False))
    return ax


def crops(image: np.ndarray, fixations: np.ndarray, *, size: int, ax: "Axes | None" = None) -> "Axes":
    """Draws the crops of a scanpath side by side, in order, as the retina sampled them.

    Args:
      image: ``[H, W, C]``, uint8 or a float in [0, 1], C of 1 or 3.
      fixations: ``[T, 2]``, (x, y) in [0, 1].
      size: side of a crop in pixels.
      ax: where to draw; by default new axes.

    Returns:
      the axes.
    """
    from matplotlib import pyplot

    ax = ax or pyplot.figure().add_subplot()
    points = jax.numpy.asarray(fixations, jax.numpy.float32)
    strip = np.asarray(jax.vmap(lambda point: crop(jax.numpy.asarray(image), point, size=size))(points))
    border = np.ones((len(strip), size, 1, strip.shape[-1]), np.float32)
    _show(ax, np.concatenate(np.concatenate([strip, border], axis=2), axis=1)[:, :-1])
    return ax


def fixation_sheet(images: np.ndarray, fixations: np.ndarray, *, titles: list[str], size: int) -> "Figure":
    """A sheet of trials, four to a row: each image with its scanpath, and the crops that were taken below it.

    Args:
      images: ``[N, H, W, C]``, uint8 or a float in [0, 1], C of 1 or 3.
      fixations: ``[N, T, 2]``, (x, y) in [0, 1].
      titles: N lines, one above each image.
      size: side of a crop in pixels.

    Returns:
      the figure, which belongs to no window.
    """
    from matplotlib.figure import Figure

    rows = -(-len(images) // 4)
    figure = Figure(figsize=(10, 3.1 * rows), layout="constrained")
    cells = figure.subplots(2 * rows, 4, height_ratios=[4, 1] * rows, squeeze=False)
    for ax in cells.ravel():
        ax.axis("off")
    for index, (image, path, title) in enumerate(zip(images, fixations, titles, strict=True)):
        row, column = 2 * (index // 4), index % 4
        scanpath(image, path, size=size, ax=cells[row, column]).set_title(title, fontsize=9)
        crops(image, path, size=size, ax=cells[row + 1, column])
    return figure


def _show(ax: "Axes", image: np.ndarray) -> None:
    image = np.asarray(image)
    shown = image[..., 0] if image.shape[-1] == 1 else image
    ax.imshow(shown, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1, interpolation="nearest")
    ax.axis("off")
