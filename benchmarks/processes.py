"""How a training step grows with processes: one, and two on this machine that share every batch.

    python benchmarks/processes.py

Every process is held to one core. Measured in turn are a step of one process, of one with half the batch, and of two
that share the batch, over the loopback interface; and the all-reduce alone, whose time is fitted by a latency and a
bandwidth: the constants of the model in docs/scaling.md. Writes ``benchmarks/results/processes.json``.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from timing import write_results

import foveax as fx
from foveax.runtime.processes import check_alike, is_main, start_processes
from foveax.training.collectives import BATCH, averaged
from foveax.training.mesh import place, training_mesh

SIZES = (1_000, 100_000, 1_000_000, 4_000_000)
"""Floats in the all-reduces that are timed."""
DISPATCH, ROUNDS = 20, 4


def main() -> None:
    """Measures, prints, writes; or, started by itself with `--measure`, is one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--join", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        measure(json.loads(chosen.measure), chosen.join)
        return
    batches = chosen.batches
    turns = [one_turn(batches) for _ in range(chosen.repeats)]
    median = {name: round(statistics.median(turn[name] for turn in turns), 4) for name in turns[0]}
    latency, per_float = np.polynomial.polynomial.polyfit(SIZES, [median[f"reduce {size}"] for size in SIZES], 1)
    results: dict[str, Any] = {
        "parameters": parameters(),
        "latency_ms": round(float(latency), 3),
        "gigabytes_per_second": round(4e-6 / float(per_float), 3),
        "milliseconds": median,
    }
    print(f"{'batch':>6}{'one ms':>10}{'half the batch ms':>20}{'two ms':>10}{'speed-up':>10}")
    for batch in batches:
        one, half, two = (median[f"{kind} {batch}"] for kind in ("one", "half", "two"))
        print(f"{batch:>6}{one:>10.2f}{half:>20.2f}{two:>10.2f}{one / two:>10.2f}")
    print(json.dumps(results, indent=2))
    write_results("processes", results)


def one_turn(batches: list[int]) -> dict[str, float]:
    """Milliseconds of every case, once."""
    one = in_processes(1, {"steps": [*batches, *(batch // 2 for batch in batches)]})
    two = in_processes(2, {"steps": batches, "reduces": SIZES})
    return {
        **{f"one {batch}": one[f"step {batch}"] for batch in batches},
        **{f"half {batch}": one[f"step {batch // 2}"] for batch in batches},
        **{f"two {batch}": two[f"step {batch}"] for batch in batches},
        **{f"reduce {size}": two[f"reduce {size}"] for size in SIZES},
    }


def in_processes(count: int, cases: dict[str, Any]) -> dict[str, float]:
    """What process 0 of so many measured, each on a core of its own."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    cores = sorted(os.sched_getaffinity(0))
    command = [sys.executable, __file__, "--measure", json.dumps(cases)]
    started = []
    for number in range(count):
        join = ["--join", coordinator, str(count), str(number)] if count > 1 else []
        hold = ["taskset", "-c", str(cores[number % len(cores)])]
        started.append(subprocess.Popen(hold + command + join, stdout=subprocess.PIPE, text=True))
    said = [process.communicate()[0] for process in started]
    return json.loads(said[0].splitlines()[-1])


def measure(cases: dict[str, Any], join: list[str] | None) -> None:
    """Times the cases in this process, and the others that it joins, and prints what process 0 found."""
    if join:
        start_processes(join[0], int(join[1]), int(join[2]))
        check_alike("cases", json.dumps(cases))  # joins the processes before one of them takes longer to compile
    times = {f"step {batch}": time_step(batch) for batch in cases.get("steps", ())}
    times |= {f"reduce {size}": time_reduce(size) for size in cases.get("reduces", ())}
    if is_main():
        print(json.dumps(times))


def time_step(batch: int) -> float:
    """Milliseconds of the default pipeline's training step."""
    data, steps = fx.load("mnist5k"), DISPATCH * (ROUNDS + 1)
    learner = fx.make_learner(fx.standard_pipeline(data), fx.LearningConfig(), steps=steps)
    state, times, began = learner.init(jax.random.key(0)), [], time.perf_counter()
    for _, metrics in fx.fit(learner, data, state, batch=batch, dispatch=DISPATCH, mesh=training_mesh(1)):
        jax.block_until_ready(metrics)
        times.append(time.perf_counter() - began)
        began = time.perf_counter()
    return 1e3 * statistics.median(times[1:]) / DISPATCH


def time_reduce(size: int) -> float:
    """Milliseconds of the all-reduce of so many floats."""
    mesh, whole = training_mesh(1), PartitionSpec()
    assert mesh

    def repeat(vector: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, DISPATCH, lambda _, carry: averaged(carry) + jax.lax.axis_index(BATCH), vector)

    run = jax.jit(jax.shard_map(repeat, mesh=mesh, in_specs=whole, out_specs=whole, check_vma=False))
    vector, times = place(jnp.zeros(size), mesh), []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        jax.block_until_ready(run(vector))
        times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times[1:]) / DISPATCH


def parameters() -> int:
    """Of the default pipeline."""
    data = fx.load("mnist5k")
    graph = fx.standard_pipeline(data)
    return sum(leaf.size for leaf in jax.tree.leaves(fx.init(graph, jax.random.key(0))))


if __name__ == "__main__":
    main()
