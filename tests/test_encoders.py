import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

import foveax as fx
from foveax.networks import GlimpseEncoder

KERNELS, SCALES, CHANNELS = 5, 2, 3


@pytest.mark.parametrize("size", [6, 9, 12])
def test_kernels_are_a_convolution_that_all_scales_share(size, rng):
    encoder = GlimpseEncoder(features=8, kernels=KERNELS, scales=SCALES)
    glimpse = rng.normal(size=(size, size, SCALES * CHANNELS)).astype(np.float32)
    params = encoder.init(jax.random.key(0), glimpse)
    _, inner = encoder.apply(params, glimpse, capture_intermediates=True, mutable=["intermediates"])
    convolved = inner["intermediates"]["kernels"]["__call__"][0]

    weights = np.asarray(params["params"]["kernels"]["kernel"]).reshape(6, 6, CHANNELS, KERNELS)
    beyond = (size - 6) % 2
    for scale in range(SCALES):
        patch = glimpse[..., scale * CHANNELS : (scale + 1) * CHANNELS]
        patch = np.pad(patch, ((0, beyond), (0, beyond), (0, 0)))
        for kernel in range(KERNELS):
            expected = correlate(patch, weights[..., kernel], mode="valid", method="direct")[::2, ::2, 0]
            np.testing.assert_allclose(convolved[scale, ..., kernel], expected, rtol=1e-4, atol=1e-5)


def test_kernels_read_every_pixel(rng):
    encoder = GlimpseEncoder(features=8, kernels=KERNELS)
    glimpse = jnp.asarray(rng.uniform(size=(9, 9, 1)), jnp.float32)
    params = encoder.init(jax.random.key(0), glimpse)
    gradient = jax.grad(lambda glimpse: encoder.apply(params, glimpse).sum())(glimpse)
    assert (gradient != 0).all()


def test_a_crop_smaller_than_the_kernels_is_named():
    with pytest.raises(fx.GraphError, match="crop must be at least 6 pixels to be read by kernels; got 5"):
        fx.standard_pipeline(fx.Model(crop=5, kernels=4), fx.image_source((28, 28, 1)), classes=10)
