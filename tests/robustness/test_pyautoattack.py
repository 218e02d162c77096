"""Robust accuracy next to that of pyautoattack, on one network in both frameworks."""

import compare
import pytest

POINTS = {"square": 1.0}
"""Points by which a robust accuracy may differ; a random search of few queries varies more than 0.3."""


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "norm"), compare.CASES)
def test_robust_accuracy_is_theirs(name, norm, record_property):
    pytest.importorskip("torch")
    pytest.importorskip("pyautoattack")
    (ours, speed), (theirs, their_speed) = compare.compared(name, norm)
    figures = f"robust {100 * ours.mean():.2f} %, theirs {100 * theirs.mean():.2f} %"
    record_property("attack", f"{figures}; {speed:.0f} and {their_speed:.0f} images/s")
    assert abs(ours.mean() - theirs.mean()) * 100 <= POINTS.get(name, 0.3)
