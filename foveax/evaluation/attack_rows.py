"""The rows of an honest evaluation of robustness: which attack is made on what, and how its images are judged.

The rows follow the recommendations for evaluating defences of Carlini et al. 2019, https://arxiv.org/abs/1902.06705,
and Tramèr et al. 2020, https://arxiv.org/abs/2002.08347: white box and black box, more steps, restarts, transfer,
expectation over noise, and attacks on the parts of a model that could hide its gradient, here the gaze.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from foveax._checked import Checked, bounded
from foveax._types import Array, Batch, Key
from foveax.evaluation.gaze_attacks import ImageResponse, away_objective, class_objective
from foveax.robustness import (
    Ball,
    Outcome,
    apgd,
    expectation,
    fgsm,
    l2,
    linf,
    margin,
    noise,
    pgd,
    repeat,
    runner_up,
    square,
    square_l2,
    targeted_dlr,
)


@dataclasses.dataclass(frozen=True)
class AttackConfig(Checked):
    """The budget of an evaluation of robustness. Raises `InputError` for a value out of range."""

    norm: Literal["linf", "l2"] = "linf"
    """How changes are measured."""
    epsilon: float = bounded(0.3, above=0.0)
    """The largest change, where a pixel's whole range is 1."""
    images: int = bounded(1_000, 1, 10_000_000)
    """Test images that are attacked, at most."""
    steps: int = bounded(50, 1, 1_000_000)
    """Of PGD and APGD; one row doubles them."""
    restarts: int = bounded(5, 1, 10_000)
    """Of the row with restarts."""
    queries: int = bounded(1_000, 1, 10_000_000)
    """Of the black box attack."""
    draws: int = bounded(10, 1, 10_000)
    """Of the model's noise, over which expectations are taken."""
    sweep: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6)
    """Radii at which the curve of robust accuracy is measured, in rising order."""
    distance: float = bounded(0.25, 0.0, 1.0)
    """How far an attack on the gaze wants it moved, as a fraction of the image."""
    batch: int = bounded(250, 1, 1_000_000)
    """Images that are attacked at once."""
    seed: int = bounded(0, 0, 2**31 - 1)
    """Of all randomness."""

    def ball(self, epsilon: Any) -> Ball:
        """The ball of a radius."""
        return linf(epsilon) if self.norm == "linf" else l2(epsilon)

    def grey(self, shape: tuple[int, ...]) -> float:
        """The radius within which any image ``[H, W, C]`` can be made grey, whatever it showed."""
        return 0.5 if self.norm == "linf" else 0.5 * math.sqrt(math.prod(shape))


class Row(NamedTuple):
    """One attack.

    Attributes:
      kind: of the verdict's comparisons: ``"none"``, ``"weak"``, ``"white"``, ``"black"``, ``"gaze"``, ``"noise"``,
        ``"more"``, ``"sweep"`` or ``"control"``.
      attack: its name among `attacks`.
      source: the model that is attacked, by name.
      target: the model that judges the attacked images.
      places: where a held gaze looks: ``"clean"``, ``"random"`` or ``"fixed"``.
      start: the row whose images the attack begins with; by default at random.
      epsilon: None takes that of the configuration.
    """

    kind: str
    attack: str
    source: str = "free"
    target: str = "free"
    places: str = "clean"
    start: str = ""
    epsilon: float | None = None


