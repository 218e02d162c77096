"""Losses of the saccader, for one episode, each in one form: per-step arrays in, a scalar to minimise out.

All arrays are ``[T - 1]``, one value per action: ``log_prob_t`` is its log-probability under the policy that learns,
``old_log_prob_t`` that under the policy that acted, ``adv_t`` its advantage. Advantages and returns are data: their
gradient is stopped here.
"""

import chex
import jax
import jax.numpy as jnp

from foveax._types import Array


def clipped_surrogate_loss(log_prob_t: Array, old_log_prob_t: Array, adv_t: Array, epsilon: float) -> Array:
    """PPO's clipped surrogate, `epsilon` more than 0.

    ``L = -mean_t min(ρ_t A_t, clip(ρ_t, 1 - epsilon, 1 + epsilon) A_t)``, ``ρ_t = exp(log π(a_t) - log π_old(a_t))``
    (Schulman et al. 2017, https://arxiv.org/abs/1707.06347, eq. 7).

    Example:
      >>> import jax.numpy as jnp
      >>> clipped_surrogate_loss(jnp.log(jnp.array([2.0])), jnp.log(jnp.array([1.0])), jnp.array([1.0]), 0.25).item()
      -1.25
    """
    chex.assert_shape([log_prob_t, old_log_prob_t, adv_t], (adv_t.size,))
    old_log_prob_t, adv_t = jax.lax.stop_gradient((old_log_prob_t, adv_t))
    ratio_t = jnp.exp(log_prob_t - old_log_prob_t)
    clipped_t = jnp.clip(ratio_t, 1 - epsilon, 1 + epsilon)
    return -jnp.mean(jnp.minimum(ratio_t * adv_t, clipped_t * adv_t))


def reinforce_loss(log_prob_t: Array, adv_t: Array) -> Array:
    """REINFORCE with a baseline; only the gradient of this loss has a meaning.

    ``L = -mean_t A_t log π(a_t)``, where ``A_t`` is the return less a baseline that does not depend on the action
    (Williams 1992, https://doi.org/10.1007/BF00992696, eq. 4).
    """
    chex.assert_shape([log_prob_t, adv_t], (adv_t.size,))
    return -jnp.mean(jax.lax.stop_gradient(adv_t) * log_prob_t)


def value_loss(value_t: Array, return_t: Array) -> Array:
    """Half the mean squared error of the values before each action: ``L = 1/2 mean_t (V_t - G_t)^2``."""
    chex.assert_shape([value_t, return_t], (return_t.size,))
    return 0.5 * jnp.mean(jnp.square(value_t - jax.lax.stop_gradient(return_t)))


def approximate_kl(log_prob_t: Array, old_log_prob_t: Array) -> Array:
    """Estimate of ``KL(π_old || π)`` in nats: ``mean_t (ρ_t - 1 - log ρ_t)``, never negative.

    From actions of π_old, as in Schulman 2020, http://joschu.net/blog/kl-approx.html, estimator k3.
    """
    chex.assert_equal_shape([log_prob_t, old_log_prob_t])
    log_ratio_t = log_prob_t - old_log_prob_t
    return jnp.mean(jnp.expm1(log_ratio_t) - log_ratio_t)
