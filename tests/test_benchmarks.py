"""The figures of a GPU are rehearsed here: every part of the command in small, and what is done is not repeated."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PARTS = [
    "card",
    "throughput",
    "ram",
    "accuracy",
    "table1",
    "equality",
    "flags",
    "variants",
    "configurations",
    "profile",
]
PARTS += ["peers"] if importlib.util.find_spec("torch") else []  # PyTorch is no dependency


def test_digit_debris_is_trained_cell_by_cell_and_none_twice(tmp_path):
    sizes = ["--images", "40", "--batch", "10", "--train-images", "64", "--test-images", "64", "--validation", "20"]
    flags = ["--seeds", "2", "--together", "2", "--networks", "BT", "--levels", "30", "--steps", "2"]
    flags += ["--dispatch", "1", "--curriculum", "0.5", "--precision", "bfloat16"]
    command = [sys.executable, BENCHMARKS / "debris.py", *sizes, *flags, "--out", tmp_path / "debris.json"]
    subprocess.run(command, check=True)
    results = json.loads((tmp_path / "debris.json").read_text())
    for cell, parameters in zip(results["cells"], (19_178,), strict=True):
        assert len(cell["errors"]) == 2
        assert cell["worst"] == max(cell["errors"])
        assert cell["parameters"] == parameters
        assert np.isfinite(cell["loss"]).all()
    assert "compilation" not in subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.nightly
def test_a_tree_is_compared_with_a_revision_of_itself():
    """Its last commit runs the same cells at about its speed; a worker that ended would leave no line."""
    command = [sys.executable, BENCHMARKS / "guard.py", "HEAD", "--rounds", "3", "--cells", "evaluation", "training"]
    lines = subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["cell", "evaluation", "training"]
    assert all(0.5 < float(line.split()[1]) < 2 for line in lines[1:])


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_figures_of_a_gpu(tmp_path):
    out = tmp_path / "gpu.json"
    command = [sys.executable, BENCHMARKS / "gpu.py", "--tiny", "--minutes", "50", "--out", out, "--parts", *PARTS]
    subprocess.run(command, check=True)
    results = json.loads(out.read_text())
    assert results["parts"].keys() == set(PARTS)
    for name, part in results["parts"].items():
        assert part["finished"], name
        assert [row["error"] for row in part["rows"] if row.get("error")] == [], name
    first, *_, again = (row["digests"] for row in results["parts"]["equality"]["rows"] if "digests" in row)
    assert len({*first, *again}) == 1  # of a processor, whose sums have one order
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "rows" not in printed  # nothing is done twice
    assert json.loads(out.read_text()) == results
