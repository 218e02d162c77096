"""Pictures in scenes: one of a batch, whole, where it is told to lie, among others that are scrambled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.stats import kstest

import foveax as fx
from foveax.data.scenes import scene, scrambled

SIDE = 48


@pytest.fixture(scope="module")
def found():
    """Scenes with a red picture of 8x16 among blue ones: its pixels, and where its middle is said to be."""
    images = np.zeros((5, 8, 16, 3), np.uint8)
    images[..., 2] = 255
    images[1] = [255, 0, 0]
    draw = jax.vmap(lambda key: scene(key, jnp.int32(1), jnp.asarray(images), side=SIDE, distractors=3))
    drawn, middles = jax.jit(draw)(jax.random.split(jax.random.key(0), 400))
    return np.asarray(drawn)[..., 0] > 127, np.asarray(middles)


def test_the_picture_is_whole_and_where_it_is_told_to_be(found):
    pixels, middles = found
    for mask, middle in zip(pixels, middles, strict=True):
        rows, columns = np.nonzero(mask)
        high, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert mask.sum() == high * wide  # nothing covers it
        assert abs(wide - 2 * high) <= 2
        np.testing.assert_allclose(middle * (SIDE - 1), [columns.mean(), rows.mean()], atol=0.75)


def test_sizes_and_places_are_uniform(found):
    pixels, middles = found
    wide = pixels.any(axis=1).sum(axis=1)
    assert kstest((wide - 8) / 16, "uniform").pvalue > 1e-3  # from a sixth to a half of the scene
    for axis, size in ((0, wide), (1, wide / 2)):
        begins = middles[:, axis] * (SIDE - 1) + 0.5 - size / 2
        assert kstest(begins / (SIDE - size), "uniform").pvalue > 1e-3


def test_a_picture_is_resampled_as_pillow_does_it(rng):
    image = np.asarray(Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((16, 16)))
    images = jnp.asarray(np.stack([image, np.zeros_like(image)]))
    for key in jax.random.split(jax.random.key(1), 10):
        drawn, middle = scene(key, jnp.int32(0), images, side=SIDE, distractors=0)
        mask = np.asarray(drawn).any(axis=-1)
        wide = mask.any(axis=0).sum()
        left, top = np.asarray(middle) * (SIDE - 1) + 0.5
        theirs = Image.fromarray(image).resize((int(wide), int(wide)), Image.Resampling.BILINEAR)
        row, column = round(float(top) - wide / 2), round(float(left) - wide / 2)
        ours = np.asarray(drawn, float)[row : row + wide, column : column + wide]
        assert np.abs(ours - np.asarray(theirs, float))[1:-1, 1:-1].mean() < 16  # of 255; half a pixel's shift at most


def test_blocks_are_in_another_order_and_whole(rng):
    image = rng.integers(0, 256, (13, 9, 3), np.uint8)

    def blocks(image):
        return [
            image[3 * row : 3 * row + 3, 2 * column : 2 * column + 2].tobytes()
            for row in range(4)
            for column in range(4)
        ]

    shuffled = np.asarray(scrambled(jax.random.key(0), jnp.asarray(image), blocks=4))
    assert shuffled.shape == (12, 8, 3)
    assert sorted(blocks(shuffled)) == sorted(blocks(image))
    assert blocks(shuffled) != blocks(image)


def test_training_scenes_are_new_each_time_and_test_scenes_the_same_for_everyone(digits):
    small = digits._replace(test={name: array[:70] for name, array in digits.test.items()})
    once, again = (fx.scenes(small, side=40, told=True) for _ in range(2))
    np.testing.assert_array_equal(once.test["image"], again.test["image"])
    assert once.test["image"].shape == (70, 40, 40, 1)
    assert once.test["object"].shape == (70, 2)
    batch = {name: jnp.asarray(array[:8]) for name, array in digits.train.items()}
    first, second = (jax.jit(once.render)(jax.random.key(seed), batch) for seed in (0, 1))
    assert first["image"].dtype == jnp.uint8
    assert (first["image"] != second["image"]).any()
    np.testing.assert_array_equal(first["label"], batch["label"])
    alone, _ = scene(
        jax.random.split(jax.random.key(0), 70)[3],
        jnp.int32(3),
        jnp.asarray(small.test["image"]),
        side=40,
        distractors=4,
    )
    assert np.abs(np.asarray(alone, int) - once.test["image"][3]).max() <= 1


def test_a_configuration_shows_scenes_with_or_without_their_objects(digits):
    small = digits._replace(test={name: array[:8] for name, array in digits.test.items()})
    config = fx.TrainingConfig(task="scenes", canvas=40, pieces=1, pipeline=fx.PipelineConfig(policy="told"))
    assert config.prepare(small).inputs["object"].shape == (2,)
    assert "object" not in fx.TrainingConfig(task="scenes", canvas=40).prepare(small).inputs


def test_what_cannot_be_a_scene_is_refused(digits, rng):
    with pytest.raises(fx.InputError, match="canvas must be at least 24 pixels for a scene; got 23"):
        fx.scenes(digits, side=23)
    arrays = {"image": rng.integers(0, 256, (4, 6, 9, 1), np.uint8), "label": np.arange(4)}
    with pytest.raises(fx.InputError, match=r"pictures in scenes must have at least 8 pixels a side; got \(6, 9\)"):
        fx.scenes(fx.from_arrays(arrays, arrays), side=60)
    with pytest.raises(fx.InputError, match="test scenes"):
        fx.scenes(digits, side=100_000)
    padded = {**arrays, "extent": np.ones((4, 2), np.float32)}
    with pytest.raises(fx.InputError, match="pictures that are padded have no task"):
        fx.scenes(fx.from_arrays(padded, padded))
