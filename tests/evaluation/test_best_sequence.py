"""The search for the best fixed sequence, on values whose greatest place is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import foveax as fx
from foveax.evaluation.best_sequence import best_sequence, last_value
from foveax.evaluation.evaluate import make_evaluator
from foveax.modules.scripted import following

CORNER = np.array([4 / 22, 18 / 22], np.float32)


def peak(params, inputs, keys):
    """A classifier that reads the corner exactly stands in for one that has learned to."""
    distance = ((inputs["fixations"][:, 0] - CORNER[None]) ** 2).sum(-1)
    return jnp.log(0.5 + 0.5 * jnp.exp(-params["sharpness"] * distance))


def cells(params, inputs, keys):
    """The same behind a grid of 20 cells along each axis: without a gradient."""
    cell = (jnp.floor(inputs["fixations"] * 20) + 0.5) / 20
    return peak(params, {"fixations": cell}, keys)


@pytest.mark.parametrize(("value", "tolerance"), [(peak, 0.005), (cells, 0.05)])
def test_the_best_place_is_found_with_and_without_a_gradient(searched, value, tolerance):
    sample = {"label": np.zeros(640, np.int32)}
    find = functools.partial(best_sequence, value, {"sharpness": 60.0}, sample, tried=np.full((10, 1, 2), 0.5, "f4"))
    found = find(key=jax.random.key(0))
    np.testing.assert_allclose(found, [CORNER], atol=tolerance)
    np.testing.assert_array_equal(found, find(key=jax.random.key(0)))


def test_more_search_than_that_changes_nothing(searched):
    """The sum of two peaks per glimpse of unlike height: the search ends at the higher one of each."""
    places = np.random.default_rng(0).random((5, 2)).astype(np.float32)

    def value(params, inputs, keys):
        high = jnp.exp(-20 * ((inputs["fixations"] - places[None]) ** 2).sum(-1))
        low = 0.5 * jnp.exp(-20 * ((inputs["fixations"] - (1 - places[None])) ** 2).sum(-1))
        return (high + low).sum(-1)

    sample = {"label": np.zeros(640, np.int32)}
    found = best_sequence(value, {}, sample, key=jax.random.key(1), tried=np.full((10, 5, 2), 0.5, "f4"))
    rest = np.exp(-20 * ((1 - 2 * places) ** 2).sum(-1)) / 2  # what the lower peak adds at the higher one
    assert value({}, {"fixations": found[None]}, None)[0] >= (1 + rest).sum() - 0.01


def test_the_value_is_the_logarithm_that_an_evaluation_gives(digits, small_config):
    graph = following(fx.standard_pipeline(digits, small_config), "saccader.fixation")
    params, key = fx.init(graph, jax.random.key(0)), jax.random.key(1)
    split = {name: array[:8] for name, array in digits.test.items()}
    split["fixations"] = np.random.default_rng(0).random((8, 5, 2), np.float32)
    shown = make_evaluator(graph)(params, split, key)
    value = last_value(graph)(params, split, jax.random.split(key, 8))
    expected = np.log(shown.probabilities[np.arange(8), -1, shown.label])
    np.testing.assert_allclose(value, expected, atol=1e-5)
    blind = graph.replace(roles=graph.roles._replace(belief=""))
    without = last_value(blind)(params, split, jax.random.split(key, 8))
    np.testing.assert_allclose(without, -make_evaluator(blind)(params, split, key).losses[:, -1], atol=1e-5)
