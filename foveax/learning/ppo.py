"""PPO, with REINFORCE next to it: an agent's loss over a batch of episodes, and the credit of its actions."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp

from foveax._types import Array, InputError, Metrics
from foveax.learning.hyperparameters import Hyperparameters
from foveax.learning.losses import approximate_kl, clipped_surrogate_loss, reinforce_loss, value_loss
from foveax.learning.returns import discounted_returns, truncated_generalized_advantage_estimation

Episodes = Mapping[str, Array]
"""Arrays ``[B, T - 1, ...]`` by name, of B episodes of T - 1 actions."""


def agent_loss(episodes: Episodes, acted: Episodes, hyper: Hyperparameters, entropy: Any) -> tuple[Array, Metrics]:
    """An agent's loss over a batch of episodes, and its terms ``policy_loss``, ``value_loss``, ``entropy`` and ``kl``.

    ``L = ppo L_clip + reinforce L_reinforce + value L_value - entropy H``, each the mean over the batch. The `episodes`
    hold ``log_prob``, ``value`` and ``entropy`` under the parameters that learn; `acted` holds ``log_prob`` under those
    that acted, and what `with_credit` adds; `entropy` is the weight of the entropy bonus now. Where both parameters are
    the same, ``kl`` is 0 and PPO's part of ``policy_loss`` minus the mean advantage, whatever its gradient.
    """
    log_prob, old_log_prob = episodes["log_prob"], jax.lax.stop_gradient(acted["log_prob"])
    surrogate = jax.vmap(clipped_surrogate_loss, in_axes=(0, 0, 0, None))
    ppo_loss = jnp.mean(surrogate(log_prob, old_log_prob, acted["advantage"], hyper.epsilon))
    reinforced = jnp.mean(jax.vmap(reinforce_loss)(log_prob, acted["baselined"]))
    policy_loss = hyper.ppo * ppo_loss + hyper.reinforce * reinforced
    terms = {
        "policy_loss": policy_loss,
        "value_loss": jnp.mean(jax.vmap(value_loss)(episodes["value"], acted["return"])),
        "entropy": jnp.mean(episodes["entropy"]),
        "kl": jnp.mean(jax.vmap(approximate_kl)(log_prob, old_log_prob)),
    }
    return policy_loss + hyper.value * terms["value_loss"] - entropy * terms["entropy"], terms


def check_compared(batch: int, actions: int, normalize: Literal["glimpse", "batch", "none"]) -> None:
    """Refuses a batch of which each advantage, standardised by itself, would be 0, and no action credited."""
    if {"glimpse": batch, "batch": batch * actions, "none": 2}[normalize] == 1:
        how = f"where advantages are standardised (normalize {normalize}), since one alone becomes 0"
        raise InputError(f"batch must be at least 2 {how}; got 1: choose normalize none")


def with_credit(
    episodes: Episodes,
    hyper: Hyperparameters,
    *,
    normalize: Literal["glimpse", "batch", "none"],
    gather: Callable[[Any], Any] = lambda tree: tree,
) -> dict[str, Array]:
    """A batch of episodes with the ``return`` and what credits each action, standardised.

    PPO credits the ``advantage``, REINFORCE the return less the value as it was, ``baselined``. The episodes hold
    ``reward`` and ``value``; `normalize` is as in `LearningConfig`; where a batch is divided, `gather` leads from a
    shard's arrays to those of the whole batch. Raises `InputError` if there is only one value to standardise.
    """
    reward, value = episodes["reward"], jax.lax.stop_gradient(episodes["value"])
    estimate = jax.vmap(truncated_generalized_advantage_estimation, in_axes=(0, 0, None, None))
    advantages = estimate(reward, value, hyper.discount, hyper.gae_lambda)
    returns = jax.vmap(discounted_returns, in_axes=(0, None))(reward, hyper.discount)
    credit = {"advantage": advantages, "baselined": returns - value}
    if normalize != "none":
        axis = 0 if normalize == "glimpse" else None
        compared = gather(credit)
        batch, actions = compared["advantage"].shape
        check_compared(batch, actions, normalize)
        for name, whole in compared.items():
            centred = credit[name] - jnp.mean(whole, axis, keepdims=True)
            credit[name] = centred / (jnp.std(whole, axis, keepdims=True) + 1e-6)
    return {**episodes, "return": returns, **credit}
