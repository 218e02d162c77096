"""Robust accuracy next to that of pyautoattack, as `benchmarks/attack_parity.py` measures it."""

import importlib
import sys
from pathlib import Path

import pytest

POINTS = 0.3
"""Of robust accuracy by which our attack may leave more images than theirs."""
SEARCHED = 2.0
"""Of Square in L2: of three seeds, ours leave 80.0 to 81.0 %, theirs 79.5 to 80.4 %, so that one says little."""
STRONGER = 1.0
"""Points by which it may leave fewer."""
CASES = [("small", norm, name) for norm in ("Linf", "L2") for name in ("apgd-ce", "apgd-dlr", "apgd-t", "square")]


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("network", "norm", "name"), [*CASES, ("small", "Linf", "ensemble")])
def test_robust_accuracy_is_theirs(network, norm, name, record_property, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("pyautoattack")
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[2] / "benchmarks")])
    parity = importlib.import_module("attack_parity")
    case = parity.compared(network, norm, name)
    record_property("attack", str(case))
    points = SEARCHED if (norm, name) == ("L2", "square") else POINTS
    assert -STRONGER <= case["foveax"] - case["pyautoattack"] <= points
