"""The scripts for a cluster, run where there is none: SLURM's part is played by what it sets and what it sends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny

PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
SCRIPTS = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
FOUR, SEEDS = (next(script for script in SCRIPTS if f"--job-name={name} " in script) for name in ("foveax", "seeds"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_can_be_parsed(script):
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A folder to submit from, with tiny data, where scontrol writes down what it is told."""
    data = tiny.write_npz(tmp_path / "tiny.npz")
    flags = " ".join(["--preset", "default", "--data", str(data), *tiny.FLAGS])
    write(tmp_path / "bin" / "foveax", f'exec {sys.executable} -m foveax.cli "$@" {flags} $MORE')
    write(tmp_path / "bin" / "scontrol", f'echo "$@" > {tmp_path}/queued')
    write(tmp_path / ".venv" / "bin" / "activate", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    return tmp_path


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/bash\n{text}\n")
    file.chmod(0o755)


@pytest.mark.slow
@pytest.mark.nightly
def test_the_array_trains_the_seed_of_its_index(cluster, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    subprocess.run(["bash"], input=SEEDS, text=True, check=True)
    assert json.loads((cluster / "runs" / "seed-3" / "summary.json").read_text())["config"]["seed"] == 3


@pytest.mark.slow
@pytest.mark.nightly
def test_a_signalled_job_saves_is_queued_again_and_resumes_on_four_devices(cluster, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
    monkeypatch.setenv("NPROC", "16")  # devices on few cores would wait for each other for ever
    monkeypatch.setenv("MORE", "--images 8000")
    metrics = cluster / "runs" / "node" / "metrics.jsonl"
    (cluster / "job.sh").write_text(FOUR)
    with subprocess.Popen(["bash", "job.sh"]) as job:
        while job.poll() is None and not (metrics.exists() and metrics.stat().st_size):
            time.sleep(0.2)
        job.send_signal(signal.SIGTERM)
    assert job.returncode == 143
    assert (cluster / "queued").read_text() == "requeue 77\n"
    before = metrics.read_text()
    (cluster / "queued").unlink()
    monkeypatch.setenv("MORE", "--images 8000 --dispatch 500")
    subprocess.run(["bash", "job.sh"], check=True)
    assert metrics.read_text().startswith(before)
    assert json.loads(metrics.read_text().splitlines()[-1])["step"] == 2000
    starts = json.loads((metrics.parent / "provenance.json").read_text())["starts"]
    assert [start["devices"] for start in starts] == [4, 4]
    assert starts[1]["step"] > 0
    assert not (cluster / "queued").exists()
