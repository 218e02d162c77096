"""Fixation statistics against twins, closed forms and SciPy."""

import numpy as np
import pytest
from scipy.stats import binomtest, entropy

import foveax as fx
from foveax import analysis

SIZE = {"height": 28, "width": 40}


def paths(seed=0, shape=(50, 6)):
    return np.random.default_rng(seed).random((*shape, 2))


def test_information_and_entropy_agree_with_scipy():
    points, labels = paths()[:, 1], np.random.default_rng(1).integers(0, 10, 50)
    cells = (points[:, 1] * 8).astype(int) * 8 + (points[:, 0] * 8).astype(int)
    joint = np.zeros((64, 10))
    np.add.at(joint, (cells, labels), 1)
    np.testing.assert_allclose(analysis.map_entropy(points), entropy(joint.sum(1), base=2), rtol=1e-12)
    expected = entropy(joint.sum(1), base=2) + entropy(joint.sum(0), base=2) - entropy(joint.ravel(), base=2)
    np.testing.assert_allclose(analysis.mutual_information(points, labels), expected, rtol=1e-12)


def test_information_of_known_codes():
    labels = np.repeat(np.arange(4), 100)
    corners = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 1.0], [1.0, 1.0]])
    assert analysis.mutual_information(corners[labels], labels) == pytest.approx(2.0)
    assert analysis.map_entropy(corners[labels]) == pytest.approx(2.0)
    assert analysis.mutual_information(np.full((400, 2), 0.5), labels) == 0.0
    assert analysis.shuffled_information(corners[labels], labels) < 0.05


def test_information_about_the_image_is_counted_from_pairs_of_observers():
    """A twin that goes through all pairs: of one image, and of any two draws of an image."""
    rng = np.random.default_rng(0)
    observers = np.clip(rng.random((1, 12, 2, 2)) + rng.normal(0, 0.05, (3, 12, 2, 2)), 0, 0.99)
    cells = np.floor(observers * 8).astype(int)
    for glimpse, found in enumerate(analysis.image_information(observers)):
        alike = (cells[:, :, None, None, glimpse] == cells[None, None, :, :, glimpse]).all(-1)  # by O, N, O, N
        other = ~np.eye(3, dtype=bool)
        pairs = np.array([[alike[:, i, :, j][other if i == j else slice(None)].mean() for j in range(12)]
                          for i in range(12)])  # fmt: skip
        expected = np.log2(np.diag(pairs).mean() / pairs.mean())
        assert found == pytest.approx(expected)
        assert expected > 1


def test_information_about_the_image_of_known_eyes():
    """Of an eye that goes to one of four corners by the image, by chance, and by the image three times in four."""
    rng, images = np.random.default_rng(0), np.repeat(np.arange(4), 100)
    corners = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 1.0], [1.0, 1.0]])
    by_chance = rng.integers(0, 4, (8, 400, 1))
    told = np.broadcast_to(images[None, :, None], by_chance.shape)
    often = np.where(rng.random(by_chance.shape) < 0.75, told, by_chance)
    certain, none, half = (analysis.image_information(corners[cells])[0] for cells in (told, by_chance, often))
    assert certain == pytest.approx(2.0)
    assert none < 0.02
    often_alike = 0.75**2 + (1 - 0.75**2) / 4
    assert half == pytest.approx(np.log2(4 * often_alike), abs=0.05)
    assert analysis.shuffled_image_information(corners[told])[0] < 0.05


def test_coverage_counts_the_pixels_of_crops():
    scanpaths = paths(shape=(4, 3))
    covered = np.zeros((4, 28, 40), bool)
    shares = np.zeros((4, 3))
    for n, path in enumerate(scanpaths):
        for glimpse, (x, y) in enumerate(path):
            for row in range(28):
                for column in range(40):
                    covered[n, row, column] |= -4.5 <= row - y * 27 < 4.5 and -4.5 <= column - x * 39 < 4.5
            shares[n, glimpse] = covered[n].mean()
    np.testing.assert_allclose(analysis.coverage(scanpaths, **SIZE, size=9), covered.mean())
    np.testing.assert_allclose(analysis.coverage_by_fixation(scanpaths, **SIZE, size=9), shares)


