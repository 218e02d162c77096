"""Residual blocks against NumPy and SciPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from scipy.signal import correlate

import foveax as fx
from foveax.networks import GlimpseEncoder
from foveax.networks.residual import Kernels, ResidualBlock, by_convolution, by_product, windows

SCALES = 2


@pytest.mark.parametrize(("side", "size", "stride"), [(9, 3, 1), (9, 6, 2), (10, 4, 3), (3, 3, 2)])
def test_windows_make_a_convolution(side, size, stride, rng):
    planes = rng.normal(size=(side, side + 2, 3)).astype(np.float32)
    kernel = rng.normal(size=(size, size, 3, 4)).astype(np.float32)
    beyond = [(0, -(length - size) % stride) for length in planes.shape[:2]]
    padded = np.pad(planes, [*beyond, (0, 0)])
    expected = jax.lax.conv_general_dilated(
        padded[None], kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )[0]
    read = jax.jit(functools.partial(windows, size=size, stride=stride))(jnp.asarray(planes))
    np.testing.assert_allclose(read @ kernel.reshape(-1, 4), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 1, (1, 1)), (4, 3, (0, 2)), (5, 2, (2, 3))])
def test_products_and_convolutions_are_the_same(size, stride, padding, rng):
    planes = jnp.asarray(rng.normal(size=(SCALES, 10, 11, 3)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(size * size * 3, 4)), jnp.float32)
    ends = [(padding[0], padding[1] + (size - sum(padding) - side) % stride) for side in planes.shape[1:3]]
    product, convolution = (
        jax.jit(functools.partial(form, size=size, stride=stride, padding=ends))
        for form in (by_product, by_convolution)
    )
    expected = convolution(planes, kernel)
    np.testing.assert_allclose(product(planes, kernel), expected, rtol=1e-4, atol=1e-4)
    layer = Kernels(4, size, stride, (padding, padding), use_bias=False)
    np.testing.assert_allclose(layer.apply({"params": {"kernel": kernel}}, planes), expected, rtol=1e-4, atol=1e-4)


def normalised(planes, weights):
    """Groups of eight channels of each scale, over all places, in float64."""
    groups = planes.reshape(*planes.shape[:3], -1, 8)
    mean, variance = groups.mean(axis=(1, 2, 4), keepdims=True), groups.var(axis=(1, 2, 4), keepdims=True)
    even = ((groups - mean) / np.sqrt(variance + 1e-6)).reshape(planes.shape)
    return even * weights["scale"] + weights["bias"]


def convolved(planes, weights, stride):
    """3x3 kernels about every `stride`-th place, by SciPy."""
    kernel = weights["kernel"].reshape(3, 3, planes.shape[-1], -1)
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1), (0, 0)))
    layers = [
        [
            correlate(scale, kernel[..., channel], mode="valid")[::stride, ::stride, 0]
            for channel in range(kernel.shape[-1])
        ]
        for scale in padded
    ]
    return np.moveaxis(np.array(layers), 1, -1) + weights.get("bias", 0)


@pytest.mark.parametrize(("places", "channels", "stride"), [((3, 4), 16, 1), ((5, 6), 24, 2), ((4, 4), 24, 1)])
def test_a_block_is_its_equation(places, channels, stride, rng):
    block = ResidualBlock(channels, stride)
    planes = rng.normal(size=(SCALES, *places, 16)).astype(np.float32)
    params = jax.jit(block.init)(jax.random.key(0), jnp.asarray(planes))
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), params)
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["params"])
    read = np.maximum(normalised(planes.astype(np.float64), weights["norm"]), 0)
    inner = normalised(convolved(read, weights["first"], stride), weights["inner_norm"])
    past = read[:, ::stride, ::stride] @ weights["past"]["kernel"] if "past" in weights else planes
    expected = past + convolved(np.maximum(inner, 0), weights["second"], 1)
    np.testing.assert_allclose(jax.jit(block.apply)(params, jnp.asarray(planes)), expected, rtol=1e-3, atol=1e-3)
    assert ("past" in weights) == (channels != 16 or stride != 1)


def test_a_block_begins_as_the_way_past_it(rng):
    planes = jnp.asarray(rng.normal(size=(1, 3, 3, 8)), jnp.float32)
    block = ResidualBlock(8)
    np.testing.assert_array_equal(block.apply(block.init(jax.random.key(0), planes), planes), planes)


def test_an_encoder_is_as_deep_and_wide_as_its_stages(rng):
    """The scales share all weights; each stage halves the places and doubles the channels."""
    encoder = GlimpseEncoder(features=8, kernels=16, kernel_size=3, stride=1, blocks=(2, 1), scales=SCALES)
    glimpse = jnp.asarray(rng.uniform(size=(9, 9, 3 * SCALES)), jnp.float32)
    params = encoder.init(jax.random.key(0), glimpse)
    _, inner = encoder.apply(params, glimpse, capture_intermediates=lambda module, _: isinstance(module, ResidualBlock))
    shapes = {name: layer["__call__"][0].shape for name, layer in inner["intermediates"].items()}
    assert shapes == {"block_1_1": (2, 7, 7, 16), "block_1_2": (2, 7, 7, 16), "block_2_1": (2, 4, 4, 32)}
    swapped = jnp.concatenate([glimpse[..., 3:], glimpse[..., :3]], axis=-1)
    by_scale = params["params"]["what"]["kernel"].reshape(SCALES, -1, 8)
    halves = [by_scale.reshape(-1, 8), by_scale[::-1].reshape(-1, 8)]
    told = [
        encoder.apply({"params": {**params["params"], "what": {**params["params"]["what"], "kernel": kernel}}}, seen)
        for kernel, seen in zip(halves, (glimpse, swapped), strict=True)
    ]
    np.testing.assert_allclose(*told, rtol=1e-4, atol=1e-5)


def test_blocks_without_kernels_are_refused():
    with pytest.raises(fx.InputError, match=r"blocks must be at least 1 in each stage, after kernels; got \(1,\), 0"):
        fx.PipelineConfig(blocks=(1,))
    with pytest.raises(fx.InputError, match="blocks must have kernels to begin with; got 0 kernels"):
        GlimpseEncoder(blocks=(1,)).init(jax.random.key(0), jnp.zeros((9, 9, 1)))


def test_a_pipeline_of_half_precision_takes_a_step():
    config = fx.PipelineConfig(
        glimpses=2, crop_size=6, contrast=False, kernels=4, blocks=(1,), hidden=8, features=8, precision="bfloat16"
    )
    learner = fx.make_learner(fx.standard_pipeline(small.data(), config), fx.LearningConfig(), steps=10)
    before = learner.init(jax.random.key(0))
    after, metrics = jax.jit(learner.step)(before, small.batch())
    assert np.isfinite(metrics["accuracy"])
    block = [state.params["classifier"]["params"]["encoder"]["block_1_1"] for state in (before, after)]
    assert (block[0]["second"]["kernel"] != block[1]["second"]["kernel"]).any()
