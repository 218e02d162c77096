"""A scanpath over its image, what it saw, and a sheet or a film of trials."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foveax._types import InputError
from foveax.plot.style import FIRST, LAST, LATER, axes_or_new, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def scanpath(image: np.ndarray, fixations: np.ndarray, *, size: int | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draws a scanpath over its image: numbered from 1, joined by arrows, the first a square, the last a diamond.

    Args:
      image: ``[H, W, C]``, uint8 or a float in [0, 1], C of 1 or 3.
      fixations: ``[T, 2]``, (x, y) in [0, 1].
      size: if given, the side of the crop in pixels, drawn as a square at the last fixation.
      ax: where to draw; by default new axes.

    Returns:
      the axes.

    Raises:
      InputError: if shapes do not fit.
    """
    from matplotlib import patheffects
    from matplotlib.patches import Rectangle

    ax, image = axes_or_new(ax), np.asarray(image)
    show_image(ax, image)
    points = _checked(fixations) * [image.shape[1] - 1, image.shape[0] - 1]
    arrow = {"arrowstyle": "->", "color": LATER, "linewidth": 1.2, "shrinkA": 3, "shrinkB": 2}
    for start, end in itertools.pairwise(points):
        ax.annotate("", end, start, arrowprops=arrow, annotation_clip=False)
    for index, (x, y) in enumerate(points):
        first, last = index == 0, index == len(points) - 1
        colour, marker = (FIRST, "s") if first else (LAST, "D") if last else (LATER, "o")
        ax.plot(x, y, marker, color=colour, markersize=6, markeredgecolor="black", markeredgewidth=0.4, clip_on=False)
        label = ax.annotate(str(index + 1), (x, y), (4, 3), textcoords="offset points", color="white", fontsize=7,
                            annotation_clip=False)  # fmt: skip
        label.set_path_effects([patheffects.withStroke(linewidth=1.2, foreground="black")])
    if size:
        x, y = points[-1] - size / 2
        ax.add_patch(Rectangle((x, y), size, size, fill=False, edgecolor=LAST, linewidth=1, clip_on=False))
    return ax


def crops(image: np.ndarray, fixations: np.ndarray, *, size: int, scales: int = 1, ax: "Axes | None" = None) -> "Axes":
    """Draws what the retina cropped: the glimpses of a scanpath from left to right, a row per scale.

    The network may be given their contrast and luminance apart (`foveax.contrast_luminance`).

    Args:
      image: ``[H, W, C]``, uint8 or a float in [0, 1], C of 1 or 3.
      fixations: ``[T, 2]``, (x, y) in [0, 1].
      size: side of a crop in pixels.
      scales: of the retina, the sharpest on top.
      ax: where to draw; by default new axes.

    Returns:
      the axes.

    Raises:
      InputError: if shapes do not fit.
    """
    glimpses = _glimpses(image, fixations, size, scales)  # [T, S, G, G, C]
    framed = np.pad(glimpses, ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0)), constant_values=1.0)
    rows = [np.concatenate(list(framed[:, scale]), axis=1) for scale in range(scales)]
    ax = axes_or_new(ax)
    show_image(ax, np.concatenate(rows)[:-1, :-1])
    return ax


def seen(image: np.ndarray, fixations: np.ndarray, *, size: int, scales: int = 1, ax: "Axes | None" = None) -> "Axes":
    """Draws what has been seen so far: each pixel at the sharpest that any glimpse showed it, the rest hatched grey.

    Args:
      image: ``[H, W, C]``, uint8 or a float in [0, 1], C of 1 or 3.
      fixations: ``[T, 2]``, (x, y) in [0, 1].
      size: side of a crop in pixels.
      scales: of the retina.
      ax: where to draw; by default new axes.

    Returns:
      the axes.

    Raises:
      InputError: if shapes do not fit.
    """
    ax = axes_or_new(ax)
    picture, unseen = _reconstruction(image, fixations, size, scales)
    show_image(ax, picture)
    if unseen.any():
        ax.contourf(unseen.astype(float), levels=[0.5, 1.5], colors="none", hatches=["////"])
    return ax


