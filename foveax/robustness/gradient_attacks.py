"""Attacks by steps of one length along the gradient; and noise, with which they are compared."""

import jax
import jax.numpy as jnp

from foveax._arrays import check_count
from foveax._types import Array, Key
from foveax.robustness.balls import Ball, within
from foveax.robustness.objectives import Objective
from foveax.robustness.outcomes import Outcome, better


def noise(objective: Objective, image: Array, key: Key, *, ball: Ball) -> Outcome:
    """A change at random that is as large as an attack's may be: a point drawn from the ball, scaled to its border.

    Arguments are those of `fgsm`.
    """
    draw_key, judge_key = jax.random.split(key)
    changed = at_border(ball, image, draw_key)
    return Outcome(changed, *objective(changed, judge_key))


def fgsm(objective: Objective, image: Array, key: Key, *, ball: Ball) -> Outcome:
    """The fast gradient sign method: one step to the border of the ball, ``x + epsilon direction(∇L(x))``.

    Goodfellow et al. 2015, https://arxiv.org/abs/1412.6572; with the L2 ball the fast gradient method.

    Args:
      objective: what is to become large.
      image: ``[H, W, C]`` float32 in [0, 1].
      key: for the model's noise.
      ball: how far the image may change.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> objective = lambda image, key: (image.sum(), image.sum() > 1)
      >>> from foveax.robustness import linf
      >>> outcome = fgsm(objective, jnp.full((2, 1, 1), 0.5), jax.random.key(0), ball=linf(0.25))
      >>> outcome.image.ravel().tolist(), outcome.success.item()
      ([0.75, 0.75], True)
    """
    gradient_key, judge_key = jax.random.split(key)
    gradient = jax.grad(objective, has_aux=True)(image, gradient_key)[0]
    changed = within(ball, image + ball.epsilon * ball.direction(gradient), image)
    return Outcome(changed, *objective(changed, judge_key))


def pgd(
    objective: Objective,
    image: Array,
    key: Key,
    *,
    ball: Ball,
    steps: int = 40,
    step_size: float | None = None,
    start: Array | None = None,
) -> Outcome:
    """Projected gradient descent: ``x_{i+1} = P(x_i + η direction(∇L(x_i)))`` until the attack succeeds.

    Madry et al. 2018, https://arxiv.org/abs/1706.06083. P brings an image into the ball and into [0, 1]. For restarts,
    `repeat` it.

    Args:
      objective: what is to become large.
      image: ``[H, W, C]`` float32 in [0, 1].
      key: for the start and the model's noise.
      ball: how far the image may change.
      steps: at most, at least 1.
      step_size: η as a share of epsilon; by default ``2.5 / steps``.
      start: ``[H, W, C]``; by default drawn from the ball.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> objective = lambda image, key: (image.sum(), image.sum() > 1.4)
      >>> from foveax.robustness import linf
      >>> pgd(objective, jnp.full((2, 1, 1), 0.5), jax.random.key(0), ball=linf(0.25)).success.item()
      True
    """
    check_count("steps", steps)
    start_key, loop_key = jax.random.split(key)
    begin = image + ball.sample(start_key, image.shape) if start is None else start
    begin = within(ball, begin, image)
    size = (2.5 / steps if step_size is None else step_size) * ball.epsilon
    differentiate = jax.value_and_grad(objective, has_aux=True)

    def unfinished(carry: tuple[Array, Array, Outcome]) -> Array:
        step, _, best = carry
        return (step <= steps) & ~best.success

    def ascend(carry: tuple[Array, Array, Outcome]) -> tuple[Array, Array, Outcome]:
        step, place, best = carry
        (loss, success), gradient = differentiate(place, jax.random.fold_in(loop_key, step))
        best = better(Outcome(place, loss, success), best)
        return step + 1, within(ball, place + size * ball.direction(gradient), image), best

    first = Outcome(begin, jnp.float32(-jnp.inf), jnp.bool_(False))
    return jax.lax.while_loop(unfinished, ascend, (jnp.int32(0), begin, first))[2]


def at_border(ball: Ball, image: Array, key: Key) -> Array:
    """An image changed by a point of the ball that is drawn, then scaled to the border; within [0, 1]."""
    delta = ball.sample(key, image.shape)
    return within(ball, image + ball.epsilon * delta / jnp.maximum(ball.norm(delta), 1e-12), image)
