"""A data set's fingerprint: what is compared to know its images again."""

import hashlib
from typing import Any

import numpy as np

from foveax.data.dataset import Data
from foveax.data.mapped import file_of, take

SAMPLED_ROWS = 256
"""Rows of an array in a file that are read for its digest, spread evenly over it."""


def fingerprint(data: Data) -> dict[str, Any]:
    """Classes, and for each array of each split its dtype, shape and SHA-256, as JSON types.

    Names of classes are part of it if there are some. Of an array that lies in a file, and may be larger than memory,
    the digest is of 256 rows spread over it.

    Example:
      >>> import foveax as fx
      >>> fingerprint(fx.load("mnist5k"))["train"]["image"][:2]
      ['uint8', [5000, 28, 28, 1]]
    """
    splits = {"train": data.train, "test": data.test}
    digests = {
        name: {key: array_digest(array) for key, array in sorted(split.items())} for name, split in splits.items()
    }
    return {"classes": data.classes, **({"names": list(data.names)} if data.names else {}), **digests}


def array_digest(array: np.ndarray) -> list[Any]:
    """Dtype, shape and SHA-256 of an array, or of a sample of one in a file (`fingerprint`)."""
    digest, content = hashlib.sha256(), array
    if file_of(array):
        digest.update(b"sample")
        content = take(array, np.unique(np.linspace(0, len(array) - 1, SAMPLED_ROWS).astype(int)))
    digest.update(np.ascontiguousarray(content).data)
    return [str(array.dtype), list(array.shape), digest.hexdigest()]
