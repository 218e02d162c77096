"""Auto-PGD: projected gradient descent that chooses its own step size."""

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from foveax._arrays import check_count
from foveax._types import Array, Key
from foveax.robustness.balls import Ball, within
from foveax.robustness.gradient_attacks import at_border
from foveax.robustness.objectives import Objective
from foveax.robustness.outcomes import Outcome, better

MOMENTUM = 0.75
"""Weight of the new step against the one before."""
RISES = 0.75
"""Share of steps since the last checkpoint that must have raised the loss."""
FIRST_PERIOD, SHORTER_BY, SHORTEST_PERIOD = 0.22, 0.03, 0.06
"""Periods between checkpoints, as shares of all steps."""


class _Ascent(NamedTuple):
    step: Array
    place: Array
    previous: Array
    loss: Array
    top: Array
    top_gradient: Array
    top_loss: Array
    size: Array
    rises: Array
    is_halved: Array
    top_loss_before: Array
    best: Outcome


def apgd(
    objective: Objective, image: Array, key: Key, *, ball: Ball, steps: int = 100, start: Array | None = None
) -> Outcome:
    """Auto-PGD: ascent with momentum and a step size that adapts, until the attack succeeds.

    ``z = P(x_i + η direction(∇L(x_i)))``, then ``x_{i+1} = P(x_i + 0.75 (z - x_i) + 0.25 (x_i - x_{i-1}))``, where P
    brings an image into the ball and into [0, 1]. The step size η begins at ``2 epsilon``. At checkpoints
    ``w_j = ceil(p_j steps)``, ``p_0 = 0``, ``p_1 = 0.22``, ``p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06)``, it is
    halved, and the ascent goes back to the best place so far, if less than 75 % of the steps since the last checkpoint
    raised the loss, or if η was not halved there and the greatest loss has not risen since (Croce and Hein 2020,
    https://arxiv.org/abs/2003.01690, algorithm 1). For restarts and targets, `repeat` it.

    Args:
      objective: what is to become large: with `cross_entropy`, APGD-CE; with `dlr`, APGD-DLR; with `targeted_dlr`,
        APGD-T.
      image: ``[H, W, C]`` float32 in [0, 1].
      key: for the start and the model's noise.
      ball: how far the image may change.
      steps: at most, at least 1.
      start: ``[H, W, C]``; by default on the border of the ball.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from foveax.robustness import linf
      >>> objective = lambda image, key: (image.sum(), image.sum() > 1.4)
      >>> apgd(objective, jnp.full((2, 1, 1), 0.5), jax.random.key(0), ball=linf(0.25)).success.item()
      True
    """
    check_count("steps", steps)
    start_key, loop_key = jax.random.split(key)
    begin = at_border(ball, image, start_key) if start is None else within(ball, start, image)
    periods = jnp.asarray([0, *_periods(steps)], jnp.float32)
    differentiate = jax.value_and_grad(objective, has_aux=True)

    def unfinished(now: _Ascent) -> Array:
        return (now.step <= steps) & ~now.best.success

    def ascend(now: _Ascent) -> _Ascent:
        (loss, success), gradient = differentiate(now.place, jax.random.fold_in(loop_key, now.step))
        is_top, is_first = loss > now.top_loss, now.step == 0
        reached = now._replace(
            loss=loss,
            top=jnp.where(is_top, now.place, now.top),
            top_gradient=jnp.where(is_top, gradient, now.top_gradient),
            top_loss=jnp.maximum(loss, now.top_loss),
            rises=now.rises + (loss > now.loss).astype(jnp.float32) * (~is_first).astype(jnp.float32),
            top_loss_before=jnp.where(is_first, loss, now.top_loss_before),
            best=better(Outcome(now.place, loss, success), now.best),
        )
        checked, gradient = _checked(reached, gradient, periods[now.step])
        target = within(ball, checked.place + checked.size * ball.direction(gradient), image)
        share = jnp.where(is_first, 1.0, MOMENTUM)
        place = checked.place
        moved = place + share * (target - place) + (1 - share) * (place - now.previous)
        return checked._replace(step=now.step + 1, place=within(ball, moved, image), previous=place)

    lowest, no = jnp.float32(-jnp.inf), jnp.bool_(False)
    first = _Ascent(
        step=jnp.int32(0),
        place=begin,
        previous=begin,
        loss=lowest,
        top=begin,
        top_gradient=jnp.zeros_like(begin),
        top_loss=lowest,
        size=jnp.asarray(2.0 * ball.epsilon, jnp.float32),
        rises=jnp.float32(0),
        is_halved=no,
        top_loss_before=lowest,
        best=Outcome(begin, lowest, no),
    )
    return jax.lax.while_loop(unfinished, ascend, first).best


def _checked(now: _Ascent, gradient: Array, period: Array) -> tuple[_Ascent, Array]:
    """The ascent and its gradient after what a checkpoint decides, if a period ends here; otherwise as they are."""
    is_checkpoint = period > 0
    is_stuck = ~now.is_halved & (now.top_loss <= now.top_loss_before)
    halve = is_checkpoint & ((now.rises < RISES * period) | is_stuck)
    return now._replace(
        place=jnp.where(halve, now.top, now.place),
        loss=jnp.where(halve, now.top_loss, now.loss),
        size=jnp.where(halve, now.size / 2, now.size),
        rises=jnp.where(is_checkpoint, 0.0, now.rises),
        is_halved=jnp.where(is_checkpoint, halve, now.is_halved),
        top_loss_before=jnp.where(is_checkpoint, now.top_loss, now.top_loss_before),
    ), jnp.where(halve, now.top_gradient, gradient)


def _periods(steps: int) -> list[int]:
    """For each step, the number of steps since the last checkpoint if one follows it, otherwise 0."""
    shares, periods = [0.0, FIRST_PERIOD], [0] * steps
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - SHORTER_BY, SHORTEST_PERIOD))
    places = [math.ceil(round(share * steps, 6)) for share in shares]
    for before, place in itertools.pairwise(places):
        if before < place <= steps:
            periods[place - 1] = place - before
    return periods
