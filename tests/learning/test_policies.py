"""Policies over the next fixation: their densities against SciPy, distrax and quadrature, and where fixations lie."""

import distrax
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import integrate, special, stats
from scipy.spatial import cKDTree

import foveax as fx
from foveax.learning.policies import level_categorical, scheduled_scale, sunflower

LOC, SCALE = np.array([0.4, -1.3]), np.array([0.7, 0.5])
PLACES = [(0.5, 0.5), (0.02, 0.9), (1.0, 0.0)]
"""Present fixations, of which some leave less room than the reach."""
REACH = 0.3
GAUSSIAN = {
    "squashed": fx.squashed_gaussian(),
    "relative": fx.relative_gaussian(),
    "bounded": fx.bounded_gaussian(REACH),
}


def as_jax(*values):
    return [jnp.asarray(value, jnp.float32) for value in values]


def bounds(name, position):
    """Corners of the rectangle that fixations lie in, ``[low, high]``, each ``[2]``."""
    position = np.asarray(position, np.float64)
    if name != "bounded":
        return np.zeros(2), np.ones(2)
    return np.maximum(position - REACH, 0), np.minimum(position + REACH, 1)


def begin(name, position):
    """What is added to an action before the squash: where a relative saccade begins, at least 0.03 from the border."""
    return special.logit(np.clip(position, 0.03, 0.97)) if name == "relative" else np.zeros(2)


def action_of(name, fixation, position):
    low, high = bounds(name, position)
    return special.logit((fixation - low) / (high - low)) - begin(name, position)


def density(name, fixation, position):
    """Change of variables, with SciPy's normal."""
    low, high = bounds(name, position)
    share = (fixation - low) / (high - low)
    slope = (high - low) * share * (1 - share)
    action = special.logit(share) - begin(name, position)
    return np.prod(stats.norm(LOC, SCALE).pdf(action) / slope, axis=-1)


def log_probs(name, actions, position):
    log_prob = GAUSSIAN[name].log_prob
    return np.asarray(jax.vmap(log_prob, (0, None, None, None))(*as_jax(actions, LOC, SCALE, position)), np.float64)


