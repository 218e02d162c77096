"""Returns, losses and rewards against NumPy twins, golden values, reductions and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from foveax._types import InputError
from foveax.learning import losses, returns, rewards
from foveax.learning.hyperparameters import LearningConfig
from foveax.learning.ppo import agent_loss, with_credit

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
@pytest.mark.parametrize("steps", [0, 1, 5, 19])
def test_advantages_are_the_definition(discount, lambda_, steps):
    reward, value = RNG.normal(size=(2, steps)).astype(np.float32)
    ours = returns.truncated_generalized_advantage_estimation(
        jnp.asarray(reward), jnp.asarray(value), discount, lambda_
    )
    np.testing.assert_allclose(ours, gae_twin(reward, value, discount, lambda_), rtol=1e-4, atol=1e-5)


def test_advantages_golden():
    # By hand: delta = (1 + .5*2 - 1, 0 + .5*3 - 2, 2 - 3) = (1, -.5, -1); A = (1 + .25*A1, -.5 + .25*-1, -1).
    ours = returns.truncated_generalized_advantage_estimation(
        jnp.array([1.0, 0.0, 2.0]), jnp.array([1.0, 2.0, 3.0]), 0.5, 0.5
    )
    np.testing.assert_allclose(ours, [0.8125, -0.75, -1.0], rtol=1e-6)


def test_lambda_one_is_the_monte_carlo_return_less_the_value():
    reward, value = jnp.asarray(RNG.normal(size=(2, 5)), jnp.float32)
    ours = returns.truncated_generalized_advantage_estimation(reward, value, 0.9, 1.0)
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


def random_episodes(size=7, saccades=4):
    rng = np.random.default_rng(3)
    names = ("log_prob", "value", "entropy", "reward")
    return {name: rng.normal(size=(size, saccades)).astype(np.float32) for name in names}


def credit_twin(episodes, learning, normalize):
    """The advantages and the returns less the values, in NumPy, standardised over the axis that is meant."""
    pairs = list(zip(episodes["reward"], episodes["value"], strict=True))
    advantage = np.stack([gae_twin(*pair, learning.discount, learning.gae_lambda) for pair in pairs])
    value = episodes["value"]
    returned = np.stack([gae_twin(*pair, learning.discount, 1.0) for pair in pairs]) + value
    credit = {"advantage": advantage, "baselined": returned - value}
    if normalize != "none":
        axis = 0 if normalize == "glimpse" else None
        credit = {
            name: (x - x.mean(axis, keepdims=True)) / (x.std(axis, keepdims=True) + 1e-6) for name, x in credit.items()
        }
    return {**credit, "return": returned}


@pytest.mark.parametrize("normalize", ["glimpse", "batch", "none"])
def test_credit_against_twin(normalize):
    episodes, learning = random_episodes(), LearningConfig(discount=0.7, gae_lambda=0.6)
    ours = with_credit(jax.tree.map(jnp.asarray, episodes), learning.hyperparameters(), normalize=normalize)
    for name, expected in credit_twin(episodes, learning, normalize).items():
        np.testing.assert_allclose(ours[name], expected, rtol=2e-4, atol=2e-4, err_msg=name)


@pytest.mark.parametrize(("normalize", "batch", "saccades"), [("glimpse", 1, 4), ("batch", 1, 1)])
def test_what_would_be_standardised_by_itself_is_refused(normalize, batch, saccades):
    episodes, learning = jax.tree.map(jnp.asarray, random_episodes(batch, saccades)), LearningConfig()
    with pytest.raises(
        InputError, match=rf"batch must be at least 2 .*\(normalize {normalize}\).*; got 1: choose normalize"
    ):
        with_credit(episodes, learning.hyperparameters(), normalize=normalize)
    credited = with_credit(episodes, learning.hyperparameters(), normalize="none")
    assert (np.asarray(credited["advantage"]) != 0).all()


def test_agent_loss_is_its_weighted_terms():
    """Each term written out in NumPy, with weights that are all different."""
    old, learning = random_episodes(), LearningConfig(ppo=0.7, reinforce=0.3, value=0.9, epsilon=0.1)
    acted = with_credit(jax.tree.map(jnp.asarray, old), learning.hyperparameters(), normalize="glimpse")
    rng = np.random.default_rng(5)
    now = {name: old[name] + 0.2 * rng.normal(size=old[name].shape).astype(np.float32) for name in old}
    loss, terms = agent_loss(jax.tree.map(jnp.asarray, now), acted, learning.hyperparameters(), 0.05)
    credit = credit_twin(old, learning, "glimpse")
    ratio = np.exp(now["log_prob"] - old["log_prob"])
    surrogate = np.minimum(ratio * credit["advantage"], np.clip(ratio, 0.9, 1.1) * credit["advantage"])
    expected = {
        "policy_loss": -0.7 * surrogate.mean() - 0.3 * (credit["baselined"] * now["log_prob"]).mean(),
        "value_loss": 0.5 * ((now["value"] - credit["return"]) ** 2).mean(),
        "entropy": now["entropy"].mean(),
        "kl": (ratio - 1 - np.log(ratio)).mean(),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    total = expected["policy_loss"] + 0.9 * expected["value_loss"] - 0.05 * expected["entropy"]
    np.testing.assert_allclose(loss, total, rtol=1e-3)
