"""The Square attack: a random search that asks for losses alone, so that hidden gradients do not help against it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from foveax._arrays import check_count
from foveax._types import Array, Key
from foveax.robustness.balls import linf, within
from foveax.robustness.objectives import Objective
from foveax.robustness.outcomes import Outcome, better

SHARE = 0.8
"""Of the image that the first square changes."""
HALVED_AT = (10, 50, 200, 500, 1_000, 2_000, 4_000, 6_000, 8_000)
"""Of 10,000 queries, after which the share is halved."""


def square(objective: Objective, image: Array, key: Key, *, epsilon: float | Array, queries: int = 5_000) -> Outcome:
    """The Square attack in the L-infinity norm, until it succeeds.

    It begins with vertical stripes of ``±epsilon``. Each query sets a square at a random place to ``±epsilon`` of the
    image, one sign for each channel, and keeps it where the loss rises. The square has ``p H W`` pixels: p begins at
    0.8 and is halved after 10, 50, 200, 500, 1,000, 2,000, 4,000, 6,000 and 8,000 of 10,000 queries, in proportion
    where there are more or fewer (Andriushchenko et al. 2020, https://arxiv.org/abs/1912.00049, algorithms 1 and 2).

    Args:
      objective: what is to become large; with `margin` it is the published attack.
      image: ``[H, W, C]`` float32 in [0, 1].
      key: for the search and the model's noise.
      epsilon: radius of the ball of `linf`.
      queries: at most, at least 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> objective = lambda image, key: (image.sum(), image.sum() > 2.9)
      >>> square(objective, jnp.full((2, 2, 1), 0.5), jax.random.key(0), epsilon=0.25, queries=99).success.item()
      True
    """
    height, width, channels = image.shape
    ball = linf(epsilon)
    sides = jnp.asarray(_sides(queries, height, width))
    stripe_key, search_key = jax.random.split(key)

    def changed(signs: Array) -> Array:
        return within(ball, image + ball.epsilon * jnp.broadcast_to(signs, image.shape), image)

    def propose(query: Array, best: Array, key: Key) -> Array:
        place_key, sign_key = jax.random.split(key)
        inside = window(draw_corner(place_key, sides[query], image.shape), sides[query], image.shape)
        signs = jax.random.rademacher(sign_key, (1, 1, channels), jnp.float32)
        return jnp.where(inside, changed(signs), best)

    stripes = changed(jax.random.rademacher(stripe_key, (1, width, channels), jnp.float32))
    return random_search(objective, stripes, propose, search_key, queries)


def random_search(
    objective: Objective, first: Array, propose: Callable[[Array, Array, Key], Array], key: Key, queries: int
) -> Outcome:
    """The best outcome of a number of queries, at least 1, or the first that succeeds.

    The first image ``[H, W, C]`` is tried, then one after another that ``(query, best image, key)`` proposes.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> objective = lambda image, key: (image.sum(), image.sum() > 2.5)
      >>> brighter = lambda query, best, key: best + 0.5
      >>> random_search(objective, jnp.zeros((2, 1, 1)), brighter, jax.random.key(0), 9).loss.item()
      3.0
    """
    check_count("queries", queries)

    def unfinished(carry: tuple[Array, Outcome]) -> Array:
        query, best = carry
        return (query < queries) & ~best.success

    def search(carry: tuple[Array, Outcome]) -> tuple[Array, Outcome]:
        query, best = carry
        propose_key, noise_key = jax.random.split(jax.random.fold_in(key, query))
        tried = jnp.where(query == 0, first, propose(query, best.image, propose_key))
        return query + 1, better(Outcome(tried, *objective(tried, noise_key)), best)

    empty = Outcome(first, jnp.float32(-jnp.inf), jnp.bool_(False))
    return jax.lax.while_loop(unfinished, search, (jnp.int32(0), empty))[1]


def draw_corner(key: Key, side: Array, shape: tuple[int, ...]) -> Array:
    """The upper left corner ``[2]`` int32 of a square at a random place of an image ``[H, W, C]``."""
    return jax.random.randint(key, (2,), 0, jnp.array(shape[:2]) - side + 1)


def window(corner: Array, side: Array, shape: tuple[int, ...]) -> Array:
    """The pixels of a square, bool ``[H, W, 1]`` of an image ``[H, W, C]``."""
    rows, columns = (jnp.arange(size) - corner[axis] for axis, size in enumerate(shape[:2]))
    return (((rows >= 0) & (rows < side))[:, None] & ((columns >= 0) & (columns < side))[None, :])[..., None]


def areas(queries: int) -> np.ndarray:
    """The share of the image that the square of each query covers, ``[queries]``."""
    scaled = np.arange(queries) * 10_000 // queries
    return SHARE / 2.0 ** np.searchsorted(HALVED_AT, scaled)


def _sides(queries: int, height: int, width: int) -> np.ndarray:
    """The side of the square at each query, ``[queries]`` int32."""
    sides = np.round(np.sqrt(areas(check_count("queries", queries)) * height * width)).astype(np.int32)
    return np.clip(sides, 1, min(height, width))
