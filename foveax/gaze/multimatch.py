"""Record arrays of MultiMatch: a scanpath each, of ``start_x``, ``start_y`` and ``duration``."""

from collections.abc import Sequence

import numpy as np

from foveax._types import InputError
from foveax.analysis.table import FixationTable
from foveax.gaze.rows import PREFIX, as_text, exact_columns, is_text, places_on_screen, scanpath_rows, table_of_format
from foveax.gaze.screen import Screen

FIELDS = ("start_x", "start_y", "duration")


def to_multimatch(table: FixationTable, screen: Screen) -> list[np.ndarray]:
    """The scanpaths of a table as `multimatch_gaze.docomparison` takes them, by image, subject, trial and seed.

    Places are in pixels of the screen, durations in seconds, NaN where they are not known. Further fields hold the
    table's own columns, so that `from_multimatch` gives the same rows.
    """
    pixels = places_on_screen(table, screen)
    duration = np.full(len(table.image), np.nan) if table.duration is None else table.duration
    columns = {"start_x": pixels[:, 0], "start_y": pixels[:, 1], "duration": duration, **exact_columns(table)}
    kinds = [(name, column.dtype) for name, column in columns.items()]
    whole = np.zeros(len(table.image), dtype=kinds)
    for name, column in columns.items():
        whole[name] = column
    return [whole[rows] for rows in scanpath_rows(table)]


def from_multimatch(scanpaths: Sequence[np.ndarray], screen: Screen) -> FixationTable:
    """The table of record arrays, which have the fields ``start_x``, ``start_y`` and ``duration`` at least.

    Without further fields, the number of a scanpath is that of its image. Raises `InputError` for other arrays.
    """
    for number, scanpath in enumerate(scanpaths):
        names = np.asarray(scanpath).dtype.names or ()
        missing = [name for name in FIELDS if name not in names]
        if missing:
            raise InputError(
                f"scanpaths must be record arrays with {', '.join(FIELDS)}; scanpath {number} has no {missing[0]}"
            )
    lengths = [len(scanpath) for scanpath in scanpaths]
    shared = (
        set.intersection(*(set(np.asarray(scanpath).dtype.names or ()) for scanpath in scanpaths)) if lengths else ()
    )
    columns = {name: np.concatenate([scanpath[name] for scanpath in scanpaths]) for name in shared}
    exact = {name: as_text(column) if is_text(name) else column for name, column in columns.items() if PREFIX in name}
    glimpses = [np.arange(1, length + 1) for length in lengths]
    native = {
        "x": columns.get("start_x"),
        "y": columns.get("start_y"),
        "duration": columns.get("duration"),
        "image": np.repeat(np.arange(len(lengths)), lengths),
        "glimpse": np.concatenate(glimpses) if glimpses else np.zeros(0, int),
    }
    return table_of_format(exact, native, screen, "pixel", source="the record arrays")
