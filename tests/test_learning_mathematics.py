"""Returns, losses, rewards and policies against NumPy twins, golden values, reductions and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from foveax.learning import losses, policies, returns, rewards

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(20, 10)).astype(np.float32)
PREVIOUS = RNG.normal(size=(20, 10)).astype(np.float32)
LABELS = RNG.integers(0, 10, 20).astype(np.int32)


def gae_twin(reward, value, discount, lambda_):
    """The definition as a double sum: A_t = sum_k (discount lambda)^k delta_{t+k}."""
    following = np.append(value[1:], 0)
    delta = reward + discount * following - value
    steps = len(reward)
    return np.array([sum((discount * lambda_) ** k * delta[t + k] for k in range(steps - t)) for t in range(steps)])


@pytest.mark.parametrize(("discount", "lambda_"), [(0.9, 0.95), (1.0, 1.0), (0.5, 0.84), (0.0, 0.3), (0.7, 0.0)])
def test_advantages_are_the_definition(discount, lambda_):
    reward, value = RNG.normal(size=(2, 5)).astype(np.float32)
    ours = returns.generalized_advantages(jnp.asarray(reward), jnp.asarray(value), discount, lambda_)
    np.testing.assert_allclose(ours, gae_twin(reward, value, discount, lambda_), rtol=1e-4, atol=1e-5)


def test_advantages_golden():
    # By hand: delta = (1 + .5*2 - 1, 0 + .5*3 - 2, 2 - 3) = (1, -.5, -1); A = (1 + .25*A1, -.5 + .25*-1, -1).
    ours = returns.generalized_advantages(jnp.array([1.0, 0.0, 2.0]), jnp.array([1.0, 2.0, 3.0]), 0.5, 0.5)
    np.testing.assert_allclose(ours, [0.8125, -0.75, -1.0], rtol=1e-6)


def test_lambda_one_is_the_monte_carlo_return_less_the_value():
    reward, value = jnp.asarray(RNG.normal(size=(2, 5)), jnp.float32)
    ours = returns.generalized_advantages(reward, value, 0.9, 1.0)
    np.testing.assert_allclose(ours, returns.discounted_returns(reward, 0.9) - value, rtol=1e-4, atol=1e-5)


def test_returns_are_the_definition():
    reward = RNG.normal(size=6)
    expected = [sum(0.9**k * reward[t + k] for k in range(6 - t)) for t in range(6)]
    ours = returns.discounted_returns(jnp.asarray(reward, jnp.float32), 0.9)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_clipped_surrogate_against_twin():
    new, old, advantage = RNG.normal(size=(3, 50)).astype(np.float32)
    ratio = np.exp(new - old)
    expected = -np.mean(np.where(advantage > 0, np.minimum(ratio, 1.2), np.maximum(ratio, 0.8)) * advantage)
    ours = losses.clipped_surrogate_loss(jnp.asarray(new), jnp.asarray(old), jnp.asarray(advantage), 0.2)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_surrogate_gradient_at_the_old_policy_is_reinforce():
    log_prob, advantage = jnp.asarray(RNG.normal(size=(2, 5)), jnp.float32)
    ppo = jax.grad(lambda x: losses.clipped_surrogate_loss(x, log_prob, advantage, 0.2))(log_prob)
    reinforce = jax.grad(lambda x: losses.reinforce_loss(x, advantage))(log_prob)
    np.testing.assert_allclose(ppo, reinforce, rtol=1e-6)
    np.testing.assert_allclose(reinforce, -advantage / 5, rtol=1e-6)


def test_surrogate_gradient_is_zero_where_the_clip_holds():
    gradient = jax.grad(lambda x: losses.clipped_surrogate_loss(x, jnp.zeros(2), jnp.array([1.0, -1.0]), 0.2))
    np.testing.assert_array_equal(gradient(jnp.array([0.5, -0.5])), [0, 0])
    assert (gradient(jnp.array([-0.5, 0.5])) != 0).all()


@pytest.mark.parametrize("argument", [1, 2])
def test_surrogate_takes_old_policy_and_advantage_as_data(argument):
    gradient = jax.grad(losses.clipped_surrogate_loss, argnums=argument)(jnp.ones(3), jnp.ones(3), jnp.ones(3), 0.2)
    np.testing.assert_array_equal(gradient, np.zeros(3))


def test_value_loss_golden():
    assert losses.value_loss(jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0])).item() == 1.25


def test_approximate_kl_is_unbiased():
    old, new = stats.norm(0, 1), stats.norm(0.3, 1.2)
    actions = old.rvs(200_000, random_state=1)
    ours = losses.approximate_kl(jnp.asarray(new.logpdf(actions)), jnp.asarray(old.logpdf(actions)))
    exact = np.log(1.2) + (1 + 0.3**2) / (2 * 1.2**2) - 0.5
    np.testing.assert_allclose(ours, exact, atol=2e-3)


def cross_entropy_twin(logits, labels):
    return -special.log_softmax(logits.astype(np.float64), axis=-1)[np.arange(len(labels)), labels]


CE, CE_BEFORE = cross_entropy_twin(LOGITS, LABELS), cross_entropy_twin(PREVIOUS, LABELS)
CORRECT = (LOGITS.argmax(-1) == LABELS).astype(np.float64)
EXPECTED = {
    "correct_each": (CORRECT, CORRECT),
    "correct_last": (0 * CORRECT, CORRECT),
    "cross_entropy": (-CE, -CE),
    "tanh_cross_entropy": (np.tanh(1 / CE), np.tanh(1 / CE)),
    "cross_entropy_drop": (CE_BEFORE - CE, CE_BEFORE - CE),
    "clipped_linear": (np.maximum(0, np.exp(-CE) - 0.1), np.maximum(0, np.exp(-CE) - 0.1)),
}


def test_every_reward_has_a_twin():
    assert set(EXPECTED) == set(rewards.REWARDS)


@pytest.mark.parametrize("name", rewards.REWARDS)
@pytest.mark.parametrize("last", [False, True])
def test_reward_against_twin(name, last):
    function = rewards.REWARDS[name]
    ours = [
        function(jnp.asarray(logits), jnp.int32(label), previous=jnp.asarray(before), last=jnp.array(last))
        for logits, label, before in zip(LOGITS, LABELS, PREVIOUS, strict=True)
    ]
    assert {x.dtype for x in ours} == {jnp.dtype("float32")}
    np.testing.assert_allclose(ours, EXPECTED[name][last], rtol=2e-5, atol=1e-6)


def test_tanh_reward_is_finite_at_certainty():
    logits = jnp.array([200.0, 0.0])
    reward = rewards.tanh_cross_entropy(logits, jnp.int32(0), previous=logits, last=jnp.array(True))
    np.testing.assert_allclose(reward, 1.0)


LOCATION, DEVIATION = np.array([0.4, -1.3]), np.array([0.7, 0.5])


def squashed_density(fixation):
    """Change of variables, with SciPy's normal."""
    action = special.logit(fixation)
    return np.prod(stats.norm(LOCATION, DEVIATION).pdf(action) / (fixation * (1 - fixation)))


