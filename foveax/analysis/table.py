"""The fixation table: one row per fixation, of a model or of people, as CSV, as a pandas frame, as scanpaths."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from foveax._types import InputError
from foveax.analysis.decisions import belief_entropy
from foveax.analysis.scanpaths import in_pixels

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
      label: ``[N]``; goes with the probabilities.
      seed: of the model.

    Raises:
      InputError: if shapes do not fit, or numbers are not finite.

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
    if probabilities is None or label is None:
        return table
    probabilities, label = np.asarray(probabilities), np.asarray(label)
    if probabilities.shape[:2] != (images, glimpses) or label.shape != (images,):
        raise InputError(
            f"probabilities and label must begin with [{images}, {glimpses}] and be [{images}]; "
            f"got {list(probabilities.shape)} and {list(label.shape)}"
        )
    predicted = probabilities.argmax(axis=-1)
    return table._replace(
        label=np.repeat(label, glimpses).astype(int),
        probability=np.take_along_axis(probabilities, label[:, None, None].astype(int), axis=2).ravel().astype(float),
        predicted=predicted.ravel(),
        correct=(predicted == label[:, None]).ravel().astype(int),
        entropy=belief_entropy(probabilities).ravel(),
    )


def to_scanpaths(table: FixationTable) -> np.ndarray:
    """The fixations of a table as ``[N, T, 2]``: a scanpath per image, subject and seed, in that order.

    Raises:
      InputError: if the scanpaths are not equally long, or glimpses are missing or come twice.

    Example:
      >>> import numpy as np
      >>> paths = np.random.default_rng(0).random((3, 6, 2))
      >>> bool((to_scanpaths(fixation_table(paths, height=28, width=28)) == paths).all())
      True
    """
    whose = [column for column in (table.seed, table.subject) if column is not None]
    order = np.lexsort([table.glimpse, *whose, table.image])
    names = np.stack([np.unique(column[order], return_inverse=True)[1] for column in (table.image, *whose)])
    begins = np.flatnonzero(np.append(True, (np.diff(names) != 0).any(axis=0))) if len(order) else np.empty(0, int)
    lengths = np.unique(np.diff(np.append(begins, len(order))))
    if len(lengths) != 1:
        raise InputError(f"scanpaths must be equally long, and at least one; got lengths {lengths.tolist()}")
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

    Raises:
      InputError: if it cannot be read, columns are missing, or a value is no number; the message names line and column.
    """
    try:
        with Path(path).open(newline="") as file:
            rows = list(csv.reader(file))
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
    """The table of a pandas frame.

    Raises:
      InputError: if columns are missing, or values are no numbers.
    """
    return table_of_columns({str(name): frame[name].to_numpy() for name in frame.columns}, source="the frame")


def known_columns(table: FixationTable) -> dict[str, np.ndarray]:
    """The columns that are known, by name."""
    return {name: column for name, column in table._asdict().items() if column is not None}


def table_of_columns(columns: Mapping[str, np.ndarray], *, source: str) -> FixationTable:
    """A table of columns by name, each converted to its type.

    Raises:
      InputError: if columns are missing, or values are no numbers; the message names the source.
    """
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise InputError(f"fixations must have the columns {', '.join(REQUIRED)}; {source} has no {', '.join(missing)}")
    known = [name for name in FixationTable._fields if name in columns]
    return FixationTable(**{name: _converted(columns[name], name, source) for name in known})


def _converted(column: np.ndarray, name: str, source: str) -> np.ndarray:
    if name == "subject":
        return np.asarray(column, dtype=str)
    kind = int if name in INTEGERS else float
    try:
        return np.asarray(column).astype(kind)
    except (ValueError, TypeError):
        for line, value in enumerate(column, start=2):
            try:
                kind(value)
            except (ValueError, TypeError):
                number = "an integer" if kind is int else "a number"
                raise InputError(f"{source}, line {line}: {name} must be {number}; got {str(value)!r}") from None
        raise
