"""Events of pymovements: fixations as a polars frame of ``name``, ``onset``, ``offset``, ``duration``, ``location``."""

from typing import TYPE_CHECKING, Any

import numpy as np

from foveax._types import InputError
from foveax.analysis.table import FixationTable, known_columns
from foveax.gaze.rows import (
    MILLISECONDS,
    PREFIX,
    TRIAL_COLUMNS,
    exact_columns,
    glimpses,
    places_on_screen,
    table_of_format,
)
from foveax.gaze.screen import Screen, Unit
from foveax.runtime.machine import import_extra

if TYPE_CHECKING:
    import polars

FIXATION = "fixation"


def to_pymovements(table: FixationTable, screen: Screen, unit: Unit = "pixel") -> "polars.DataFrame":
    """A table as `pymovements.Events` takes it: ``Events(data=frame, trial_columns=["subject", "trial", ...])``.

    Times are in milliseconds, null where they are not known; the location, a list of x and y, is on the screen, in
    pixels or degrees. Columns with a prefix hold the table exactly, so that `from_pymovements` gives the same one.
    """
    polars = import_extra("polars", "gaze", "events of pymovements")
    location = places_on_screen(table, screen, unit)
    unknown = np.full(len(table.image), np.nan)
    onset, duration = (unknown if column is None else column * MILLISECONDS for column in (table.onset, table.duration))
    known = known_columns(table)
    events = {
        **{name: known[name] for name in TRIAL_COLUMNS if name in known},
        "name": [FIXATION] * len(table.image),
        "onset": onset,
        "offset": onset + duration,
        "duration": duration,
        "location": polars.Series(location.tolist(), dtype=polars.List(polars.Float64)),
        **exact_columns(table),
    }
    return polars.DataFrame(events).with_columns(polars.col("onset", "offset", "duration").fill_nan(None))


def from_pymovements(events: Any, screen: Screen, unit: Unit = "pixel") -> FixationTable:
    """The fixations of pymovements' events: an `Events`, its frame, or one read from its CSV or feather file.

    Times are in milliseconds. The location is a list ``location``, or the columns ``location_x`` and ``location_y``.
    Events of other names are left out. Without a column ``image`` all are of image 0, and scanpaths are told apart by
    ``subject`` and ``trial``.

    Raises `InputError` if there is no location.
    """
    polars = import_extra("polars", "gaze", "events of pymovements")
    frame = events if isinstance(events, polars.DataFrame) else events.frame
    frame = frame.filter(polars.col("name").str.starts_with(FIXATION))
    exact = {name: frame[name].to_numpy() for name in frame.columns if name.startswith(PREFIX)}
    if "location" in frame.columns and frame.schema["location"] != polars.String:
        places = np.array([[np.nan, np.nan] if row is None else list(row) for row in frame["location"]], np.float64)
        x, y = places.reshape(-1, 2).T
    elif {"location_x", "location_y"} <= set(frame.columns):
        x, y = (frame[name].cast(polars.Float64).fill_null(np.nan).to_numpy() for name in ("location_x", "location_y"))
    elif exact:
        x, y = None, None
    else:
        raise InputError(f"events must have a location; they have {', '.join(frame.columns)}")
    native: dict[str, Any] = {name: frame[name].to_numpy() for name in TRIAL_COLUMNS if name in frame.columns}
    native.setdefault("image", np.zeros(len(frame), int))
    for name in ("onset", "duration"):
        native[name] = frame[name].cast(polars.Float64).fill_null(np.nan).to_numpy() / MILLISECONDS
    native |= {"x": x, "y": y, "glimpse": glimpses(native)}
    return table_of_format(exact, native, screen, unit, source="the events")
