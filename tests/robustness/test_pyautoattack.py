"""Robust accuracy next to that of pyautoattack, as `benchmarks/attack_parity.py` measures it."""

import importlib
import sys
from pathlib import Path

import pytest

POINTS = 0.3
"""Of robust accuracy by which our attack may leave more images than theirs."""
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
    assert -STRONGER <= case["foveax"] - case["pyautoattack"] <= POINTS
