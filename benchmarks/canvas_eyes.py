"""What looking is worth on a canvas: a learned eye, the best a fixed sequence can do, and one that is told the place.

    python benchmarks/canvas_eyes.py translated|cluttered [--images 100000] [--seeds 5] [--ablations 3] [--out DIR]

MNIST by ``--preset canvas``, six glimpses, or eight among clutter, in batches of 32; each eye has a classifier of its
own, trained as long on images drawn alike. The way of a seed is how far its learned eye goes from the fixed sequence to
the eye that is told: ``(learned - sequence) / (told - sequence)``. The ablations change the learned eye in one respect
each, from so many seeds; 0 leaves them out. Seeds are trained together; what is in DIR already is not trained again.
Writes ``benchmarks/results/canvas_eyes_TASK_IMAGES.json``: accuracy after each glimpse, on test images. MNIST is found
by ``TFDS_DATA_DIR``.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from timing import write_results

import foveax as fx

EYES: dict[str, dict[str, Any]] = {
    "learned": {},
    "a fixed sequence": {"policy": "itinerary"},
    "told where the digit lies": {"policy": "told"},
    "salient": {"policy": "salient"},
    "random": {"policy": "random"},
}
ABLATIONS: dict[str, dict[str, Any]] = {
    "absolute saccades": {"saccade": "absolute"},
    "paid for decisions alone": {"glimpse_reward": 0.0},
    "reads the classifier's state alone": {"saccader_sees": "hidden"},
    "discount 0.5": {"discount": 0.5},
    "policy learning rate 0.0005": {"policy_learning_rate": 5e-4},
    "none of these": {
        "saccade": "absolute",
        "glimpse_reward": 0.0,
        "saccader_sees": "hidden",
        "discount": 0.5,
        "policy_learning_rate": 5e-4,
    },
}
"""Changes of fields of the pipeline and of learning, by what they are called."""


def main() -> None:
    """Trains, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=("translated", "cluttered"))
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ablations", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/canvas_eyes"))
    flags = parser.parse_args()
    preset = fx.PRESETS["canvas"]
    glimpses = 8 if flags.task == "cluttered" else 6
    pipeline = dataclasses.replace(preset.pipeline, glimpses=glimpses)
    base = {"task": flags.task, "images": flags.images, "batch": 32}
    config = dataclasses.replace(preset, pipeline=pipeline, **base)
    wanted = {name: (changes, flags.seeds) for name, changes in EYES.items()}
    wanted |= {name: (changes, flags.ablations) for name, changes in ABLATIONS.items() if flags.ablations}
    rows = {}
    for name, (changes, seeds) in wanted.items():
        folder = flags.out / f"{flags.task}_{flags.images}" / name.replace(" ", "_").replace("'", "")
        population = fx.train_population(changed(config, changes), seeds=seeds, out=folder)
        rows[name] = row(name, population.accuracy)
    values: dict[str, Any] = {**base, "glimpses": glimpses, "rows": rows}
    learned, sequence, told = (np.array(rows[name]["accuracy"])[:, -1] for name in list(EYES)[:3])
    way = (learned - sequence) / (told - sequence)
    values["way"] = {"seeds": way.tolist(), "mean": float(way.mean()), "worst": float(way.min())}
    print(f"the learned eye goes {100 * way.mean():.0f} % of the way, {100 * way.min():.0f} % at the worst")
    write_results(f"canvas_eyes_{flags.task}_{flags.images}", values)


def row(name: str, accuracy: np.ndarray) -> dict[str, Any]:
    """An eye's figures, from its seeds' ``[P, T]``; prints the last glimpse's mean and worst, and the means of all."""
    last = accuracy[:, -1]
    print(f"{name:<44}{100 * last.mean():8.2f}{100 * last.min():8.2f}  {(100 * accuracy.mean(0)).round(2)}", flush=True)
    return {"accuracy": accuracy.round(5).tolist(), "mean": float(last.mean()), "worst": float(last.min())}


def changed(config: fx.TrainingConfig, changes: dict[str, Any]) -> fx.TrainingConfig:
    """The configuration with other values of fields of its pipeline, or of its learning."""
    parts = {}
    for name in ("pipeline", "learning"):
        part = getattr(config, name)
        own = {field.name for field in dataclasses.fields(part)}
        parts[name] = dataclasses.replace(part, **{key: value for key, value in changes.items() if key in own})
    return dataclasses.replace(config, **parts)


if __name__ == "__main__":
    main()
