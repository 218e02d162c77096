"""Encoders against SciPy and NumPy: kernels, places, and the numbers of glimpses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from scipy.signal import correlate

import foveax as fx
from foveax.networks import GlimpseEncoder, fourier_features, index_features

KERNELS, SCALES, CHANNELS = 5, 2, 3


@pytest.mark.parametrize(("size", "contrast"), [(6, False), (9, False), (12, True)])
def test_kernels_are_a_convolution_that_all_scales_share(size, contrast, rng):
    encoder = GlimpseEncoder(features=8, kernels=KERNELS, scales=SCALES, contrast=contrast)
    glimpse = rng.normal(size=(size, size, SCALES * CHANNELS)).astype(np.float32)
    params = jax.jit(encoder.init)(jax.random.key(0), glimpse)
    apply = functools.partial(encoder.apply, capture_intermediates=True, mutable=["intermediates"])
    _, inner = jax.jit(apply)(params, glimpse)
    convolved = inner["intermediates"]["kernels"]["__call__"][0]

    read = CHANNELS - 1 if contrast else CHANNELS
    weights = np.asarray(params["params"]["kernels"]["kernel"]).reshape(6, 6, read, KERNELS)
    beyond = (size - 6) % 2
    for scale in range(SCALES):
        patch = glimpse[..., scale * CHANNELS : scale * CHANNELS + read]
        patch = np.pad(patch, ((0, beyond), (0, beyond), (0, 0)))
        for kernel in range(KERNELS):
            expected = correlate(patch, weights[..., kernel], mode="valid", method="direct")[::2, ::2, 0]
            np.testing.assert_allclose(convolved[scale, ..., kernel], expected, rtol=1e-4, atol=1e-5)


def test_kernels_read_every_pixel(rng):
    encoder = GlimpseEncoder(features=8, kernels=KERNELS)
    glimpse = jnp.asarray(rng.uniform(size=(9, 9, 1)), jnp.float32)
    params = jax.jit(encoder.init)(jax.random.key(0), glimpse)
    gradient = jax.jit(jax.grad(lambda glimpse: encoder.apply(params, glimpse).sum()))(glimpse)
    assert (gradient != 0).all()


def test_luminance_is_read_beside_the_kernels(rng):
    encoder = GlimpseEncoder(features=8, kernels=KERNELS, scales=SCALES, contrast=True)
    glimpse = rng.normal(size=(9, 9, SCALES * CHANNELS)).astype(np.float32)
    brighter = glimpse + np.array([0, 0, 1, 0, 0, 2], np.float32)
    params = encoder.init(jax.random.key(0), glimpse)
    what = params["params"]["what"]["kernel"]
    read = [
        encoder.apply(params, seen, capture_intermediates=True, mutable=["intermediates"])[1]["intermediates"]
        for seen in (glimpse, brighter)
    ]
    before, after = (np.asarray(inner["kernels"]["__call__"][0]) for inner in read)
    np.testing.assert_array_equal(before, after)
    before, after = (np.asarray(inner["what"]["__call__"][0]) for inner in read)
    np.testing.assert_allclose(after - before, what[-2] + 2 * what[-1], atol=1e-5)


def test_a_crop_smaller_than_the_kernels_is_named():
    with pytest.raises(fx.GraphError, match="crop_size must be at least 6 pixels to be read by kernels; got 5"):
        fx.standard_pipeline(small.data(), fx.PipelineConfig(crop_size=5, kernels=4))


def test_channels_that_are_not_planes_of_scales_are_named():
    graph = fx.standard_pipeline(small.data((28, 28, 1)), fx.PipelineConfig(scales=2, kernels=4))
    with pytest.raises(fx.GraphError, match="channels must be a multiple of 6 to be read by kernels; got 2"):
        graph.swap("retina", fx.cropper(9, scales=2))


def test_index_features_tell_all_glimpses_apart():
    """Injective, and the digits are those that Python writes in octal."""
    features = np.asarray(jax.vmap(index_features)(jnp.arange(4096)))
    assert features.shape == (4096, 29)
    assert len(np.unique(features, axis=0)) == 4096
    for index in (0, 1, 7, 8, 63, 64, 511, 512, 4095):
        digits = [int(digit) for digit in f"{index:04o}"[::-1]]
        expected = [np.eye(8)[digits[0]], *(np.eye(8)[digit][1:] for digit in digits[1:])]
        np.testing.assert_array_equal(features[index], np.concatenate(expected))


def test_index_features_do_not_depend_on_the_length_of_the_rollout():
    graphs = [
        fx.standard_pipeline(small.data(), fx.PipelineConfig(crop_size=3, glimpses=glimpses)) for glimpses in (3, 40)
    ]
    short, long = (jax.tree.map(jnp.shape, fx.init(graph, jax.random.key(0))) for graph in graphs)
    assert short == long


@pytest.mark.parametrize("bands", [0, 3])
def test_fourier_features_against_numpy(bands, rng):
    point = rng.random(2)
    angles = np.pi * 2.0 ** np.arange(bands)[:, None] * (2 * point - 1)[None]
    expected = np.concatenate([2 * point - 1, np.sin(angles).ravel(), np.cos(angles).ravel()])
    np.testing.assert_allclose(fourier_features(jnp.asarray(point, jnp.float32), bands=bands), expected, atol=2e-5)
