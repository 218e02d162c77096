"""Several devices: tests/training/four_devices.py, in an interpreter that makes four of the processor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from foveax.training.mesh import training_mesh


@pytest.mark.slow
@pytest.mark.nightly
def test_over_four_devices():
    cases = Path(__file__).with_name("four_devices.py")
    four = {**os.environ, "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4"}
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, str(cases)], env=four, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]


def test_one_device_has_no_mesh():
    assert training_mesh(1) is None
