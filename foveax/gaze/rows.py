"""Rows of a fixation table as formats hold them: by scanpath, and as columns that come back exactly."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from foveax._types import InputError
from foveax.analysis.table import (
    PLACES,
    REQUIRED,
    TEXTS,
    FixationTable,
    check_fractions,
    known_columns,
    owners,
    table_of_columns,
)
from foveax.gaze.screen import Screen, Unit, from_fractions, to_fractions

PREFIX = "foveax_"
"""Begins the names of columns that hold a table's own values, exactly, next to those in the units of a format."""
MILLISECONDS = 1000.0
TRIAL_COLUMNS = ("subject", "trial", "image", "stimulus")
"""Columns of a format that tell its scanpaths apart."""


def scanpath_rows(table: FixationTable) -> list[np.ndarray]:
    """The rows of each scanpath in the order of its glimpses; by image, subject, trial and seed.

    Example:
      >>> table = FixationTable(np.array([1, 0, 1]), np.array([2, 1, 1]), np.zeros(3), np.zeros(3))
      >>> [rows.tolist() for rows in scanpath_rows(table)]
      [[1], [2, 0]]
    """
    whose = owners(table)
    order = np.lexsort([table.glimpse, *whose])
    if not len(order):
        return []
    new = np.any([column[order][1:] != column[order][:-1] for column in whose], axis=0)
    return np.split(order, np.flatnonzero(new) + 1)


def glimpses(native: Mapping[str, Any]) -> np.ndarray:
    """The place of each fixation in its scanpath, from 1, in the order of a format's onsets.

    Example:
      >>> glimpses({"trial": np.array([1, 2, 1]), "onset": np.array([0.3, 0.0, 0.1])}).tolist()
      [2, 1, 1]
    """
    whose = [np.asarray(native[name]).astype(str) for name in TRIAL_COLUMNS if native.get(name) is not None]
    order = np.lexsort([native["onset"], *whose])
    glimpse = np.zeros(len(order), int)
    count, owner = 0, None
    for row in order:
        before, owner = owner, tuple(column[row] for column in whose)
        count = count + 1 if owner == before else 1
        glimpse[row] = count
    return glimpse


def padded(values: np.ndarray, rows: list[np.ndarray]) -> np.ndarray:
    """Values by scanpath and fixation, ``[S, L]``, NaN behind the last of each."""
    filled = np.full((len(rows), max(map(len, rows), default=0)), np.nan)
    for scanpath, own in enumerate(rows):
        filled[scanpath, : len(own)] = values[own]
    return filled


def places_on_screen(table: FixationTable, screen: Screen, unit: Unit = "pixel") -> np.ndarray:
    """The places of a table on a screen ``[R, 2]``."""
    return from_fractions(np.stack([table.x, table.y], axis=-1), screen, unit)


def exact_columns(table: FixationTable) -> dict[str, np.ndarray]:
    """All known columns of a table, under a prefix that no format uses."""
    return {f"{PREFIX}{name}": column for name, column in known_columns(table).items()}


def table_of_format(
    exact: Mapping[str, Any], native: Mapping[str, Any], screen: Screen, unit: Unit, *, source: str
) -> FixationTable:
    """The table of a format's columns: those that a table left there exactly, or else the format's own.

    Native places are ``x`` and ``y`` on the screen, in its unit, times are in seconds; columns of None are left out.
    """
    kept = {name.removeprefix(PREFIX): np.asarray(column) for name, column in exact.items()}
    kept = {name: column for name, column in kept.items() if name in FixationTable._fields}
    if set(REQUIRED) <= kept.keys():
        return table_of_columns(kept, source=source, missing=PLACES)
    columns = {name: np.asarray(column) for name, column in native.items() if column is not None}
    try:
        places = np.stack([np.asarray(columns[name], np.float64) for name in ("x", "y")], axis=-1)
    except KeyError as error:
        raise InputError(f"{source} must hold places x and y; it has no {error.args[0]}") from None
    columns["x"], columns["y"] = np.moveaxis(to_fractions(places, screen, unit), -1, 0)
    table = table_of_columns(columns, source=source, missing=PLACES)
    check_fractions(table, source)
    return table


def as_text(values: np.ndarray) -> np.ndarray:
    """Texts as numpy has them, from bytes or objects."""
    return np.array([value.decode() if isinstance(value, bytes) else str(value) for value in values], dtype=str)


def is_text(name: str) -> bool:
    """Whether a column holds text."""
    return name.removeprefix(PREFIX) in TEXTS
