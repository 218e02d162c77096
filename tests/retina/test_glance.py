"""The glance against Pillow's box filter, and against means of an enlarged image."""

import numpy as np
import pytest
import small
from PIL import Image

import foveax as fx
from foveax.modules.retina import cropper

SIDE = 9


def means(image):
    """Means over cells of an image in which each pixel is enlarged to as many as there are cells."""
    height, width, channels = image.shape
    enlarged = np.kron(image, np.ones((SIDE, SIDE, 1), np.float32))
    return enlarged.reshape(SIDE, height, SIDE, width, channels).mean((1, 3))


@pytest.mark.parametrize("shape", [(36, 36), (27, 45)])
def test_where_cells_are_whole_pixels_it_is_the_box_filter_of_another_library(shape, rng):
    image = rng.random(shape, np.float32)
    filtered = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX)
    np.testing.assert_allclose(fx.glance(image[..., None], size=SIDE)[..., 0], np.asarray(filtered), atol=1e-6)


@pytest.mark.parametrize("shape", [(28, 28), (30, 47), (5, 11), (97, 10), (1, 9)])
def test_a_pixel_counts_by_the_area_that_it_shares_with_a_cell(shape, rng):
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    np.testing.assert_allclose(fx.glance(image, size=SIDE), means(image / np.float32(255)), atol=1e-5)


def test_of_a_padded_picture_only_the_picture_is_seen(rng):
    image = np.zeros((20, 30, 1), np.float32)
    image[:13, :17] = rng.random((13, 17, 1))
    extent = np.array([16 / 29, 12 / 19], np.float32)
    np.testing.assert_allclose(fx.glance(image, size=SIDE, extent=extent), means(image[:13, :17]), atol=1e-5)


def test_beside_a_crop_it_is_one_more_scale(rng):
    """The glimpse's last channels; a pipeline reads it with the kernels that all scales share."""
    image, fixation = rng.random((20, 30, 1), np.float32), np.array([0.3, 0.6], np.float32)
    retina = cropper(SIDE, scales=2, glance=True)
    seen = retina.apply({}, (), {"image": image, "fixation": fixation}, None)[0]["glimpse"]
    np.testing.assert_array_equal(seen[..., 2:], fx.glance(image, size=SIDE))
    np.testing.assert_array_equal(
        seen[..., :2], np.concatenate([*fx.foveate(image, fixation, size=SIDE, scales=2)], -1)
    )
    data = small.data((20, 30, 1))
    graph = fx.standard_pipeline(data, fx.PipelineConfig(glance=True, kernels=4, crop_size=SIDE, scales=2))
    assert graph.wiring.outputs["retina"]["glimpse"].shape == (SIDE, SIDE, 9)
    assert graph.wiring.outputs["classifier"]["encoder.kernels"].shape == (3, 3, 3, 4)
