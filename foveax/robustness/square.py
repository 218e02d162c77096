"""The Square attack: a random search that asks for losses alone, so that hidden gradients do not help against it."""

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
    check_count("queries", queries)
    height, width, channels = image.shape
    ball = linf(epsilon)
    sides = jnp.asarray(_sides(queries, height, width))
    stripe_key, search_key = jax.random.split(key)

    def changed(signs: Array) -> Array:
        return within(ball, image + ball.epsilon * jnp.broadcast_to(signs, image.shape), image)

    stripes = changed(jax.random.rademacher(stripe_key, (1, width, channels), jnp.float32))

    def unfinished(carry: tuple[Array, Outcome]) -> Array:
        query, best = carry
        return (query < queries) & ~best.success

    def search(carry: tuple[Array, Outcome]) -> tuple[Array, Outcome]:
        query, best = carry
        place_key, sign_key, noise_key = jax.random.split(jax.random.fold_in(search_key, query), 3)
        side = sides[query]
        corner = jax.random.randint(place_key, (2,), 0, jnp.array([height, width]) - side + 1)
        rows, columns = (jnp.arange(size) - corner[axis] for axis, size in enumerate((height, width)))
        inside = ((rows >= 0) & (rows < side))[:, None] & ((columns >= 0) & (columns < side))[None, :]
        signs = jax.random.rademacher(sign_key, (1, 1, channels), jnp.float32)
        tried = jnp.where(query == 0, stripes, jnp.where(inside[..., None], changed(signs), best.image))
        return query + 1, better(Outcome(tried, *objective(tried, noise_key)), best)

    first = Outcome(image, jnp.float32(-jnp.inf), jnp.bool_(False))
    return jax.lax.while_loop(unfinished, search, (jnp.int32(0), first))[1]


def _sides(queries: int, height: int, width: int) -> np.ndarray:
    """The side of the square at each query, ``[queries]`` int32."""
    scaled = np.arange(queries) * 10_000 // queries
    shares = SHARE / 2.0 ** np.searchsorted(HALVED_AT, scaled)
    sides = np.round(np.sqrt(shares * height * width)).astype(np.int32)
    return np.clip(sides, 1, min(height, width))
