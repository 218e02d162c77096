"""Data and batches small enough for a test that compiles a pipeline."""

from typing import Any

import jax.numpy as jnp
import numpy as np

import foveax as fx

SHAPE, CLASSES = (8, 8, 1), 5


def data(shape: tuple[int, ...] = SHAPE, classes: int = CLASSES, dtype: Any = np.uint8) -> fx.Data:
    """A data set of blank images, one for each class."""
    split = {"image": np.zeros((classes, *shape), dtype), "label": np.arange(classes, dtype=np.int32)}
    return fx.from_arrays(split, split)


def batch(size: int = 6, seed: int = 0, shape: tuple[int, ...] = SHAPE, classes: int = CLASSES) -> dict[str, Any]:
    """Images and labels at random."""
    rng = np.random.default_rng(seed)
    image = jnp.asarray(rng.integers(0, 255, (size, *shape), dtype=np.uint8))
    return {"image": image, "label": jnp.asarray(rng.integers(0, classes, size, dtype=np.int32))}


def example(seed: int = 0) -> dict[str, Any]:
    """One of a batch."""
    return {name: value[0] for name, value in batch(1, seed).items()}
