"""The canvas tasks: the recipe is fixed to the byte, places are uniform, and pieces come from other images."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.stats import chisquare

import foveax as fx
from foveax.data.augment import random_warp, shifted
from foveax.data.canvas import canvas
from foveax.data.dataset import held_out

FIRST_BATCH = {
    "translated": "4601649820fe4badaf09a05d2d8b380d28273cbcc47e21329b1d123094693680",
    "cluttered": "8738206c7e61a57352ef0a6cabde07e7a09349884bfba7ff736669825cfa8c11",
    "cluttered 100": "42379a0546fc2c608c737b110829d3ff4e18f17677c69db409e78ab8e3c221c9",
}
TASKS = {
    "translated": lambda data: fx.translated(data, side=60),
    "cluttered": lambda data: fx.cluttered(data, side=60, pieces=4),
    "cluttered 100": lambda data: fx.cluttered(data, side=100, pieces=4),
}


def first_batch(data):
    batch = {name: jnp.asarray(array[:32]) for name, array in data.train.items()}
    return np.asarray(jax.jit(data.render)(jax.random.key(0), batch)["image"])


@pytest.mark.parametrize("task", TASKS)
def test_first_batch_is_the_same_for_everyone(digits, task):
    data = TASKS[task](digits)
    images = first_batch(data)
    assert images.shape == (32, *data.inputs["image"].shape)
    assert images.dtype == np.uint8
    assert hashlib.sha256(images.tobytes()).hexdigest() == FIRST_BATCH[task]


def test_translated_canvas_holds_the_whole_digit_and_nothing_else(digits):
    data = fx.translated(digits, side=40)
    assert data.test["image"].shape == (1000, 40, 40, 1)
    for shown, digit in zip(first_batch(data), digits.train["image"], strict=False):
        ink, drawn = np.argwhere(digit[..., 0] > 0), np.argwhere(shown[..., 0] > 0)
        np.testing.assert_array_equal(drawn - drawn.min(0), ink - ink.min(0))
        np.testing.assert_array_equal(shown[shown > 0], digit[digit > 0])


def test_places_are_uniform_over_the_canvas():
    dot = jnp.full((1, 1, 1, 1), 255, jnp.uint8)
    draw = jax.vmap(lambda key: canvas(key, jnp.int32(0), dot, side=4))
    images = np.asarray(draw(jax.random.split(jax.random.key(1), 4000)))
    assert (images.sum(axis=(1, 2, 3)) == 255).all()
    assert chisquare(images.reshape(4000, 16).astype(bool).sum(0)).pvalue > 1e-3


def test_pieces_come_from_the_other_images():
    images = jnp.stack([jnp.full((6, 6, 1), value, jnp.uint8) for value in (10, 20, 30)])
    draw = jax.vmap(lambda key: canvas(key, jnp.int32(1), images, side=30, pieces=3, piece=2))
    drawn = np.asarray(draw(jax.random.split(jax.random.key(2), 200)))
    assert {10, 20, 30} == set(np.unique(drawn)) - {0}
    assert ((drawn >= 20).sum(axis=(1, 2, 3)) >= 36).all()  # brighter pieces may cover the image, darker ones never
    assert ((drawn > 0).sum(axis=(1, 2, 3)) <= 36 + 3 * 4).all()


def test_what_does_not_fit_is_refused(digits):
    with pytest.raises(fx.InputError, match="canvas must be at least as large as an image, 28; got 20"):
        fx.translated(digits, side=20)
    with pytest.raises(fx.InputError, match="piece must be at most as large as an image, 28; got 29"):
        fx.cluttered(digits, piece=29)
    with pytest.raises(fx.InputError, match="fewer than the training images, 5000; got 5000"):
        held_out(digits, 5000)


def test_held_out_images_are_training_images_that_are_no_longer_trained_on(digits):
    data = held_out(digits, 1000)
    kept, out = ({image.tobytes() for image in split["image"]} for split in (data.train, data.test))
    assert (len(data.train["label"]), len(data.test["label"])) == (4000, 1000)
    assert not kept & out
    assert kept | out == {image.tobytes() for image in digits.train["image"]}


def test_test_images_are_shown_unshifted_and_training_images_differently_each_time(digits):
    data = shifted(digits, pixels=2)
    np.testing.assert_array_equal(data.test["image"], digits.test["image"])
    batch = {name: jnp.asarray(array[:8]) for name, array in data.train.items()}
    once, again = (np.asarray(data.render(jax.random.key(seed), batch)["image"]) for seed in (0, 1))
    assert (once != again).any()


def test_warp_samples_the_image_along_its_field():
    image = np.random.default_rng(0).random((20, 16, 2)).astype(np.float32)
    np.testing.assert_array_equal(random_warp(jax.random.key(0), jnp.asarray(image), pixels=0.0), image)
    key = jax.random.key(3)
    warped = random_warp(key, jnp.asarray(image), pixels=1.5)
    field = np.asarray(jax.image.resize(1.5 * jax.random.normal(key, (4, 4, 2)), (20, 16, 2), "cubic"), np.float64)
    rows, columns = (field + np.stack(np.meshgrid(np.arange(20), np.arange(16), indexing="ij"), -1)).transpose(2, 0, 1)
    padded = np.pad(image, ((30, 30), (30, 30), (0, 0)))
    for channel in range(2):
        expected = map_coordinates(padded[..., channel], [rows + 30, columns + 30], order=1)
        np.testing.assert_allclose(warped[..., channel], expected, atol=2e-5)


def test_what_is_told_is_the_middle_of_the_image(digits):
    """The corner of its ink on the canvas, less that within the image, is where the image begins."""
    data = fx.cluttered(digits, side=50, pieces=0, told=True)
    batch = {name: jnp.asarray(array[:32]) for name, array in digits.train.items()}
    shown = data.render(jax.random.key(3), batch)
    begins = [
        np.argwhere(canvas[..., 0] > 0).min(0) - np.argwhere(digit[..., 0] > 0).min(0)
        for canvas, digit in zip(np.asarray(shown["image"]), np.asarray(batch["image"]), strict=True)
    ]
    middle = (np.array(begins)[:, ::-1] + 13.5) / 49
    np.testing.assert_allclose(shown["object"], middle, atol=1e-6)
    assert data.test["object"].shape == (1000, 2)
    np.testing.assert_array_equal(data.test["image"], fx.translated(digits, side=50).test["image"])
