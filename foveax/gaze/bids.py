"""BIDS 1.11 eye tracking: samples (``_physio.tsv.gz``) and fixations (``_physioevents.tsv.gz``), read and written.

The Brain Imaging Data Structure, https://bids-specification.readthedocs.io, section on eye tracking.
"""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foveax._types import InputError
from foveax.analysis.table import FixationTable, known_columns
from foveax.gaze.recording import Recording, check_recording
from foveax.gaze.rows import PREFIX, exact_columns, glimpses, is_text, places_on_screen, scanpath_rows, table_of_format
from foveax.gaze.screen import Screen
from foveax.gaze.tab_tables import MISSING, numbers, read_rows, read_sidecar, unit_size, write_rows
from foveax.runtime.files import read_json, write_json

VERSION = "1.11.1"
DATATYPE = "beh"
SAMPLES = ("timestamp", "x_coordinate", "y_coordinate", "pupil_size")
SECONDS = {"s": 1.0, "ms": 0.001}
PIXELS = {"pixel": 1.0, "pixels": 1.0, "px": 1.0}
"""Units that are read, and how much each is."""
ORIGINS = {"upper left": ["top", "left"], "lower left": ["bottom", "left"], "centre": ["center", "center"]}


def write_bids(
    root: str | Path,
    table: FixationTable,
    screen: Screen,
    *,
    task: str,
    recordings: Mapping[str, Recording] | None = None,
) -> None:
    """Writes people's fixations, and the samples they were found in, as a data set of BIDS.

    A participant's fixations are the ``physioevents`` of their recording: ``onset``, ``duration``, ``trial_type`` and
    the place ``x_coordinate``, ``y_coordinate`` in pixels of the screen; further columns hold the table exactly, so
    that `read_bids` gives the same one, participant by participant. What is missing is ``n/a``. Samples without a
    recording are not made up: the validator of BIDS asks for them.

    Args:
      root: the folder of the data set, made if it is not there.
      table: fixations, with the column ``subject``.
      screen: the one on which the images were shown; it becomes ``StimulusPresentation``.
      task: its name, of letters and digits.
      recordings: samples by subject.

    Raises:
      InputError: if the table has no subjects, two have the same label, or a text holds a tab or is ``n/a``.
    """
    if table.subject is None:
        raise InputError("fixations must have the column subject to be written as BIDS; these have none")
    if not re.fullmatch(r"[a-zA-Z0-9]+", task):
        raise InputError(f"task must be letters and digits; got {task!r}")
    folder = Path(root)
    named: set[str] = {str(name) for name in table.subject} | set(recordings or {})
    subjects = sorted(named)
    labels = {subject: bids_label(subject) for subject in subjects}
    if len(set(labels.values())) < len(labels):
        raise InputError(f"subjects must differ in letters and digits; got {', '.join(sorted(labels))}")
    folder.mkdir(parents=True, exist_ok=True)
    description = {"Name": f"{task}: gaze", "BIDSVersion": VERSION, "DatasetType": "raw"}
    write_json(folder / "dataset_description.json", description)
    described = {"image": {"Description": "the number of the image, from 0"}, "TaskName": task}
    write_json(folder / f"task-{task}_events.json", {"StimulusPresentation": _presentation(screen), **described})
    people = {"participant_id": [f"sub-{label}" for label in labels.values()], "name": list(labels)}
    write_rows(folder / "participants.tsv", people, header=True)
    for subject, label in labels.items():
        stem = folder / f"sub-{label}" / DATATYPE / f"sub-{label}_task-{task}_recording-eye1"
        stem.parent.mkdir(parents=True, exist_ok=True)
        known = known_columns(table)
        own = FixationTable(**{name: column[table.subject == subject] for name, column in known.items()})
        _write_events(stem, own, screen)
        trials = Path(str(stem).removesuffix("_recording-eye1") + "_events.tsv")
        write_rows(trials, _trials(own), header=True)
        if recordings and subject in recordings:
            _write_samples(stem, recordings[subject])


