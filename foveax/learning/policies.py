"""Policies: distributions over the next fixation, each a tuple of pure functions for one saccade.

An *action* is what a policy draws, and what is kept: its *fixation*, in [0, 1]^2, and the exact probability of that
fixation follow from it even where the fixation rounds to 0 or 1. `scale`, ``[2]`` and positive, is how widely a policy
explores: the standard deviation of a Gaussian before it is squashed, the temperature of a categorical distribution.
`position` is the present fixation.
"""

import functools
import importlib
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from foveax._types import Array, InputError, Key

BORDER = 1e-6
"""How near to the border of what it reaches the action of a fixation leads."""
SPREAD = 1.6
"""Radius, before the squash, of the disc over which the first sequence of fixations is spread."""
RELATIVE_SPREAD = 0.5
"""Likewise, of the disc over which the first saccades are spread, if what is chosen is a saccade."""
INSET = 0.03
"""No nearer to the border, as a fraction of the image, is a relative saccade taken to begin, lest the eye stay there.
"""


class Policy(NamedTuple):
    """A distribution over the next fixation, given some numbers from a network.

    Attributes:
      size: how many numbers the network gives, the *heads* ``[size]``.
      sample: ``(key, heads, scale) -> action``.
      mode: ``(heads) -> action``, the most usual one.
      log_prob: ``(action, heads, scale, position) -> []``, exact, in nats, of the executed fixation.
      entropy: ``(action, heads, scale, position) -> []`` in nats, exact or an unbiased estimate from a sampled action,
        differentiable in the heads.
      fixation: ``(action, position) -> [2]`` in [0, 1]^2.
      reach: the farthest move along each axis, as a fraction of the image; None for anywhere.
      relative: whether where an action leads depends on the position, which the policy then must know.
      action: ``(fixation, position) -> action``, the action that leads to a fixation in [0, 1]^2, or as near to it as
        the policy can; None if the policy does not say.
      initial: an initializer of the shape ``(glimpses, size)``: the heads of each glimpse before training, so that the
        saccades of a rollout do not all begin at one place.
    """

    size: int
    sample: Callable[[Key, Array, Array], Array]
    mode: Callable[[Array], Array]
    log_prob: Callable[[Array, Array, Array, Array], Array]
    entropy: Callable[[Array, Array, Array, Array], Array]
    fixation: Callable[[Array, Array], Array]
    reach: float | None = None
    relative: bool = False
    action: Callable[[Array, Array], Array] | None = None
    initial: Callable[..., Array] = jax.nn.initializers.zeros


def squashed_gaussian(*, spread: float = SPREAD) -> Policy:
    """Anywhere in the image: a Gaussian ``u ~ N(heads, scale^2)`` along x and y, squashed to ``1 / (1 + exp(-u))``.

    Near the centre, where the squash has the slope 1/4, a scale of 1 is a quarter of the image. The density is that of
    the executed, bounded fixation f (Haarnoja et al. 2018, https://arxiv.org/abs/1801.01290, appendix C):
    ``log π(f) = log N(u) - sum log(f (1 - f))``. The entropy is ``H(f) = H(u) + E[sum log(f (1 - f))]``: the first
    term is exact, the second, taken at the action, pulls the location away from the border, where the squash leaves the
    fixation no room. The initial sequence of fixations is a `sunflower` of the radius `spread` before the squash.

    Example:
      >>> import jax.numpy as jnp
      >>> policy = squashed_gaussian()
      >>> round(policy.log_prob(jnp.zeros(2), jnp.zeros(2), jnp.ones(2), jnp.zeros(2)).item(), 4)
      0.9347
    """

    def log_prob(action: Array, heads: Array, scale: Array, position: Array) -> Array:
        return _gaussian(heads, scale).log_prob(action) - _log_slope(action)

    def entropy(action: Array, heads: Array, scale: Array, position: Array) -> Array:
        noise = jax.lax.stop_gradient((action - heads) / scale)  # held: the action moves with the heads and the scale
        return _gaussian(heads, scale).entropy() + _log_slope(heads + scale * noise)

    return Policy(
        size=2,
        sample=lambda key, heads, scale: _gaussian(heads, scale).sample(seed=key),
        mode=lambda heads: heads,
        log_prob=log_prob,
        entropy=entropy,
        fixation=lambda action, position: jax.nn.sigmoid(action),
        action=lambda fixation, position: _logit(fixation),
        initial=functools.partial(sunflower, radius=spread),
    )


