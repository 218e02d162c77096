"""The figures of a GPU are rehearsed here: every part of the command in small, and what is done is not repeated."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.nightly
def test_eyes_on_a_canvas_are_compared(tmp_path):
    """Every eye in small; the share is that of the means; rows that are there are not repeated."""
    out = tmp_path / "looking.json"
    command = [
        sys.executable,
        BENCHMARKS / "looking.py",
        "--data",
        "mnist5k",
        "--images",
        "320",
        "--tasks",
        "translated",
    ]
    command += ["--seeds", "2", "--tiny", "--out", out]
    subprocess.run(command, check=True)
    results = json.loads(out.read_text())
    means = {name.rpartition(", ")[2]: row["mean"] for name, row in results["rows"].items()}
    assert means.keys() == {"learned", "itinerary", "told", "salient", "random"}
    share = (means["learned"] - means["itinerary"]) / (means["told"] - means["itinerary"])
    assert results["shares"] == {"translated, 320": pytest.approx(share, abs=1e-3)}
    subprocess.run(command, check=True)
    assert json.loads(out.read_text()) == results
