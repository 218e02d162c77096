"""pysaliency's HDF5: `Scanpaths` 1.0 and the older `FixationTrains`, read and written (the extra ``gaze``)."""

import json
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from foveax._types import InputError
from foveax.analysis.table import FixationTable, known_columns
from foveax.gaze.rows import as_text, is_text, padded, places_on_screen, scanpath_rows, table_of_format
from foveax.gaze.screen import Screen
from foveax.runtime.machine import import_extra

Kind = Literal["Scanpaths", "ScanpathFixations", "FixationTrains 1.3", "FixationTrains 1.2"]
OWN = "foveax"
"""The group that holds the table's own columns, which pysaliency does not read."""
OF_SCANPATHS = ("trial", "seed", "label")
OF_FIXATIONS = {"duration": "durations", "glimpse": "glimpses"}


def write_pysaliency(path: str | Path, table: FixationTable, screen: Screen, *, kind: Kind = "Scanpaths") -> None:
    """Writes a table as pysaliency's HDF5: scanpaths in pixels of a screen, times in seconds.

    The image is pysaliency's ``n``; subjects are numbers there, and in Scanpaths their names are the scanpath attribute
    ``subject_name``. pysaliency 0.2 reads FixationTrains 1.2, its successor all kinds. A group of its own holds the
    table, so that `read_pysaliency` gives the same one. Raises `InputError` for another kind.
    """
    if kind not in get_args(Kind):
        raise InputError(f"kind must be one of {', '.join(get_args(Kind))}; got {kind!r}")
    h5py = import_extra("h5py", "gaze", "pysaliency's HDF5")
    rows = scanpath_rows(table)
    first = np.array([own[0] for own in rows], int)
    x, y = places_on_screen(table, screen).T
    subject = np.full(len(table.image), "") if table.subject is None else table.subject
    names, number = np.unique(subject, return_inverse=True)
    onset = np.full(len(table.image), np.nan) if table.onset is None else table.onset
    arrays: dict[str, Any] = {"xs": padded(x, rows), "ys": padded(y, rows), "n": table.image[first]}
    lengths, whose = np.array([len(own) for own in rows], int), number[first]
    of_scanpaths = {name: getattr(table, name)[first] for name in OF_SCANPATHS if getattr(table, name) is not None}
    named = {theirs: getattr(table, ours) for ours, theirs in OF_FIXATIONS.items()}
    of_fixations = {name: padded(column, rows) for name, column in named.items() if column is not None}
    with h5py.File(path, "w") as file:
        target = file
        if kind == "ScanpathFixations":
            _described(file, kind, "1.0")
            target = file.create_group("scanpaths")
        if kind.startswith("FixationTrains"):
            _described(file, "FixationTrains", kind.split()[1])
            for name, array in {**arrays, "ts": padded(onset, rows), "subjects": whose, "lengths": lengths}.items():
                file.create_dataset(f"train_{'ns' if name == 'n' else name}", data=array)
            file.attrs["__attributes__"] = np.bytes_("[]")
            file.attrs["scanpath_attribute_mapping"] = np.bytes_("{}")
            _write_group(file, "scanpath_attributes", of_scanpaths)
            _write_group(file, "scanpath_fixation_attributes", of_fixations)
        else:
            _described(target, "Scanpaths", "1.0")
            for name, array in {**arrays, "length": lengths}.items():
                target.create_dataset(name, data=array)
            attributes = {**of_scanpaths, "subject": whose, "subject_name": names[whose]}
            _write_group(target, "scanpath_attributes", attributes)
            _write_group(target, "fixation_attributes", {**of_fixations, "ts": padded(onset, rows)})
            mapping = {"ts": "t", **({"durations": "duration"} if "durations" in of_fixations else {})}
            target.attrs["attribute_mapping"] = np.bytes_(json.dumps(mapping))
        own = file.create_group(OWN)
        for name, column in known_columns(table).items():
            _write(own, name, column)