def relative_gaussian(*, spread: float = RELATIVE_SPREAD) -> Policy:
    """Anywhere in the image, by a displacement: a `squashed_gaussian` about the position p.

    ``f = 1 / (1 + exp(-(u + c)))``, ``u ~ N(heads, scale^2)``, ``c = log(p / (1 - p))`` along each axis: 0 leads to
    where the eye is, and what lies a little to the right in a glimpse is reached by about the same action wherever the
    glimpse was taken. A p less than `INSET` from the border is taken to be that far from it. Densities are those of the
    fixation. The initial saccades are a `sunflower` of the radius `spread` before the squash.

    Example:
      >>> import jax.numpy as jnp
      >>> policy = relative_gaussian()
      >>> [round(x, 2) for x in policy.fixation(jnp.array([0.0, 1.0]), jnp.array([0.2, 0.5])).tolist()]
      [0.2, 0.73]
    """

    def begin(position: Array) -> Array:
        return _logit(jnp.clip(position, INSET, 1 - INSET))

    def log_prob(action: Array, heads: Array, scale: Array, position: Array) -> Array:
        return anywhere.log_prob(action + begin(position), heads + begin(position), scale, position)

    def entropy(action: Array, heads: Array, scale: Array, position: Array) -> Array:
        return anywhere.entropy(action + begin(position), heads + begin(position), scale, position)

    anywhere = squashed_gaussian(spread=spread)
    return anywhere._replace(
        log_prob=log_prob,
        entropy=entropy,
        fixation=lambda action, position: jax.nn.sigmoid(action + begin(position)),
        relative=True,
        action=lambda fixation, position: _logit(fixation) - begin(position),
    )


def bounded_gaussian(reach: float) -> Policy:
    """Only so far at once, as an eye with oculomotor limits: a squashed Gaussian over the places within reach.

    Along each axis these are ``[max(0, p - reach), min(1, p + reach)] = [l, h]`` about the position p, and the fixation
    is ``f = l + (h - l) s``, ``s = 1 / (1 + exp(-u))``, ``u ~ N(heads, scale^2)``. The action u is relative: 0 leads to
    the middle of what is within reach, which is the position itself away from the border. The density with respect to f
    is ``log π(f) = log N(u) - sum log((h - l) s (1 - s))``. Raises `InputError` if the reach is not in (0, 1].

    Example:
      >>> import jax.numpy as jnp
      >>> policy = bounded_gaussian(0.1)
      >>> [round(x, 2) for x in policy.fixation(jnp.array([50.0, 0.0]), jnp.array([0.5, 0.0])).tolist()]
      [0.6, 0.05]
    """
    if not 0 < reach <= 1:
        raise InputError(f"reach must be more than 0 and at most 1; got {reach}")

    def within(position: Array) -> tuple[Array, Array]:
        low = jnp.maximum(position - reach, 0.0)
        return low, jnp.minimum(position + reach, 1.0) - low

    def log_area(position: Array) -> Array:
        return jnp.sum(jnp.log(within(position)[1]))

    def log_prob(action: Array, heads: Array, scale: Array, position: Array) -> Array:
        return anywhere.log_prob(action, heads, scale, position) - log_area(position)

    def entropy(action: Array, heads: Array, scale: Array, position: Array) -> Array:
        return anywhere.entropy(action, heads, scale, position) + log_area(position)

    def fixation(action: Array, position: Array) -> Array:
        low, side = within(position)
        return low + side * jax.nn.sigmoid(action)

    def action(fixation: Array, position: Array) -> Array:
        low, side = within(position)
        return _logit((fixation - low) / side)

    anywhere = squashed_gaussian()
    return anywhere._replace(
        log_prob=log_prob, entropy=entropy, fixation=fixation, reach=reach, relative=True, action=action
    )


