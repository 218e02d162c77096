"""Corruptions against NumPy, SciPy and Pillow, on grey and colour images of several sizes."""

import io

import jax
import jax.numpy as jnp
import matplotlib.colors
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats

import foveax as fx
from foveax.robustness import CORRUPTIONS
from foveax.robustness.corruptions import QUALITIES, SEVERITIES

SHAPES = ((28, 28, 1), (21, 37, 3))
KEY = jax.random.key(7)
COMPILED = {name: jax.jit(corruption) for name, corruption in CORRUPTIONS.items()}


def picture(shape, seed=0):
    """A smooth image with edges, so that blur and JPEG have something to do."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random(shape), (2, 2, 0))
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    smooth[4:9, 5:12] = rng.random(shape[-1])
    return np.round(smooth * 255).astype(np.float32) / 255


def corrupted(name, image, severity, key=KEY):
    return np.asarray(COMPILED[name](jnp.asarray(image), key, jnp.int32(severity)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_stay_images_and_change_the_more_the_severer(name, shape):
    image = picture(shape)
    keys = jax.random.split(KEY, 8)
    batched = jax.jit(jax.vmap(jax.vmap(CORRUPTIONS[name], (None, 0, None)), (None, None, 0)))
    images = np.asarray(batched(jnp.asarray(image), keys, jnp.arange(1, SEVERITIES + 1)))
    assert images.shape == (SEVERITIES, 8, *shape)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    distance = np.sqrt(np.mean((images - image) ** 2, axis=(1, 2, 3, 4)))
    assert (np.diff(distance) > 0).all(), distance


def test_gaussian_noise_is_normal():
    image = np.full((64, 64, 1), 0.5, np.float32)
    for severity, scale in zip((1, 2), (0.08, 0.12), strict=True):  # beyond, black and white cut it off
        noise = (corrupted("Gaussian noise", image, severity) - 0.5).ravel() / scale
        assert stats.kstest(noise, "norm").pvalue > 0.01


def test_impulses_are_black_or_white_as_often():
    image = np.full((80, 80, 3), 0.5, np.float32)
    for severity, share in enumerate((0.03, 0.06, 0.09, 0.17, 0.27), start=1):
        noisy = corrupted("impulse noise", image, severity)
        assert set(np.unique(noisy)) == {0.0, 0.5, 1.0}
        for value in (0, 1):
            assert stats.binomtest(int((noisy == value).sum()), noisy.size, share / 2).pvalue > 0.001


@pytest.mark.parametrize("shape", SHAPES)
def test_blur_is_that_of_scipy(shape):
    image = picture(shape)
    for severity, width in enumerate((0.4, 0.6, 0.7, 0.8, 1.0), start=1):
        scale = width * max(shape[:2]) / 32
        expected = ndimage.gaussian_filter(image, (scale, scale, 0), mode="nearest", truncate=4.0)
        np.testing.assert_allclose(corrupted("Gaussian blur", image, severity), expected, atol=1e-5)


def test_contrast_is_that_of_numpy():
    image = picture(SHAPES[1])
    for severity, factor in enumerate((0.4, 0.3, 0.2, 0.1, 0.05), start=1):
        mean = image.mean(axis=(0, 1), keepdims=True)
        np.testing.assert_allclose(corrupted("contrast", image, severity), (image - mean) * factor + mean, atol=1e-6)


def test_brightness_is_the_value_of_matplotlibs_hsv():
    image = picture(SHAPES[1])
    image[0, 0] = 0
    for severity in range(1, SEVERITIES + 1):
        hsv = matplotlib.colors.rgb_to_hsv(image)
        hsv[..., 2] = np.minimum(hsv[..., 2] + severity / 10, 1)
        expected = matplotlib.colors.hsv_to_rgb(hsv)
        np.testing.assert_allclose(corrupted("brightness", image, severity), expected, atol=2e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_jpeg_is_that_of_pillow(shape):
    """Within two of 255 levels, but in few blocks: libjpeg has amplitudes in eighths, and may round to another step."""
    image = picture(shape)
    for severity, quality in enumerate(QUALITIES, start=1):
        file = io.BytesIO()
        levels = np.round(image * 255).astype(np.uint8)
        Image.fromarray(levels[..., 0] if shape[-1] == 1 else levels).save(file, "JPEG", quality=quality, subsampling=0)
        expected = np.asarray(Image.open(file)).reshape(shape).astype(float)
        difference = np.abs(255 * corrupted("JPEG", image, severity) - expected)
        bad = np.argwhere((difference > 2).any(axis=-1)) // 8
        assert len(np.unique(bad, axis=0)) <= (0 if shape[-1] == 1 else 3)
        assert np.abs(expected - levels).mean() > 2  # it does something


@pytest.mark.parametrize("shape", SHAPES)
def test_occlusion_is_one_grey_square_anywhere(shape):
    image = np.zeros(shape, np.float32)
    corners = set()
    for severity, share in enumerate((0.2, 0.3, 0.4, 0.5, 0.6), start=1):
        for seed in range(6):
            hidden = corrupted("occlusion", image, severity, jax.random.key(seed))[..., 0]
            rows, columns = np.nonzero(hidden)
            side = round(share * min(shape[:2]))
            assert (np.ptp(rows) + 1, np.ptp(columns) + 1, len(rows)) == (side, side, side * side)
            assert (hidden[rows, columns] == 0.5).all()
            corners.add((rows.min(), columns.min()))
    assert len(corners) > 20


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shift_is_that_of_scipy(shape):
    image, places = picture(shape), set()
    for severity, share in enumerate((0.04, 0.08, 0.12, 0.16, 0.2), start=1):
        for seed in range(4):
            moved = corrupted("shift", image, severity, jax.random.key(seed))
            most = int(np.ceil(share * max(shape[:2]))) + 1
            found = [
                (down, right)
                for down in range(-most, most + 1)
                for right in range(-most, most + 1)
                if np.array_equal(ndimage.shift(image, (down, right, 0), order=0, mode="nearest"), moved)
            ]
            assert len(found) == 1
            assert abs(np.hypot(*found[0]) - share * max(shape[:2])) < 0.75
            places.add(found[0])
    assert len(places) > 10


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_is_no_image_is_refused(name):
    for image in (jnp.zeros(SHAPES[0], jnp.uint8), jnp.zeros((4, 4))):
        with pytest.raises(fx.InputError, match=r"image must be a float of the shape \[H, W, C\], in \[0, 1\]; got"):
            CORRUPTIONS[name](image, KEY, 1)


def test_a_severity_out_of_range_is_refused():
    with pytest.raises(fx.InputError, match="severity must be at most 5; got 6"):
        CORRUPTIONS["contrast"](jnp.zeros(SHAPES[0]), KEY, 6)
    with pytest.raises(fx.InputError, match="severity must be a whole number, at least 1; got 0"):
        CORRUPTIONS["contrast"](jnp.zeros(SHAPES[0]), KEY, 0)
