"""One training per choice, by flags alone: full MNIST, 9x9 crops, 6 glimpses, 100,000 images, test touched once.

Run it as ``python benchmarks/ablations.py --data-dir DIR``; it writes ``benchmarks/results/ablations.json`` and prints
the table. Each row is the command ``foveax train --data mnist --images 100000 --shift 0 FLAGS``.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import tyro

from foveax.runtime.files import write_json
from foveax.runtime.machine import machine

ROWS = {
    "default": "",
    "fixations: centre": "--policy centre",
    "fixations: random": "--policy random",
    "learner: REINFORCE": "--ppo 0 --reinforce 1",
    "reward: correct_each": "--reward correct_each",
    "reward: correct_last": "--reward correct_last --discount 1",
    "reward: cross_entropy": "--reward cross_entropy",
    "reward: tanh_cross_entropy": "--reward tanh_cross_entropy",
    "reward: clipped_linear": "--reward clipped_linear",
    "classifier: feed-forward": "--core feedforward",
    "classifier: simple RNN": "--core rnn",
    "classifier: LSTM": "--core lstm",
    "no contrast channel": "--no-contrast",
    "no time for the saccader": "--unlink saccader.index",
    "bfloat16": "--precision bfloat16",
}


def main(data_dir: str, images: int = 100_000, results: Path = Path("benchmarks/results/ablations.json")) -> None:
    """Runs every row.

    Args:
      data_dir: where TFDS's mnist lies.
      images: training images shown in each row.
      results: the file to write.
    """
    rows: dict[str, dict] = {}
    print(f"{'test accuracy (%)':<28} {'first':>8} {'last':>8} {'random':>8}")
    results.parent.mkdir(parents=True, exist_ok=True)
    for name, flags in ROWS.items():
        rows[name] = run([*flags.split(), "--data-dir", data_dir, "--images", str(images)]) | {"flags": flags}
        print(format_row(name, rows[name]), flush=True)
        write_json(results, {"images": images, "machine": machine(), "rows": rows})


def run(flags: list[str]) -> dict:
    """One training as a command; the numbers of its summary."""
    with tempfile.TemporaryDirectory() as folder:
        base = ["--data", "mnist", "--shift", "0", "--out", folder + "/run"]
        command = [sys.executable, "-m", "foveax.cli", "train", *base, *flags]
        subprocess.run(command, check=True, capture_output=True)
        summary = json.loads(Path(folder, "run", "summary.json").read_text())
    own = next(iter(summary["test"].values()))
    return {"test": own, "random": summary["test"]["random"]["accuracy"][-1]}


def format_row(name: str, row: dict) -> str:
    """A row of the table: accuracy after the first and the last glimpse, and under random fixations, in %."""
    accuracy = row["test"]["accuracy"]
    return f"{name:<28} {100 * accuracy[0]:8.2f} {100 * accuracy[-1]:8.2f} {100 * row['random']:8.2f}"


if __name__ == "__main__":
    tyro.cli(main)
