"""The fixation table: one row per fixation, of a model or of people, as CSV, as a pandas frame, as scanpaths."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from foveax._types import InputError
from foveax.analysis.decisions import belief_entropy
from foveax.analysis.scanpaths import check_finite, in_pixels

if TYPE_CHECKING:
    import pandas

Column = np.ndarray | None


class FixationTable(NamedTuple):
    """Fixations, a row each; every column is ``[R]``, or None where it is unknown.

    Attributes:
      image: integer, which image was looked at.
      glimpse: integer, the fixation's place in its scanpath, from 1.
      x: as a fraction of the image, 0 at the centre of its leftmost pixel, 1 at that of its rightmost.
      y: likewise, from the top.
      x_pixel: ``x (W - 1)``.
      y_pixel: ``y (H - 1)``.
      seed: integer, of the model.
      subject: text, who looked.
      onset: in seconds.
      duration: in seconds.
      label: integer, the image's class.
      probability: of the label, after this fixation.
      predicted: integer, the class then believed in.
      correct: 0 or 1.
      entropy: of the belief, in bits.
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


INTEGERS = ("image", "glimpse", "seed", "label", "predicted", "correct")
REQUIRED = ("image", "glimpse", "x", "y")
TIMES = ("onset", "duration")
"""What an eye tracker may not have told."""
LARGEST = 2.0
"""Beyond this, x and y are no fractions of an image: people look past it, but not mostly."""


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

    Args:
      fixations: ``[N, T, 2]``, (x, y) as fractions of the image.
      height: of the image in pixels.
      width: of the image in pixels.
      probabilities: ``[N, T, K]`` after each glimpse.
      label: ``[N]`` integers in [0, K), which the probabilities need.
      seed: of the model.

    Example:
      >>> import numpy as np
      >>> table = fixation_table(np.array([[[0.5, 0.5], [1.0, 0.0]]]), height=28, width=28)
      >>> table.glimpse, table.x_pixel
      (array([1, 2]), array([13.5, 27. ]))
    """
    pixels = in_pixels(fixations, height, width)
    images, glimpses = pixels.shape[:2]
    x, y = np.asarray(fixations, np.float64).reshape(-1, 2).T
    table = FixationTable(
        image=np.repeat(np.arange(images), glimpses),
        glimpse=np.tile(np.arange(1, glimpses + 1), images),
        x=x,
        y=y,
        x_pixel=pixels[..., 0].ravel(),
        y_pixel=pixels[..., 1].ravel(),
        seed=None if seed is None else np.full(images * glimpses, seed),
    )
    if label is None:
        if probabilities is not None:
            raise InputError("probabilities must come with the label; got none")
        return table
    label = np.asarray(label)
    if label.shape != (images,) or not np.issubdtype(label.dtype, np.integer):
        raise InputError(f"label must be integers of the shape [{images}]; got {label.dtype} {list(label.shape)}")
    table = table._replace(label=np.repeat(label, glimpses).astype(int))
    if probabilities is None:
        return table
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 3 or probabilities.shape[:2] != (images, glimpses):
        raise InputError(f"probabilities must be [{images}, {glimpses}, K]; got {list(probabilities.shape)}")
    if images and not (label.min() >= 0 and label.max() < probabilities.shape[2]):
        raise InputError(f"label must lie in [0, {probabilities.shape[2]}); got {label.min()} to {label.max()}")
    predicted = probabilities.argmax(axis=-1)
    return table._replace(
        probability=np.take_along_axis(probabilities, label[:, None, None].astype(int), axis=2).ravel().astype(float),
        predicted=predicted.ravel(),
        correct=(predicted == label[:, None]).ravel().astype(int),
        entropy=belief_entropy(probabilities).ravel(),
    )


def to_scanpaths(table: FixationTable, *, length: int | None = None) -> np.ndarray:
    """The fixations of a table as ``[N, T, 2]``: a scanpath per image, subject and seed, in that order.

    Only the first `length` fixations of each scanpath are taken; by default all, which must be equally many.

    Raises:
      InputError: if a scanpath is too short or of another length; if glimpses are missing or come twice.

    Example:
      >>> import numpy as np
      >>> paths = np.random.default_rng(0).random((3, 6, 2))
      >>> bool((to_scanpaths(fixation_table(paths, height=28, width=28)) == paths).all())
      True
    """
    columns = {len(column) for column in known_columns(table).values()}
    if len(columns) != 1:
        raise InputError(f"the columns of a table must be equally long; got lengths {sorted(columns)}")
    check_finite(np.stack([table.x, table.y]), "fixations")
    if length is not None:
        first = table.glimpse <= length
        table = FixationTable(**{name: column[first] for name, column in known_columns(table).items()})
    whose = [column for column in (table.seed, table.subject) if column is not None]
    order = np.lexsort([table.glimpse, *whose, table.image])
    names = np.stack([np.unique(column[order], return_inverse=True)[1] for column in (table.image, *whose)])
    begins = np.flatnonzero(np.append(True, (np.diff(names) != 0).any(axis=0))) if len(order) else np.empty(0, int)
    lengths = np.unique(np.diff(np.append(begins, len(order))))
    if len(lengths) != 1 or lengths[0] < (length or 0):
        wanted = "equally long, and at least one" if length is None else f"at least {length} fixations long"
        raise InputError(f"scanpaths must be {wanted}; got lengths {lengths.tolist()}")
    glimpse = table.glimpse[order].reshape(len(begins), -1)
    if not (glimpse == np.arange(1, lengths[0] + 1)).all():
        raise InputError("glimpses must be numbered from 1 within each scanpath, each of them once")
    return np.stack([table.x, table.y], axis=-1)[order].reshape(len(begins), -1, 2)


def write_csv(path: str | Path, table: FixationTable) -> None:
    """Writes the columns that are known, numbers in full precision: `read_csv` gives the same table."""
    columns = known_columns(table)
    with Path(path).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))


def read_csv(path: str | Path) -> FixationTable:
    """Reads a table of fixations, ours or of people; columns that the table does not know are left out.

    As from a spreadsheet, it may begin with a byte-order mark, hold blank lines, and leave onsets and durations empty,
    which become NaN.

    Raises:
      InputError: if it cannot be read, columns are missing, or a value is no number; the message names line and column.
        If most x and y are beyond 2: they must be fractions of the image, not pixels.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"fixations must be a CSV file; {path} cannot be read: {error}") from None
    header, body = (rows[0], rows[1:]) if rows else ([], [])
    for line, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise InputError(f"{path}, line {line}, must have {len(header)} values; got {len(row)}")
    names = [name.strip() for name in header]
    columns = {name: np.array([row[index] for row in body], dtype=str) for index, name in enumerate(names)}
    return table_of_columns(columns, source=str(path))


