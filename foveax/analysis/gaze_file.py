"""Fixation tables from text: our own, and people's as eye trackers and spreadsheets write them."""

import codecs
import csv
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from foveax._types import InputError
from foveax.analysis.table import (
    NO_VALUE,
    PLACES,
    REQUIRED,
    FixationTable,
    check_fractions,
    owners,
    table_of_columns,
)

Units = Literal["fraction", "pixel", "centred"]
Times = Literal["s", "ms"]
Rect = tuple[float, float, float, float]
PARTICIPANT = ("participant", "participant_id")
"""Names by which files call the subject, in any case, where none is declared and no column is called so."""
NAMED_LINES = 5
"""Lines that a warning names."""
LONGEST_FIXATION = 20.0
"""Seconds; where most durations are longer, they are of another unit."""


class GazeWarning(UserWarning):
    """Part of a file of fixations is left out."""


def read_csv(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    units: Units = "fraction",
    image_rect: Rect | None = None,
    times: Times = "s",
    missing: Literal["omit", "keep"] = "omit",
) -> FixationTable:
    """Reads a table of fixations, ours or of people; what a file means is declared, and not guessed.

    Values are separated by commas, semicolons or tabs, as the first line has it; between semicolons or tabs, decimal
    commas are read. The encoding is UTF-8, or UTF-16 with its mark. Names of columns count in any case; a column
    ``participant`` is the subject. A row without a place, as in a blink, is left out with a `GazeWarning`, or kept with
    NaN in its place; then the fixations of each subject on each image, or in each trial, are numbered from 1, in the
    order of the file's numbers.

    Args:
      path: of the file.
      columns: the file's names of columns, by ours (`FixationTable`), where they differ.
      units: of x and y: fractions of the image, pixels of the screen, or from -1 to 1 about the image's centre.
      image_rect: where the image was, in pixels of the screen: left, top, width, height; pixels need it.
      times: the unit of onsets and durations: seconds or milliseconds.
      missing: whether rows without a place are left out, as analyses need, or kept, as `foveax.gaze` does.

    Raises:
      InputError: if it cannot be read, lacks a column, holds a value that is no number, or is plainly in other units;
        the message names file, line and cure.

    Example:
      >>> import tempfile
      >>> rows = ["who;image;fixation;X_px;Y_px;duration", "anna;0;0;960,0;540,0;210", "anna;0;1;1199;300;180"]
      >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
      ...     print(*rows, sep=chr(10), file=file, flush=True)
      ...     names = {"subject": "who", "glimpse": "fixation", "x": "x_px", "y": "y_px"}
      ...     table = read_csv(file.name, columns=names, units="pixel", image_rect=(720, 300, 480, 480), times="ms")
      >>> table.glimpse.tolist(), table.x.round(3).tolist(), table.duration.tolist()
      ([1, 2], [0.501, 1.0], [0.21, 0.18])
    """
    if (units == "pixel") != (image_rect is not None):
        raise InputError("pixels must come with the place of the image, and no other units; give both or neither")
    if image_rect is not None and not (len(image_rect) == 4 and min(image_rect[2:]) > 1):
        raise InputError(f"the place of the image must be left, top, width, height in pixels; got {image_rect}")
    names, lines, rows = _rows(Path(path))
    positions = _positions(Path(path), names, columns or {})
    places = [positions["x"], positions["y"]]
    empty = [i for i, row in enumerate(rows) if any(row[place].strip().lower() in NO_VALUE for place in places)]
    present = sorted(set(range(len(rows))) - set(empty)) if missing == "omit" else list(range(len(rows)))
    if len(present) < len(rows):
        count = f"{len(empty)} of {len(rows)} rows"
        which = ", ".join(str(lines[i]) for i in empty[:NAMED_LINES]) + ", ..." * (len(empty) > NAMED_LINES)
        sentence = f"{count} of {path} have no place, as in a blink, and are left out: x or y of line {which}"
        warnings.warn(sentence, GazeWarning, stacklevel=2)
    values = {name: np.array([rows[i][at].strip() for i in present], dtype=str) for name, at in positions.items()}
    lacking = PLACES if missing == "keep" else ()
    table = table_of_columns(values, source=str(path), lines=[lines[i] for i in present], missing=lacking)
    if units == "fraction":
        check_fractions(table, str(path))
    measured = _in_seconds(_in_fractions(table, units, image_rect), times, str(path))
    return _numbered(measured, str(path), [lines[i] for i in present])


