"""AttentionMNIST: people who recognise digits by clicking glimpses of them free, one after another.

Mouse data, not gaze: 382 participants, 1,736 trials of 12 clicks on 150 numerals of MNIST (Scientific Reports 2023).
The file does not say who clicked.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from foveax._types import InputError
from foveax.analysis.table import FixationTable
from foveax.data.load import load
from foveax.runtime.files import read_json
from foveax.runtime.machine import import_extra

SIDE = 28
"""Pixels of an image's side."""
FIRST_LABELS = {"train": (5, 0, 4, 1, 9, 2, 1, 3, 1, 4), "test": (7, 2, 1, 0, 4, 1, 4, 9, 5, 9)}
"""The labels with which the original files begin."""
FIELDS = ("x-coordinate", "y-coordinate", "Duration (seconds)", "Class")


def read_attention_mnist(path: str | Path, *, first_pixel: int = 1) -> FixationTable:
    """The clicks of ``mnist.json``, a row each; a trial for each entry of its list.

    Each entry holds ``Stimuli``, as ``"01_17308"``: a set, and the number of the digit among the 70,000 of MNIST, those
    of the training split first, in the order of the original files; ``Label``; and ``Data``: ``Glimpse_1`` to
    ``Glimpse_12``, each of ``x-coordinate``, ``y-coordinate``, ``Duration (seconds)`` and ``Class``. All values are
    texts. In the table ``image`` is the number among the 70,000, ``stimulus`` the name, ``response`` the classes that
    the participant held possible, separated by spaces, and ``correct`` whether it is the label alone. The duration of
    the first click is not known: NaN, as is a place that is empty. Places are in pixels of the image, counted from
    `first_pixel`.

    Raises:
      InputError: if an entry is of another form; the message names trial, glimpse and field.
    """
    entries = read_json(Path(path))
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path} must hold a list of trials; got {type(entries).__name__}")
    rows: list[tuple[Any, ...]] = []
    for trial, entry in enumerate(entries):
        where = f"{path}, trial {trial + 1}"
        if not isinstance(entry, dict) or not {"Stimuli", "Label", "Data"} <= entry.keys():
            raise InputError(f"{where} must hold Stimuli, Label and Data; got {str(entry)!r:.80}")
        name = str(entry["Stimuli"])
        number = re.fullmatch(r"\w+_(\d+)(\.\w+)?", name)
        if not number:
            raise InputError(f"{where}: Stimuli must be SET_NUMBER, as 01_17308; got {name!r}")
        label = int(_number(entry["Label"], f"{where}: Label"))
        for glimpse, click in enumerate(_clicks(entry["Data"], where), start=1):
            at = f"{where}, Glimpse_{glimpse}"
            missing = [field for field in FIELDS if field not in click]
            if missing:
                raise InputError(f"{at} must hold {', '.join(FIELDS)}; it has no {missing[0]}")
            x, y = (_number(click[field], f"{at}: {field}", may_lack=True) for field in FIELDS[:2])
            duration = _number(click[FIELDS[2]], f"{at}: {FIELDS[2]}", may_lack=True)
            response = " ".join(re.findall(r"\d+", str(click["Class"])))
            rows.append((int(number[1]), name, trial + 1, glimpse, x, y, duration, label, response))
    image, stimulus, trials, glimpses, x, y, duration, label, response = map(np.array, zip(*rows, strict=True))
    return FixationTable(
        image=image,
        glimpse=glimpses,
        x=(x - first_pixel) / (SIDE - 1),
        y=(y - first_pixel) / (SIDE - 1),
        duration=duration,
        label=label,
        correct=(response == label.astype(str)).astype(int),
        trial=trials,
        stimulus=stimulus,
        response=response,
    )


def attention_mnist_stimuli(data_dir: str | Path | None = None) -> dict[str, np.ndarray]:
    """The 70,000 images and labels of MNIST, those of the training split first, in the order of the original files.

    They are read from TFDS (the extra ``tfds``), which stores examples by a hash of their number in these files.

    Raises:
      InputError: if MNIST is not there, or its labels are not in the order known of the original files.
    """
    data = load("mnist", data_dir=data_dir)
    hashing = import_extra("tensorflow_datasets.core.hashing", "tfds", "MNIST in the order of its files")
    parts: dict[str, list[np.ndarray]] = {"image": [], "label": []}
    for name, split in (("train", data.train), ("test", data.test)):
        hasher = hashing.Hasher(name)
        order = np.argsort(np.array([hasher.hash_key(number) for number in range(len(split["label"]))], dtype=object))
        label = np.empty_like(split["label"])
        label[order] = split["label"]
        if label[: len(FIRST_LABELS[name])].tolist() != list(FIRST_LABELS[name]):
            raise InputError(
                f"labels of MNIST must begin with {FIRST_LABELS[name]} in the order of its files; TFDS stores the "
                f"split {name!r} in another order: give the images with --stimuli"
            )
        image = np.empty_like(split["image"])
        image[order] = split["image"]
        parts["image"].append(image)
        parts["label"].append(label)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _clicks(data: Any, where: str) -> list[dict[str, Any]]:
    """The clicks of a trial in the order of their numbers."""
    numbers = {name: re.fullmatch(r"Glimpse_(\d+)", str(name)) for name in data} if isinstance(data, dict) else {}
    if not numbers or None in numbers.values():
        raise InputError(f"{where}: Data must hold Glimpse_1, Glimpse_2, ...; got {str(data)!r:.80}")
    order = sorted(numbers, key=lambda name: int(numbers[name][1]))  # pyright: ignore[reportOptionalSubscript]
    if [int(numbers[name][1]) for name in order] != list(range(1, len(order) + 1)):  # pyright: ignore
        raise InputError(f"{where}: glimpses must be numbered from 1, each once; got {', '.join(order)}")
    return [data[name] for name in order]


def _number(value: Any, where: str, *, may_lack: bool = False) -> float:
    text = str(value).strip()
    try:
        return float(text) if text or not may_lack else float("nan")
    except ValueError:
        raise InputError(f"{where} must be a number; got {text!r}") from None
