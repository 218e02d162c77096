"""Augmentations against NumPy, Pillow, and what they promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.stats import kstest

import foveax as fx
from foveax.data.augment import random_colour, random_cutout, random_mirror, random_mix, random_rescale

KEYS = jax.random.split(jax.random.key(0), 200)


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (6, 9, 3), np.uint8)


def test_half_of_the_images_are_mirrored_with_the_fixations_in_them(image, rng):
    path = rng.uniform(size=(4, 2)).astype(np.float32)
    example = {"image": jnp.asarray(image), "label": jnp.int32(3), "fixations": jnp.asarray(path)}
    shown = jax.vmap(lambda key: random_mirror(key, example))(KEYS)
    mirrored = np.array([np.array_equal(one, image[:, ::-1]) for one in np.asarray(shown["image"])])
    plain = np.array([np.array_equal(one, image) for one in np.asarray(shown["image"])])
    assert (mirrored ^ plain).all()
    assert 70 < mirrored.sum() < 130
    expected = np.where(mirrored[:, None], 1 - path[None, :, 0], path[None, :, 0])
    np.testing.assert_allclose(shown["fixations"][..., 0], expected, atol=1e-6)
    np.testing.assert_array_equal(shown["fixations"][..., 1], np.broadcast_to(path[:, 1], (200, 4)))


def test_a_padded_picture_is_mirrored_where_it_is(image):
    """Six of nine columns are picture."""
    example = {"image": jnp.asarray(image), "extent": jnp.array([5 / 8, 1.0], jnp.float32)}
    shown = np.asarray(jax.vmap(lambda key: random_mirror(key, example))(KEYS)["image"])
    mirrored = np.concatenate([image[:, 5::-1], image[:, 6:]], axis=1)
    assert {one.tobytes() for one in shown} == {image.tobytes(), mirrored.tobytes()}


def test_an_image_is_magnified_about_its_centre_and_shrunk(rng):
    """As Pillow resamples a box about the centre; what comes in is zero."""
    smooth = np.asarray(
        Image.fromarray(rng.integers(0, 256, (4, 4), np.uint8)).resize((32, 32), Image.Resampling.BICUBIC)
    )
    image = smooth.astype(np.float32)[..., None] / 255
    padded = np.pad(image[..., 0], 16)
    for key in KEYS[:20]:
        scale = float(1.5 ** jax.random.uniform(key, (), minval=-1, maxval=1))
        ours = np.asarray(random_rescale(key, jnp.asarray(image), factor=0.5))[..., 0]
        low, high = 32 - 16 / scale, 32 + 16 / scale
        theirs = Image.fromarray(padded).resize((32, 32), Image.Resampling.BILINEAR, box=(low, low, high, high))
        edge = max(int(np.ceil(16 - 16 * scale)), 0)
        within = slice(edge + 2, 30 - edge)
        np.testing.assert_allclose(ours[within, within], np.asarray(theirs)[within, within], atol=0.02)
        assert not ours[: max(edge - 1, 0)].any()


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_colours_change_and_stay_in_their_range(channels, dtype, rng):
    image = (
        rng.integers(0, 256, (8, 8, channels), np.uint8) if dtype == np.uint8 else rng.uniform(size=(8, 8, channels))
    )
    image = jnp.asarray(image, dtype)
    white = 255 if dtype == np.uint8 else 1
    same = random_colour(KEYS[0], image, strength=0.0)
    np.testing.assert_allclose(np.asarray(same, np.float64), np.asarray(image, np.float64), atol=1e-3 * white)
    shown = np.asarray(jax.vmap(lambda key: random_colour(key, image, strength=0.4))(KEYS))
    assert shown.dtype == dtype
    assert shown.min() >= 0
    assert shown.max() <= white
    means = shown.mean(axis=(1, 2, 3), dtype=np.float64) / white
    assert means.std() == pytest.approx(0.4 / np.sqrt(3), rel=0.3)  # of the light that is added, less what is clipped


def test_a_square_of_the_images_mean_is_cut_out(image):
    shown = np.asarray(jax.vmap(lambda key: random_cutout(key, jnp.asarray(image), pixels=4))(KEYS))
    mean = np.round(image.reshape(-1, 3).mean(axis=0, dtype=np.float64)).astype(np.uint8)
    changed = (shown != image).any(axis=-1)
    assert np.abs(shown[changed].astype(int) - mean).max() <= 1
    heights, widths = changed.any(axis=2).sum(axis=1), changed.any(axis=1).sum(axis=1)
    assert heights.max() == widths.max() == 4
    assert heights.min() == 2  # about the first pixel, half of it lies beyond
    assert changed.any(axis=0).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_two_images_are_mixed_and_one_of_their_labels_is_kept_as_often_as_its_share(dtype, rng):
    """Two images, so that each pixel tells the share of the first, and whether it was mixed with itself."""
    images = rng.integers(0, 256, (2, 6, 9, 3), np.uint8).astype(np.float64)
    images = images if dtype == np.uint8 else images / 255
    batch = {"image": jnp.asarray(images, dtype), "label": jnp.array([3, 7]), "first": jnp.array([[0.1, 0.2]] * 2)}
    mix = jax.jit(jax.vmap(lambda key: random_mix(key, batch, strength=2.0)))
    shown = mix(jax.random.split(jax.random.key(1), 4000))
    assert shown["image"].dtype == dtype
    np.testing.assert_array_equal(shown["first"], np.broadcast_to(batch["first"], (4000, 2, 2)))
    difference = (images[0] - images[1]).reshape(-1)
    offset = (np.asarray(shown["image"], np.float64)[:, 0] - images[1]).reshape(4000, -1)
    share = offset @ difference / (difference @ difference)
    np.testing.assert_allclose(offset, share[:, None] * difference, atol=1 if dtype == np.uint8 else 1e-5)
    own = np.asarray(shown["label"][:, 0]) == 3
    mixed = share < 1 - 1e-3
    assert 0.45 < mixed.mean() < 0.55  # else the permutation gave the image itself
    assert own[~mixed].all()
    assert kstest(share[mixed], "beta", args=(2, 2)).pvalue > 1e-3
    for low in (0, 0.25, 0.5, 0.75):
        among = mixed & (share >= low) & (share < low + 0.25)
        assert abs(own[among].mean() - share[among].mean()) < 4 * np.sqrt(0.25 / among.sum())


def test_a_training_sees_every_augmentation_and_its_test_images_none(digits):
    config = fx.TrainingConfig(mirror=True, rescale=0.2, colour=0.3, cutout=8, mix=1.0, shift=2, warp=0.5)
    data = config.prepare(digits)
    np.testing.assert_array_equal(data.test["image"], digits.test["image"])
    batch = {name: jnp.asarray(array[:8]) for name, array in data.train.items()}
    render = jax.jit(data.render)
    shown, again, other = (render(jax.random.key(seed), batch)["image"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(shown, again)
    assert (shown != other).any()
    assert shown.dtype == jnp.uint8
    for name in ("mirror", "rescale", "colour", "cutout", "mix"):
        off = getattr(fx.TrainingConfig(), name)
        one = fx.TrainingConfig(**{name: getattr(config, name)}, shift=0).prepare(digits)
        assert (jax.jit(one.render)(jax.random.key(0), batch)["image"] != batch["image"]).any(), name
        assert off == 0