def _rows(path: Path) -> tuple[list[str], list[int], list[list[str]]]:
    """The names of the columns, and the rows with the numbers of their lines."""
    if not path.is_file():
        raise InputError(f"fixations must be in a plain file; {path} is none")
    try:
        content = path.read_bytes()
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except OSError as error:
        raise InputError(f"fixations must be readable; {path} is not: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"fixations must be text in UTF-8 or UTF-16; {path} is not: save it as UTF-8") from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    numbered = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    if not numbered:
        raise InputError(f"fixations must have a line of names and a line for each; {path} is empty")
    (_, names), *body = numbered
    for line, row in body:
        if len(row) != len(names):
            raise InputError(f"{path}, line {line}, must have {len(names)} values; got {len(row)}")
    if delimiter != ",":
        body = [(line, [re.sub(r"^(-?\d*),(\d+)$", r"\1.\2", cell.strip()) for cell in row]) for line, row in body]
    return [name.strip() for name in names], [line for line, _ in body], [row for _, row in body]


def _positions(path: Path, names: list[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Where each of our columns stands among the file's."""
    lower = [name.lower() for name in names]
    unknown = [name for name in columns if name not in FixationTable._fields]
    if unknown:
        raise InputError(f"columns must be named as {', '.join(FixationTable._fields)}; got {', '.join(unknown)}")
    wanted = {name: columns.get(name, name).lower() for name in FixationTable._fields}
    if "subject" not in columns and "subject" not in lower:
        wanted["subject"] = next((name for name in PARTICIPANT if name in lower), "subject")
    positions = {name: lower.index(theirs) for name, theirs in wanted.items() if theirs in lower}
    missing = [name for name in dict.fromkeys((*REQUIRED, *columns)) if name not in positions]
    if missing:
        cure = " ".join(f"{name}=..." for name in missing)
        raise InputError(
            f"fixations must have the columns {', '.join(missing)}; {path} has {', '.join(names)}: name them as "
            f"--columns {cure}, in Python columns={{...}}"
        )
    return positions


def _in_fractions(table: FixationTable, units: Units, rect: Rect | None) -> FixationTable:
    if rect is not None:
        left, top, width, height = rect
        return table._replace(x=(table.x - left) / (width - 1), y=(table.y - top) / (height - 1))
    return table._replace(x=(table.x + 1) / 2, y=(table.y + 1) / 2) if units == "centred" else table


def _in_seconds(table: FixationTable, times: Times, path: str) -> FixationTable:
    known = table.duration[np.isfinite(table.duration)] if table.duration is not None else np.zeros(0)
    if times == "s" and known.size and np.median(known) > LONGEST_FIXATION:
        middle = f"half of those in {path} are longer than {np.median(known):g}"
        raise InputError(f"durations must be in seconds; {middle}, as milliseconds are: --times ms")
    scale = 1000 if times == "ms" else 1
    onset, duration = (None if column is None else column / scale for column in (table.onset, table.duration))
    return table._replace(onset=onset, duration=duration)


def _numbered(table: FixationTable, path: str, lines: list[int]) -> FixationTable:
    """The table with each subject's fixations on each image numbered from 1, in the order of their numbers."""
    whose = owners(table)
    order = np.lexsort([table.glimpse, *whose])
    same = np.all([column[order][1:] == column[order][:-1] for column in whose], axis=0)
    twice = np.flatnonzero(same & (np.diff(table.glimpse[order]) == 0))
    if len(twice):
        before, row = order[twice[0]], order[twice[0] + 1]
        who = "" if table.subject is None else f" of {table.subject[row]}"
        where = f"fixation {table.glimpse[row]}{who} on image {table.image[row]}"
        which = f"{path}, line {lines[row]}, column glimpse"
        raise InputError(f"{which}: fixations must come once; {where} comes twice, as in line {lines[before]}")
    starts = np.flatnonzero(np.r_[True, ~same]) if len(order) else np.zeros(0, int)
    lengths = np.diff(np.r_[starts, len(order)])
    glimpse = np.empty_like(table.glimpse)
    glimpse[order] = np.arange(len(order)) - np.repeat(starts, lengths) + 1
    return table._replace(glimpse=glimpse)