def rows(config: AttackConfig, *, has_eye: bool, has_noise: bool = False) -> dict[str, Row]:
    """All rows by name, in the order in which they are made.

    Rows on the gaze are made where there is an eye, an expectation over noise where the model is random even with the
    mode of its policies.

    Example:
      >>> list(rows(AttackConfig(sweep=()), has_eye=False))[:4]
      ['clean', 'noise of equal norm', 'FGSM', 'PGD']
    """
    made = {
        "clean": Row("none", "nothing"),
        "noise of equal norm": Row("weak", "noise"),
        "FGSM": Row("weak", "fgsm"),
        "PGD": Row("weak", "pgd"),
        "APGD": Row("white", "apgd"),
        "APGD, targeted": Row("white", "targeted"),
        "APGD, twice the steps": Row("more", "doubled"),
        "PGD, restarts": Row("more", "restarts"),
        "transfer from the whole image": Row("black", "apgd", "whole image"),
        "APGD from the transfer": Row("white", "from start", start="transfer from the whole image"),
    }
    made["Square"] = Row("black", "square")
    if has_eye:
        made |= {
            "APGD, every glimpse": Row("white", "each glimpse"),
            "APGD, gaze held": Row("gaze", "apgd", "held"),
            "gaze pushed off": Row("gaze", "gaze"),
            "sampled gaze, clean": Row("none", "nothing", "sampled", "sampled"),
            "sampled gaze, 1 draw": Row("noise", "apgd", "sampled", "sampled"),
            "sampled gaze, expectation": Row("noise", "expectation", "sampled", "sampled"),
        }
    if has_noise:
        made["expectation over noise"] = Row("noise", "expectation")
    controls = {"whole image": ("whole image", "clean")}
    if has_eye:
        controls |= {f"{places} fixations": ("held", places) for places in ("clean", "random", "fixed")}
    best = "each glimpse" if has_eye else "apgd"
    for name, (model, places) in controls.items():
        attack = "apgd" if model == "whole image" else best
        made[f"{name}, clean"] = Row("control", "nothing", model, model, places)
        made[f"{name}, APGD"] = Row("control", attack, model, model, places)
    for epsilon in config.sweep:
        made[f"at {epsilon:g}"] = Row("sweep", best, epsilon=epsilon)
        made[f"whole image at {epsilon:g}"] = Row("control", "apgd", "whole image", "whole image", epsilon=epsilon)
        if has_eye:
            made[f"clean fixations at {epsilon:g}"] = Row("control", best, "held", "held", epsilon=epsilon)
    return made


Attack = Callable[[ImageResponse, Batch, Array, Key, Any], Array]
"""``(respond, inputs, image, key, epsilon) -> image``; inputs hold the label, ``fixations`` and ``start``."""


def attacks(config: AttackConfig) -> dict[str, Attack]:
    """The attacks by their names in `Row`, for one image."""

    def on_class(attack: Callable[..., Outcome], **options: Any) -> Attack:
        def attacked(respond: ImageResponse, inputs: Batch, image: Array, key: Key, epsilon: Any) -> Array:
            objective = class_objective(respond, inputs["label"], **options)
            return attack(objective, image, key, ball=config.ball(epsilon)).image

        return attacked

    def steps(number: int) -> Callable[..., Outcome]:
        return lambda *given, ball: apgd(*given, ball=ball, steps=number)

    def restarts(objective: Any, image: Array, key: Key, *, ball: Ball) -> Outcome:
        return repeat(
            lambda index, key: pgd(objective, image, key, ball=ball, steps=config.steps), key, config.restarts
        )

    def averaged(objective: Any, image: Array, key: Key, *, ball: Ball) -> Outcome:
        return apgd(expectation(objective, config.draws), image, key, ball=ball, steps=config.steps)

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

    def gaze(respond: ImageResponse, inputs: Batch, image: Array, key: Key, epsilon: Any) -> Array:
        objective = away_objective(respond, inputs["fixations"], config.distance)
        return apgd(objective, image, key, ball=config.ball(epsilon), steps=config.steps).image

    return {
        "nothing": lambda respond, inputs, image, key, epsilon: image,
        "noise": on_class(noise),
        "fgsm": on_class(fgsm),
        "pgd": on_class(lambda *given, ball: pgd(*given, ball=ball, steps=config.steps)),
        "apgd": on_class(steps(config.steps)),
        "doubled": on_class(steps(2 * config.steps)),
        "each glimpse": on_class(steps(config.steps), glimpses="each"),
        "targeted": targeted,
        "restarts": on_class(restarts),
        "from start": from_start,
        "square": on_class(searched, loss=margin),
        "expectation": on_class(averaged),
        "gaze": gaze,
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