def read_pysaliency(path: str | Path, screen: Screen) -> FixationTable:
    """The table of pysaliency's HDF5: `Scanpaths`, `ScanpathFixations` or `FixationTrains` up to 1.3.

    Places are in pixels of the screen, times in seconds; a scanpath attribute ``subject_name``, or else the number, is
    the subject. Raises `InputError` for another file.
    """
    h5py = import_extra("h5py", "gaze", "pysaliency's HDF5")
    try:
        file = h5py.File(path)
    except OSError as error:
        raise InputError(f"scanpaths must be in a file of HDF5; {path} is none: {error}") from None
    with file:
        exact = _read_group(file[OWN], file[OWN].keys()) if OWN in file else {}
        kind = _text(file.attrs.get("type", ""))
        if kind == "FixationTrains":
            native = _trains(file)
        elif kind in ("Scanpaths", "ScanpathFixations"):
            native = _scanpaths(file["scanpaths"] if kind == "ScanpathFixations" else file)
        else:
            raise InputError(f"type of {path} must be Scanpaths, ScanpathFixations or FixationTrains; got {kind!r}")
    return table_of_format(exact, native, screen, "pixel", source=str(path))


def _scanpaths(group: Any) -> dict[str, Any]:
    length = group["length" if "length" in group else "lengths"][...]
    of_scanpaths = _attributes(group["scanpath_attributes"])
    of_fixations = _attributes(group["fixation_attributes"])
    subject = of_scanpaths.get("subject_name", of_scanpaths.get("subject"))
    return _flat(group["xs"][...], group["ys"][...], group["n"][...], length, subject, of_scanpaths, of_fixations)


def _trains(group: Any) -> dict[str, Any]:
    xs = group["train_xs"][...]
    trailing = xs.shape[1] - np.argmax(np.isfinite(xs)[:, ::-1], axis=1)
    length = group["train_lengths"][...] if "train_lengths" in group else np.where(np.isfinite(xs).any(1), trailing, 0)
    empty: dict[str, np.ndarray] = {}
    of_scanpaths = _attributes(group["scanpath_attributes"]) if "scanpath_attributes" in group else empty
    name = "scanpath_fixation_attributes"
    of_fixations = {"ts": group["train_ts"][...], **(_attributes(group[name]) if name in group else empty)}
    subject = group["train_subjects"][...]
    return _flat(xs, group["train_ys"][...], group["train_ns"][...], length, subject, of_scanpaths, of_fixations)


def _flat(
    xs: np.ndarray,
    ys: np.ndarray,
    n: np.ndarray,
    length: np.ndarray,
    subject: np.ndarray | None,
    of_scanpaths: dict[str, np.ndarray],
    of_fixations: dict[str, np.ndarray],
) -> dict[str, Any]:
    """A row for each fixation."""
    inside = np.arange(xs.shape[1]) < length[:, None]
    repeated = {name: np.repeat(of_scanpaths[name], length) for name in OF_SCANPATHS if name in of_scanpaths}
    durations = of_fixations.get("durations", of_fixations.get("duration"))
    onset = of_fixations.get("ts")
    return {
        **repeated,
        "x": xs[inside],
        "y": ys[inside],
        "image": np.repeat(n, length),
        "glimpse": (np.broadcast_to(np.arange(1, xs.shape[1] + 1), xs.shape))[inside],
        "subject": None if subject is None else np.repeat(as_text(subject), length),
        "onset": None if onset is None or not np.isfinite(onset[inside]).any() else onset[inside],
        "duration": None if durations is None else durations[inside],
    }


def _described(group: Any, kind: str, version: str) -> None:
    group.attrs["type"] = np.bytes_(kind)
    group.attrs["version"] = np.bytes_(version)


def _write_group(target: Any, name: str, arrays: dict[str, np.ndarray]) -> None:
    group = target.create_group(name)
    for own, array in arrays.items():
        _write(group, own, array)
    group.attrs["__attributes__"] = np.bytes_(json.dumps(sorted(arrays)))


def _write(group: Any, name: str, array: np.ndarray) -> None:
    if array.dtype.kind == "U":
        h5py = import_extra("h5py", "gaze", "pysaliency's HDF5")
        group.create_dataset(name, data=array.astype(object), dtype=h5py.string_dtype())
    else:
        group.create_dataset(name, data=array)


def _attributes(group: Any) -> dict[str, np.ndarray]:
    names = json.loads(_text(group.attrs["__attributes__"]))
    return {name: group[name][...] for name in names}


def _read_group(group: Any, names: Any) -> dict[str, np.ndarray]:
    return {name: as_text(group[name][...]) if is_text(name) else group[name][...] for name in names}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
