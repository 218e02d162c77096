"""COCO-Search18 and COCO-FreeView: ten people who search for a target in photographs, or look at them freely."""

from pathlib import Path
from typing import Any

import numpy as np

from foveax._types import InputError
from foveax.analysis.table import FixationTable, table_of_columns
from foveax.gaze.screen import Screen, to_fractions
from foveax.runtime.files import read_json

SCREEN = Screen(1680.0, 1050.0, image_width=1680.0, image_height=1050.0)


def read_coco_search(path: str | Path, *, screen: Screen = SCREEN) -> FixationTable:
    """The fixations of a JSON file of trials, a row each.

    Each trial holds ``name`` (of the image), ``subject``, lists ``X``, ``Y`` (pixels of the screen) and ``T``
    (milliseconds) of the same ``length``, and in COCO-Search18 ``task`` (the target), ``correct`` and ``split``. In the
    table ``image`` numbers the images in the order of their names, ``label`` the tasks in the order of theirs,
    ``stimulus`` is the name, ``trial`` counts a subject's trials, and ``correct``, of the answer at its end, is
    0 or 1 at each of its fixations; it is left out where a trial has none.

    Raises:
      InputError: if a trial is of another form; the message names it and the field.
    """
    entries = read_json(Path(path))
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path} must hold a list of trials; got {type(entries).__name__}")
    trials = [_trial(entry, f"{path}, trial {number}") for number, entry in enumerate(entries, start=1)]
    names = sorted({trial["name"] for trial in trials})
    tasks = sorted({trial["task"] for trial in trials})
    counts: dict[str, int] = {}
    parts = []
    for trial in trials:
        counts[trial["subject"]] = counts.get(trial["subject"], 0) + 1
        own = {
            "image": names.index(trial["name"]),
            "label": tasks.index(trial["task"]),
            "subject": trial["subject"],
            "stimulus": trial["name"],
            "trial": counts[trial["subject"]],
            "correct": trial["correct"],
        }
        places = to_fractions(np.stack([trial["X"], trial["Y"]], axis=-1), screen)
        time = np.cumsum([0.0, *trial["T"]])[:-1] / 1000
        count = len(places)
        moving = {"x": places[:, 0], "y": places[:, 1], "duration": trial["T"] / 1000, "onset": time}
        repeated = {field: np.full(count, value) for field, value in own.items()}
        parts.append({**repeated, **moving, "glimpse": np.arange(1, count + 1)})
    columns = {field: np.concatenate([part[field] for part in parts]) for field in parts[0]}
    if tasks == [""]:
        del columns["label"]
    if not np.isin(columns["correct"], ("0", "1")).all():
        del columns["correct"]
    return table_of_columns(columns, source=str(path))


def _trial(entry: Any, where: str) -> dict[str, Any]:
    """The fields of a trial, as texts and numbers."""
    missing = [
        field for field in ("name", "subject", "X", "Y", "T") if not isinstance(entry, dict) or field not in entry
    ]
    if missing:
        raise InputError(f"{where} must hold name, subject, X, Y and T; it has no {missing[0]}")
    try:
        numbers = {field: np.array(entry[field], dtype=np.float64).reshape(-1) for field in ("X", "Y", "T")}
    except (TypeError, ValueError):
        raise InputError(f"{where} must hold numbers in X, Y and T; it does not") from None
    length = int(entry.get("length", len(numbers["X"])))
    sizes = {field: len(values) for field, values in numbers.items()}
    if set(sizes.values()) != {length}:
        raise InputError(f"{where} must hold {length} values in X, Y and T, as its length says; got {sizes}")
    texts = {field: str(entry.get(field, "")) for field in ("name", "subject", "task", "correct")}
    return {**texts, **numbers}
