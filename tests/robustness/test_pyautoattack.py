"""Robust accuracy next to that of pyautoattack, on one network in both frameworks."""

import compare
import pytest

WEAKER, STRONGER = 0.3, 1.0
"""Points of robust accuracy by which our attack may leave more images, and fewer, than theirs."""


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "norm"), compare.CASES)
def test_robust_accuracy_is_theirs(name, norm, record_property):
    pytest.importorskip("torch")
    pytest.importorskip("pyautoattack")
    (ours, speed), (theirs, their_speed) = compare.compared(name, norm)
    figures = f"robust {100 * ours.mean():.2f} %, theirs {100 * theirs.mean():.2f} %"
    record_property("attack", f"{figures}; {speed:.0f} and {their_speed:.0f} images/s")
    assert -STRONGER <= 100 * (ours.mean() - theirs.mean()) <= WEAKER
