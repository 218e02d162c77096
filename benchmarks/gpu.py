"""Every figure of a GPU, by one command; what is done already is not repeated.

    python benchmarks/gpu.py --data mnist.npz --out results/gpu.json --minutes 8

Runs the parts of `gpu_parts` one after the other, the most important first, each in processes of its own, under the
part's own limit of time; one that reaches it is cut, keeps the rows that it had, and is begun anew by the next call.
``--tiny`` rehearses all of them in small, on any machine.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dispatches import LATE
from gpu_parts import FULL, PARTS, TINY, Job, Part
from timing import RESULTS

import foveax as fx
import foveax.graph.compile
from foveax.runtime.files import read_json, write_json

COLUMNS = ("images_per_second", "microseconds_per_step", "kernels", "bound", "mean", "worst", "seconds")
ENDING = 0.9
"""The share of a part's time after which its process should be done by itself."""
SLOWER = 4
"""A rehearsal, whose machine may have few cores, has so many times as long."""


def main() -> None:
    """Runs the parts that are not done yet, writes after each, prints all at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", default="mnist5k", help="as foveax train takes it; reported figures are of full MNIST"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which the running part is cut")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="by default the usual ones")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal")
    parser.add_argument("--run", nargs=2, metavar=("NAME", "ROWS"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    chosen.parts = chosen.parts or [name for name, part in PARTS.items() if part.usual]
    if chosen.run:
        _run(chosen.parts[0], chosen.run[0], Path(chosen.run[1]), chosen)
    end = time.perf_counter() + 60 * chosen.minutes
    results: dict[str, Any] = read_json(chosen.out) if chosen.out.exists() else {"data": chosen.data, "parts": {}}
    for name in chosen.parts:
        if results["parts"].get(name, {}).get("finished"):
            continue
        left = end - time.perf_counter()
        if left < min(PARTS[name].seconds, 30):
            print(f"{name}: not begun, {max(left, 0):.0f} s are left; the same command goes on", flush=True)
            continue
        limit = PARTS[name].seconds * (SLOWER if chosen.tiny else 1)
        results["parts"][name] = _part(name, PARTS[name], min(limit, left), chosen)
        write_json(chosen.out, results)
    print("\n".join(_lines(results)))


def _part(name: str, part: Part, limit: float, chosen: argparse.Namespace) -> dict[str, Any]:
    """The rows of a part, run by run, and whether it came to its end."""
    began = time.perf_counter()
    rows, finished = [], True
    for run, flags in part.runs.items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows"
            left = limit - (time.perf_counter() - began)
            code = _process(name, run, file, flags, left, chosen) if left > 0 else None
            rows += [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        if code != 0:
            rows.append({"name": run, "error": "cut: out of time" if code is None else f"ended with exit code {code}"})
        finished &= code == 0 and not any(row.get("error") == LATE for row in rows)
    seconds = round(time.perf_counter() - began, 1)
    print(f"{name}: {seconds} s, {len(rows)} rows{'' if finished else ', cut'}", flush=True)
    return {"seconds": seconds, "finished": finished, "rows": rows}


def _process(name: str, run: str, file: Path, flags: str, seconds: float, chosen: argparse.Namespace) -> int | None:
    """The exit code of a run's process; None if it had to be ended, with all that it had started."""
    options = ["--parts", name, "--data", chosen.data, "--out", chosen.out, "--minutes", str(ENDING * seconds / 60)]
    command = [sys.executable, __file__, *options, *(["--tiny"] if chosen.tiny else []), "--run", run, file]
    xla = [os.environ.get("XLA_FLAGS", ""), flags, "--xla_backend_optimization_level=0" if chosen.tiny else ""]
    environment = {**os.environ, "XLA_FLAGS": " ".join(filter(None, xla))}
    if name == "equality":
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # two processes are to compile by themselves
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _run(part: str, run: str, rows: Path, chosen: argparse.Namespace) -> None:
    """Writes the rows of one run as they come, and ends the process, whatever still compiles."""
    if chosen.tiny:
        foveax.graph.compile.UNROLL = 1
    deadline = time.perf_counter() + 60 * chosen.minutes
    job = Job(fx.load(chosen.data), TINY if chosen.tiny else FULL, run, deadline, chosen.out.absolute().parent)
    with rows.open("w") as file:
        for row in PARTS[part].function(job):
            print(f"  {row}", flush=True)
            file.write(json.dumps({"run": run, **row} if run else row) + "\n")
            file.flush()
    os._exit(0)


def _lines(results: dict[str, Any]) -> list[str]:
    """All rows as a table."""
    lines = [f"{'':<52}" + "".join(f"{column:>{len(column) + 2}}" for column in COLUMNS)]
    for name, part in results["parts"].items():
        lines.append(f"{name}, {part['seconds']} s{'' if part['finished'] else ', cut'}")
        for row in part["rows"]:
            cells = "".join(f"{row.get(column) or '':>{len(column) + 2}}" for column in COLUMNS)
            lines.append(f"  {row.get('name', ''):<50}{cells}  {row.get('error') or ''}".rstrip())
    return lines


if __name__ == "__main__":
    main()
