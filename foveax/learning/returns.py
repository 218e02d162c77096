"""Returns and advantages, for one episode.

Arrays are ``[T - 1]``: ``reward_t`` follows each action, ``value_t`` is estimated before it. Discount and ``lambda_``
lie in [0, 1].
"""

import chex
import jax
import jax.numpy as jnp

from foveax._types import Array

UNROLL = 8
"""Rewards unrolled into one turn of the compiled loop."""


def discounted_returns(reward_t: Array, discount: float) -> Array:
    """Discounted sums of the rewards to come.

    ``G_t = r_t + discount G_{t+1}``, with ``G`` zero after the last reward (Sutton, Barto 2018, eq. 3.9).

    Example:
      >>> import jax.numpy as jnp
      >>> discounted_returns(jnp.array([0.0, 0.0, 1.0]), 0.5).tolist()
      [0.25, 0.5, 1.0]
    """
    return truncated_generalized_advantage_estimation(reward_t, jnp.zeros_like(reward_t), discount, 1.0)


def truncated_generalized_advantage_estimation(
    reward_t: Array, value_t: Array, discount: float, lambda_: float
) -> Array:
    """Generalised advantage estimation, for an episode that ends after the last reward.

    ``δ_t = r_t + discount V_{t+1} - V_t``, ``A_t = δ_t + discount lambda_ A_{t+1}``, where the value after the end is
    zero (Schulman et al. 2016, https://arxiv.org/abs/1506.02438, eq. 16). With ``lambda_ = 1`` it is the discounted
    return less the value; with 0, the one-step error δ.

    Example:
      >>> import jax.numpy as jnp
      >>> truncated_generalized_advantage_estimation(jnp.array([0.0, 1.0]), jnp.array([0.5, 0.5]), 1.0, 0.0).tolist()
      [0.0, 0.5]
    """
    chex.assert_shape([reward_t, value_t], (value_t.size,))
    delta_t = reward_t + discount * jnp.append(value_t[1:], 0.0) - value_t

    def accumulate(advantage: Array, delta: Array) -> tuple[Array, Array]:
        advantage = delta + discount * lambda_ * advantage
        return advantage, advantage

    unroll = min(max(len(delta_t), 1), UNROLL)
    return jax.lax.scan(accumulate, jnp.zeros((), delta_t.dtype), delta_t, reverse=True, unroll=unroll)[1]
