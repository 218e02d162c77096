"""Headroom: planted shares of a variation are found, and a problem whose state tells all is known from one where it
tells nothing.
"""

import jax
import numpy as np
import pytest

import foveax as fx
from foveax.evaluation import headroom as module
from foveax.evaluation.headroom import format_headroom, headroom

IMAGES, PLACES = 1_000, 49


def planted(*, place, state, noise, seed=0):
    """Drops whose variances by place, by a state of ten numbers, and by chance are those given; and the state."""
    rng = np.random.default_rng(seed)
    read = rng.standard_normal((IMAGES, 10))
    weights = rng.standard_normal((10, PLACES))
    weights = (weights - weights.mean(1, keepdims=True)) / np.sqrt((weights**2).sum(0).mean())
    bias = rng.standard_normal(PLACES)
    bias = (bias - bias.mean()) / bias.std()
    rest = rng.standard_normal((IMAGES, PLACES))
    drops = 3.0 + rng.standard_normal((IMAGES, 1)) + place**0.5 * bias + state**0.5 * read @ weights + noise**0.5 * rest
    return drops, read


@pytest.mark.parametrize("shares", [(0.5, 0.0, 0.5), (0.1, 0.3, 0.6), (0.0, 0.05, 0.95)])
def test_planted_shares_are_found(shares):
    drops, read = planted(place=shares[0], state=shares[1], noise=shares[2])
    found = module._explained(drops, drops[:, 0], read, np.zeros((IMAGES, 0)))
    assert found.by_place.mean == pytest.approx(shares[0], abs=0.02)
    assert found.by_state.mean == pytest.approx(shares[1], abs=0.02)
    assert found.by_state.low - 0.01 <= shares[1] <= found.by_state.high + 0.03  # ridge shrinks
    assert (found.worth.low > 0) == (shares[1] > 0)
    assert found.variation == pytest.approx(1.0, abs=0.06)


def test_what_says_nothing_explains_nothing():
    drops, _ = planted(place=0.2, state=0.0, noise=0.8)
    noise = np.random.default_rng(1).standard_normal((IMAGES, 60))
    found = module._explained(drops, drops[:, 0], noise, noise[:, :0])
    assert abs(found.by_state.mean) < 0.01
    assert found.worth.low <= 0.01


def test_ridge_is_that_of_the_normal_equations():
    drops, read = planted(place=0.1, state=0.3, noise=0.6)
    ridge = module._ridges(drops, read)[1 + 3]
    scaled = (read - read.mean(0)) / read.std(0)
    penalty = module.PENALTIES[3] * IMAGES
    weights = np.linalg.solve(scaled.T @ scaled + penalty * np.eye(10), scaled.T @ (drops - drops.mean(0)))
    np.testing.assert_allclose(ridge(read[:5]), drops.mean(0) + scaled[:5] @ weights, atol=1e-9)


@pytest.fixture(scope="module")
def cued():
    """A pipeline that has learnt to read every corner, of random fixations, and not yet where to look."""
    data = fx.load("cued_place")
    config = fx.PipelineConfig(glimpses=2, hidden=64, features=64, scale_start=4.0, scale_end=4.0)
    graph = fx.standard_pipeline(data, config)
    learner = fx.make_learner(graph, fx.LearningConfig(policy_learning_rate=0.0), steps=500)
    for state, _ in fx.fit(learner, data, learner.init(jax.random.key(0)), batch=64):  # noqa: B007
        pass
    return graph, state.params, data


@pytest.mark.slow
def test_a_cue_leaves_room_and_a_single_place_does_not(cued):
    """The centre's cue says which corner to look at: the state explains far more than the place, and a choice is worth
    much of the bit that is missing, none of which an eye that has not learnt takes.
    """
    graph, params, data = cued
    (row,) = headroom(graph, params, data.test, key=jax.random.key(0), agent="saccader")
    assert row.by_state.low > 0.1 > row.by_place.high
    assert row.worth.low > 0.1
    assert row.taken.high < row.worth.low
    table = format_headroom([row])
    assert len(table.splitlines()) == 3


def test_what_cannot_be_looked_at_is_refused(cued):
    graph, params, data = cued
    key = jax.random.key(0)
    with pytest.raises(fx.InputError, match="an agent that chooses a place, at more than one glimpse; got 'eye'"):
        headroom(graph, params, data.test, key=key, agent="eye")
    few = {name: array[:10] for name, array in data.test.items()}
    with pytest.raises(fx.InputError, match="at least 20 images; got 10"):
        headroom(graph, params, few, key=key, agent="saccader")


def test_an_eye_of_limited_reach_is_tried_within_it():
    data = fx.load("mnist5k")
    config = fx.PipelineConfig(glimpses=3, hidden=8, features=8, reach=0.2, first="random")
    config = fx.TrainingConfig(shift=0, pipeline=config)
    data = config.prepare(data)
    graph = fx.standard_pipeline(data, config.pipeline)
    few = {name: array[:40] for name, array in data.test.items()}
    rows = headroom(graph, fx.init(graph, jax.random.key(0)), few, key=jax.random.key(0), agent="saccader")
    assert len(rows) == 2
    assert all(np.isfinite(row.variation) for row in rows)
