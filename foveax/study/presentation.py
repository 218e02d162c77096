"""Stimuli of a study, and notes on whether the model sees them as people did."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from foveax._types import InputError
from foveax.analysis.table import FixationTable
from foveax.data.dataset import Split, check_arrays
from foveax.runs.load import LoadedRun
from foveax.study.trials import Trials

HASHED_BYTES = 2**30
"""Training images up to this size are looked through for the stimuli."""


def read_stimuli(path: str | Path, run: LoadedRun) -> tuple[Split, tuple[str, ...]]:
    """Images and labels of an ``.npz`` file, by the graph inputs that they feed, and the names in ``stimulus``.

    Images are ``[M, H, W]`` or ``[M, H, W, C]``, uint8 or floats in [0, 1], of the run's shape.

    Raises:
      InputError: if the file cannot be read, or holds other arrays than the run takes.
    """
    try:
        with np.load(Path(path).expanduser(), allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError) as error:
        raise InputError(f"stimuli must be in a file .npz; {path} is none: {error}") from None
    names = tuple(map(str, arrays.pop("stimulus", ())))
    missing = [name for name in run.graph.inputs if name not in arrays]
    if missing:
        raise InputError(f"stimuli must hold {', '.join(run.graph.inputs)}; {path} has no {', '.join(missing)}")
    return as_run_takes(arrays, run), names


def as_run_takes(arrays: Mapping[str, np.ndarray], run: LoadedRun) -> Split:
    """Stimuli in the dtype of a run's images, uint8 or float32 in [0, 1]; refused if they are of another shape."""
    spec = run.graph.inputs["image"]
    inputs = {name: array for name, array in arrays.items() if name in run.graph.inputs}
    stimuli = check_arrays("stimuli", inputs, classes=run.data.classes)
    image = stimuli["image"]
    if image.shape[1:] != spec.shape:
        raise InputError(
            f"stimuli must be images of the shape {list(spec.shape)}, as the run's; got {list(image.shape)}"
        )
    if image.dtype != spec.dtype:
        image = (np.round(255 * image) if spec.dtype == np.uint8 else image / 255).astype(spec.dtype)
    return {**stimuli, "image": image}


def number_images(table: FixationTable, names: tuple[str, ...]) -> FixationTable:
    """The same table, whose column ``image`` numbers the stimuli by their names.

    Raises `InputError` for a name that is not there; the message names row and column.
    """
    if table.stimulus is None:
        return table
    places = {name: number for number, name in enumerate(names)}
    for row, name in enumerate(table.stimulus.tolist()):
        if name not in places:
            raise InputError(
                f"row {row + 1}, column stimulus: stimuli must be among the {len(names)} known; got {name!r}"
            )
    return table._replace(image=np.array([places[name] for name in table.stimulus.tolist()]))


def check_labels(table: FixationTable, stimuli: Mapping[str, np.ndarray]) -> None:
    """Refuses a table whose labels, where it has any, are not those of the stimuli; names row and column."""
    inside = (table.image >= 0) & (table.image < len(stimuli["image"]))
    if table.label is None or "label" not in stimuli:
        return
    theirs = np.asarray(stimuli["label"])[np.where(inside, table.image, 0)]
    wrong = np.flatnonzero(inside & (table.label != theirs))
    if len(wrong):
        row = int(wrong[0])
        which = f"{table.label[row]} on image {table.image[row]}, whose class is {theirs[row]}"
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(f"row {row + 1}, column label: labels must be the images' classes; got {which}{more}")


def presentation_notes(run: LoadedRun, trials: Trials, *, aperture: int, mouse: bool) -> list[str]:
    """Sentences on what was shown to people and to the model, and how to train one that sees as they did."""
    roles, length = run.graph.roles, trials.fixations.shape[1]
    crop = roles.crop_size
    squares = f"squares of {crop} pixels a side, scales: {roles.scales}" if crop else "crops that are no squares"
    unknown = "how much people saw at once is not declared (--aperture)"
    people = f"people saw squares of {aperture} pixels a side" if aperture else unknown
    begin = np.ptp(trials.fixations[:, 0], axis=0).max()
    beginning = "one place" if begin < 1e-9 else "places of their own"
    trained = run.graph.length
    fits = "as many as it was trained with" if trained == length else f"it was trained with {trained}"
    notes = [
        f"The model sees {squares}; {people}.",
        f"People began at {beginning}; every scanpath of the model and the controls begins where the participant did.",
        f"The model makes {length} fixations, as people did; {fits}.",
        *trials.notes,
    ]
    if mouse:
        notes.insert(0, "These are clicks of a mouse, not gaze.")
    if trained != length or (aperture and aperture != crop):
        size = f" --crop-size {aperture}" if aperture else ""
        notes.append(f"To train a model that sees as people did: foveax train --glimpses {length}{size}.")
    count = count_training_images(run, trials)
    if count is None:
        notes.append("Whether the run was trained on these images is not known: its training images are too many.")
    elif count:
        notes.append(f"{count} of the {len(trials.names)} images are among those that the run was trained on.")
    return notes


def count_training_images(run: LoadedRun, trials: Trials) -> int | None:
    """The number of stimuli that are training images of a run, pixel by pixel; None of a larger run."""
    train = run.data.train["image"]
    stimuli = trials.stimuli["image"]
    if train.nbytes > HASHED_BYTES:
        return None
    hashes = {hash(image.tobytes()) for image in np.asarray(train)}
    return sum(hash(image.tobytes()) in hashes for image in np.asarray(stimuli))
