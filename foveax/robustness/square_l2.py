"""The Square attack in the L2 norm: a random search that moves the change from one square of the image to another."""

import jax
import jax.numpy as jnp
import numpy as np

from foveax._arrays import check_count
from foveax._types import Array, InputError, Key
from foveax.robustness.balls import l2
from foveax.robustness.objectives import Objective
from foveax.robustness.outcomes import Outcome
from foveax.robustness.square import areas, draw_corner, random_search, window

TILES = 5
"""Squares along the shorter side with which the search begins."""
NARROWEST = 3
"""Side of the smallest square, pixels; all are odd."""


def square_l2(objective: Objective, image: Array, key: Key, *, epsilon: float | Array, queries: int = 5_000) -> Outcome:
    """The Square attack in the L2 norm, until it succeeds.

    It begins with a grid of 5 by 5 tiles, each a pattern η: a peak in one half of the square and a negative one in the
    other, which fall off from the middle, upright or lying, of a random sign in each channel. Each query takes
    two squares A and B at random and moves the change from B to A: in each channel, ``δ_A`` becomes
    ``m (s η + δ_A / |δ_A|) / |s η + δ_A / |δ_A||`` and ``δ_B`` 0, with the length
    ``m^2 = |δ_{A and B}|^2 + (epsilon^2 - |δ|^2) / C``; then δ is scaled to epsilon, and kept where the loss rises. The
    squares shrink as in `square`, to sides that are odd and at least 3 (Andriushchenko et al. 2020,
    https://arxiv.org/abs/1912.00049, section 3.3 and algorithm 3).

    Args:
      objective: what is to become large; with `margin` it is the published attack.
      image: ``[H, W, C]`` float32 in [0, 1], at least 5 by 5 pixels, otherwise `InputError` is raised.
      key: for the search and the model's noise.
      epsilon: radius of the ball of `l2`.
      queries: at most, at least 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> objective = lambda image, key: (image[0, 0, 0], image[0, 0, 0] > 0.9)
      >>> square_l2(objective, jnp.full((5, 5, 1), 0.5), jax.random.key(0), epsilon=2.0, queries=99).success.item()
      True
    """
    height, width, channels = image.shape
    if min(height, width) < TILES:
        raise InputError(f"images must be at least {TILES} by {TILES} pixels; got {height} by {width}")
    ball = l2(epsilon)
    sides = _sides(check_count("queries", queries), height, width)
    distinct, which = np.unique(sides, return_inverse=True)
    patterns = np.zeros((len(distinct), distinct[-1], distinct[-1]), np.float32)
    for pattern, side in zip(patterns, distinct, strict=True):
        pattern[:side, :side] = _pattern(side)
    known = jnp.asarray(patterns)
    kinds, lengths = jnp.asarray(which, jnp.int32), jnp.asarray(sides)
    start_key, search_key = jax.random.split(key)

    def changed(delta: Array) -> Array:
        return jnp.clip(image + ball.epsilon * ball.direction(delta), 0.0, 1.0)

    def propose(query: Array, best: Array, key: Key) -> Array:
        here_key, there_key, turn_key, sign_key = jax.random.split(key, 4)
        side, delta = lengths[query], best - image
        corner = draw_corner(here_key, side, image.shape)
        here = window(corner, side, image.shape)
        there = window(draw_corner(there_key, side, image.shape), side, image.shape)
        rows, columns = (
            jnp.clip(jnp.arange(size) - corner[axis], 0, distinct[-1] - 1) for axis, size in enumerate((height, width))
        )
        pattern = jnp.where(jax.random.bernoulli(turn_key), known[kinds[query]], known[kinds[query]].T)
        signs = jax.random.rademacher(sign_key, (1, 1, channels), jnp.float32)
        fresh = jnp.where(here, pattern[rows][:, columns, None] * signs, 0.0)
        within = jnp.where(here, delta, 0.0)
        fresh = fresh + within / (_lengths(within) + 1e-12)
        spare = jnp.maximum(jnp.square(ball.epsilon) - jnp.sum(jnp.square(delta)), 0.0) / channels
        length = jnp.sqrt(spare + jnp.square(_lengths(jnp.where(here | there, delta, 0.0))))
        fresh = fresh / (_lengths(fresh) + 1e-12) * length
        return changed(jnp.where(here, fresh, jnp.where(there, 0.0, delta)))

    return random_search(objective, changed(_tiles(start_key, image.shape)), propose, search_key, queries)


def _tiles(key: Key, shape: tuple[int, ...]) -> Array:
    """The change with which the search begins, ``[H, W, C]``, of any length."""
    height, width, channels = shape
    side = min(height, width) // TILES
    rows, columns = height // side, width // side
    turn_key, sign_key = jax.random.split(key)
    turns = jax.random.bernoulli(turn_key, shape=(rows, columns, 1, 1))
    pattern = jnp.asarray(_pattern(side))
    tiles = jnp.where(turns, pattern[None, None], pattern.T[None, None])
    signs = jax.random.rademacher(sign_key, (rows, columns, channels), jnp.float32)
    delta = jnp.einsum("rcij,rck->ricjk", tiles, signs).reshape(rows * side, columns * side, channels)
    above, before = (height - rows * side) // 2, (width - columns * side) // 2
    return jnp.zeros(shape).at[above : above + rows * side, before : before + columns * side].set(delta)


def _pattern(side: int) -> np.ndarray:
    """The pattern η of length 1, ``[side, side]``: a peak in the upper half, its negative in the lower one."""
    upper = side // 2
    pattern = np.concatenate([_peak(upper, side), -_peak(side - upper, side)])
    return (pattern / max(np.sqrt(np.sum(pattern**2)), 1e-12)).astype(np.float32)


def _peak(height: int, width: int) -> np.ndarray:
    """``sum_k 1 / (k + 1)^2`` over k from the distance to the middle on, along the farther axis; scaled to length 1."""
    rows, columns = (np.abs(np.arange(size) - size // 2) for size in (height, width))
    distance = np.maximum(rows[:, None], columns[None, :])
    terms = 1.0 / np.arange(1, max(height, width) // 2 + 2) ** 2
    peak = np.cumsum(terms[::-1])[::-1][distance]
    return peak / max(np.sqrt(np.sum(peak**2)), 1e-12)


def _sides(queries: int, height: int, width: int) -> np.ndarray:
    """The side of the square at each query, ``[queries]`` int32."""
    sides = np.maximum(np.round(np.sqrt(areas(queries) * height * width)).astype(np.int32), NARROWEST)
    return np.minimum(sides + 1 - sides % 2, min(height, width))


def _lengths(delta: Array) -> Array:
    """The L2 norm in each channel, ``[1, 1, C]``."""
    return jnp.sqrt(jnp.sum(jnp.square(delta), axis=(0, 1), keepdims=True))
