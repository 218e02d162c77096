"""The fixation table: one row per fixation, of a model or of people, as CSV, as a frame, as scanpaths."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from foveax._arrays import check_count, check_fixations, check_probabilities
from foveax._types import InputError
from foveax.analysis.decisions import belief_entropy
from foveax.analysis.scanpaths import in_pixels
from foveax.data.dataset import check_label
from foveax.runtime.machine import import_extra

if TYPE_CHECKING:
    import pandas
    import polars

Column = np.ndarray | None


class FixationTable(NamedTuple):
    """Fixations, a row each; every column is ``[R]``, or None where it is unknown.

    ``image``, ``seed`` (of the model) and ``label`` are integers, ``subject``, the participant who looked, is text, and
    ``glimpse`` the fixation's place in its scanpath, from 1. ``x`` and ``y`` are fractions of the image, 0 at the
    centre of its leftmost or topmost pixel, 1 at that of its last, NaN where the eye was lost, as in a blink;
    ``x_pixel = x (W - 1)`` and ``y_pixel = y (H - 1)``. ``onset`` and ``duration`` are in seconds. After the fixation,
    ``probability`` is the label's, ``predicted`` the class believed in, ``correct`` 0 or 1, and ``entropy`` that of the
    belief, in bits. ``trial``, an integer, numbers the presentations of one participant; ``stimulus`` is the name of
    the image, as text; ``response`` is what the participant answered then, as text, several answers separated by
    spaces, and empty where there is none.
    """

    image: np.ndarray
    glimpse: np.ndarray
    x: np.ndarray
    y: np.ndarray
    x_pixel: Column = None
    y_pixel: Column = None
    seed: Column = None
    subject: Column = None
    onset: Column = None
    duration: Column = None
    label: Column = None
    probability: Column = None
    predicted: Column = None
    correct: Column = None
    entropy: Column = None
    trial: Column = None
    stimulus: Column = None
    response: Column = None


INTEGERS = ("image", "glimpse", "seed", "label", "predicted", "correct", "trial")
TEXTS = ("subject", "stimulus", "response")
MAY_LACK = ("onset", "duration")
"""Columns of numbers in which some may be missing: they are NaN."""
PLACES = ("x", "y", "x_pixel", "y_pixel")
NO_VALUE = ("", ".", "na", "nan", "none", "null", "n/a", "<na>")
"""What stands, in any case, for a number that was not measured."""
REQUIRED = ("image", "glimpse", "x", "y")
CENTRED_SHARE = 0.2
"""Where more of the places have a negative coordinate, and none is beyond 1, they are measured from a centre."""


def fixation_table(
    fixations: np.ndarray,
    *,
    height: int,
    width: int,
    probabilities: np.ndarray | None = None,
    label: np.ndarray | None = None,
    seed: int | None = None,
) -> FixationTable:
    """The table of one pass over a set of images, such as a `foveax.Evaluation`, in the images' order.

    Fixations are ``[N, T, 2]``, (x, y) as fractions of the image, whose height and width are in pixels; the seed is the
    model's. Probabilities ``[N, T, K]`` after each glimpse need the label, ``[N]`` integers in [0, K).

    Example:
      >>> table = fixation_table(np.array([[[0.5, 0.5], [1.0, 0.0]]]), height=28, width=28)
      >>> table.glimpse, table.x_pixel
      (array([1, 2]), array([13.5, 27. ]))
    """
    pixels = in_pixels(fixations, height, width)
    images, glimpses = pixels.shape[:2]
    x, y = check_fixations("fixations", fixations, N=0, T=1).reshape(-1, 2).T
    table = FixationTable(
        image=np.repeat(np.arange(images), glimpses),
        glimpse=np.tile(np.arange(1, glimpses + 1), images),
        x=x,
        y=y,
        x_pixel=pixels[..., 0].ravel(),
        y_pixel=pixels[..., 1].ravel(),
        seed=None if seed is None else np.full(images * glimpses, seed),
    )
    if label is None and probabilities is not None:
        raise InputError("probabilities must come with the label; got none")
    if label is None:
        return table
    label = check_label("label", label, size=images)
    table = table._replace(label=np.repeat(label, glimpses).astype(int))
    if probabilities is None:
        return table
    probabilities = check_probabilities("probabilities", probabilities, "N", "T", "K")
    if probabilities.shape[:2] != (images, glimpses):
        raise InputError(f"probabilities must be [{images}, {glimpses}, K]; got {list(probabilities.shape)}")
    label = check_label("label", label, classes=probabilities.shape[2])
    predicted = probabilities.argmax(axis=-1)
    return table._replace(
        probability=np.take_along_axis(probabilities, label[:, None, None].astype(int), axis=2).ravel().astype(float),
        predicted=predicted.ravel(),
        correct=(predicted == label[:, None]).ravel().astype(int),
        entropy=belief_entropy(probabilities).ravel(),
    )


def to_scanpaths(table: FixationTable, *, length: int | None = None) -> np.ndarray:
    """The fixations of a table as ``[N, T, 2]``: a scanpath per image, subject, trial and seed, in that order.

    Only the first `length` fixations of each scanpath are taken; by default all, which must be equally many.

    Raises:
      InputError: if a scanpath is too short or of another length; if glimpses are missing or come twice.

    Example:
      >>> paths = np.random.default_rng(0).random((3, 6, 2))
      >>> bool((to_scanpaths(fixation_table(paths, height=28, width=28)) == paths).all())
      True
    """
    _check_columns(table)
    points = check_fixations("table", np.stack([table.x, table.y], axis=-1), N=1)
    length = None if length is None else check_count("length", length)
    whose = owners(table)
    order = np.lexsort([table.glimpse, *whose])
    if length is not None:
        order = order[table.glimpse[order] <= length]
    names = np.stack([np.unique(column[order], return_inverse=True)[1] for column in whose])
    lengths = np.unique(np.unique(names, axis=1, return_counts=True)[1])
    if len(lengths) != 1 or lengths[0] < (length or 0):
        wanted = "equally long, and at least one" if length is None else f"at least {length} fixations long"
        raise InputError(f"scanpaths must be {wanted}; got lengths {lengths.tolist()}")
    if not (table.glimpse[order].reshape(-1, lengths[0]) == np.arange(1, lengths[0] + 1)).all():
        raise InputError("glimpses must be numbered from 1 within each scanpath, each of them once")
    return points[order].reshape(-1, lengths[0], 2)


def write_csv(path: str | Path, table: FixationTable) -> None:
    """Writes the columns that are known, numbers in full precision: `foveax.analysis.read_csv` gives the same table."""
    columns = _check_columns(table)
    with Path(path).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))


def owners(table: FixationTable) -> list[np.ndarray]:
    """The columns that say whose scanpath a row belongs to, the most important last, as `numpy.lexsort` takes them."""
    return [column for column in (table.seed, table.trial, table.subject, table.image) if column is not None]


def to_pandas(table: FixationTable) -> "pandas.DataFrame":
    """The columns that are known, as a pandas frame."""
    import pandas

    return pandas.DataFrame(_check_columns(table))


def from_pandas(frame: "pandas.DataFrame") -> FixationTable:
    """The table of a pandas frame, whose columns are named and measured as the table's are; others are left out."""
    return _from_frame({str(name): frame[name].to_numpy() for name in frame.columns})