def to_pandas(table: FixationTable) -> "pandas.DataFrame":
    """The columns that are known, as a pandas frame."""
    import pandas

    return pandas.DataFrame(known_columns(table))


def from_pandas(frame: "pandas.DataFrame") -> FixationTable:
    """The table of a pandas frame, under the rules of `read_csv`."""
    return table_of_columns({str(name): frame[name].to_numpy() for name in frame.columns}, source="the frame")


def known_columns(table: FixationTable) -> dict[str, np.ndarray]:
    """The columns that are known, by name."""
    return {name: column for name, column in table._asdict().items() if column is not None}


def table_of_columns(columns: Mapping[str, np.ndarray], *, source: str) -> FixationTable:
    """A table of columns by name, each converted to its type; an `InputError` names the source."""
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise InputError(f"fixations must have the columns {', '.join(REQUIRED)}; {source} has no {', '.join(missing)}")
    known = [name for name in FixationTable._fields if name in columns]
    table = FixationTable(**{name: _converted(columns[name], name, source) for name in known})
    largest = np.maximum(np.abs(table.x), np.abs(table.y))
    if largest.size and np.median(largest) > LARGEST:
        raise InputError(
            f"x and y must be fractions of the image, pixel / (size - 1); most in {source} are beyond {LARGEST}, up to "
            f"{largest.max():g}, as pixels are"
        )
    return table


def _converted(column: np.ndarray, name: str, source: str) -> np.ndarray:
    if name == "subject":
        return np.asarray(column, dtype=str)
    whole = name in INTEGERS
    may_lack = name in TIMES
    numbers = np.empty(len(column), int if whole else float)
    for index, value in enumerate(column):
        try:
            number = float("nan" if may_lack and not str(value).strip() else value)
            if not (may_lack or np.isfinite(number)) or (whole and number != int(number)):
                raise ValueError
            numbers[index] = number
        except (ValueError, TypeError):
            wanted = "an integer" if whole else "a number"
            raise InputError(f"{source}, line {index + 2}: {name} must be {wanted}; got {str(value)!r}") from None
    return numbers
