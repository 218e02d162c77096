"""Large images: time per glimpse against the image's side, and the memory of a training that streams from disk.

    python benchmarks/large_images.py

The sides are measured in turn, in one process, with one batch of colour images; printed are the medians, and the median
of the ratios to the smallest side within each turn. The training is a command of its own, `foveax train` on a folder of
.npy files that is written first and removed after, whose peak of resident memory the system tells. Writes
``benchmarks/results/large_images.json``.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from timing import write_results

import foveax as fx
from foveax.training.fit import make_dispatch

STEPS = 10
"""Of each measurement."""


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[28, 64, 256, 512, 1024, 2048])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--streamed", type=int, default=600, help="training images of 2048 x 2048 x 3; 0 leaves it out")
    chosen = parser.parse_args()
    results: dict[str, Any] = {"batch": chosen.batch}
    if chosen.streamed:
        results["streamed"] = train_from_disk(chosen.streamed, 2048)
        print(json.dumps(results["streamed"], indent=2), flush=True)
    results["glimpses"] = rows = glimpse_table(chosen.sides, chosen.batch, chosen.repeats)
    print(f"{'side':>6}{'us/glimpse':>12}{'ratio':>8}{'with picking':>14}{'ratio':>8}")
    for row in rows:
        print(
            f"{row['side']:>6}{row['microseconds']:>12.0f}{row['ratio']:>8.2f}{row['picked_microseconds']:>14.0f}"
            f"{row['picked_ratio']:>8.2f}"
        )
    write_results("large_images", results)


def glimpse_table(sides: list[int], batch: int, repeats: int) -> list[dict[str, float]]:
    """Time per glimpse of the whole training step, of a batch on the device, and of one picked there from a set."""
    timers = {side: make_timers(side, batch) for side in sides}
    turns = [{side: [timer() for timer in pair] for side, pair in timers.items()} for _ in range(repeats)]

    def median(side: int, kind: int) -> tuple[float, float]:
        times = [turn[side][kind] for turn in turns]
        ratios = [turn[side][kind] / turn[sides[0]][kind] for turn in turns]
        return round(statistics.median(times), 1), round(statistics.median(ratios), 3)

    names = ("microseconds", "ratio", "picked_microseconds", "picked_ratio")
    return [{"side": side, **dict(zip(names, (*median(side, 0), *median(side, 1)), strict=True))} for side in sides]


def make_timers(side: int, batch: int) -> list[Callable[[], float]]:
    """Two measurements for images of a side, each in microseconds per glimpse of a batch."""
    rng = np.random.default_rng(0)
    split = {"image": rng.integers(0, 255, (batch, side, side, 3), np.uint8), "label": rng.integers(0, 10, batch)}
    data = fx.from_arrays(split, split, classes=10)
    graph = fx.standard_pipeline(data)
    learner = fx.make_learner(graph, fx.LearningConfig(), steps=1000)
    step, key = jax.jit(learner.step, donate_argnums=0), jax.random.key(0)
    run = make_dispatch(learner, data.render, population=False, mesh=None)
    shown, rows = jax.device_put(data.train), np.stack([rng.permutation(batch) for _ in range(STEPS)])
    given, picked = learner.init(key), learner.init(key)

    def on_device() -> float:
        nonlocal given
        began, metrics = time.perf_counter(), None
        for _ in range(STEPS):
            given, metrics = step(given, shown)
        jax.block_until_ready(metrics)
        return (time.perf_counter() - began) * 1e6 / (STEPS * graph.length)

    def picking() -> float:
        nonlocal picked
        began = time.perf_counter()
        picked, metrics = run(picked, STEPS, rows, key, shown, learner.hyperparameters)
        jax.block_until_ready(metrics)
        return (time.perf_counter() - began) * 1e6 / (STEPS * graph.length)

    for timer in (on_device, picking):
        timer()  # compiles
    return [on_device, picking]


def train_from_disk(images: int, side: int, *, batch: int = 16) -> dict[str, float]:
    """Peak memory and rate of `foveax train` on a folder of colour images that are not loaded."""
    with tempfile.TemporaryDirectory() as folder:
        size = write_set(Path(folder) / "set", images, side)
        flags = ["--data", f"{folder}/set", "--shift", "0", "--batch", str(batch), "--images", str(2 * images)]
        command = [sys.executable, "-m", "foveax.cli", "train", *flags, "--out", f"{folder}/run"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # kilobytes, on Linux
    return {
        "images": images,
        "side": side,
        "batch": batch,
        "set_megabytes": round(size / 2**20),
        "peak_resident_megabytes": round(peak),
        "images_per_second": round(summary["images_per_second"], 1),
    }


def write_set(folder: Path, images: int, side: int, *, test: int = 32) -> int:
    """Writes a folder of random images, one at a time, and gives the bytes of them all."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", images), ("test", test)):
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, side, side, 3)}
        with (folder / f"{split}_image.npy").open("wb") as file:  # not mapped: a child inherits its parent's peak
            np.lib.format.write_array_header_1_0(file, header)
            for _ in range(count):
                file.write(rng.bytes(side * side * 3))
        np.save(folder / f"{split}_label.npy", np.arange(count) % 10)
    return (images + test) * side * side * 3


if __name__ == "__main__":
    main()