@pytest.mark.parametrize(("side", "size"), [(28, 9), (28, 12), (29, 9), (29, 12)])
def test_a_crop_inside_the_image_covers_as_many_pixels_as_it_has(side, size):
    """At the centre, which lies on a pixel or between two."""
    path = np.array([[[0.5, 0.5]]])
    assert analysis.coverage(path, height=side, width=side, size=size) == pytest.approx(size**2 / side**2)


def test_shares_of_late_fixations():
    path = np.array([[[0.5, 0.5], [0.0, 0.2], [0.5, 0.5], [1.0, 1.0]]])
    assert analysis.border_share(path, **SIZE) == pytest.approx(2 / 3)
    assert analysis.border_share(path, **SIZE, begin=2) == 0.5
    assert analysis.refixation_rate(path, **SIZE) == pytest.approx(1 / 3)
    assert analysis.refixation_rate(path, **SIZE, begin=3) == 0.0
    assert np.isnan(analysis.border_share(path[:, :1], **SIZE))


def test_bad_shapes_are_refused():
    with pytest.raises(fx.InputError, match=r"points must have the shape \[N, 2\], N at least 1; got \[0, 2\]"):
        analysis.map_entropy(np.zeros((0, 2)))
    with pytest.raises(fx.InputError, match=r"labels must be integers of the shape \[5\]; got int64 \[4\]"):
        analysis.mutual_information(np.zeros((5, 2)), np.zeros(4, int))
    with pytest.raises(fx.InputError, match="labels must be at least 0; got -1"):
        analysis.mutual_information(np.zeros((2, 2)), np.array([0, -1]))
    with pytest.raises(fx.InputError, match="bins must be a whole number, at least 1; got 0"):
        analysis.map_entropy(np.zeros((2, 2)), bins=0)
    with pytest.raises(fx.InputError, match=r"fixations must have the shape \[N, T, 2\], T at least 1; got \[5, 2\]"):
        analysis.coverage(np.zeros((5, 2)), **SIZE, size=3)


def test_scanpath_statistics_on_known_paths():
    path = np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [3 / 27, 0.0], [4 / 27 + 1e-3, 1.0]]])
    amplitudes = analysis.saccade_amplitudes(path, height=28, width=28)
    np.testing.assert_allclose(amplitudes[0, :3], [27, 27, 3])
    assert analysis.refixation_rate(path, height=28, width=28) == 0.5
    assert np.isnan(analysis.refixation_rate(path[:, :1], height=28, width=28))
    with pytest.raises(fx.InputError, match=r"must have the shape \[N, T, 2\], T at least 1; got \[5, 2\]"):
        analysis.saccade_amplitudes(path[0], height=28, width=28)


def test_wilson_interval_is_that_of_scipy():
    for successes, count in ((0, 5), (3, 7), (50, 50), (970, 1000)):
        theirs = binomtest(successes, count).proportion_ci(method="wilson")
        ours = analysis.wilson_interval(np.array(successes / count), count)
        np.testing.assert_allclose(ours, (theirs.low, theirs.high), atol=1e-6)


def test_calibration_is_that_of_guo_et_al(rng):
    """Against a loop over the bins as the paper writes it; beliefs that the labels are drawn from have next to none."""
    beliefs = rng.dirichlet(np.ones(4), 3_000)
    label = (rng.random(3_000)[:, None] > beliefs.cumsum(axis=1)).sum(axis=1)
    calibrated = analysis.calibration(beliefs, label, bins=10)
    confidence, correct = beliefs.max(axis=1), beliefs.argmax(axis=1) == label
    expected = 0.0
    for index in range(10):
        inside = (confidence > index / 10) & (confidence <= (index + 1) / 10)
        assert calibrated.size[index] == inside.sum()
        if inside.any():
            np.testing.assert_allclose(calibrated.accuracy[index], correct[inside].mean())
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    np.testing.assert_allclose(calibrated.error, expected)
    assert calibrated.error < 0.03
    shuffled = analysis.calibration(beliefs, rng.permutation(label), bins=10)
    assert shuffled.error > 0.2
    with pytest.raises(fx.InputError, match=r"\[N, K\]"):
        analysis.calibration(beliefs[:, 0], label)
