"""Robust accuracy next to that of pyautoattack, as `benchmarks/attack_parity.py` measures it."""

import importlib
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

POINTS = 0.3
"""Of robust accuracy by which our attack may leave more images than theirs."""
L2_SQUARE_POINTS = 3.0
"""Of Square in L2, which leaves 1.2 points more than theirs in the mean of twelve seeds, and 78.7 to 80.4 % there."""
STRONGER = 1.0
"""Points by which it may leave fewer."""
CASES = [("small", norm, name) for norm in ("Linf", "L2") for name in ("apgd-ce", "apgd-dlr", "apgd-t", "square")]


@pytest.fixture
def compared(monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("pyautoattack")
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[2] / "benchmarks")])
    return importlib.import_module("attack_parity").compared


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("network", "norm", "name"), [*CASES, ("small", "Linf", "ensemble")])
def test_robust_accuracy_is_theirs(network, norm, name, record_property, compared):
    case = compared(network, norm, name)
    record_property("attack", str(case))
    points = L2_SQUARE_POINTS if (norm, name) == ("L2", "square") else POINTS
    assert -STRONGER <= case["foveax"] - case["pyautoattack"] <= points


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_square_in_l2_differs_by_the_places_of_its_squares(record_property, monkeypatch, compared):
    """Theirs never lie at the last row and column; with such squares ours leave as many images."""

    def their_corner(key, side, shape):
        return jax.random.randint(key, (2,), 0, jnp.maximum(jnp.array(shape[:2]) - side, 1))

    monkeypatch.setattr(importlib.import_module("foveax.robustness.square_l2"), "draw_corner", their_corner)
    cases = [compared("small", "L2", "square", seed=seed) for seed in range(4)]
    record_property("attack", str(cases))
    gaps = [case["foveax"] - case["pyautoattack"] for case in cases]
    assert abs(sum(gaps) / len(gaps)) < 1
