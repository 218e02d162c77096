"""Is this tree slower than another revision? Five standard cells, the two trees in turn within one run.

    python benchmarks/guard.py REVISION [--rounds 15] [--cells training ...]

Each tree runs in a process of its own, the revision's from a temporary worktree; in every round a cell is run by both,
in an order that alternates, so that what disturbs the machine for a while disturbs both. Printed for each cell: the
ratio of the rates, this tree's to the revision's (above 1: faster now), its geometric mean over rounds with a 95 %
bootstrap interval, and the seconds of each tree's first run, which compiles. A cell that the revision cannot run is
said to be new. Ends with 1 if a whole interval lies below 1 - MARGIN. For use before a release; it writes nothing.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import foveax as fx
from foveax.analysis import bootstrap_mean

ROOT = Path(__file__).parents[1]
MARGIN = 0.05
"""How much slower a cell must certainly be to count."""
STEPS = 50
"""Training steps in a run of a cell."""


def main() -> int:
    """Compares, prints; how it ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cells", nargs="+", choices=tuple(CELLS), default=list(CELLS))
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.worker:
        return serve(flags.cells)
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "revision"
        git("worktree", "add", "--detach", str(other), flags.revision)
        try:
            trees = {"now": Worker(ROOT, flags.cells), "before": Worker(other, flags.cells)}
            return compare(trees, flags.cells, flags.rounds)
        finally:
            git("worktree", "remove", "--force", str(other))


class Worker:
    """A process that imports foveax from one tree and runs cells on demand."""

    def __init__(self, tree: Path, cells: list[str]):
        command = [sys.executable, str(Path(__file__)), "-", "--worker", "--cells", *cells]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        self.process = subprocess.Popen(
            command, env=environment, cwd=tree, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def run(self, cell: str) -> float:
        """The seconds that a cell took; NaN if this tree cannot run it; raises if the process has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(cell, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a worker must answer; that of {self.process.args} ended at the cell {cell}")
        return float(answer)


def compare(trees: dict[str, Worker], cells: list[str], rounds: int) -> int:
    """Runs the cells of both trees in turn; 1 if one has certainly become slower."""
    print(f"{'cell':<14}{'ratio':>7}{'95 % interval':>17}{'first run, s':>14}{'before':>9}")
    slower = False
    for cell in cells:
        first = {name: worker.run(cell) for name, worker in trees.items()}
        if not np.isfinite(first["now"]):
            raise RuntimeError(f"this tree must run every cell; it cannot run {cell}")
        if not np.isfinite(first["before"]):
            print(f"{cell:<14}    new")
            continue
        seconds: dict[str, list[float]] = {name: [] for name in trees}
        for turn in range(rounds):
            for name in sorted(trees, reverse=bool(turn % 2)):
                seconds[name].append(trees[name].run(cell))
        logs = np.log(np.array(seconds["before"]) / np.array(seconds["now"]))
        mean, low, high = (float(np.exp(bound)) for bound in bootstrap_mean(logs))
        print(f"{cell:<14}{mean:>7.3f}{f'{low:.3f} to {high:.3f}':>17}{first['now']:>14.1f}{first['before']:>9.1f}")
        slower |= high < 1 - MARGIN
    return int(slower)


def serve(cells: list[str]) -> int:
    """Runs the cells that are named on standard input, one a line, and prints the seconds of each."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    if not Path(fx.__file__).is_relative_to(Path.cwd()):
        raise RuntimeError(f"foveax must be that of {Path.cwd()}; got {fx.__file__}")
    ready: dict[str, Callable[[], Any]] = {}
    for line in sys.stdin:
        cell = line.strip()
        began = time.perf_counter()
        try:
            if cell not in ready:
                ready[cell] = CELLS[cell]()
            jax.block_until_ready(ready[cell]())
            seconds = time.perf_counter() - began
        except (fx.InputError, AttributeError, TypeError) as error:  # of another tree, whose names may be others
            print(f"{cell}: {type(error).__name__}: {error}")
            seconds = float("nan")
        print(seconds, file=answers, flush=True)
    return 0


def git(*arguments: str) -> None:
    """Runs git in this repository."""
    subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True)


def training(batch: int = 32, steps: int = STEPS, task: Any = "original", **pipeline: Any) -> Callable[[], Any]:
    """Steps of a training on the bundled digits, as `foveax.fit` makes them."""
    config = fx.TrainingConfig(task=task, pipeline=fx.PipelineConfig(**pipeline))
    data = config.load()
    learner = fx.make_learner(fx.standard_pipeline(data, config.pipeline), config.learning, steps=10**6)
    running = fx.fit(learner, data, learner.init(jax.random.key(0)), batch=batch, dispatch=steps)
    return lambda: next(running)[0].params


def evaluation() -> Callable[[], Any]:
    """The 1,000 bundled test digits, evaluated once."""
    data = fx.load("mnist5k")
    graph = fx.standard_pipeline(data)
    params = fx.init(graph, jax.random.key(0))
    return lambda: fx.evaluate(graph, params, data.test, key=jax.random.key(0)).losses


CANVAS: dict[str, Any] = {"crop_size": 12, "scales": 3, "kernels": 32, "combine": "add"}
RESIDUAL: dict[str, Any] = {"kernels": 16, "kernel_size": 3, "kernel_stride": 1, "blocks": (1,), "pool": True}
CELLS: dict[str, Callable[[], Callable[[], Any]]] = {
    "training": training,
    "large batch": lambda: training(batch=512, steps=10),
    "canvas": lambda: training(task="translated", **CANVAS),
    "residual": lambda: training(steps=5, **RESIDUAL),
    "evaluation": evaluation,
}
"""Each makes what is then timed."""


if __name__ == "__main__":
    sys.exit(main())
