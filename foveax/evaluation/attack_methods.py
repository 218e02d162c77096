"""The attacks of an evaluation of robustness by name, and a probe for gradients that are missing."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from foveax._types import Array, Batch, Key
from foveax.evaluation.attack_rows import AttackConfig
from foveax.evaluation.gaze_attacks import ImageResponse, away_objective, class_objective
from foveax.robustness import (
    Ball,
    Outcome,
    apgd,
    expectation,
    fgsm,
    margin,
    noise,
    pgd,
    repeat,
    runner_up,
    square,
    square_l2,
    targeted_dlr,
)

Attack = Callable[[ImageResponse, Batch, Array, Key, Any], Array]
"""``(respond, inputs, image, key, epsilon) -> image``; inputs hold the label, ``fixations`` and ``start``."""


def attacks(config: AttackConfig) -> dict[str, Attack]:
    """The attacks by their names in `foveax.evaluation.attack_rows.Row`, for one image."""

    def on_class(attack: Callable[..., Outcome], **options: Any) -> Attack:
        def attacked(respond: ImageResponse, inputs: Batch, image: Array, key: Key, epsilon: Any) -> Array:
            objective = class_objective(respond, inputs["label"], **options)
            return attack(objective, image, key, ball=config.ball(epsilon)).image

        return attacked

    def steps(number: int) -> Callable[..., Outcome]:
        return lambda *given, ball: apgd(*given, ball=ball, steps=number)

    def either(respond: ImageResponse, inputs: Batch, image: Array, key: Key, epsilon: Any) -> Array:
        """Every glimpse's loss and, where that fails, the last one's: which is stronger differs between models."""
        every_key, last_key = jax.random.split(key)
        every = on_class(steps(config.steps), glimpses="each")(respond, inputs, image, every_key, epsilon)
        return from_start(respond, {**inputs, "start": every}, image, last_key, epsilon)

    def restarts(objective: Any, image: Array, key: Key, *, ball: Ball) -> Outcome:
        return repeat(
            lambda index, key: pgd(objective, image, key, ball=ball, steps=config.steps), key, config.restarts
        )

    def averaged(draws: int) -> Callable[..., Outcome]:
        return lambda objective, *given, ball: apgd(
            expectation(objective, draws), *given, ball=ball, steps=config.steps
        )

    def searched(objective: Any, image: Array, key: Key, *, ball: Ball) -> Outcome:
        search = square if config.norm == "linf" else square_l2
        return search(objective, image, key, epsilon=ball.epsilon, queries=config.queries)

    def targeted(respond: ImageResponse, inputs: Batch, image: Array, key: Key, epsilon: Any) -> Array:
        clean_key, attack_key = jax.random.split(key)
        label, clean = inputs["label"], respond(image, clean_key).logits[-1]
        classes = len(clean)

        def towards(index: Array, key: Key) -> Outcome:
            loss = targeted_dlr(runner_up(clean, label, index)) if classes > 3 else margin
            objective = class_objective(respond, label, loss)
            return apgd(objective, image, key, ball=config.ball(epsilon), steps=config.steps)

        return repeat(towards, attack_key, min(max(classes - 1, 1), 9)).image

    def from_start(respond: ImageResponse, inputs: Batch, image: Array, key: Key, epsilon: Any) -> Array:
        objective, ball = class_objective(respond, inputs["label"]), config.ball(epsilon)
        return apgd(objective, image, key, ball=ball, steps=config.steps, start=inputs["start"]).image

    def on_gaze(attack: Callable[..., Outcome]) -> Attack:
        def attacked(respond: ImageResponse, inputs: Batch, image: Array, key: Key, epsilon: Any) -> Array:
            objective = away_objective(respond, inputs["fixations"], config.distance)
            return attack(objective, image, key, ball=config.ball(epsilon)).image

        return attacked

    return {
        "nothing": lambda respond, inputs, image, key, epsilon: image,
        "noise": on_class(noise),
        "fgsm": on_class(fgsm),
        "pgd": on_class(lambda *given, ball: pgd(*given, ball=ball, steps=config.steps)),
        "apgd": on_class(steps(config.steps)),
        "doubled": on_class(steps(2 * config.steps)),
        "each glimpse": on_class(steps(config.steps), glimpses="each"),
        "either": either,
        "targeted": targeted,
        "restarts": on_class(restarts),
        "from start": from_start,
        "square": on_class(searched, loss=margin),
        "gaze": on_gaze(steps(config.steps)),
        "gaze, square": on_gaze(searched),
        **{f"expectation of {draws}": on_class(averaged(draws), glimpses="each") for draws in config.draws},
    }


def probe(respond: ImageResponse, inputs: Batch, image: Array, key: Key, ball: Ball) -> dict[str, Array]:
    """Where gradients are missing although what they are of changes, for one image; each bool ``[]``.

    ``loss``: the margin's gradient is exactly 0, while the margin changes under one of a few changes at random that are
    as large as an attack's may be. ``gaze``: likewise of the fixations, in a combination at random.
    """
    way_key, noise_key = jax.random.split(jax.random.fold_in(key, 1))

    def values(image: Array) -> tuple[Array, Array]:
        response = respond(image, key)
        weights = jax.random.normal(way_key, response.fixations.shape)
        return margin(response.logits[-1], inputs["label"]), jnp.sum(weights * response.fixations)

    gradients = jax.jacrev(values)(image)
    changed = [
        noise(lambda image, key: (jnp.float32(0), jnp.bool_(False)), image, key, ball=ball).image
        for key in jax.random.split(noise_key, 3)
    ]
    before, after = values(image), [values(one) for one in changed]

    def is_missing(part: int) -> Array:
        moves = [jnp.abs(one[part] - before[part]) > 1e-5 for one in after]
        return jnp.all(gradients[part] == 0) & jnp.any(jnp.stack(moves))

    return {"loss": is_missing(0), "gaze": is_missing(1)}
