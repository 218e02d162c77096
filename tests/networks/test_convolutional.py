"""The convolutional network against SciPy, and on images of any shape."""

import jax
import numpy as np
import pytest
from scipy.signal import correlate

from foveax.networks.convolutional import ConvolutionalClassifier


def convolved(planes, params):
    """A layer by SciPy: kernels of 6x6 at every second place, beyond the planes zero."""
    height, width, channels = planes.shape
    weights = np.asarray(params["kernel"]).reshape(6, 6, channels, -1)
    planes = np.pad(planes, ((0, height % 2), (0, width % 2), (0, 0)))
    maps = [
        correlate(planes, weights[..., kernel], mode="valid", method="direct") for kernel in range(weights.shape[3])
    ]
    return np.maximum(np.concatenate(maps, axis=-1)[::2, ::2] + params["bias"], 0)


@pytest.mark.parametrize("shape", [(13, 20, 3), (140, 105, 1)])
def test_logits_are_those_of_convolutions_by_scipy(shape, rng):
    """An image of more than 128 pixels is averaged over blocks of 2, whose number is rounded up."""
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    network = ConvolutionalClassifier(4)
    params = jax.jit(network.init)(jax.random.key(0), image)
    planes = image / 255
    if shape[0] > 128:
        rows, columns = (np.arange(0, side, 2) for side in shape[:2])
        sums = np.add.reduceat(np.add.reduceat(planes, rows, 0), columns, 1)
        counts = np.outer(np.diff([*rows, shape[0]]), np.diff([*columns, shape[1]]))
        planes = sums / counts[..., None]
    planes = planes - planes.mean((0, 1))
    named = jax.tree.map(np.asarray, params["params"])
    *layers, hidden, readout = (named[f"Dense_{number}"] for number in range(len(named)))
    for layer in layers:
        planes = convolved(planes, layer)
    assert min(planes.shape[:2]) < 6
    values = np.maximum(planes.reshape(-1) @ hidden["kernel"] + hidden["bias"], 0)
    logits = values @ readout["kernel"] + readout["bias"]
    np.testing.assert_allclose(jax.jit(network.apply)(params, image), logits, rtol=1e-3, atol=1e-4)
