"""An attack on the receptors' responses in place of the pixels, against a run whose receptors saturate.

    foveax train --preset hardened --no-evaluate --out runs/hardened
    foveax attack runs/hardened
    python benchmarks/response_attack.py runs/hardened

Where a saturating curve is flat a step along the gradient of the pixels shows little. Here each pixel's response is
chosen freely between those at the two ends of its ball, by APGD on the last glimpse and on every one, from the clean
image and from a random one, and brought back by the curve's inverse. The images are those of the run's evaluation;
prints the share that this attack leaves, alone and together with the evaluation's strongest row.
"""

import argparse
import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import foveax as fx
from foveax.evaluation.attack import EXAMPLES
from foveax.evaluation.gaze_attacks import class_objective, free_gaze
from foveax.robustness import apgd, linf
from foveax.runtime.files import read_json

BATCH = 50


def main() -> None:
    """Attacks, judges by the run's own graph, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--data-dir", default="")
    chosen = parser.parse_args()
    epsilon = read_json(chosen.run / "attack" / "attack.json")["config"]["epsilon"]
    with np.load(chosen.run / "attack" / EXAMPLES) as file:
        images, labels = file["image"], file["label"]
        is_left = file["predicted_attacked"] == labels
    run = fx.load_run(chosen.run, data_dir=chosen.data_dir)
    gain, params = run.config.pipeline.saturation, run.params
    if not gain:
        parser.error("the run's receptors must saturate (--saturation); got a gain of 0")
    linear = fx.standard_pipeline(run.data, dataclasses.replace(run.config.pipeline, saturation=0.0))
    judge = jax.jit(jax.vmap(partial(decision, free_gaze(run.graph), params)))
    is_robust = np.asarray(judge(images, labels, jax.random.split(jax.random.key(0), len(images)))) == labels
    low, clean, high = (np.asarray(fx.saturate(np.clip(images + way * epsilon, 0, 1), gain)) for way in (-1, 0, 1))
    for number, (glimpses, is_random) in enumerate((g, r) for g in ("last", "each") for r in (False, True)):
        attack = jax.jit(jax.vmap(partial(attacked, free_gaze(linear), params, glimpses, is_random, chosen.steps)))
        keys = jax.random.split(jax.random.key(number), len(images))
        batches = [slice(begin, begin + BATCH) for begin in range(0, len(images), BATCH)]
        shares = np.concatenate([attack(clean[b], labels[b], low[b], high[b], keys[b]) for b in batches])
        changed = pixels(low + (high - low) * shares, gain)
        changed = np.clip(changed, np.maximum(images - epsilon, 0), np.minimum(images + epsilon, 1))
        is_robust &= np.asarray(judge(changed.astype(np.float32), labels, keys)) == labels
        start = "a random start" if is_random else "the clean image"
        left = f"{100 * is_robust.mean():.1f} %; with the strongest row {100 * (is_robust & is_left).mean():.1f} %"
        print(f"{glimpses} glimpse, from {start}: so far {left}", flush=True)


def decision(respond: Any, params: Any, image: Any, label: Any, key: Any) -> Any:
    """The most probable class after the last glimpse."""
    return jnp.argmax(respond(params, {"label": label}, image, key).logits[-1])


def attacked(
    respond: Any, params: Any, glimpses: Any, is_random: bool, steps: int,
    clean: Any, label: Any, low: Any, high: Any, key: Any,
) -> Any:  # fmt: skip
    """Each response's share of the way from its lowest to its highest value, ``[H, W, 1]``."""

    def response(shares: Any, key: Any) -> Any:
        return respond(params, {"label": label}, low + (high - low) * shares, key)

    objective = class_objective(response, label, glimpses=glimpses)
    start = None if is_random else jnp.clip((clean - low) / jnp.maximum(high - low, 1e-12), 0, 1)
    return apgd(objective, jnp.full_like(clean, 0.5), key, ball=linf(0.5), steps=steps, start=start).image


def pixels(responses: np.ndarray, gain: float) -> np.ndarray:
    """The inverse of `foveax.saturate`."""
    swing = np.tanh(gain / 4) * (2 * responses.astype(np.float64) - 1)
    return 0.5 + 2 / gain * np.arctanh(np.clip(swing, -1 + 1e-15, 1 - 1e-15))


if __name__ == "__main__":
    main()
