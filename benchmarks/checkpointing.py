"""What it costs to lose nothing: a training that is checked and saved every 30 s, beside one that is neither.

    python benchmarks/checkpointing.py

trains the default pipeline in turn with and without the checks that losses and gradients are finite, in one process;
adds the share of a save in 30 s, all that happens in the background included, as if nothing else could go on meanwhile;
prints a table, and writes ``benchmarks/results/checkpointing.json``.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
from timing import write_results

import foveax as fx
from foveax._types import Batch, Metrics
from foveax.runs import run as open_runs
from foveax.runs.checkpoint import Checkpoints
from foveax.runtime.metrics_file import MetricsFile
from foveax.training import learner as learner_module
from foveax.training.learner import Learner, TrainState, make_learner


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--steps", type=int, default=200, help="in each stretch")
    chosen = parser.parse_args()
    config = fx.TrainingConfig(images=10**9)
    data = config.prepare(fx.load(config.data))
    checked = make_learner(fx.build_graph(config, data), config.learning, steps=config.steps)
    stretches = {"checked": stretches_of(checked, data, config, chosen.steps),
                 "unchecked": stretches_of(unchecked(checked), data, config, chosen.steps)}  # fmt: skip
    for stretch in stretches.values():
        next(stretch)  # compiles
    seconds: dict[str, list[float]] = {name: [] for name in stretches}
    for repeat in range(chosen.repeats):
        order = [*stretches] if repeat % 2 else [*reversed(stretches)]
        for name in order:
            seconds[name].append(next(stretches[name])[0])
    ratios = [with_ / without for with_, without in zip(seconds["checked"], seconds["unchecked"], strict=True)]
    saves = save_seconds(next(stretches["checked"])[1], chosen.repeats)
    finite, saving = statistics.median(ratios) - 1, statistics.median(saves) / open_runs.SAVE_SECONDS
    results = {
        "images_per_second": round(chosen.steps * config.batch / statistics.median(seconds["checked"])),
        "images_per_second_unchecked": round(chosen.steps * config.batch / statistics.median(seconds["unchecked"])),
        "checks": round(finite, 4),
        "checks_quartiles": [round(ratio - 1, 4) for ratio in statistics.quantiles(ratios, n=4)[::2]],
        "save_seconds": round(statistics.median(saves), 4),
        "saves": round(saving, 5),
        "together": round(finite + saving, 4),
        "repeats": chosen.repeats,
        "steps": chosen.steps,
    }
    for name, value in results.items():
        print(f"{name:<28}{value}")
    write_results("checkpointing", results)


def unchecked(learner: Learner) -> Learner:
    """The same learner whose updates are always made."""

    def step(state: TrainState, batch: Batch, hyper: fx.Hyperparameters) -> tuple[TrainState, Metrics]:
        finite, cond = learner_module.is_finite, jax.lax.cond
        learner_module.is_finite = lambda loss, grads: jnp.array(True)  # while it is traced
        jax.lax.cond = lambda made, make, keep, *operands: make(*operands)
        try:
            return learner.step(state, batch, hyper)
        finally:
            learner_module.is_finite, jax.lax.cond = finite, cond

    return learner._replace(step=step)


def stretches_of(
    learner: Learner, data: fx.Data, config: fx.TrainingConfig, steps: int
) -> Iterator[tuple[float, TrainState]]:
    """Stretches of one training, each with its seconds and the state after it."""
    state = learner.init(jax.random.key(0))
    dispatches = fx.fit(learner, data, state, steps=config.steps, batch=config.batch, dispatch=steps)
    while True:
        began = time.perf_counter()
        state, metrics = next(dispatches)
        jax.block_until_ready(metrics)
        yield time.perf_counter() - began, state


def save_seconds(state: TrainState, repeats: int) -> list[float]:
    """How long a save takes, with all that happens in the background."""
    seconds = []
    for repeat in range(repeats):
        with tempfile.TemporaryDirectory() as folder, MetricsFile(Path(folder) / "metrics.jsonl", step=0) as metrics:
            began = time.perf_counter()
            with Checkpoints(Path(folder) / "checkpoints", f"{repeat}") as checkpoints:
                checkpoints.save(state, {"metrics": metrics.seal()})
            seconds.append(time.perf_counter() - began)
    return seconds


if __name__ == "__main__":
    main()
