"""Timing as the benchmarks do it: warmed up, in turn, by medians; and a results file that names the machine."""

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import foveax as fx
from foveax.runtime.files import write_json
from foveax.runtime.machine import machine

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


def blank_data(shape: tuple[int, int, int]) -> fx.Data:
    """A data set of one black image ``(H, W, C)`` of ten classes, for pipelines whose input does not matter."""
    split = {"image": np.zeros((1, *shape), np.uint8), "label": np.zeros(1, np.int32)}
    return fx.from_arrays(split, split, classes=10)


def write_results(name: str, values: Mapping[str, Any]) -> None:
    """Writes ``benchmarks/results/NAME.json``: the values, and where they were measured."""
    file = RESULTS / f"{name}.json"
    write_json(file, {"machine": machine(), **values})
    print(f"written to {file}")