def to_polars(table: FixationTable) -> "polars.DataFrame":
    """The columns that are known, as a polars frame; what is missing stays NaN, or empty."""
    polars = import_extra("polars", "gaze", "a polars frame")
    return polars.DataFrame(_check_columns(table))


def from_polars(frame: "polars.DataFrame") -> FixationTable:
    """The table of a polars frame, whose columns are named and measured as the table's are; others are left out."""
    return _from_frame({name: frame[name].to_numpy() for name in frame.columns})


def _from_frame(columns: Mapping[str, np.ndarray]) -> FixationTable:
    table = table_of_columns(columns, source="the frame", missing=PLACES)
    check_fractions(table, "the frame")
    return table


def known_columns(table: FixationTable) -> dict[str, np.ndarray]:
    """The columns that are known, by name."""
    return {name: column for name, column in table._asdict().items() if column is not None}


def _check_columns(table: FixationTable) -> dict[str, np.ndarray]:
    """The columns that are known, which must be equally long."""
    columns = known_columns(table)
    lengths = sorted({len(column) for column in columns.values()})
    if len(lengths) != 1:
        raise InputError(f"the columns of a table must be equally long; got lengths {lengths}")
    return columns


def table_of_columns(
    columns: Mapping[str, np.ndarray],
    *,
    source: str,
    lines: Sequence[int] | None = None,
    missing: Sequence[str] = (),
) -> FixationTable:
    """A table of columns by name, each converted to its type; an `InputError` names the source and the line.

    Besides onsets and durations, the columns that are named as `missing` may lack numbers.
    """
    absent = [name for name in REQUIRED if name not in columns]
    if absent:
        raise InputError(f"fixations must have the columns {', '.join(REQUIRED)}; {source} has no {', '.join(absent)}")
    known = [name for name in FixationTable._fields if name in columns]
    lacking = (*MAY_LACK, *missing)
    return FixationTable(**{name: _converted(columns[name], name, source, lines, name in lacking) for name in known})


def check_fractions(table: FixationTable, source: str) -> None:
    """Refuses places that are plainly no fractions of the image: people look past it, but not mostly."""
    places = np.stack([table.x, table.y])
    places = places[:, np.isfinite(places).all(axis=0)]
    if not places.size:
        return
    low, high = places.min(), places.max()
    must = "x and y must be fractions of the image, from 0 to 1"
    if np.median(np.abs(places).max(axis=0)) > 2:
        cure = "--units pixel --image-rect LEFT TOP WIDTH HEIGHT"
        raise InputError(f"{must}; most in {source} are beyond 2, up to {high:g}, as pixels are: {cure}")
    if (places.min(axis=0) < 0).mean() > CENTRED_SHARE and max(-low, high) <= 1:
        raise InputError(f"{must}; those in {source} are from {low:g} to {high:g}, as about a centre: --units centred")


def _converted(column: np.ndarray, name: str, source: str, lines: Sequence[int] | None, may_lack: bool) -> np.ndarray:
    if name in TEXTS:
        return np.array(["" if _is_missing(value) else str(value) for value in column], dtype=str)
    kind, wanted = (int, "an integer") if name in INTEGERS else (float, "a number")
    if np.asarray(column).dtype.kind in "iuf":  # no text, whose rows must be looked at one by one
        fits = (np.mod(column, 1) == 0).all() if kind is int else may_lack or np.isfinite(column).all()
        if fits:
            return np.asarray(column).astype(kind)
    numbers = np.empty(len(column), kind)
    for index, value in enumerate(column):
        try:
            number = float("nan" if may_lack and str(value).strip().lower() in NO_VALUE else value)
            if not (may_lack or np.isfinite(number)) or (kind is int and not number.is_integer()):
                raise ValueError
            numbers[index] = number
        except (ValueError, TypeError):
            line = index + 2 if lines is None else lines[index]
            raise InputError(f"{source}, line {line}: {name} must be {wanted}; got {str(value)!r}") from None
    return numbers


def _is_missing(value: object) -> bool:
    """Whether a text is none: null, NaN or NA of a frame."""
    return value is None or str(value) == "<NA>" or (isinstance(value, float) and value != value)
