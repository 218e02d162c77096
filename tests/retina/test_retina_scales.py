"""The multi-scale retina against a definition by blocks, and as a module."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

import foveax as fx


def twin(image: np.ndarray, fixation: tuple[float, float], size: int, scale: int) -> np.ndarray:
    """Sample every pixel of the wide crop with SciPy, then average blocks."""
    block = 2**scale
    side = size * block
    offsets = np.arange(side) - (side - 1) / 2
    rows, columns = fixation[1] * (image.shape[0] - 1) + offsets, fixation[0] * (image.shape[1] - 1) + offsets
    margin = side + 2
    grid = np.meshgrid(rows + margin, columns + margin, indexing="ij")
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)))
    wide = np.stack([map_coordinates(padded[..., c], grid, order=1) for c in range(image.shape[2])], axis=-1)
    return wide.reshape(size, block, size, block, -1).mean(axis=(1, 3))


@pytest.mark.parametrize("place", [(0.5, 0.5), (0, 0), (1, 0.2), (0.317, 0.841)])
@pytest.mark.parametrize(("shape", "size"), [((31, 24, 2), 5), ((12, 40, 1), 4)])
def test_each_scale_is_the_average_over_blocks_of_a_wider_crop(shape, size, place):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    fixation = np.array(place, np.float32)
    scales = fx.foveate(jnp.asarray(image), jnp.asarray(fixation), size=size, scales=3)
    assert scales.shape == (3, size, size, shape[2])
    for scale, patch in enumerate(scales):
        np.testing.assert_allclose(patch, twin(image, place, size, scale), atol=1e-5)
    np.testing.assert_array_equal(scales[0], fx.crop(jnp.asarray(image), jnp.asarray(fixation), size=size))


def test_cropper_gives_each_scale_as_channels_with_a_contrast_of_its_own():
    image = jnp.asarray(np.random.default_rng(1).random((20, 20, 3)), jnp.float32)
    inputs = {"image": image, "fixation": jnp.array([0.4, 0.6])}
    outputs, _ = fx.cropper(4, scales=2, contrast=True).apply({}, (), inputs, None)
    assert outputs["glimpse"].shape == (4, 4, 18)
    coarse = fx.foveate(image, inputs["fixation"], size=4, scales=2)[1]
    np.testing.assert_allclose(outputs["glimpse"][..., 9:], fx.contrast_luminance(coarse), atol=1e-6)
    with pytest.raises(fx.InputError, match="scales must be at least 1; got 0"):
        fx.cropper(4, scales=0)


def test_gradient_in_the_fixation_is_that_of_finite_differences():
    image = np.random.default_rng(2).random((30, 30, 1)).astype(np.float32)
    place, step = np.array([0.43, 0.58]), 1e-4

    def total(fixation):
        return fx.foveate(jnp.asarray(image), fixation, size=4, scales=3).sum()

    gradient = jax.grad(total)(jnp.asarray(place, jnp.float32))
    for axis in range(2):
        ahead, behind = (place + sign * step * np.eye(2)[axis] for sign in (1, -1))
        difference = sum(
            (twin(image, ahead, 4, scale).sum() - twin(image, behind, 4, scale).sum()) / (2 * step)
            for scale in range(3)
        )
        np.testing.assert_allclose(gradient[axis], difference, rtol=2e-3, atol=1e-2)
