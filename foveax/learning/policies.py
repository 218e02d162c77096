"""The squashed Gaussian: a policy over the open unit square.

An *action* ``u`` is what the Gaussian gives, ``u ~ N(location, deviation^2)`` in each of x and y; the *fixation* is
its logistic squash, ``f = 1 / (1 + exp(-u))``, in (0, 1). The action is what is kept: its fixation, and the exact
density of that fixation, follow from it, even where f rounds to 0 or 1. Near the centre, where the squash has the
slope 1/4, a deviation of 1 is a quarter of the image.

The density is that of the executed, bounded fixation (Haarnoja et al. 2018, https://arxiv.org/abs/1801.01290,
appendix C): ``log π(f) = log N(u) - sum log(f (1 - f))``.
"""

from typing import Any

import jax

from foveax._types import Array, Key


def squash(action: Array) -> Array:
    """The fixation of an action.

    Args:
      action: ``[2]``, any reals.

    Returns:
      ``[2]`` in [0, 1].

    Example:
      >>> import jax.numpy as jnp
      >>> squash(jnp.zeros(2)).tolist()
      [0.5, 0.5]
    """
    return jax.nn.sigmoid(action)


def sample(key: Key, location: Array, deviation: Array) -> Array:
    """An action ``u = location + deviation * normal``: differentiable in both.

    Args:
      key: consumed.
      location: ``[2]``.
      deviation: ``[2]``, positive.

    Returns:
      ``[2]``.
    """
    return _gaussian(location, deviation).sample(seed=key)


def log_prob(action: Array, location: Array, deviation: Array) -> Array:
    """Exact log-density, in nats, of the fixation ``squash(action)``, with respect to area in fractions of the image.

    Args:
      action: ``[2]``.
      location: ``[2]``.
      deviation: ``[2]``, positive.

    Returns:
      a scalar.

    Example:
      >>> import jax.numpy as jnp
      >>> round(log_prob(jnp.zeros(2), jnp.zeros(2), jnp.ones(2)).item(), 4)
      0.9347
    """
    return _gaussian(location, deviation).log_prob(action) - _log_slope(action)


def entropy(action: Array, location: Array, deviation: Array) -> Array:
    """Estimate, from one action, of the entropy of the fixation, in nats; unbiased.

    ``H(f) = H(u) + E[sum log(f (1 - f))]``: the first term is exact, the second is taken at the action. It pulls the
    location away from the border, where the squash leaves the fixation no room; the entropy of the Gaussian alone
    would not move the location at all.

    Args:
      action: ``[2]``, a sample, differentiable in location and deviation.
      location: ``[2]``.
      deviation: ``[2]``, positive.

    Returns:
      a scalar whose expectation is at most 0, the entropy of the uniform distribution over the unit square.
    """
    return _gaussian(location, deviation).entropy() + _log_slope(action)


def _log_slope(action: Array) -> Array:
    import distrax

    return distrax.Sigmoid().forward_log_det_jacobian(action).sum()


def _gaussian(location: Array, deviation: Array) -> Any:
    import distrax  # slow to import, and needed only when a policy is traced

    return distrax.MultivariateNormalDiag(location, deviation)


def scheduled_deviation(start: float, end: float, progress: Array) -> Array:
    """A deviation that falls from start to end: fast at first, then ever slower, on a logarithmic scale.

    ``end (start / end)^((1 - progress)^3)``. The eye begins by looking everywhere, so that the classifier learns to
    read all places and the policy is not caught by the nearest; most of training then goes to where it looks.

    Args:
      start: at progress 0, positive.
      end: at progress 1, positive.
      progress: in [0, 1], the share of training that is done.

    Returns:
      a scalar.

    Example:
      >>> import jax.numpy as jnp
      >>> [round(scheduled_deviation(2.0, 0.2, jnp.float32(done)).item(), 2) for done in (0.0, 0.1, 0.5, 1.0)]
      [2.0, 1.07, 0.27, 0.2]
    """
    return end * (start / end) ** ((1 - progress) ** 3)
