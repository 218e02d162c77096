"""The spatiotopic map against areas of overlap summed by loops in NumPy, and what it keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import foveax as fx
from foveax.modules import spatiotopic_map
from foveax.retina import paint


def overlap(begin, end, low, high):
    return max(min(end, high) - max(begin, low), 0.0)


def painted_by_loops(painted, patch, centre, cell, sides):
    """Cell by cell, sample by sample, in pixels counted from the picture's edge."""
    cells, size, channels = len(painted), len(patch), patch.shape[-1]
    result = painted.astype(np.float64)
    width, height = sides[0] / cells, sides[1] / cells
    for row in range(cells):
        for column in range(cells):
            total, cover = np.zeros(channels), 0.0
            for i in range(size):
                for j in range(size):
                    top = centre[1] + 0.5 + (i - size / 2) * cell[1]
                    left = centre[0] + 0.5 + (j - size / 2) * cell[0]
                    area = overlap(row * height, (row + 1) * height, top, top + cell[1])
                    area *= overlap(column * width, (column + 1) * width, left, left + cell[0])
                    total += area * patch[i, j]
                    cover += area
            sharpness, share = 1 / max(cell), cover / (width * height)
            if cover > 0 and sharpness >= painted[row, column, -1]:
                new = np.append(total / cover, sharpness)
                result[row, column] = share * new + (1 - share) * result[row, column]
    return result


@pytest.mark.parametrize("cells", [3, 8, 13])
@pytest.mark.parametrize("centre", [(4.0, 4.5), (0.3, 8.9), (11.0, -2.0)])
def test_cells_are_means_over_the_patch_so_far_as_it_covers_them(rng, cells, centre):
    sides, cell = np.array([11.0, 8.0]), np.array([1.5, 1.25])
    painted = rng.uniform(size=(cells, cells, 3)).astype(np.float32)
    patch = rng.uniform(size=(4, 4, 2)).astype(np.float32)
    ours = jax.jit(paint)(*map(jnp.float32, (painted, patch, centre, cell, sides)))
    np.testing.assert_allclose(ours, painted_by_loops(painted, patch, np.array(centre), cell, sides), atol=1e-5)


def test_a_crop_as_large_as_the_picture_is_the_picture(rng):
    image = jnp.asarray(rng.integers(0, 256, (12, 12, 3), np.uint8))
    retina, spatial = fx.cropper(12), spatiotopic_map(12, sides=(12, 12))
    middle = jnp.full(2, 0.5)
    seen, _ = retina.apply({}, (), {"image": image, "fixation": middle}, None)
    inputs = {"glimpse": seen["glimpse"], "fixation": middle}
    picture = spatial.apply({}, spatial.begin(inputs), inputs, None)[0]["picture"]
    np.testing.assert_allclose(picture[..., :3], np.asarray(image) / 127.5 - 1, atol=1e-5)
    np.testing.assert_allclose(picture[..., 3], 1)


def test_what_was_seen_sharply_stays_and_the_rest_is_as_the_coarsest_shows_it(rng):
    """A crop in one corner, then one in the other, each with a glance at the whole picture and a second scale."""
    image = jnp.asarray(rng.uniform(size=(16, 24, 1)), jnp.float32)
    retina, spatial = fx.cropper(8, scales=2, glance=True), spatiotopic_map(8, sides=(16, 24), scales=2, glance=True)
    state = None
    for place in ((0.1, 0.1), (0.9, 0.9)):
        fixation = jnp.array(place, jnp.float32)
        seen, _ = retina.apply({}, (), {"image": image, "fixation": fixation}, None)
        inputs = {"glimpse": seen["glimpse"], "fixation": fixation}
        state = spatial.begin(inputs) if state is None else state
        outputs, state = jax.jit(spatial.apply)({}, state, inputs, None)
    sharpness = np.asarray(outputs["picture"][..., 1])
    np.testing.assert_allclose(sharpness[7, 0], 8 / 24, atol=1e-6)  # the glance's cells are three pixels wide
    np.testing.assert_allclose(sharpness[1, 1], 1, atol=1e-6)  # of the first crop, not the second's surround
    np.testing.assert_allclose(sharpness[6, 6], 1, atol=1e-6)
    assert sharpness.min() > 0


def test_padding_is_no_part_of_the_picture(rng):
    """A picture in the corner of a larger image gives the map that it gives by itself."""
    picture = rng.uniform(size=(10, 10, 1)).astype(np.float32)
    padded = np.zeros((19, 19, 1), np.float32)
    padded[:10, :10] = picture
    maps = []
    for image, extent in ((picture, (1.0, 1.0)), (padded, (0.5, 0.5))):
        retina, spatial = fx.cropper(5, glance=True), spatiotopic_map(10, sides=image.shape[:2], glance=True)
        place = {"fixation": jnp.array([0.4, 0.6]), "extent": jnp.array(extent, jnp.float32)}
        seen, _ = retina.apply({}, (), {"image": jnp.asarray(image), **place}, None)
        inputs = {"glimpse": seen["glimpse"], **place}
        maps.append(spatial.apply({}, spatial.begin(inputs), inputs, None)[0]["picture"])
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-5)


def test_a_map_of_the_wrong_glimpses_is_refused():
    with pytest.raises(fx.InputError, match=r"contrast must be off \(--no-contrast\) for a map"):
        fx.PipelineConfig(map_size=8)
    with pytest.raises(fx.InputError, match=r"efference must be absolute with zoom or a map; got 'none'"):
        fx.PipelineConfig(map_size=8, contrast=False, efference="none")
    with pytest.raises(fx.InputError, match=r"size of a map must be at least 1 cell; got 0"):
        spatiotopic_map(0, sides=(8, 8))


def test_kernels_read_the_map_that_the_pipeline_draws():
    """With and without an agent that chooses widths; the network's parameters do not depend on what was seen."""
    shapes = []
    for options in ({"glance": True, "glimpses": 2}, {"zoom": 2.0, "glimpses": 3}, {"glimpses": 1, "crop_size": 8}):
        config = fx.PipelineConfig(**{"crop_size": 4, "contrast": False, "map_size": 8, "kernels": 4, **options})
        graph = fx.standard_pipeline(small.data(), config)
        assert graph.wiring.outputs["map"]["picture"].shape == (8, 8, 2)
        params = jax.eval_shape(lambda key, graph=graph: fx.init(graph, key), jax.random.key(0))
        shapes.append(jax.tree.map(lambda array: array.shape, params["classifier"]))
    assert shapes[0] == shapes[1] == shapes[2]
