"""Is it worth learning to look? Eyes on a canvas, each with a classifier of its own, five seeds as one program.

    python benchmarks/looking.py --data mnist --data-dir DIR

Each row is a task, a number of images and an eye: *learned*; *itinerary*, the fixed sequence that serves best, learned
with its classifier; *told* where the digit lies; *salient*; *random*. The share is how far the learned eye goes from
the itinerary to the told eye. Rows that are there are not repeated. On a GPU, `--processes` compile at the same time.
"""

import argparse
import dataclasses
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from timing import RESULTS

import foveax as fx
from foveax.runtime.files import read_json, write_json
from foveax.runtime.machine import machine

EYES = ("learned", "itinerary", "told", "salient", "random")
TASKS = {"translated": {}, "cluttered": {"learning_rate": 1e-3}}
"""The tasks, and what learns differently there."""


def row(data: fx.Data, config: fx.TrainingConfig, seeds: int) -> dict[str, Any]:
    """One population: the test accuracy of each seed after each glimpse, in %."""
    population = fx.train_population(config, data, seeds=seeds)
    accuracy = 100 * population.accuracy
    last = accuracy[:, -1]
    return {
        "config": config.to_json(),
        "accuracy": accuracy.round(2).tolist(),
        "mean": round(float(last.mean()), 2),
        "worst": round(float(last.min()), 2),
        "images_per_second": round(population.images_per_second),
        "machine": machine(),
    }


def configuration(task: str, images: int, eye: Any, *, scale: float, tiny: bool) -> fx.TrainingConfig:
    """Of a row."""
    base = fx.PRESETS["canvas"]
    pipeline = dataclasses.replace(base.pipeline, policy=eye, scale_start=scale)
    if tiny:
        pipeline = dataclasses.replace(pipeline, hidden=8, features=8, kernels=4, glimpses=3)
    learning = dataclasses.replace(base.learning, **TASKS[task])
    batch = min(base.batch * max(images // 400_000, 1), 256)
    return dataclasses.replace(base, task=task, images=images, batch=batch, pipeline=pipeline, learning=learning)


def shares(rows: dict[str, Any]) -> dict[str, float]:
    """How far the learned eye goes from the itinerary to the told eye, by task and images."""
    found = {}
    for name in rows:
        prefix, _, eye = name.rpartition(", ")
        anchors = [rows.get(f"{prefix}, {other}", {}).get("mean") for other in ("itinerary", "told")]
        if eye == "learned" and None not in anchors and anchors[0] != anchors[1]:
            found[prefix] = round((rows[name]["mean"] - anchors[0]) / (anchors[1] - anchors[0]), 3)
    return found


def main() -> None:
    """Runs the rows that are not there yet, each in a process of its own, and prints all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--images", type=int, nargs="+", default=[400_000])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--eyes", nargs="+", choices=EYES, default=list(EYES))
    parser.add_argument("--scale", type=float, default=0.5, help="of the exploration at the start")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--validation", type=int, default=0, help="training images that take the place of the test images"
    )
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "looking.json")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.row:
        task, images, eye = chosen.row.split(", ")
        config = configuration(task, int(images), eye, scale=chosen.scale, tiny=chosen.tiny)
        config = dataclasses.replace(config, validation=chosen.validation)
        data = fx.load(chosen.data, data_dir=chosen.data_dir)
        write_json(chosen.out, row(data, config, chosen.seeds))
        return
    results = read_json(chosen.out) if chosen.out.exists() else {"rows": {}}
    names = [f"{task}, {images}, {eye}" for images in chosen.images for task in chosen.tasks for eye in chosen.eyes]

    def run(name: str) -> None:
        part = chosen.out.with_name(f"{chosen.out.stem}-{name.replace(', ', '-')}.json")
        flags = [sys.executable, *sys.argv, "--row", name, "--out", str(part)]
        subprocess.run(flags, check=True, env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"})
        results["rows"][name] = read_json(part)
        part.unlink()
        write_json(chosen.out, {**results, "shares": shares(results["rows"])})
        print(f"{name:<32}{results['rows'][name]['mean']:>8.2f}{results['rows'][name]['worst']:>8.2f}", flush=True)

    print(f"{'test accuracy (%)':<32}{'mean':>8}{'worst':>8}")
    with ThreadPoolExecutor(chosen.processes) as threads:
        list(threads.map(run, [name for name in names if name not in results["rows"]]))
    for name, share in shares(results["rows"]).items():
        print(f"{name}: the learned eye goes {100 * share:.0f} % of the way from the itinerary to the told eye")


if __name__ == "__main__":
    main()