@pytest.mark.parametrize("name", GAUSSIAN)
@pytest.mark.parametrize("position", PLACES)
def test_log_prob_is_that_of_the_fixation(name, position):
    low, high = bounds(name, position)
    fixations = low + (high - low) * np.array([(0.5, 0.5), (0.01, 0.9), (0.999, 0.2)])
    ours = log_probs(name, action_of(name, fixations, position), position)
    np.testing.assert_allclose(ours, np.log(density(name, fixations, position)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", GAUSSIAN)
@pytest.mark.parametrize("position", PLACES)
def test_log_prob_is_that_of_distrax(name, position):
    low, high = bounds(name, position)
    squash = distrax.Chain([distrax.ScalarAffine(*as_jax(low, high - low)), distrax.Sigmoid()])
    middle = LOC + begin(name, position)
    squashed = distrax.Transformed(distrax.MultivariateNormalDiag(*as_jax(middle, SCALE)), distrax.Block(squash, 1))
    actions = np.random.default_rng(0).normal(size=(20, 2))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        fixations = low + (high - low) * special.expit(actions + begin(name, position))
        expected = squashed.log_prob(jnp.asarray(fixations, jnp.float32))
    np.testing.assert_allclose(log_probs(name, actions, position), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", GAUSSIAN)
@pytest.mark.parametrize("position", PLACES)
def test_density_integrates_to_one_over_what_is_within_reach(name, position):
    low, high = bounds(name, position)
    nodes, weights = np.polynomial.legendre.leggauss(120)
    share = (nodes + 1) / 2
    grid = low + (high - low) * np.stack(np.meshgrid(share, share), -1).reshape(-1, 2)
    area = np.prod(high - low) * np.outer(weights, weights).reshape(-1) / 4
    total = np.sum(area * np.exp(log_probs(name, action_of(name, grid, position), position)))
    np.testing.assert_allclose(total, 1.0, atol=2e-3)


@pytest.mark.parametrize("name", GAUSSIAN)
@pytest.mark.parametrize("position", PLACES)
def test_entropy_is_unbiased(name, position):
    """The mean of the estimates is the differential entropy of the fixation, by quadrature in the action."""
    policy, (low, high) = GAUSSIAN[name], bounds(name, position)
    exact = 0.0
    for loc, scale, side in zip(LOC + begin(name, position), SCALE, high - low, strict=True):

        def integrand(u, loc=loc, scale=scale, side=side):
            slope = side * special.expit(u) * special.expit(-u)
            return -stats.norm(loc, scale).pdf(u) * (stats.norm(loc, scale).logpdf(u) - np.log(slope))

        exact += integrate.quad(integrand, loc - 10 * scale, loc + 10 * scale)[0]
    loc, scale, place = as_jax(LOC, SCALE, position)
    keys = jax.random.split(jax.random.key(0), 100_000)
    actions = jax.vmap(policy.sample, (0, None, None))(keys, loc, scale)
    estimates = jax.vmap(policy.entropy, (0, None, None, None))(actions, loc, scale, place)
    np.testing.assert_allclose(estimates.mean(), exact, atol=5 * estimates.std().item() / 100_000**0.5)
    np.testing.assert_allclose(actions.mean(axis=0), LOC, atol=0.01)
    np.testing.assert_allclose(actions.std(axis=0), SCALE, atol=0.01)


@pytest.mark.parametrize("name", GAUSSIAN)
def test_gradient_of_the_entropy_is_that_of_finite_differences(name):
    """At an action whose noise is held, in the heads and in the scale."""
    position, noise = np.array([0.1, 0.6]), np.array([0.3, -1.1])
    low, high = bounds(name, position)

    def entropy(loc, scale):
        u = loc + scale * noise + begin(name, position)
        gaussian = np.sum(np.log(scale * np.sqrt(2 * np.pi * np.e)))
        return gaussian + np.sum(np.log((high - low) * special.expit(u) * special.expit(-u)))

    action = LOC + SCALE * noise
    ours = jax.grad(GAUSSIAN[name].entropy, argnums=(1, 2))(*as_jax(action, LOC, SCALE, position))
    step = 1e-6 * np.eye(2)
    loc_slope = [(entropy(LOC + axis, SCALE) - entropy(LOC - axis, SCALE)) / 2e-6 for axis in step]
    scale_slope = [(entropy(LOC, SCALE + axis) - entropy(LOC, SCALE - axis)) / 2e-6 for axis in step]
    np.testing.assert_allclose(ours[0], loc_slope, rtol=1e-4)
    np.testing.assert_allclose(ours[1], scale_slope, rtol=1e-4)


@pytest.mark.parametrize("name", GAUSSIAN)
@pytest.mark.parametrize("far", [60.0, 1e3, 1e4, -1e4])
def test_all_is_finite_where_the_fixation_rounds_to_the_border(name, far):
    policy, (action, loc, scale, position) = GAUSSIAN[name], as_jax([far, -far], LOC, SCALE, (0.5, 0.5))
    arguments = (action, loc, scale, position)
    for function in (policy.log_prob, policy.entropy):
        value, gradient = jax.value_and_grad(function, argnums=(1, 2))(*arguments)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    low, high = bounds(name, (0.5, 0.5))
    expected = [high[0], low[1]] if far > 0 else [low[0], high[1]]
    np.testing.assert_allclose(policy.fixation(action, position), expected, atol=1e-6)


@pytest.mark.parametrize("name", GAUSSIAN)
def test_entropy_pulls_the_location_from_the_border(name):
    scale, position = jnp.ones(2), jnp.full(2, 0.5)
    gradient = jax.grad(lambda loc: GAUSSIAN[name].entropy(loc, loc, scale, position))
    for far in (3.0, 1e4):
        assert (gradient(jnp.array([far, -far])) * jnp.array([1.0, -1.0]) < 0).all()


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(
    st.floats(0, 1, width=32),
    st.floats(0, 1, width=32),
    st.floats(2**-10, 1, width=32),
    st.floats(-1e4, 1e4, width=32),
    st.floats(-20, 20, width=32),
)
def test_fixations_lie_within_reach_and_inside_the_image(x, y, reach, u, v):
    fixation = fx.bounded_gaussian(reach).fixation(*as_jax((u, v), (x, y)))
    assert (fixation >= 0).all()
    assert (fixation <= 1).all()
    assert (abs(np.asarray(fixation, np.float64) - [x, y]) <= reach + 1e-6).all()
    assert np.isfinite(fx.bounded_gaussian(reach).log_prob(*as_jax((u, v), (0, 0), (1, 1), (x, y))))


def test_with_the_whole_image_within_reach_it_is_the_unbounded_policy():
    """From a corner with reach 1 all of the image is within reach, and the two policies are one."""
    squashed, bounded, corner = fx.squashed_gaussian(), fx.bounded_gaussian(1.0), jnp.zeros(2)
    action, loc, scale = as_jax((0.3, -0.8), LOC, SCALE)
    for name in ("log_prob", "entropy"):
        one, other = (getattr(policy, name)(action, loc, scale, corner) for policy in (squashed, bounded))
        np.testing.assert_allclose(one, other, rtol=1e-6)
    np.testing.assert_allclose(squashed.fixation(action, corner), bounded.fixation(action, corner), rtol=1e-6)


def test_a_relative_saccade_is_the_same_displacement_of_the_action_from_anywhere():
    """From the middle it is the unbounded policy; from elsewhere the fixation's logit moves by as much."""
    relative, squashed, action = fx.relative_gaussian(), fx.squashed_gaussian(), jnp.array([0.7, -0.4])
    middle = relative.fixation(action, jnp.full(2, 0.5))
    np.testing.assert_allclose(middle, squashed.fixation(action, jnp.full(2, 0.5)), rtol=1e-6)
    for position in ((0.1, 0.8), (0.25, 0.6)):
        fixation = relative.fixation(action, jnp.asarray(position, jnp.float32))
        np.testing.assert_allclose(special.logit(fixation) - special.logit(position), action, rtol=1e-4)


def test_a_relative_saccade_leads_away_from_the_border():
    """Where the slope of the squash is 0, no action of a common size would."""
    fixation = fx.relative_gaussian().fixation(jnp.array([2.0, -2.0]), jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(fixation, [0.186, 0.814], atol=1e-3)


@pytest.mark.parametrize("name", GAUSSIAN)
def test_mode_is_the_median_of_the_samples(name):
    policy, (loc, scale, position) = GAUSSIAN[name], as_jax(LOC, SCALE, (0.2, 0.5))
    keys = jax.random.split(jax.random.key(1), 20_000)
    sampled = jax.vmap(lambda key: policy.fixation(policy.sample(key, loc, scale), position))(keys)
    np.testing.assert_allclose(np.median(sampled, axis=0), policy.fixation(policy.mode(loc), position), atol=0.01)


@pytest.mark.parametrize("side", [1, 3, 7])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_grid_against_scipy(side, temperature):
    policy = fx.grid_categorical(side)
    logits, position = np.random.default_rng(0).normal(size=side * side), jnp.zeros(2)
    heads, scale = as_jax(logits, (temperature, temperature))
    expected = special.log_softmax(logits / temperature)
    cells = jnp.arange(side * side)
    log_prob = jax.vmap(policy.log_prob, (0, None, None, None))(cells, heads, scale, position)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.exp(np.asarray(log_prob, np.float64)).sum(), 1, atol=1e-5)
    entropy = policy.entropy(cells[0], heads, scale, position)
    np.testing.assert_allclose(entropy, stats.entropy(np.exp(expected)), rtol=1e-4, atol=1e-6)
    assert policy.mode(heads) == logits.argmax()
    assert (policy.size, policy.mode(heads).dtype) == (side * side, jnp.int32)
    places = np.asarray(jax.vmap(policy.fixation, (0, None))(cells, position))
    centres = (np.arange(side) + 0.5) / side
    np.testing.assert_allclose(places, np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2), atol=1e-6)


def test_grid_samples_in_proportion():
    policy, logits = fx.grid_categorical(2), np.array([0.0, 1.0, -1.0, 0.5])
    heads, scale = as_jax(logits, (2.0, 2.0))
    keys = jax.random.split(jax.random.key(0), 20_000)
    counts = np.bincount(jax.vmap(policy.sample, (0, None, None))(keys, heads, scale), minlength=4)
    assert stats.chisquare(counts, 20_000 * special.softmax(logits / 2)).pvalue > 1e-3


def test_gradients_of_the_grid_are_those_of_the_softmax():
    policy, logits = fx.grid_categorical(2), np.array([0.0, 1.0, -1.0, 0.5])
    heads, scale, position = as_jax(logits, (1.0, 1.0), (0.0, 0.0))
    gradient = jax.grad(policy.log_prob, argnums=1)(jnp.int32(3), heads, scale, position)
    np.testing.assert_allclose(gradient, np.eye(4)[3] - special.softmax(logits), atol=1e-6)


@pytest.mark.parametrize("reach", [0.0, -1.0, 1.5, float("nan")])
def test_reach_out_of_range_is_refused(reach):
    with pytest.raises(fx.InputError, match="reach must be more than 0 and at most 1; got"):
        fx.bounded_gaussian(reach)


def test_a_grid_without_cells_is_refused():
    with pytest.raises(fx.InputError, match="side must be at least 1 cell; got 0"):
        fx.grid_categorical(0)


def test_sunflower_is_vogels_in_rounds_of_five():
    points = np.asarray(sunflower(jax.random.key(3), (40, 2), radius=1.6), np.float64)
    areas = (points**2).sum(1).reshape(8, 5) / 1.6**2
    np.testing.assert_allclose(areas, np.broadcast_to([0.1, 0.3, 0.5, 0.7, 0.9], (8, 5)), rtol=1e-4)
    angles = np.unwrap(np.arctan2(points[:, 1], points[:, 0]))
    turns = np.diff(angles) / (2 * np.pi) % 1
    np.testing.assert_allclose(turns, 1 - 2 / (1 + 5**0.5), atol=1e-4)  # Vogel's angle, 137.5 degrees


@pytest.mark.parametrize("seed", range(3))
def test_every_round_of_the_sunflower_covers_the_disc(seed):
    """No place of the disc is farther from the nearest of five points than 0.8 of the radius; the best five: 0.61."""
    points = np.asarray(sunflower(jax.random.key(seed), (40, 2), radius=1.0)).reshape(8, 5, 2)
    disc = np.random.default_rng(0).uniform(-1, 1, (20_000, 2))
    disc = disc[(disc**2).sum(1) <= 1]
    for five in points:
        assert cKDTree(five).query(disc)[0].max() < 0.8


def test_scheduled_scale_falls_from_start_to_end_along_a_cubed_logarithm():
    done = np.array([0.0, 0.25, 0.5, 1.0])
    schedule = [scheduled_scale(0.8, 0.2, jnp.asarray(p)).item() for p in done]
    expected = np.exp(np.log(0.2) + (np.log(0.8) - np.log(0.2)) * (1 - done) ** 3)
    np.testing.assert_allclose(schedule, expected, rtol=1e-6)


def test_levels_are_evenly_spaced_and_of_the_grids_probabilities():
    levels, logits = level_categorical(4), np.array([0.0, 1.0, -1.0, 0.5])
    heads, scale, position = as_jax(logits, (1.5, 1.5), (0.0, 0.0))
    places = jax.vmap(levels.fixation, (0, None))(jnp.arange(4), position)
    np.testing.assert_allclose(places, [(0.125, 0.5), (0.375, 0.5), (0.625, 0.5), (0.875, 0.5)])
    log_prob = levels.log_prob(jnp.int32(2), heads, scale, position)
    np.testing.assert_allclose(log_prob, special.log_softmax(logits / 1.5)[2], rtol=1e-5)
    with pytest.raises(fx.InputError, match="levels must be at least 2; got 1"):
        level_categorical(1)
