"""Outcomes of attacks on one image, and attacks that are repeated until one succeeds."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from foveax._arrays import check_count
from foveax._types import Array, Key


class Outcome(NamedTuple):
    """An attack's result on one image.

    Attributes:
      image: the first with which the attack succeeded, otherwise the one of the greatest loss.
      loss: its loss, ``[]``.
      success: bool ``[]``.
    """

    image: Array
    loss: Array
    success: Array


def better(new: Outcome, best: Outcome) -> Outcome:
    """The better one of two outcomes: what succeeded, earlier if both did; otherwise what has the greater loss."""
    is_better = (new.success & ~best.success) | (~best.success & (new.loss > best.loss))
    return jax.tree.map(lambda one, other: jnp.where(is_better, one, other), new, best)


def repeat(attack: Callable[[Array, Key], Outcome], key: Key, times: int) -> Outcome:
    """The best outcome of an attack that is repeated, with a key of its own each time, until it succeeds.

    The attack ``(index, key) -> outcome`` learns how often it was made before, int32, and can so begin elsewhere or
    choose another target. Under `jax.vmap` the repetition ends once it has succeeded on every image.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> attack = lambda index, key: Outcome(jnp.zeros(1), index.astype(jnp.float32), index == 3)
      >>> repeat(attack, jax.random.key(0), 5).loss.item()
      3.0
    """
    keys = jax.random.split(key, check_count("times", times))
    like = jax.eval_shape(attack, jnp.int32(0), keys[0])
    empty = Outcome(jnp.zeros(like.image.shape, like.image.dtype), jnp.float32(-jnp.inf), jnp.bool_(False))

    def unfinished(carry: tuple[Array, Outcome]) -> Array:
        index, best = carry
        return (index < times) & ~best.success

    def attempt(carry: tuple[Array, Outcome]) -> tuple[Array, Outcome]:
        index, best = carry
        return index + 1, better(attack(index, keys[index]), best)

    return jax.lax.while_loop(unfinished, attempt, (jnp.int32(0), empty))[1]
