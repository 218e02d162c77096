"""The ensemble of AutoAttack: one attack after another, each on the images that those before it left."""

import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from foveax._arrays import check_count
from foveax._types import Array, InputError, Key
from foveax.robustness.apgd import apgd
from foveax.robustness.balls import Ball, l2, linf
from foveax.robustness.minimum_norm import minimum_norm
from foveax.robustness.objectives import cross_entropy, margin, misclassification, runner_up, targeted_dlr
from foveax.robustness.outcomes import Outcome, repeat
from foveax.robustness.square import square
from foveax.robustness.square_l2 import square_l2

CONCURRENT_BATCHES = 2
"""Batches that are attacked at the same time: one leaves cores idle between its small operations."""

Attack = Callable[[Array, Array, Key], Outcome]
"""``(image [H, W, C], label [], key) -> outcome``."""


class Survival(NamedTuple):
    """What attacks in turn left.

    Attributes:
      images: ``[N, H, W, C]``: with which an attack succeeded, unchanged where none did.
      robust: bool ``[N]`` by attack: images left by it and by those before it.
    """

    images: np.ndarray
    robust: dict[str, np.ndarray]


def autoattack(
    logits: Callable[[Array, Key], Array],
    classes: int,
    *,
    epsilon: float,
    ball: Callable[[Any], Ball] = linf,
    steps: int = 100,
    queries: int = 5_000,
) -> dict[str, Attack]:
    """The attacks of AutoAttack's standard version, by name, for `attack_in_turn`.

    The clean image; APGD on the cross-entropy; APGD on the targeted ratio of logits, and the minimum-norm attack on the
    difference of two logits, each towards the 9 classes that are next likely; Square. With `minimum_norm` in the place
    of FAB-T these are the attacks of Croce and Hein 2020, https://arxiv.org/abs/2003.01690.

    Args:
      logits: the model, ``(image, key) -> [K]``.
      classes: K, at least 4.
      epsilon: radius of the ball.
      ball: `linf` or `l2`.
      steps: of each gradient attack.
      queries: of Square.
    """
    if check_count("classes", classes) < 4:
        raise InputError(f"autoattack needs at least 4 classes; got {classes}")
    search, targets = (square_l2 if ball is l2 else square), min(classes - 1, 9)

    def clean(image: Array, label: Array, key: Key) -> Outcome:
        return Outcome(image, *misclassification(logits, label, margin)(image, key))

    def untargeted(image: Array, label: Array, key: Key) -> Outcome:
        return apgd(misclassification(logits, label, cross_entropy), image, key, ball=ball(epsilon), steps=steps)

    def targeted(image: Array, label: Array, key: Key) -> Outcome:
        def attempt(target: Array, key: Key) -> Outcome:
            objective = misclassification(logits, label, targeted_dlr(target))
            return apgd(objective, image, key, ball=ball(epsilon), steps=steps)

        return _towards_each(attempt, image, label, key)

    def nearest(image: Array, label: Array, key: Key) -> Outcome:
        def attempt(target: Array, key: Key) -> Outcome:
            objective = misclassification(logits, label, lambda values, label: values[target] - values[label])
            change = minimum_norm(objective, image, key, ball=ball, steps=steps)
            return Outcome(change.image, -change.distance, change.distance <= epsilon)

        return _towards_each(attempt, image, label, key)

    def random(image: Array, label: Array, key: Key) -> Outcome:
        return search(misclassification(logits, label, margin), image, key, epsilon=epsilon, queries=queries)

    def _towards_each(attempt: Callable[[Array, Key], Outcome], image: Array, label: Array, key: Key) -> Outcome:
        clean_key, attack_key = jax.random.split(key)
        values = logits(image, clean_key)
        return repeat(lambda rank, key: attempt(runner_up(values, label, rank), key), attack_key, targets)

    return {"clean": clean, "APGD-CE": untargeted, "APGD-T": targeted, "minimum norm": nearest, "Square": random}


def attack_in_turn(attacks: Mapping[str, Attack], images: Any, labels: Any, key: Key, *, batch: int = 250) -> Survival:
    """Makes attacks one after another, each on the images that those before it left.

    A batch is attacked until its last image is done, so images are grouped by the loss that the attack before reached
    on them: those that are soon broken do not wait for the others. Grouping does not change outcomes.

    Args:
      attacks: by name, in order.
      images: ``[N, H, W, C]`` float32 in [0, 1].
      labels: ``[N]`` int32.
      key: for all of them.
      batch: images that are attacked at once, at least 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> logits = lambda image, key: jnp.stack([image.sum(), 0.5 - image.sum(), -1.0, -1.0])
      >>> attacks = autoattack(logits, 4, epsilon=0.1, steps=5, queries=5)
      >>> images = jnp.array([0.2, 0.3, 0.9]).reshape(3, 1, 1, 1)
      >>> survival = attack_in_turn(attacks, images, jnp.zeros(3, jnp.int32), jax.random.key(0), batch=2)
      >>> [robust.tolist() for name, robust in survival.robust.items() if name in ("clean", "APGD-CE")]
      [[False, True, True], [False, False, True]]
    """
    batch = min(check_count("batch", batch), max(len(images), 1))
    images, labels = np.array(images), np.asarray(labels)
    changed, left, robust = images.copy(), np.arange(len(images)), {}
    losses = np.zeros(len(images), np.float32)
    for number, (name, attack) in enumerate(attacks.items()):
        keys = jax.random.split(jax.random.fold_in(key, number), len(images))
        program = _program(attack)
        left = left[np.argsort(-losses[left], kind="stable")]
        groups = [left[begin : begin + batch] for begin in range(0, len(left), batch)]

        def outcome_on(group: np.ndarray, program: Any = program, keys: Array = keys) -> Outcome:
            rows = np.resize(group, batch)  # one size, one compilation
            return jax.tree.map(
                lambda array: np.asarray(array)[: len(group)], program(images[rows], labels[rows], keys[rows])
            )

        with ThreadPoolExecutor(CONCURRENT_BATCHES) as threads:
            for group, outcome in zip(groups, threads.map(outcome_on, groups), strict=True):
                losses[group] = outcome.loss
                changed[group[outcome.success]] = outcome.image[outcome.success]
                left = np.setdiff1d(left, group[outcome.success])
        robust[name] = np.isin(np.arange(len(images)), left)
    return Survival(changed, robust)


@functools.lru_cache(16)
def _program(attack: Attack) -> Callable[..., Outcome]:
    """The attack on a batch, compiled once however often it is made."""
    return jax.jit(jax.vmap(attack))
