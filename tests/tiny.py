"""A training so small that it can be killed, damaged and repeated many times."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

import foveax as fx

PIPELINE = fx.PipelineConfig(glimpses=3, crop_size=3, hidden=4, features=4, saccader_hidden=4, bands=0, contrast=False)
CONFIG = fx.TrainingConfig(images=96, batch=4, shift=0, pipeline=PIPELINE)
EXECUTION = fx.ExecutionConfig(dispatch=2)
FLAGS = [
    *("--images", "96", "--batch", "4", "--shift", "0", "--dispatch", "2", "--glimpses", "3", "--crop-size", "3"),
    *("--hidden", "4", "--features", "4", "--saccader-hidden", "4", "--bands", "0", "--no-contrast", "--no-evaluate"),
]
"""The same, as flags of ``foveax train``."""


def data(images: int = 32, seed: int = 0) -> fx.Data:
    """Images at random, so wide that not every place is within 3 pixels of the first fixation.

    The alarm of collapse would go off otherwise.
    """
    image = np.random.default_rng(seed).random((images, 24, 24), np.float32)
    split = {"image": image, "label": np.arange(images) % 3}
    return fx.from_arrays(split, split)


def train(out: Path | None = None, given: fx.Data | None = None, **choices: Any) -> fx.Result:
    """Trains without the evaluation that follows, on `data` unless others are given."""
    config = choices.pop("config", CONFIG)
    choices = {"evaluate": False, "execution": EXECUTION, **choices}
    return fx.train(config, given or data(), out=out, **choices)


def named(file: Path) -> fx.TrainingConfig:
    """The configuration with the data of a file."""
    return dataclasses.replace(CONFIG, data=str(file))


def train_saving_always(out: Path, seed: int = 0) -> None:
    """Trains with a checkpoint after every dispatch."""
    from foveax.runs import run

    run.SAVE_SECONDS = 0.0
    train(out, config=dataclasses.replace(CONFIG, seed=seed))


def write_npz(path: Path, given: fx.Data | None = None, **changes: Any) -> Path:
    """Writes data as a file for ``--data``; changes are arrays by name."""
    np.savez(path, **{**arrays_of(given or data()), **changes})
    return path


def write_folder(path: Path, given: fx.Data | None = None, **changes: Any) -> Path:
    """Writes data as a folder of ``.npy`` files, which are mapped into memory."""
    path.mkdir(exist_ok=True)
    for name, array in {**arrays_of(given or data()), **changes}.items():
        np.save(path / f"{name}.npy", array)
    return path


def arrays_of(given: fx.Data) -> dict[str, np.ndarray]:
    """Arrays of a data set by the names that they have in files."""
    splits = {"train": given.train, "test": given.test}
    arrays = {f"{split}_{name}": array for split, part in splits.items() for name, array in part.items()}
    return {**arrays, "classes": np.asarray(given.classes)}
