"""A training so small that it can be killed, damaged and repeated many times."""

import dataclasses
from pathlib import Path

import numpy as np

import foveax as fx

MODEL = fx.Model(glimpses=3, crop=3, hidden=4, features=4, saccader_hidden=4, bands=0, contrast=False)
CONFIG = fx.Config(images=96, batch=4, dispatch=2, shift=0, model=MODEL)


def data(images: int = 32) -> fx.Data:
    rng = np.random.default_rng(0)
    # so wide that not every place is within 3 pixels of the first fixation, which the alarm of collapse would tell
    split = {"image": rng.random((images, 16, 16), np.float32), "label": np.arange(images) % 3}
    return fx.from_arrays(split, split)


def train(out: Path, seed: int = 0) -> None:
    """Trains without the evaluation that follows, saving after every dispatch."""
    from foveax.training import progress, run

    progress.SAVE_SECONDS = 0.0
    run.conclude = lambda *arguments: None
    fx.train(dataclasses.replace(CONFIG, seed=seed), data(), out=out)
