"""The smallest change of an image with which an attack succeeds, in the L-infinity or the L2 norm."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from foveax._arrays import check_count, check_number
from foveax._types import Array, Key
from foveax.robustness.balls import Ball, linf
from foveax.robustness.objectives import Objective

RADIUS_STEP = (0.4, 1e-3)
"""Share by which the radius changes, at first and at last."""
FARTHEST = 1e3
"""Radius of which a step is a share where there is no gradient, and the radius infinite."""
LAST_STEP = 0.01
"""Length of the last step, as a share of the first."""


class SmallestChange(NamedTuple):
    """The nearest image that was found with which an attack succeeds.

    Attributes:
      image: ``[H, W, C]``; the unchanged one if none was found.
      distance: norm of the change, ``[]``: 0 if the unchanged image succeeds, infinite if none was found.
    """

    image: Array
    distance: Array


class _Search(NamedTuple):
    place: Array
    radius: Array
    best: SmallestChange


def minimum_norm(
    objective: Objective,
    image: Array,
    key: Key,
    *,
    ball: Callable[[Any], Ball] = linf,
    steps: int = 100,
    step_size: float = 0.5,
    start: Array | None = None,
) -> SmallestChange:
    """Fast Minimum-Norm attack: ascent within a ball whose radius closes in on the boundary of success.

    Of a loss L that is 0 at the boundary of success and positive beyond it, step k makes

    ``δ_k = P_k(δ_{k-1} + α_k ε_k direction(∇L))``, where P_k brings the image into [0, 1], then the change into the
    ball of radius ε_k, and

    ``ε_k = min((1 - γ_k) ε_{k-1}, |δ*|)`` where ``δ_{k-1}`` succeeds, and δ* is the smallest change that did;
    ``ε_k = (1 + γ_k) ε_{k-1}`` where it fails, but another did not; ``ε_k = (1 + γ_k) (|δ_{k-1}| + |L| / |∇L|_*)`` as
    long as none did: the distance of the boundary were L linear, with the dual norm ``|·|_*``, and a little more.

    Shares α fall from `step_size` to a hundredth of it, γ from 0.4 to 0.001, along half a cosine. The idea is that of
    Pintor et al. 2021, https://arxiv.org/abs/2102.12827, algorithm 1, with four changes. There, steps have a length in
    the L2 norm, and γ begins at 0.05: too little where the linear guess lies far off, as it does through the gaze. The
    ball comes before the range, which cuts off what the ball has measured out: in L2, where most pixels are black or
    white, the search then ends far from the boundary. For the same reason the gradient counts here only where the range
    lets a pixel follow it. For restarts, `jax.vmap` it over starts.

    Args:
      objective: what is to become large: with `margin`, misclassification; any other whose loss is 0 at the boundary.
      image: ``[H, W, C]`` float32 in [0, 1].
      key: for the model's noise.
      ball: `linf` or `l2`, the norm that is to be small.
      steps: at least 1.
      step_size: the first step as a share of the radius, above 0.
      start: ``[H, W, C]``, where the search begins; by default at the image. There must be a gradient.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> objective = lambda image, key: (image.sum() - 1.5, image.sum() > 1.5)
      >>> change = minimum_norm(objective, jnp.full((2, 1, 1), 0.5), jax.random.key(0))
      >>> round(change.distance.item(), 3)
      0.25
    """
    check_count("steps", steps)
    check_number("step_size", step_size)
    begin = image if start is None else jnp.clip(start, 0.0, 1.0)
    differentiate, unit = jax.value_and_grad(objective, has_aux=True), ball(1.0)

    def search(step: Array, now: _Search) -> _Search:
        (loss, success), gradient = differentiate(now.place, jax.random.fold_in(key, step))
        is_blocked = ((now.place <= 0) & (gradient < 0)) | ((now.place >= 1) & (gradient > 0))
        gradient = jnp.where(is_blocked, 0.0, gradient)
        size = unit.norm(now.place - image)
        is_best = success & (size < now.best.distance)
        best = jax.tree.map(partial(jnp.where, is_best), SmallestChange(now.place, size), now.best)
        share = (1 + jnp.cos(jnp.pi * step / steps)) / 2
        widening = RADIUS_STEP[1] + (RADIUS_STEP[0] - RADIUS_STEP[1]) * share
        slope = jnp.sum(gradient * unit.direction(gradient))
        boundary = jnp.where(jnp.isfinite(best.distance), now.radius, size + jnp.abs(loss) / slope)
        radius = jnp.where(success, jnp.minimum(now.radius * (1 - widening), best.distance), boundary * (1 + widening))
        length = step_size * (LAST_STEP + (1 - LAST_STEP) * share) * jnp.minimum(radius, FARTHEST)
        moved = jnp.clip(now.place + length * unit.direction(gradient), 0.0, 1.0)
        return _Search(image + ball(radius).project(moved - image), radius, best)

    infinite = jnp.float32(jnp.inf)
    first = _Search(begin, infinite, SmallestChange(image, infinite))
    return jax.lax.fori_loop(0, steps + 1, search, first).best