def grid_categorical(side: int) -> Policy:
    """One of ``side * side`` places, the centres of the cells of a grid; heads are logits, over the scale.

    The action is the number of the cell, row by row; probabilities are masses, and the entropy is exact. Raises
    `InputError` if the side is less than 1.

    Example:
      >>> import jax.numpy as jnp
      >>> policy = grid_categorical(2)
      >>> policy.fixation(jnp.int32(1), jnp.zeros(2)).tolist()
      [0.75, 0.25]
    """
    if side < 1:
        raise InputError(f"side must be at least 1 cell; got {side}")

    def fixation(action: Array, position: Array) -> Array:
        return (jnp.stack([action % side, action // side]).astype(jnp.float32) + 0.5) / side

    def action(fixation: Array, position: Array) -> Array:
        column, row = jnp.clip(jnp.floor(fixation * side), 0, side - 1).astype(jnp.int32)
        return row * side + column

    return _categorical(side * side, fixation, action)


def level_categorical(levels: int) -> Policy:
    """One of some levels, such as how far a crop is zoomed: a `grid_categorical` of one row; heads are logits.

    The place ``[2]`` of level k of L is ``((k + 1/2) / L, 1/2)``. Raises `InputError` for less than two levels.

    Example:
      >>> import jax.numpy as jnp
      >>> level_categorical(4).fixation(jnp.int32(1), jnp.zeros(2)).tolist()
      [0.375, 0.5]
    """
    if levels < 2:
        raise InputError(f"levels must be at least 2; got {levels}")

    def fixation(action: Array, position: Array) -> Array:
        return jnp.stack([(action.astype(jnp.float32) + 0.5) / levels, jnp.float32(0.5)])

    def action(fixation: Array, position: Array) -> Array:
        return jnp.clip(jnp.floor(fixation[0] * levels), 0, levels - 1).astype(jnp.int32)

    return _categorical(levels, fixation, action)


def sunflower(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32, *, radius: float) -> Array:
    """Points spread over a disc in rounds of five, each from the middle outwards, turned at random: an initializer.

    Point k lies at the radius ``radius sqrt((k mod 5 + 1/2) / 5)``, a golden angle, 2.4 rad, on from the one before
    (Vogel 1979, Mathematical Biosciences 44). The shape is ``(points, 2)``.

    Example:
      >>> import jax
      >>> points = sunflower(jax.random.key(0), (6, 2), radius=1.0)
      >>> [round(float(distance), 3) for distance in (points**2).sum(-1)]
      [0.1, 0.3, 0.5, 0.7, 0.9, 0.1]
    """
    order = jnp.arange(shape[0], dtype=jnp.float32)
    golden_angle = math.pi * (3 - math.sqrt(5))
    angle = 2 * jnp.pi * jax.random.uniform(key) + golden_angle * order
    distance = radius * jnp.sqrt((order % 5 + 0.5) / 5)
    return (distance[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)).astype(dtype)


def scheduled_scale(start: float | Array, end: float | Array, progress: Array) -> Array:
    """A scale that falls from start to end: fast at first, then ever slower, on a logarithmic scale.

    ``end (start / end)^((1 - progress)^3)``, progress the share of training that is done. While the eye looks
    everywhere, the classifier learns to read all places; most of training then goes to where the eye looks.

    Example:
      >>> import jax.numpy as jnp
      >>> [round(scheduled_scale(2.0, 0.2, jnp.float32(done)).item(), 2) for done in (0.0, 0.1, 0.5, 1.0)]
      [2.0, 1.07, 0.27, 0.2]
    """
    return end * (start / end) ** ((1 - progress) ** 3)


def _categorical(
    size: int, fixation: Callable[[Array, Array], Array], action: Callable[[Array, Array], Array]
) -> Policy:
    """One of some numbers, by logits over the scale."""

    def distribution(heads: Array, scale: Array) -> Any:
        return _distrax().Categorical(logits=heads / scale[0])

    return Policy(
        size=size,
        sample=lambda key, heads, scale: distribution(heads, scale).sample(seed=key),
        mode=lambda heads: jnp.argmax(heads).astype(jnp.int32),
        log_prob=lambda action, heads, scale, position: distribution(heads, scale).log_prob(action),
        entropy=lambda action, heads, scale, position: distribution(heads, scale).entropy(),
        fixation=fixation,
        action=action,
    )


def _logit(share: Array) -> Array:
    """The inverse of the logistic squash, finite at the border."""
    inside = jnp.clip(share, BORDER, 1 - BORDER)
    return jnp.log(inside) - jnp.log1p(-inside)


def _log_slope(action: Array) -> Array:
    """``sum log(s (1 - s))``, s the logistic squash of the action."""
    return -jnp.sum(jax.nn.softplus(action) + jax.nn.softplus(-action))


def _gaussian(loc: Array, scale: Array) -> Any:
    return _distrax().MultivariateNormalDiag(loc, scale)


def _distrax() -> Any:
    """The library, which is slow to import, and needed only when a policy is traced."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it imports, where warnings are errors
            return importlib.import_module("distrax")
    except (TypeError, ValueError) as error:
        cure = "run Python without -OO, and with SOURCE_DATE_EPOCH a number or not set"
        raise InputError(f"distrax must be importable; it is not ({error}): {cure}") from error
