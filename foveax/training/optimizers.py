"""Optimisers: one for each module."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from foveax._types import Array, Params
from foveax.graph.modules import Module
from foveax.training.config import Learning


def make_optimizer(module: Module, learning: Learning, *, steps: int) -> optax.GradientTransformation:
    """Adam with clipped gradients, its rate scheduled over a training of so many steps, for one module."""
    rate = learning.policy_learning_rate if module.agent else learning.learning_rate
    updates = max(steps * (learning.epochs if module.agent else 1) // module.fit_every, 1)
    schedule = optax.cosine_decay_schedule(rate, updates) if learning.decay == "cosine" else rate
    optimizer = optax.chain(optax.clip_by_global_norm(learning.gradient_clip), optax.adam(schedule))
    if module.fit_every == 1:
        return optimizer
    return optax.MultiSteps(optimizer, module.fit_every).gradient_transformation()


def update(optimizer: optax.GradientTransformation, grads: Params, state: Any, params: Params) -> tuple[Params, Any]:
    """Parameters and optax's state after a step along a gradient."""
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to the power of an integer count
        updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state


def is_finite(loss: Array, grads: Mapping[str, Params]) -> Array:
    """Whether a loss and all of its gradients are finite: so are their norms, which clipping computes anyway."""
    norms = [optax.tree.norm(grad) for grad in grads.values() if jax.tree.leaves(grad)]
    return jnp.isfinite(jnp.stack([loss, *norms])).all()
