"""The drawn shapes: each has the area of its formula, and what is said to count is what counts."""

import numpy as np
import pytest

import foveax as fx

RADIUS = 6.0
AREAS = {
    "disc": np.pi * RADIUS**2,
    "square": (1.7 * RADIUS) ** 2,
    "triangle": 3 * 3**0.5 * (RADIUS / 2) ** 2,  # equilateral, of inradius RADIUS / 2
    "cross": 2 * (2 * RADIUS) * (2 * RADIUS / 3) - (2 * RADIUS / 3) ** 2,
    "ring": np.pi * (RADIUS**2 - (RADIUS / 2) ** 2),
}


@pytest.fixture(scope="module")
def coloured():
    return fx.load("coloured_shapes").test


def test_red_shape_has_the_area_of_its_label(coloured):
    image = coloured["image"].astype(float)
    ground = image[:, 18:22, 18:22].mean((1, 2, 3))  # between the shapes
    redness = (image[..., 0] - image[..., 1:].mean(-1)) / ground[:, None, None]
    # Yellow is as green as it is red: its mean over green and blue cancels red's half way, and a threshold parts them.
    strength = (0.75 - 0.30) / 0.45
    area = (np.clip(redness, 0, None) * (redness > 0.6 * strength)).sum((1, 2)) / strength
    measured = [area[coloured["label"] == label].mean() for label in range(5)]
    np.testing.assert_allclose(measured, list(AREAS.values()), rtol=0.1)


def test_brightness_does_not_tell_the_red_shape_from_the_others(coloured):
    brightness = coloured["image"].mean(-1)
    quarters = brightness.reshape(-1, 2, 20, 2, 20).mean((2, 4)).reshape(-1, 4)
    spread = quarters.std(1) / quarters.mean(1)
    assert spread.mean() < 0.01


def test_light_varies_several_times_more_than_the_shape_differs_from_its_ground():
    shaded = fx.load("shaded_shapes").test
    image = shaded["image"][..., 0].astype(float)
    blocks = image.reshape(-1, 8, 5, 8, 5).mean((2, 4)).reshape(len(image), -1)
    assert np.median(blocks.max(1) / blocks.min(1)) > 4
    by_label = [image[shaded["label"] == label].mean() for label in range(5)]
    assert np.ptp(by_label) < 0.05 * np.mean(by_label)


def test_light_leads_to_the_circle_or_square():
    """From any pixel, the brightest of its neighbours is nearer the shape; and only a square fills its bounding box."""
    split = fx.load("circle_square").test
    image = split["image"][:200, ..., 0].astype(float)
    shape = image > 220
    pixels = shape.sum((1, 2))
    middle = np.stack([(np.arange(28) * shape.sum(axis)).sum(1) / pixels for axis in (2, 1)], axis=-1)  # row, column
    rows, columns = np.mgrid[4:24:4, 4:24:4].reshape(2, -1)
    downhill = image[:, rows + 3, columns] - image[:, rows - 3, columns]
    way = middle[:, :1] - rows
    far = np.abs(way) > 6
    assert (np.sign(downhill[far]) == np.sign(way[far])).mean() > 0.98
    box = np.stack([shape.any(axis).sum(1) for axis in (1, 2)], axis=-1).prod(-1)
    filled = pixels / box
    label = split["label"][:200]
    assert filled[label == 1].mean() > 0.95
    assert filled[label == 0].mean() == pytest.approx(np.pi / 4, abs=0.03)
