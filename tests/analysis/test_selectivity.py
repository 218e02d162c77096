"""Selectivity and dynamics: against SciPy, and activity of which the answer is known."""

import numpy as np
import pytest
from scipy import stats

import foveax as fx
from foveax.analysis import class_selectivity, dynamics, place_selectivity


def test_place_selectivity_is_that_of_a_regression(rng):
    places, activity = rng.random((20, 4, 2)), rng.normal(size=(20, 4, 3))
    activity[..., 1] += 3 * places[..., 0]
    places[:, 0] = np.nan
    known = places[:, 1:].reshape(-1, 2), activity[:, 1:].reshape(-1, 3)
    design = np.column_stack([known[0], np.ones(60)])
    residual = known[1] - design @ np.linalg.lstsq(design, known[1], rcond=None)[0]
    np.testing.assert_allclose(place_selectivity(activity, places), 1 - residual.var(0) / known[1].var(0), atol=1e-9)


def test_class_selectivity_is_that_of_the_f_test(rng):
    label, activity = np.arange(30) % 3, rng.normal(size=(30, 2, 2, 2))
    activity[label == 1, 1, 0, 1] += 2
    found = class_selectivity(activity, label)
    assert found.shape == (2, 4)
    for glimpse, unit in np.ndindex(2, 4):
        values = activity.reshape(30, 2, 4)[:, glimpse, unit]
        f = stats.f_oneway(*(values[label == number] for number in range(3))).statistic
        assert found[glimpse, unit] == pytest.approx(2 * f / (2 * f + 27))


def test_dynamics_of_known_activity(rng):
    one_hot = np.zeros((6, 3, 8))
    one_hot[:, 0, 0] = one_hot[:, 1, 0] = one_hot[:, 2, 1] = 1.0
    went_on = dynamics(one_hot)
    np.testing.assert_allclose(went_on.sparseness, 1.0)
    np.testing.assert_allclose(went_on.change[1:], [0.0, np.sqrt(2)])
    np.testing.assert_allclose(went_on.likeness[0], [1.0, 1.0, -1 / 7])
    np.testing.assert_allclose(went_on.mean, 1 / 8)
    assert np.isnan(went_on.dimensions).all()
    even = dynamics(np.ones((4, 2, 5)) * np.array([1.0, -1.0, 1.0, 1.0, -1.0]))
    np.testing.assert_allclose(even.sparseness, 0.0, atol=1e-12)
    plane = rng.normal(size=(4000, 1, 2)) @ np.linalg.qr(rng.normal(size=(9, 2)))[0].T
    assert dynamics(plane).dimensions[0] == pytest.approx(2, abs=0.01)


def test_likeness_is_a_correlation(rng):
    activity = rng.normal(size=(5, 3, 7))
    wanted = np.mean([np.corrcoef(image) for image in activity], axis=0)
    np.testing.assert_allclose(dynamics(activity).likeness, wanted)


def test_what_is_refused():
    with pytest.raises(fx.InputError, match=r"places must be \[3, 2, 2\]"):
        place_selectivity(np.zeros((3, 2, 4)), np.zeros((3, 1, 2)))
    with pytest.raises(fx.InputError, match=r"label must be \[3\] integers"):
        class_selectivity(np.zeros((3, 2, 4)), np.zeros(3))
    with pytest.raises(fx.InputError, match=r"activity must be \[N, T, \.\.\.\]"):
        dynamics(np.zeros(3))
