"""A graph that follows people's gaze: the densities of its policy, and beliefs along scanpaths."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import foveax as fx
from foveax.learning.policies import level_categorical
from foveax.networks.encoders import index_features
from foveax.study.densities import with_uniform
from foveax.study.following import best_scale, follow_paths, make_follower
from foveax.study.simulation import Observers, simulated_participants
from foveax.study.trials import trials_of

CONFIG = fx.PipelineConfig(hidden=8, features=8, saccader_hidden=8, glimpses=3, bands=1, contrast=False, crop_size=3)


@pytest.fixture(scope="module")
def data():
    image = np.random.default_rng(0).random((12, 10, 10, 1), np.float32)
    split = {"image": image, "label": np.arange(12) % 3}
    return fx.from_arrays(split, split)


@pytest.fixture(scope="module")
def trials(data):
    table = simulated_participants(data.test["label"], Observers(), participants=2, fixations=4)
    return trials_of(table, data.test)


@pytest.mark.parametrize(
    "policy",
    [
        fx.squashed_gaussian(),
        fx.relative_gaussian(),
        fx.bounded_gaussian(0.3),
        fx.grid_categorical(4),
        level_categorical(3),
    ],
)
def test_the_action_of_a_fixation_leads_there(policy, rng):
    position = jnp.array([0.4, 0.6])
    for heads in rng.normal(0, 1, (5, policy.size)).astype(np.float32):
        drawn = policy.sample(jax.random.key(int(abs(heads[0]) * 1000)), jnp.asarray(heads), jnp.ones(2))
        fixation = policy.fixation(drawn, position)
        back = policy.fixation(policy.action(fixation, position), position)
        np.testing.assert_allclose(back, fixation, atol=1e-5)


@pytest.mark.parametrize("grid", [0, 5])
def test_log_density_is_that_of_the_policy(data, trials, grid):
    """Against SciPy: from the heads of the saccader's own network on what it reads along the scanpath."""
    graph = fx.standard_pipeline(data, dataclasses.replace(CONFIG, grid=grid, scale_end=0.7))
    params = fx.init(graph, jax.random.key(1))
    follower = make_follower(graph, 4)
    along = follower.follow(params, trials, trials.fixations)
    record = ["saccader.observed", "classifier.logits", "decision.probabilities"]
    compiled = fx.compile(follow_paths(graph.replace(length=4)), record)
    row = 5
    one = {name: jnp.asarray(array) for name, array in trials.stimuli_of(row).items()}
    path = jnp.asarray(trials.fixations[row], jnp.float32)
    found = compiled(params, {**one, "beginning": path[0], "fixations": path[1:]}, jax.random.key(0))
    np.testing.assert_allclose(along.probabilities[row], found["decision"]["probabilities"], atol=1e-5)
    net = params["saccader"]["params"]
    for step in range(3):
        observed = np.asarray(found["saccader"]["observed"][step], np.float64)
        layer = np.maximum(observed @ net["layer"]["kernel"] + net["layer"]["bias"], 0)
        heads = layer @ net["policy"]["kernel"] + net["policy"]["bias"]
        heads += np.asarray(index_features(jnp.int32(step)), np.float64) @ net["sequence"]["kernel"]
        place = np.clip(trials.fixations[row, step + 1], 0.25 / 9, 1 - 0.25 / 9)
        if grid:
            column, line = np.minimum((place * grid).astype(int), grid - 1)
            want = np.log(special.softmax(heads / 0.7)[line * grid + column]) + np.log(grid**2)
        else:
            want = stats.norm(heads, 0.7).logpdf(special.logit(place)).sum() - np.log(place * (1 - place)).sum()
        assert along.log_density[row, step] == pytest.approx(want, abs=2e-3)


def test_the_best_scale_is_the_one_that_scanpaths_were_drawn_with(data):
    graph = fx.standard_pipeline(data, CONFIG)
    params = fx.init(graph, jax.random.key(1))
    table = simulated_participants(data.test["label"], Observers(), participants=12, fixations=4)
    trials = trials_of(table, data.test)
    follower = make_follower(graph, 4)
    drawn = follower.gaze(params, trials, passes=1, key=jax.random.key(3), hyper={"scale_end": 0.9}).passes[0]
    scale, fitted = best_scale(follower, params, trials._replace(fixations=drawn))
    assert scale == 0.9
    assert np.isfinite(fitted).all()
    np.testing.assert_allclose(drawn[:, 0], trials.fixations[:, 0], atol=1e-6)


def test_what_is_out_of_reach_is_impossible(data, trials):
    """A policy of limited reach: no density where a participant went farther; as of all densities, 1 % is uniform."""
    graph = fx.standard_pipeline(data, dataclasses.replace(CONFIG, reach=0.2, scale_end=1.0))
    along = make_follower(graph, 4).follow(fx.init(graph, jax.random.key(1)), trials, trials.fixations)
    moves = np.abs(np.diff(trials.fixations, axis=1)).max(axis=-1)
    far, near = moves > 0.2 + 0.25 / 9, moves < 0.2
    assert far.any()
    assert near.any()
    assert np.isneginf(along.log_density[far]).all()
    assert np.isfinite(along.log_density[near]).all()
    np.testing.assert_allclose(with_uniform(along.log_density)[far], np.log(0.01))


def test_the_density_on_a_padded_picture_is_of_the_image():
    """The masses of all cells of a grid, each a density times the cell's area in the image, add up to 1."""
    side, extent = 4, np.array([0.5, 0.8], np.float32)
    image = np.random.default_rng(0).random((16, 10, 10, 1), np.float32)
    split = {"image": image, "label": np.arange(16) % 3, "extent": np.tile(extent, (16, 1))}
    data = fx.from_arrays(split, split)
    graph = fx.standard_pipeline(data, dataclasses.replace(CONFIG, grid=side, glimpses=2))
    table = simulated_participants(data.test["label"], Observers(), participants=1, fixations=2)
    people = trials_of(table, data.test)._replace(image=np.zeros(16, int))  # one image, looked at in every cell
    cell = (np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) + 0.5) / side
    paths = np.stack([np.tile(extent / 2, (16, 1)), cell * extent], axis=1)
    follower = make_follower(graph, 2)
    along = follower.follow(fx.init(graph, jax.random.key(1)), people, paths)
    assert np.exp(along.log_density).sum() * extent.prod() / side**2 == pytest.approx(1, abs=1e-4)
    beside = np.stack([paths[:, 0], np.full((16, 2), 0.9)], axis=1)
    assert np.isnan(follower.follow(fx.init(graph, jax.random.key(1)), people, beside).log_density).all()