def read_bids(
    root: str | Path, *, task: str, screen: Screen | None = None
) -> tuple[FixationTable, dict[str, Recording]]:
    """The fixations of all participants in a data set of BIDS, and their recordings by subject.

    The screen is by default that of ``StimulusPresentation``, and the image fills it. Fixations are the events called
    ``fixation``; a column ``image`` or ``trial`` is read where there is one. Where events have no places, as those of
    MNE-BIDS, a fixation is at the mean of the samples of its file's recording from its onset to its end. Of a
    participant with several recordings, as of runs, each is under its file's name instead of the subject. Times are
    read in seconds or milliseconds, places in pixels, as the sidecars declare them.

    Raises:
      InputError: if there is no such task, or a file is not as BIDS has it.
    """
    folder = Path(root)
    files = sorted(folder.glob(f"sub-*/**/*_task-{task}_*physioevents.tsv.gz"))
    samples = sorted(folder.glob(f"sub-*/**/*_task-{task}_*physio.tsv.gz"))
    if not files and not samples:
        raise InputError(f"{folder} must hold gaze of the task {task!r}, as physio or physioevents; it holds none")
    names = _participants(folder / "participants.tsv")
    described = [folder / f"task-{task}_events.json", *sorted(folder.glob(f"sub-*/**/*_task-{task}_*events.json"))]
    screen = screen or _screen(described)
    recorded = {file.name.removesuffix("_physio.tsv.gz"): _read_samples(file) for file in samples}
    of_events = [recorded.get(file.name.removesuffix("_physioevents.tsv.gz")) for file in files]
    parts = [_read_events(file, names, screen, own) for file, own in zip(files, of_events, strict=True)]
    subjects = [_subject(file, names) for file in samples]
    keys = [name if subjects.count(name) == 1 else stem for stem, name in zip(recorded, subjects, strict=True)]
    recordings = dict(zip(keys, recorded.values(), strict=True))
    shared = [
        name for name in FixationTable._fields if parts and all(getattr(part, name) is not None for part in parts)
    ]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in shared}
    empty = {
        name: np.zeros(0, int if name in ("image", "glimpse") else float) for name in ("image", "glimpse", "x", "y")
    }
    return FixationTable(**(columns or empty)), recordings


def bids_label(subject: str) -> str:
    """The letters and digits of a name."""
    label = re.sub(r"[^a-zA-Z0-9]", "", subject)
    if not label:
        raise InputError(f"subjects must have a letter or a digit; got {subject!r}")
    return label


def _write_events(stem: Path, table: FixationTable, screen: Screen) -> None:
    unknown = np.full(len(table.image), np.nan)
    x, y = places_on_screen(table, screen).T
    columns = {
        "onset": unknown if table.onset is None else table.onset,
        "duration": unknown if table.duration is None else table.duration,
        "trial_type": np.full(len(table.image), "fixation"),
        "x_coordinate": x,
        "y_coordinate": y,
        **({} if table.trial is None else {"trial": table.trial}),
        "image": table.image,
        **exact_columns(table),
    }
    write_rows(Path(f"{stem}_physioevents.tsv.gz"), columns)
    described = {name: {"Description": f"the column {name.removeprefix(PREFIX)} of foveax"} for name in columns}
    described["onset"] = {"Description": "the beginning of a fixation", "Units": "s"}
    described["duration"] = {"Description": "of a fixation", "Units": "s"}
    for name in ("x_coordinate", "y_coordinate"):
        described[name] = {"Description": "of a fixation on the screen", "Units": "pixel"}
    write_json(Path(f"{stem}_physioevents.json"), {"Columns": list(columns), "OnsetSource": "timestamp", **described})


def _trials(table: FixationTable) -> dict[str, Any]:
    """The trials of a participant: when their fixations begin and end, and the image."""
    rows = scanpath_rows(table)
    unknown = np.full(len(table.image), np.nan)
    onset, duration = (unknown if column is None else column for column in (table.onset, table.duration))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # trials without a time
        begins = [float(np.nanmin(onset[own])) for own in rows]
        ends = [float(np.nanmax((onset + np.nan_to_num(duration))[own])) for own in rows]
    columns: dict[str, Any] = {"onset": begins, "duration": np.subtract(ends, begins)}
    columns["trial_type"] = ["trial"] * len(rows)
    return {**columns, "image": [int(table.image[own[0]]) for own in rows]}


def _write_samples(stem: Path, recording: Recording) -> None:
    check_recording(recording, stem.name)
    columns = {"timestamp": recording.time, "x_coordinate": recording.x, "y_coordinate": recording.y}
    if recording.pupil is not None:
        columns["pupil_size"] = recording.pupil
    write_rows(Path(f"{stem}_physio.tsv.gz"), columns)
    units = {"timestamp": "s", "x_coordinate": "pixel", "y_coordinate": "pixel", "pupil_size": "arbitrary"}
    described = {name: {"Description": f"{name} of the eye", "Units": units[name]} for name in columns}
    start = float(recording.time[0]) if len(recording.time) else 0.0
    facts = {"SamplingFrequency": recording.frequency, "StartTime": start, "Columns": list(columns)}
    eye = {"PhysioType": "eyetrack", "RecordedEye": recording.eye, "SampleCoordinateSystem": "gaze-on-screen"}
    write_json(Path(f"{stem}_physio.json"), {**facts, **eye, **described})


def _presentation(screen: Screen) -> dict[str, Any]:
    """The screen in the words of BIDS, sizes in metres; what BIDS has no word for has a key of its own."""
    resolution = [int(screen.width), int(screen.height)]
    known: dict[str, Any] = {"ScreenOrigin": ORIGINS[screen.origin], "ScreenResolution": resolution}
    if screen.distance_cm:
        known["ScreenDistance"] = screen.distance_cm / 100
    if screen.width_cm and screen.height_cm:
        known["ScreenSize"] = [screen.width_cm / 100, screen.height_cm / 100]
    return {**known, "foveax": screen.to_json()}


