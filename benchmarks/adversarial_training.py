"""What looking adds to adversarial training: two eyes and a whole image on MNIST, trained against one adversary.

    python benchmarks/adversarial_training.py [--seeds 3] [--images 150000] [--saturation 40] [--data-dir DIR]

Trains a learned eye, an itinerary, and a network of the same encoder that sees the whole image, each against
an adversary in L-infinity of radius 0.3, and attacks each on 1,000 test images, eyes through their gaze: robust are
those that no attack of `ROWS` breaks. Writes ``benchmarks/results/adversarial_training.json`` after each network; one
that is there is not trained again.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy import stats
from timing import RESULTS

import foveax as fx
from foveax.evaluation.attack import attack
from foveax.evaluation.attack_rows import AttackConfig
from foveax.runtime.files import read_json, write_json
from foveax.runtime.machine import machine

ROWS = ("noise of equal norm", "APGD", "APGD, targeted", "APGD, every glimpse", "Square")
WHOLE = {"glimpses": 1, "policy": "centre", "crop_size": 28, "core": "feedforward"}
EYES: dict[str, dict[str, Any]] = {
    "learned": {},
    "itinerary": {"policy": "itinerary"},
    "whole image": WHOLE,
}
"""What distinguishes them in the configuration of the pipeline."""


def main() -> None:
    """Trains and attacks the networks that are not there yet, writes after each, prints the table."""
    preset = fx.PRESETS["hardened"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=150_000)
    parser.add_argument("--saturation", type=float, default=preset.pipeline.saturation, help="receptors' gain; 0: none")
    parser.add_argument("--attacked", type=int, default=1_000)
    parser.add_argument("--steps", type=int, default=preset.learning.adversary_steps)
    parser.add_argument("--eyes", nargs="*", choices=[*EYES], default=[*EYES])
    parser.add_argument("--data-dir", default="")
    parser.add_argument("--out", type=Path, default=RESULTS / "adversarial_training.json")
    chosen = parser.parse_args()
    config = configuration(chosen)
    data = config.load(data_dir=chosen.data_dir)
    settings = {"config": config.to_json(), "attacked": chosen.attacked}
    results = read_json(chosen.out) if chosen.out.exists() else {"machine": machine(), **settings, "networks": []}
    if {name: results[name] for name in settings} != settings:
        parser.error(f"{chosen.out} holds networks of other settings")
    for seed in range(chosen.seeds):
        for eye in chosen.eyes:
            if not any((one["eye"], one["seed"]) == (eye, seed) for one in results["networks"]):
                results["networks"].append({"eye": eye, "seed": seed, **trained(config, eye, seed, data, chosen)})
                results["table"] = table(results["networks"])
                write_json(chosen.out, results)
                print(results["networks"][-1], flush=True)
    for eye, row in results["table"].items():
        print(eye, row)


def configuration(chosen: argparse.Namespace) -> fx.TrainingConfig:
    """The configuration that all networks share."""
    preset = fx.PRESETS["hardened"]
    pipeline = dataclasses.replace(preset.pipeline, saturation=chosen.saturation)
    learning = dataclasses.replace(preset.learning, adversary_steps=chosen.steps)
    return dataclasses.replace(preset, images=chosen.images, pipeline=pipeline, learning=learning)


def trained(
    config: fx.TrainingConfig, eye: str, seed: int, data: fx.Data, chosen: argparse.Namespace
) -> dict[str, Any]:
    """The accuracies of a network on test images, in percent, by row, and what no attack of them breaks."""
    pipeline = dataclasses.replace(config.pipeline, **EYES[eye])
    result = fx.train(dataclasses.replace(config, seed=seed, pipeline=pipeline), data, evaluate=False)
    network = result.graph, result.params
    budget = AttackConfig(images=chosen.attacked, seed=seed)
    only = [row for row in ROWS if eye != "whole image" or row != "APGD, every glimpse"]
    with tempfile.TemporaryDirectory() as folder:
        found = attack(*network, data, folder=Path(folder) / "attack", whole_image=network, config=budget, only=only)
    jax.clear_caches()
    rows = {name: round(100 * row["accuracy"], 2) for name, row in found["rows"].items()}
    return {"rows": rows, "worst": round(100 * found["worst"], 2)}


def table(networks: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By eye: clean and robust accuracy, mean and worst over seeds, and the gain of the learned eye over it.

    The gain has its 95 % interval of Student's t over seeds, with as many as there are of both.
    """
    by_eye = {eye: {one["seed"]: one for one in networks if one["eye"] == eye} for eye in EYES}
    rows = {}
    for eye, ours in by_eye.items():
        if not ours:
            continue
        robust = np.array([one["worst"] for one in ours.values()])
        clean = np.array([one["rows"]["clean"] for one in ours.values()])
        rows[eye] = {
            "seeds": len(ours),
            "clean": round(float(clean.mean()), 2),
            "robust": round(float(robust.mean()), 2),
        }
        rows[eye]["least_robust"] = round(float(robust.min()), 2)
        both = sorted(by_eye["learned"].keys() & ours.keys())
        gains = np.array([by_eye["learned"][seed]["worst"] - ours[seed]["worst"] for seed in both])
        if eye != "learned" and len(both) > 1:
            half = stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
            rows[eye]["gain_of_learned"] = [round(float(gains.mean() + offset), 2) for offset in (0, -half, half)]
    return rows


if __name__ == "__main__":
    main()
