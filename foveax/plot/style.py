"""Style of all figures: colours that colour-blind readers can distinguish, and in greyscale lines and markers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from foveax._types import InputError
from foveax.data.dataset import as_array, check_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

# Okabe, Ito 2008, Color Universal Design; from dark to light in greyscale
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "*")
FIRST, LATER, LAST = "#56b4e9", "#e69f00", "#d55e00"
"""Of the fixations of a scanpath."""
LONGEST_NAME = 20
"""Characters of a name of a class or a person in a figure."""


def outline(width: float, colour: str = "black") -> list:
    """An edge for a line or a text of a width in points; a dark one shows on any picture, a white one on bars."""
    from matplotlib import patheffects

    return [patheffects.withStroke(linewidth=width + 1.6, foreground=colour)]


def axes_or_new(ax: "Axes | None", *, polar: bool = False) -> "Axes":
    """The axes given, or new ones on a figure of a column's width."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(3.4, 2.6), layout="constrained")
    return figure.add_subplot(projection="polar" if polar else None)


def as_image(image: np.ndarray) -> np.ndarray:
    """An image ``[H, W, C]``, uint8 or float32; an `InputError` if it has another shape, or values out of range."""
    image = as_array("image", image)
    if image.ndim != 3:
        raise InputError(f"image must have the shape [H, W, C]; got {list(image.shape)}")
    return check_image("image", image[None])[0]


def show_image(ax: "Axes", image: np.ndarray) -> None:
    """Draws an image ``[H, W, C]``, uint8 or a float in [0, 1], pixel by pixel, without axes, whose limits then stay.

    An image of one channel is drawn in grey, one of three in colour, any other as the mean over its channels, in grey.
    """
    largest = 255 if image.dtype == np.uint8 else 1
    pixels = image if image.shape[-1] == 3 else image.mean(axis=-1)
    ax.imshow(np.clip(pixels, 0, largest), cmap="gray", vmin=0, vmax=largest, interpolation="nearest")
    ax.autoscale(False)
    ax.axis("off")


def plain(ax: "Axes", *, x: str, y: str, title: str = "") -> "Axes":
    """Labels the axes, and removes the upper and right parts of their frame."""
    ax.set(xlabel=x, ylabel=y)
    ax.set_title(title, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def legend_below(ax: "Axes") -> None:
    """Draws the legend, each name once, below axes that have no labels there."""
    named = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    ax.legend(
        named.values(),
        named.keys(),
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=3,
        frameon=False,
        fontsize=7,
        handletextpad=0.4,
    )


def short_name(name: str) -> str:
    """A name as it is written in a figure: at most 20 characters, and never taken for a formula."""
    cut = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
    return cut.replace("$", r"\$")


def trial_title(label: str, decision: str) -> str:
    """The class of a trial's image and, if it is another, what it was taken for, below it where names are long.

    Example:
      >>> trial_title("cat", "cat"), trial_title("cat", "dog")
      ('cat', 'cat, taken for dog')
    """
    if label == decision:
        return short_name(label)
    gap = " " if len(label + decision) <= LONGEST_NAME else "\n"
    return f"{short_name(label)},{gap}taken for {short_name(decision)}"


def name_classes(axis: "Axis", names: Sequence[str] | None, classes: int) -> None:
    """Ticks an axis at the classes: their names, by default their numbers; of more than 20, some."""
    known = [str(index) for index in range(classes)] if names is None else [short_name(name) for name in names]
    if len(known) != classes:
        raise InputError(f"names must be one for each of {classes} classes; got {len(known)}")
    ticks = np.arange(0, classes, -(-classes // 20))
    axis.set_ticks(ticks, [known[index] for index in ticks], fontsize=7 if names is None else 6)