def trial_picture(image: np.ndarray, fixations: np.ndarray, *, size: int) -> np.ndarray:
    """A trial so far as a picture: the image with the scanpath, and beside it the latest crop.

    Args:
      image: ``[H, W, C]``, uint8 or a float in [0, 1], C of 1 or 3.
      fixations: ``[t, 2]``, (x, y) in [0, 1].
      size: side of a crop in pixels.

    Returns:
      uint8 ``[height, width, 3]``.

    Raises:
      InputError: if shapes do not fit.

    Example:
      >>> import numpy as np
      >>> trial_picture(np.zeros((28, 28, 1)), np.array([[0.5, 0.5]]), size=9).shape
      (280, 440, 3)
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 2.8), layout="constrained")
    cells = figure.subplots(1, 2, width_ratios=[2, 1])
    scanpath(image, fixations, size=size, ax=cells[0]).set_title(f"fixation {len(fixations)}", fontsize=9)
    crops(image, fixations[-1:], size=size, ax=cells[1]).set_title("glimpse", fontsize=9)
    return _pixels(figure)


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


def animate_trial(
    path: str | Path,
    image: np.ndarray,
    fixations: np.ndarray,
    *,
    size: int,
    scales: int = 1,
    probabilities: np.ndarray | None = None,
    seconds: float = 0.8,
) -> None:
    """Writes an animated GIF of a trial: at each fixation the scanpath so far, what has been seen, and the belief.

    Args:
      path: of the file.
      image: ``[H, W, C]``, uint8 or a float in [0, 1], C of 1 or 3.
      fixations: ``[T, 2]``, (x, y) in [0, 1].
      size: side of a crop in pixels.
      scales: of the retina.
      probabilities: ``[T, K]`` after each glimpse; without them the belief is left out.
      seconds: that a fixation is shown.

    Raises:
      InputError: if shapes do not fit.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    points, panels = _checked(fixations), 2 if probabilities is None else 3
    if probabilities is not None and (np.ndim(probabilities) != 2 or len(probabilities) != len(points)):
        raise InputError(f"probabilities must have the shape [{len(points)}, K]; got {list(np.shape(probabilities))}")
    frames = []
    for index in range(len(points)):
        figure = Figure(figsize=(2.6 * panels, 2.8), layout="constrained")
        cells = figure.subplots(1, panels)
        scanpath(image, points[: index + 1], size=size, ax=cells[0]).set_title(f"fixation {index + 1}", fontsize=9)
        seen(image, points[: index + 1], size=size, scales=scales, ax=cells[1]).set_title("seen so far", fontsize=9)
        if probabilities is not None:
            cells[2].bar(np.arange(probabilities.shape[1]), probabilities[index], color=LATER, edgecolor="black")
            cells[2].set(ylim=(0, 1), xlabel="class", ylabel="probability")
            cells[2].xaxis.get_major_locator().set_params(integer=True)
        frames.append(Image.fromarray(_pixels(figure)))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=round(1000 * seconds), loop=0)


def _pixels(figure: "Figure") -> np.ndarray:
    """A figure as uint8 ``[height, width, 3]``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _checked(fixations: np.ndarray) -> np.ndarray:
    fixations = np.asarray(fixations)
    if fixations.ndim != 2 or fixations.shape[-1] != 2 or not len(fixations) or not np.isfinite(fixations).all():
        raise InputError(f"fixations must be finite, of the shape [T, 2], T at least 1; got {list(fixations.shape)}")
    return fixations


def _glimpses(image: np.ndarray, fixations: np.ndarray, size: int, scales: int) -> np.ndarray:
    """The retina's own: ``[T, S, G, G, C]``."""
    import jax
    import jax.numpy as jnp

    from foveax.retina.foveate import foveate

    points = jnp.asarray(_checked(fixations), jnp.float32)
    pixels = jnp.asarray(image)
    return np.asarray(jax.vmap(lambda point: foveate(pixels, point, size=size, scales=scales))(points))


def _reconstruction(image: np.ndarray, fixations: np.ndarray, size: int, scales: int) -> tuple[np.ndarray, np.ndarray]:
    """The image as far as it was seen, float ``[H, W, C]``, and which of its pixels never were, bool ``[H, W]``.

    Coarse glimpses are laid first and sharper ones over them, each pixel from the crop's nearest.
    """
    if np.ndim(image) != 3:
        raise InputError(f"image must have the shape [H, W, C]; got {list(np.shape(image))}")
    height, width, channels = np.shape(image)
    picture, unseen = np.full((height, width, channels), 0.5), np.ones((height, width), bool)
    glimpses = _glimpses(image, fixations, size, scales)
    for scale in reversed(range(scales)):
        block = 1 << scale
        for glimpse, point in zip(glimpses[:, scale], _checked(fixations), strict=True):
            corner = point * [width - 1, height - 1] - (size * block - 1) / 2
            column = np.floor((np.arange(width) - corner[0] + 0.5) / block).astype(int)
            row = np.floor((np.arange(height) - corner[1] + 0.5) / block).astype(int)
            inside = ((row >= 0) & (row < size))[:, None] & ((column >= 0) & (column < size))[None]
            laid = glimpse[np.clip(row, 0, size - 1)[:, None], np.clip(column, 0, size - 1)[None]]
            picture, unseen = np.where(inside[..., None], laid, picture), unseen & ~inside
    return picture, unseen
