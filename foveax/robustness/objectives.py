"""Objectives of attacks: a loss that is to become large, and whether the attack has succeeded.

Losses are functions of the logits ``[K]`` of one image and of its label, int32.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from foveax._arrays import check_count
from foveax._types import Array, InputError, Key

Objective = Callable[[Array, Key], tuple[Array, Array]]
"""``(image [H, W, C], key) -> (loss [], success bool [])``; the key feeds the model's own noise, if it has any."""
Loss = Callable[[Array, Any], Array]
"""``(logits [K], label) -> []``."""


def cross_entropy(logits: Array, label: Any) -> Array:
    """``-log p(label)``, nats.

    Its gradient is exactly 0 in float32 where the model is very sure: `dlr` does not depend on the logits' scale.

    Example:
      >>> import jax.numpy as jnp
      >>> round(cross_entropy(jnp.zeros(10), 3).item(), 3)
      2.303
    """
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(label))


def margin(logits: Array, label: Any) -> Array:
    """``max_{k != label} z_k - z_label``: positive where the image is misclassified.

    Example:
      >>> import jax.numpy as jnp
      >>> margin(jnp.array([3.0, 1.0, 2.0]), 0).item()
      -1.0
    """
    others = jnp.where(jnp.arange(len(logits)) == label, -jnp.inf, logits)
    return jnp.max(others) - logits[label]


def dlr(logits: Array, label: Any) -> Array:
    """The difference of logits ratio, ``-(z_y - max_{k != y} z_k) / (z_1 - z_3)``, ``z_1 >= z_2 >= ...`` sorted.

    It changes neither with a shift nor with the scale of the logits (Croce and Hein 2020,
    https://arxiv.org/abs/2003.01690, eq. 6). There must be at least 3 classes, otherwise `InputError` is raised.

    Example:
      >>> import jax.numpy as jnp
      >>> dlr(jnp.array([3.0, 1.0, 2.0]), 0).item()
      -0.5
    """
    ordered = _ordered(logits, 3, "dlr")
    return margin(logits, label) / (ordered[0] - ordered[2] + 1e-12)


def targeted_dlr(target: Any) -> Loss:
    """The targeted ratio, ``-(z_y - z_target) / (z_1 - (z_3 + z_4) / 2)``, of a target class other than the label.

    Croce and Hein 2020, https://arxiv.org/abs/2003.01690, eq. 7. There must be at least 4 classes, otherwise
    `InputError` is raised.

    Example:
      >>> import jax.numpy as jnp
      >>> targeted_dlr(1)(jnp.array([4.0, 1.0, 2.0, 0.0]), 0).item()
      -0.8571428656578064
    """

    def loss(logits: Array, label: Any) -> Array:
        ordered = _ordered(logits, 4, "targeted_dlr")
        return (logits[target] - logits[label]) / (ordered[0] - (ordered[2] + ordered[3]) / 2 + 1e-12)

    return loss


def runner_up(logits: Array, label: Any, rank: Any) -> Array:
    """The class, int32, that is the next likely to the label (`rank` 0), the second next (1), and so on, to K - 2.

    Example:
      >>> import jax.numpy as jnp
      >>> runner_up(jnp.array([3.0, 1.0, 2.0]), 0, 0).item()
      2
    """
    others = jnp.where(jnp.arange(len(logits)) == label, -jnp.inf, logits)
    return jnp.argsort(-others)[rank].astype(jnp.int32)


def misclassification(logits: Callable[[Array, Key], Array], label: Any, loss: Loss = cross_entropy) -> Objective:
    """The objective of being taken for any other class than the label: an attack succeeds where `margin` is above 0.

    Args:
      logits: the model, ``(image, key) -> [K]``.
      label: int32.
      loss: one of this file, or of your own.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> objective = misclassification(lambda image, key: image.reshape(-1), 0)
      >>> objective(jnp.array([[0.0], [1.0]]), jax.random.key(0))[1].item()
      True
    """

    def objective(image: Array, key: Key) -> tuple[Array, Array]:
        values = logits(image, key)
        return loss(values, label), margin(values, label) > 0

    return objective


def expectation(objective: Objective, draws: int) -> Objective:
    """The objective's mean over a model's noise: ``E[loss]``, successful where all of the draws are.

    An attack that ended once half of them are would leave the other half to chance.
    Gradients of it are those of the expectation over transformations (Athalye et al. 2018,
    https://arxiv.org/abs/1707.07397), here over whatever the key feeds.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> noisy = lambda image, key: (jax.random.uniform(key), jnp.bool_(True))
      >>> round(expectation(noisy, 1000)(jnp.zeros(1), jax.random.key(0))[0].item(), 1)
      0.5
    """
    if check_count("draws", draws) == 1:
        return objective

    def expected(image: Array, key: Key) -> tuple[Array, Array]:
        losses, successes = jax.vmap(objective, in_axes=(None, 0))(image, jax.random.split(key, draws))
        return jnp.mean(losses), jnp.all(successes)

    return expected


def conjunction(*objectives: Objective) -> Objective:
    """The objective of several goals at once: the least of their losses, successful where all of them are.

    If each loss is 0 at the boundary of its own success, this one is 0 at the boundary of the common success.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> bright = lambda image, key: (image.sum() - 1, image.sum() > 1)
      >>> not_too_bright = lambda image, key: (3 - image.sum(), image.sum() < 3)
      >>> loss, success = conjunction(bright, not_too_bright)(jnp.full((2, 1, 1), 1.25), jax.random.key(0))
      >>> loss.item(), success.item()
      (0.5, True)
    """

    def objective(image: Array, key: Key) -> tuple[Array, Array]:
        losses, successes = zip(*(each(image, key) for each in objectives), strict=True)
        return jnp.min(jnp.stack(losses)), jnp.all(jnp.stack(successes))

    return objective


def _ordered(logits: Array, least: int, name: str) -> Array:
    """The logits, the greatest first."""
    if len(logits) < least:
        raise InputError(f"{name} needs at least {least} classes; got {len(logits)}")
    return -jnp.sort(-logits)
