"""Rewards: pure functions of the classifier's outputs and the label, one glimpse at a time.

All have one form, ``(logits, label, *, previous, last) -> reward``, a float32 scalar: of the logits ``[K]`` after this
glimpse, the label, int32 in [0, K), the logits after the glimpse before (`previous`; zeros, a uniform belief, before
the first), and whether this is the last glimpse. The reward at glimpse t + 1 pays the saccade made after glimpse t.
Below, ``p`` is the softmax of the logits, ``CE = -log p[label]`` the cross-entropy in nats.
"""

import jax
import jax.numpy as jnp
import optax

from foveax._types import Array

_cross_entropy = optax.losses.softmax_cross_entropy_with_integer_labels


def correct_each(logits: Array, label: Array, *, previous: Array, last: Array) -> Array:
    """``1 if argmax p = label else 0``, at every glimpse."""
    return (jnp.argmax(logits) == label).astype(jnp.float32)


def correct_last(logits: Array, label: Array, *, previous: Array, last: Array) -> Array:
    """``1 if argmax p = label else 0`` at the last glimpse, 0 before it (Mnih et al. 2014, arXiv 1406.6247, s. 3)."""
    return (last & (jnp.argmax(logits) == label)).astype(jnp.float32)


def cross_entropy(logits: Array, label: Array, *, previous: Array, last: Array) -> Array:
    """``-CE``, in (-inf, 0]."""
    return -_cross_entropy(logits, label)


def tanh_cross_entropy(logits: Array, label: Array, *, previous: Array, last: Array) -> Array:
    """``tanh(1 / CE)``, in (0, 1]: bounded, and steepest where the classifier is nearly sure of the label."""
    return jnp.tanh(1 / jnp.maximum(_cross_entropy(logits, label), 1e-6))


def cross_entropy_drop(logits: Array, label: Array, *, previous: Array, last: Array) -> Array:
    """``CE_previous - CE``: what this glimpse added about the label, in nats.

    The sum over glimpses is the total drop, so that this shapes the reward ``-CE`` at the last glimpse by the
    potential ``-CE`` (Ng et al. 1999); as AdaptiveNN's reward (Wang et al. 2025, arXiv 2509.15333).
    """
    return _cross_entropy(previous, label) - _cross_entropy(logits, label)


def clipped_linear(logits: Array, label: Array, *, previous: Array, last: Array) -> Array:
    """``max(0, p[label] - 1 / K)``: nothing for a guess (Li et al. 2023, ICML, "IRRL", clipped linear reward)."""
    return jnp.maximum(0, jax.nn.softmax(logits)[label] - 1 / logits.shape[-1])


_ALL = (correct_each, correct_last, cross_entropy, tanh_cross_entropy, cross_entropy_drop, clipped_linear)
REWARDS = {function.__name__: function for function in _ALL}
