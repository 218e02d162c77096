"""What all figures share: colours told apart by colour-blind readers, and in greyscale by line and marker."""

from typing import TYPE_CHECKING

import numpy as np

from foveax._types import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe, Ito 2008, Color Universal Design; from dark to light in greyscale
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
MARKERS = "os^Dv*"
FIRST, LATER, LAST = "#56b4e9", "#e69f00", "#d55e00"
"""Of the fixations of a scanpath."""


def axes_or_new(ax: "Axes | None", *, polar: bool = False) -> "Axes":
    """The axes given, or new ones on a figure of a column's width."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(3.4, 2.6), layout="constrained")
    return figure.add_subplot(projection="polar" if polar else None)


def show_image(ax: "Axes", image: np.ndarray) -> None:
    """Draws an image ``[H, W, C]``, uint8 or a float in [0, 1], pixel by pixel, without axes.

    Raises:
      InputError: if it is not of that shape, with C of 1 or 3.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise InputError(f"an image must have the shape [H, W, C], C of 1 or 3; got {list(image.shape)}")
    shown = image[..., 0] if image.shape[-1] == 1 else image
    shown = shown if image.dtype == np.uint8 else np.clip(shown, 0, 1)
    ax.imshow(shown, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1, interpolation="nearest")
    ax.axis("off")


def plain(ax: "Axes", *, x: str, y: str) -> "Axes":
    """Names the axes, and drops the frame where it says nothing."""
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
