"""Balls about an image: how far an attack may change it, in the L-infinity or the L2 norm."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from foveax._arrays import check_number
from foveax._types import Array, Key


class Ball(NamedTuple):
    """The changes ``δ`` of an image that an attack may make: ``|δ| <= epsilon``, as pure functions of arrays.

    Attributes:
      epsilon: the radius, in the image's units: of [0, 1], a pixel's whole range.
      norm: ``(delta) -> []``.
      project: ``(delta) -> delta``, the nearest point of the ball.
      direction: ``(gradient) -> delta``, the change of norm 1 along which a linear function rises most; 0 for 0.
      sample: ``(key, shape) -> delta``, uniform over the ball.
    """

    epsilon: Any
    norm: Callable[[Array], Array]
    project: Callable[[Array], Array]
    direction: Callable[[Array], Array]
    sample: Callable[[Key, tuple[int, ...]], Array]


def linf(epsilon: Any) -> Ball:
    """The ball of the L-infinity norm, ``max |δ_i| <= epsilon``; its steepest direction is ``sign(g)``.

    The radius is a number of at least 0, or a traced scalar; otherwise `InputError` is raised.

    Example:
      >>> import jax.numpy as jnp
      >>> linf(0.25).project(jnp.array([-1.0, 0.125])).tolist()
      [-0.25, 0.125]
    """
    epsilon = _radius(epsilon)
    return Ball(
        epsilon=epsilon,
        norm=lambda delta: jnp.max(jnp.abs(delta)),
        project=lambda delta: jnp.clip(delta, -epsilon, epsilon),
        direction=jnp.sign,
        sample=lambda key, shape: epsilon * jax.random.uniform(key, shape, jnp.float32, -1.0, 1.0),
    )


def l2(epsilon: Any) -> Ball:
    """The ball of the L2 norm, ``sqrt(sum δ_i^2) <= epsilon``; its steepest direction is ``g / |g|``.

    The radius is a number of at least 0, or a traced scalar; otherwise `InputError` is raised.

    Example:
      >>> import jax.numpy as jnp
      >>> [round(x, 2) for x in l2(1.0).project(jnp.array([3.0, 4.0])).tolist()]
      [0.6, 0.8]
    """
    epsilon = _radius(epsilon)

    def project(delta: Array) -> Array:
        return delta * jnp.minimum(1.0, epsilon / jnp.maximum(_length(delta), 1e-12))

    def direction(gradient: Array) -> Array:
        largest = jnp.max(jnp.abs(gradient))  # squares of small gradients would vanish in float32
        scaled = gradient / jnp.where(largest > 0, largest, 1.0)
        return scaled / jnp.maximum(_length(scaled), 1e-12)

    def sample(key: Key, shape: tuple[int, ...]) -> Array:
        direction_key, radius_key = jax.random.split(key)
        radius = epsilon * jax.random.uniform(radius_key) ** (1 / max(math.prod(shape), 1))
        return radius * direction(jax.random.normal(direction_key, shape, jnp.float32))

    return Ball(epsilon, _length, project, direction, sample)


def within(ball: Ball, image: Array, origin: Array) -> Array:
    """An image ``[H, W, C]`` brought into the ball about the origin, then into the range [0, 1] of pixels.

    The second step leads out of no ball, since the origin lies in that range.
    """
    return jnp.clip(origin + ball.project(image - origin), 0.0, 1.0)


def _length(delta: Array) -> Array:
    return jnp.sqrt(jnp.sum(jnp.square(delta)))


def _radius(epsilon: Any) -> Any:
    return epsilon if isinstance(epsilon, Tracer | jax.Array) else check_number("epsilon", epsilon)
