"""The crop against two independent implementations, and its gradient against differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

import foveax as fx

BORDERS = [(0, 0), (1, 1), (0, 1), (1, 0), (0.5, 0.5), (0, 0.5), (0.5, 1), (0.013, 0.987), (0.3, 0.7)]
PLACES = st.floats(-4, 5, width=32) | st.sampled_from([-1e20, -1e9, 1e9, 1e20])
SHAPES = [(28, 28, 1), (9, 13, 3), (5, 5, 1), (40, 17, 2), (1, 1, 1)]


def twin(image: np.ndarray, fixation: np.ndarray, size: int) -> np.ndarray:
    """The definition, a pixel at a time: the weighted sum of four neighbours, which are zero outside."""
    height, width, channels = image.shape
    crop = np.zeros((size, size, channels))
    for i in range(size):
        for j in range(size):
            y = fixation[1] * (height - 1) + i - (size - 1) / 2
            x = fixation[0] * (width - 1) + j - (size - 1) / 2
            for row in (int(np.floor(y)), int(np.floor(y)) + 1):
                for column in (int(np.floor(x)), int(np.floor(x)) + 1):
                    if 0 <= row < height and 0 <= column < width:
                        crop[i, j] += (1 - abs(y - row)) * (1 - abs(x - column)) * image[row, column]
    return crop


def scipy_crop(image: np.ndarray, fixation: np.ndarray, size: int) -> np.ndarray:
    offsets = np.arange(size) - (size - 1) / 2
    rows, columns = fixation[1] * (image.shape[0] - 1) + offsets, fixation[0] * (image.shape[1] - 1) + offsets
    padded = np.pad(image, ((size + 1, size + 1), (size + 1, size + 1), (0, 0)))
    grid = np.meshgrid(rows + size + 1, columns + size + 1, indexing="ij")
    planes = [map_coordinates(padded[..., c], grid, order=1) for c in range(image.shape[2])]
    return np.stack(planes, axis=-1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_agrees_with_definition_and_scipy_at_every_border(shape, size):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    for place in BORDERS:
        fixation = np.array(place, np.float32)
        crop = fx.crop(jnp.asarray(image), jnp.asarray(fixation), size=size)
        assert crop.shape == (size, size, shape[2])
        np.testing.assert_allclose(crop, twin(image, fixation, size), atol=2e-5)
        np.testing.assert_allclose(crop, scipy_crop(image, fixation.astype(np.float64), size), atol=2e-5)


@settings(max_examples=50, deadline=None)
@given(x=PLACES, y=PLACES, size=st.integers(1, 6))
def test_agrees_with_the_definition_anywhere(x, y, size):
    image = np.random.default_rng(1).random((7, 11, 2)).astype(np.float32)
    crop = fx.crop(jnp.asarray(image), jnp.array([x, y], jnp.float32), size=size)
    np.testing.assert_allclose(crop, twin(image, np.array([x, y]), size), atol=2e-5)


def test_uint8_is_scaled_to_unit_range():
    image = np.full((5, 5, 1), 255, np.uint8)
    crop = fx.crop(jnp.asarray(image), jnp.array([0.5, 0.5]), size=3)
    assert crop.dtype == jnp.float32
    np.testing.assert_array_equal(crop, np.ones((3, 3, 1)))


@pytest.mark.parametrize("place", [(0.31, 0.62), (0.02, 0.97), (0.99, 0.5)])
def test_gradients_are_those_of_finite_differences(place):
    rng = np.random.default_rng(2)
    image = jnp.asarray(rng.random((12, 10, 2)), jnp.float32)
    weights = jnp.asarray(rng.random((4, 4, 2)), jnp.float32)
    fixation = jnp.array(place, jnp.float32)

    def total(image, fixation):
        return jnp.sum(weights * fx.crop(image, fixation, size=4))

    image_gradient, fixation_gradient = jax.grad(total, argnums=(0, 1))(image, fixation)
    exact = [twin(np.asarray(image), np.array(place), 4)]
    step = 1e-5
    for axis in range(2):
        ahead = np.array(place) + step * np.eye(2)[axis]
        difference = (np.asarray(weights) * (twin(np.asarray(image), ahead, 4) - exact[0])).sum() / step
        np.testing.assert_allclose(fixation_gradient[axis], difference, rtol=1e-3)
    # The crop is linear in the image: its gradient, applied to the image, gives the value.
    np.testing.assert_allclose(jnp.sum(image_gradient * image), total(image, fixation), rtol=1e-5)


def test_cost_does_not_grow_with_the_image():
    def bytes_accessed(side):
        image = jax.ShapeDtypeStruct((side, side, 1), jnp.uint8)
        compiled = jax.jit(lambda image, at: fx.crop(image, at, size=9)).lower(image, jnp.zeros(2)).compile()
        return compiled.cost_analysis()["flops"]

    assert bytes_accessed(1024) == bytes_accessed(28)


def channels(patch):
    return np.split(np.asarray(fx.contrast_luminance(jnp.asarray(patch, jnp.float32))), 3, axis=-1)


def test_contrast_and_luminance_add_up_to_the_crop():
    patch = np.random.default_rng(3).random((9, 9, 3)).astype(np.float32)
    contrast, _, luminance = channels(patch)
    np.testing.assert_allclose(contrast / 2 + luminance, patch, atol=1e-6)
    np.testing.assert_allclose(contrast.mean(axis=(0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose(luminance[0, 0], patch.mean(axis=(0, 1)), rtol=1e-5)


def test_normalised_contrast_has_unit_deviation_whatever_the_light():
    patch = np.random.default_rng(4).random((9, 9, 3))
    _, bright, _ = channels(patch)
    _, dim, _ = channels(0.4 + patch / 4)
    np.testing.assert_allclose(np.sqrt((bright**2).mean()), 1, atol=0.01)
    np.testing.assert_allclose(dim, bright, atol=0.1)
    np.testing.assert_allclose(channels(np.full((9, 9, 3), 0.3))[1], 0, atol=1e-4)


def test_a_uniform_crop_has_a_finite_gradient():
    gradient = jax.grad(lambda patch: fx.contrast_luminance(patch).sum())(jnp.full((9, 9, 1), 0.5))
    assert np.isfinite(gradient).all()
