"""Where the eye begins: a place of its own for each image."""

import jax
import numpy as np

from foveax._types import Batch, InputError, Key
from foveax.data.dataset import Data


def begun_anywhere(data: Data) -> Data:
    """The same data with an array ``first`` ``[N, 2]``, float32: (x, y), uniform in [0, 1]^2, of the first glimpse.

    A new place is drawn, on the device, each time a training image is shown; those of test images are fixed. Raises
    `InputError` if the data hold an array ``first`` already.

    Example:
      >>> import foveax as fx
      >>> begun_anywhere(fx.load("mnist5k")).test["first"].shape
      (1000, 2)
    """
    if "first" in data.train:
        raise InputError("first must not be random where the data have an array first; choose given")

    def render(key: Key, batch: Batch) -> Batch:
        return {**batch, "first": jax.random.uniform(key, (len(batch["label"]), 2))}

    test = {**data.test, "first": np.asarray(jax.random.uniform(jax.random.key(1), (len(data.test["label"]), 2)))}
    return data.rendered(render)._replace(test=test)
