"""How the training step grows: with glimpses, crop, batch and population; what it compiles to; and how fast it starts.

    python benchmarks/scaling.py

Every row is the default pipeline with one size changed, on images of 28x28, or of the crop's side where that is more:
microseconds per glimpse of the whole step, forward, backward and update; its ratio to the default's, measured in turn
with it; seconds to compile; and megabytes of working memory, by XLA's own account. Then the seconds from calling
``foveax train`` to its first line of metrics, cold and with a compilation cache (``--compilation-cache``). Writes
``benchmarks/results/scaling-KIND.json``.
"""

import argparse
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from timing import blank_data, in_turn, ratio, write_results

import foveax as fx
from foveax.training.learner import Learner, TrainState

DEFAULT = fx.TrainingConfig(batch=128)
GLIMPSES, CROPS = (1, 2, 4, 8, 16, 32), (5, 9, 17, 33, 65)
BATCHES, POPULATIONS = (8, 32, 128, 512, 2048), (1, 2, 4, 8)
STEPS = 5
"""Of the training step, in one measurement."""


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print(f"{'':<18}{'us/glimpse':>12}{'ratio':>8}{'compile s':>11}{'MB':>8}")
    rows = {name: _measure(name, config, members, repeats) for name, config, members in _rows()}
    starts = {name: statistics.median(seconds) for name, seconds in _starts(repeats=3).items()}
    for name, seconds in starts.items():
        print(f"foveax train, {name} start: {seconds:.1f} s to the first line of metrics")
    kind = jax.devices()[0].device_kind.replace(" ", "-")
    write_results(f"scaling-{kind}", {"rows": rows, "seconds_to_first_metrics": starts})


def _rows() -> Iterator[tuple[str, fx.TrainingConfig, int]]:
    """Name, configuration, and members of the population."""
    for glimpses in GLIMPSES:
        yield f"glimpses {glimpses}", _with_sizes(glimpses=glimpses), 1
    for crop in CROPS:
        yield f"crop {crop}", _with_sizes(crop_size=crop), 1
    for batch in BATCHES:
        yield f"batch {batch}", dataclasses.replace(DEFAULT, batch=batch), 1
    for members in POPULATIONS:
        yield f"population {members}", dataclasses.replace(DEFAULT, batch=32), members


def _with_sizes(**sizes: Any) -> fx.TrainingConfig:
    return dataclasses.replace(DEFAULT, pipeline=dataclasses.replace(DEFAULT.pipeline, **sizes))


def _measure(name: str, config: fx.TrainingConfig, members: int, repeats: int) -> dict[str, float]:
    run, compiled, megabytes = _training(config, members)
    default, _, _ = _training(DEFAULT, 1)
    seconds = in_turn({"this": run, "default": default}, repeats=repeats)
    glimpses = STEPS * config.batch * config.pipeline.glimpses * members
    per_glimpse = {
        "this": [second / glimpses for second in seconds["this"]],
        "default": [second / (STEPS * DEFAULT.batch * DEFAULT.pipeline.glimpses) for second in seconds["default"]],
    }
    figures = {
        "microseconds_per_glimpse": 1e6 * statistics.median(per_glimpse["this"]),
        "ratio_to_default": ratio(per_glimpse["this"], per_glimpse["default"]),
        "compile_seconds": compiled,
        "megabytes": megabytes,
    }
    cells = zip(figures.values(), ("12.1f", "8.2f", "11.1f", "8.0f"), strict=True)
    print(f"{name:<18}" + "".join(f"{value:>{width}}" for value, width in cells), flush=True)
    return {figure: round(value, 3) for figure, value in figures.items()}


def _training(config: fx.TrainingConfig, members: int) -> tuple[Callable[[], None], float, float]:
    """Some steps of a training; the seconds it took to compile the step, and the megabytes it works in."""
    side = max(28, config.pipeline.crop_size)
    shape = (side, side, 1)
    graph = fx.standard_pipeline(blank_data(shape), config.pipeline)
    learner = fx.make_learner(graph, config.learning, steps=100_000)
    rows = config.batch * members
    images = jnp.arange(rows * side * side, dtype=jnp.uint8).reshape(rows, *shape)
    batch = {"image": images, "label": jnp.arange(rows, dtype=jnp.int32) % 10}
    state, step = learner.init(jax.random.key(0)), learner.step
    if members > 1:
        state, batch, step = _population(learner, batch, members)
    began = time.perf_counter()
    program = jax.jit(step, donate_argnums=0).lower(state, batch).compile()
    compiled = time.perf_counter() - began
    held = [state]

    def run() -> None:
        for _ in range(STEPS):
            held[0], _ = program(held[0], batch)
        jax.block_until_ready(held[0])

    return run, compiled, _megabytes(program)


def _megabytes(program: Any) -> float:
    return program.memory_analysis().temp_size_in_bytes / 2**20


def _population(learner: Learner, batch: dict[str, Any], members: int) -> tuple[TrainState, dict[str, Any], Any]:
    keys = jax.random.split(jax.random.key(0), members)
    shared = {name: array.reshape(members, -1, *array.shape[1:]) for name, array in batch.items()}
    return jax.vmap(learner.init)(keys), shared, jax.vmap(learner.step)


def _starts(*, repeats: int) -> dict[str, list[float]]:
    """Seconds to the first metrics of ``foveax train``: without a compilation cache, and with a full one."""
    seconds: dict[str, list[float]] = {"cold": [], "warm": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for kind in seconds:
                seconds[kind].append(_seconds_to_first_metrics(Path(folder) / kind, Path(folder) / "programs"))
    return seconds


def _seconds_to_first_metrics(run: Path, programs: Path) -> float:
    command = [sys.executable, "-m", "foveax.cli", "train", "--images", "32000", "--dispatch", "10"]
    began = time.perf_counter()
    with subprocess.Popen(
        [*command, "--out", run, "--compilation-cache", programs], stderr=subprocess.DEVNULL
    ) as process:
        metrics = run / "metrics.jsonl"
        while not (metrics.exists() and metrics.stat().st_size):
            if process.poll() is not None:
                raise SystemExit(f"foveax train must run; it ended with exit code {process.returncode}")
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        process.kill()
    return seconds


if __name__ == "__main__":
    main()
