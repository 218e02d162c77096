"""Timing as the benchmarks do it: warmed up, in turn, by medians; and a results file that names the machine."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

RESULTS = Path(__file__).parent / "results"


def in_turn(runs: Mapping[str, Callable[[], None]], *, repeats: int) -> dict[str, list[float]]:
    """Seconds of each run, by name: each once unmeasured, then one after the other, `repeats` times over.

    What disturbs a machine for a while disturbs all of them; `ratio` compares those that stood side by side.

    Args:
      runs: what to time; each must wait for its own end.
      repeats: rounds.
    """
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def ratio(above: list[float], below: list[float]) -> float:
    """The median over rounds of the ratio of two runs' seconds."""
    return statistics.median(one / other for one, other in zip(above, below, strict=True))


def write_results(name: str, values: Mapping[str, Any]) -> None:
    """Writes ``benchmarks/results/NAME.json``: the values, and where they were measured."""
    machine = {
        "device": jax.devices()[0].device_kind,
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "jax": jax.__version__,
    }
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps({"machine": machine, **values}, indent=2) + "\n")
    print(f"written to {file}")


def _processor() -> str:
    """Name and model number, where Linux tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    told = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
    return f"{told.get('model name', platform.machine()).strip()}, model{told.get('model', ' unknown')}"