def as_jax(*values):
    return [jnp.asarray(value, jnp.float32) for value in values]


@pytest.mark.parametrize("fixation", [(0.5, 0.5), (0.01, 0.9), (0.999, 0.2)])
def test_log_prob_is_that_of_the_bounded_fixation(fixation):
    action = special.logit(np.array(fixation))
    ours = policies.log_prob(*as_jax(action, LOCATION, DEVIATION))
    np.testing.assert_allclose(ours, np.log(squashed_density(np.array(fixation))), rtol=1e-4)


def test_density_integrates_to_one_over_the_image():
    def density(y, x):
        action = special.logit(np.array([x, y]))
        return np.exp(policies.log_prob(*as_jax(action, LOCATION, DEVIATION)).item())

    grid = (np.arange(60) + 0.5) / 60
    total = np.mean([[density(y, x) for x in grid] for y in grid])
    np.testing.assert_allclose(total, 1.0, atol=2e-3)


def test_log_prob_and_entropy_are_finite_where_the_fixation_rounds_to_the_border():
    action = jnp.array([60.0, -60.0])
    assert policies.squash(action)[0] == 1.0
    assert np.isfinite(policies.log_prob(action, *as_jax(LOCATION, DEVIATION)))
    assert np.isfinite(policies.entropy(action, *as_jax(LOCATION, DEVIATION)))


def test_entropy_is_unbiased():
    exact = 0.0
    for location, deviation in zip(LOCATION, DEVIATION, strict=True):

        def integrand(u, location=location, deviation=deviation):
            density = stats.norm(location, deviation).pdf(u)
            fixation = special.expit(u)
            return -density * (np.log(density) - np.log(fixation * (1 - fixation)))

        exact += integrate.quad(integrand, location - 10 * deviation, location + 10 * deviation)[0]
    keys = jax.random.split(jax.random.key(0), 100_000)
    location, deviation = as_jax(LOCATION, DEVIATION)
    actions = jax.vmap(lambda key: policies.sample(key, location, deviation))(keys)
    estimates = jax.vmap(lambda action: policies.entropy(action, location, deviation))(actions)
    np.testing.assert_allclose(estimates.mean(), exact, atol=5 * estimates.std().item() / 100_000**0.5)
    np.testing.assert_allclose(actions.mean(axis=0), LOCATION, atol=0.01)
    np.testing.assert_allclose(actions.std(axis=0), DEVIATION, atol=0.01)


def test_entropy_pulls_the_location_from_the_border():
    deviation = jnp.ones(2)
    gradient = jax.grad(lambda location: policies.entropy(location, location, deviation))
    assert (gradient(jnp.array([3.0, -3.0])) * jnp.array([1.0, -1.0]) < 0).all()


def test_scheduled_deviation_falls_from_start_to_end_along_a_cubed_logarithm():
    done = np.array([0.0, 0.25, 0.5, 1.0])
    schedule = [policies.scheduled_deviation(0.8, 0.2, jnp.asarray(p)).item() for p in done]
    expected = np.exp(np.log(0.2) + (np.log(0.8) - np.log(0.2)) * (1 - done) ** 3)
    np.testing.assert_allclose(schedule, expected, rtol=1e-6)