def _screen(files: list[Path]) -> Screen:
    """The screen of the first file that describes it."""
    stored = [read_json(file) for file in files if file.is_file()]
    known = [
        each["StimulusPresentation"] for each in stored if isinstance(each, dict) and "StimulusPresentation" in each
    ]
    shown = known[0] if known else {}
    if "foveax" in shown:
        return Screen.from_json(shown["foveax"])
    resolution = shown.get("ScreenResolution")
    if not resolution:
        raise InputError(
            f"{files[0]} must hold the ScreenResolution of StimulusPresentation, or a screen be given; it holds none"
        )
    width, height = map(float, resolution)
    words = [str(word).lower() for word in shown.get("ScreenOrigin", ["top", "left"])]
    origin: Any = next((ours for ours, theirs in ORIGINS.items() if theirs == words), "upper left")
    size, distance = shown.get("ScreenSize", [0, 0]), shown.get("ScreenDistance", 0)
    metric = {"width_cm": 100.0 * size[0], "height_cm": 100.0 * size[1], "distance_cm": 100.0 * distance}
    return Screen(width, height, image_width=width, image_height=height, origin=origin, **metric)


def _read_events(file: Path, names: Mapping[str, str], screen: Screen, recording: Recording | None) -> FixationTable:
    columns, facts = read_rows(file), read_sidecar(file)
    fixations = np.char.startswith(columns.get("trial_type", np.full(len(columns["onset"]), "fixation")), "fixation")
    columns = {name: column[fixations] for name, column in columns.items()}
    exact = {}
    for name in columns:
        if name.startswith(PREFIX):
            text = np.where(columns[name] == MISSING, "", columns[name])
            exact[name] = text if is_text(name) else columns[name]
    count = len(columns["onset"])
    onset, duration = (
        numbers(columns[name]) * unit_size(facts, name, SECONDS, source=str(file)) for name in ("onset", "duration")
    )
    if recording is not None and not {"x_coordinate", "y_coordinate"} & columns.keys():
        places = _means(recording, onset, duration)
        columns |= {"x_coordinate": places[:, 0], "y_coordinate": places[:, 1]}
    for name in ("x_coordinate", "y_coordinate"):
        unit_size(facts, name, PIXELS, source=str(file))
    native = {
        "subject": np.full(count, _subject(file, names)),
        "x": numbers(columns["x_coordinate"]) if "x_coordinate" in columns else None,
        "y": numbers(columns["y_coordinate"]) if "y_coordinate" in columns else None,
        "onset": onset,
        "duration": duration,
        "image": columns.get("image", np.zeros(count, int)),
        "trial": columns.get("trial"),
    }
    native["glimpse"] = glimpses(native)
    return table_of_format(exact, native, screen, "pixel", source=str(file))


def _means(recording: Recording, onset: np.ndarray, duration: np.ndarray) -> np.ndarray:
    """The mean place of the samples of each event ``[E, 2]``, NaN without any."""
    places = np.full((len(onset), 2), np.nan)
    for number, (begin, span) in enumerate(zip(onset, np.nan_to_num(duration), strict=True)):
        during = (recording.time >= begin) & (recording.time <= begin + span) & np.isfinite(recording.x + recording.y)
        if during.any():
            places[number] = recording.x[during].mean(), recording.y[during].mean()
    return places


def _read_samples(file: Path) -> Recording:
    columns, facts = read_rows(file), read_sidecar(file)
    missing = [name for name in SAMPLES[:3] if name not in columns]
    if missing:
        raise InputError(f"{file} must have the columns {', '.join(SAMPLES[:3])}; it has no {missing[0]}")
    pupil = numbers(columns["pupil_size"]) if "pupil_size" in columns else None
    units = (SECONDS, PIXELS, PIXELS)
    time, x, y = (
        numbers(columns[name]) * unit_size(facts, name, known, source=str(file))
        for name, known in zip(SAMPLES[:3], units, strict=True)
    )
    return Recording(time, x, y, float(facts["SamplingFrequency"]), pupil, facts.get("RecordedEye", "cyclopean"))


def _participants(file: Path) -> dict[str, str]:
    """Names of subjects by their label, as far as they are written down."""
    if not file.is_file():
        return {}
    head, *rows = [line.split("\t") for line in file.read_text().splitlines() if line]
    if "name" not in head:
        return {}
    return {row[0].removeprefix("sub-"): row[head.index("name")] for row in rows}


def _subject(file: Path, names: Mapping[str, str]) -> str:
    label = file.name.split("_")[0].removeprefix("sub-")
    return names.get(label, label)
