"""Two processes on one machine, through the command line: one is lost, and the training goes on in one and in two."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import chex
import jax
import pytest

import foveax as fx
from foveax.cli import main
from foveax.training.processes import any_process, check_alike, lead_first, lost_another, start_processes
from foveax.training.watchdog import watchdog

CONFIG = fx.Config(images=3200, dispatch=10, model=fx.Model(glimpses=3, hidden=8, features=8, saccader_hidden=8))
FLAGS = ["--images", "3200", "--dispatch", "10", "--glimpses", "3", "--hidden", "8", "--features", "8",
         "--saccader-hidden", "8"]  # fmt: skip
SAVING_ALWAYS = """
import sys, foveax.training.progress
foveax.training.progress.SAVE_SECONDS = 0.0
from foveax.cli import main
main(sys.argv[1:])
"""


def start_two(out: Path, folder: Path) -> list[subprocess.Popen]:
    """Two processes that train together, each with its files OUT.0 and ERR.0 or OUT.1 and ERR.1 in a folder."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "XLA_FLAGS": ""}
    started = []
    for number in range(2):
        command = [sys.executable, "-c", SAVING_ALWAYS, "train", *FLAGS, "--out", str(out)]
        command += ["--coordinator", coordinator, "--num-processes", "2", "--process-id", str(number)]
        with (folder / f"OUT.{number}").open("w") as said, (folder / f"ERR.{number}").open("w") as complained:
            started.append(subprocess.Popen(command, env=environment, stdout=said, stderr=complained))
    return started


def steps_told(out: Path) -> list[int]:
    lines = (out / "metrics.jsonl").read_text().splitlines() if (out / "metrics.jsonl").exists() else []
    return [json.loads(line)["step"] for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_killed_process_ends_the_other_and_one_or_two_go_on(lost, digits, tmp_path):
    out, stays = tmp_path / "run", 1 - lost
    processes = start_two(out, tmp_path)
    try:
        wait_for_steps(out, 20, processes)
        processes[lost].send_signal(signal.SIGKILL)
        assert processes[stays].wait(timeout=30) != 0
    finally:
        end(processes)
    said = (tmp_path / f"ERR.{stays}").read_text()
    assert f"process {stays} of 2 lost another process and ends" in said or "another task died" in said
    assert "Traceback" not in said
    assert any((out / "checkpoints").iterdir())
    if lost == 0:
        return

    class StopError(Exception):
        pass

    def stop(metrics):
        if metrics["step"] == 60:
            raise StopError

    with pytest.raises(StopError):
        fx.train(CONFIG, digits, out=out, progress=stop)
    assert steps_told(out) == list(range(10, 61, 10))  # one process went on from a checkpoint of two
    assert wait(start_two(out, tmp_path)) == [0, 0], (tmp_path / "ERR.0").read_text()
    assert steps_told(out) == list(range(10, 101, 10))  # and two from one of one
    tables = [(tmp_path / f"OUT.{number}").read_text().count("test accuracy") for number in range(2)]
    assert tables == [1, 0]
    alone = fx.train(CONFIG, digits).params
    chex.assert_trees_all_close(fx.load_run(out)[3], alone, atol=1e-4)  # 100 updates amplify the rounding of sums


def test_a_process_lost_while_a_checkpoint_is_saved_is_told_from_a_place_that_cannot_be_written(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    barrier = TimeoutError("Timed out while waiting for async_write_complete barrier.")  # as orbax puts it
    assert not lost_another(barrier)
    barrier.__cause__ = jax.errors.JaxRuntimeError("UNAVAILABLE: the tasks have crashed")
    assert lost_another(barrier)
    full = ValueError("the state could not be written")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert not lost_another(full)


@pytest.mark.slow
def test_a_signal_to_one_ends_both_and_two_continue_to_the_same_bits(tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "run"
    assert wait(start_two(whole, tmp_path)) == [0, 0]
    processes = start_two(out, tmp_path)
    try:
        wait_for_steps(out, 20, processes)
        processes[1].send_signal(signal.SIGTERM)
        codes = wait(processes)
    finally:
        end(processes)
    assert codes == [128 + signal.SIGTERM] * 2, (tmp_path / "ERR.0").read_text()
    assert 20 <= max(steps_told(out)) < 100
    assert wait(start_two(out, tmp_path)) == [0, 0]
    assert (out / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    chex.assert_trees_all_equal(fx.load_run(out)[3], fx.load_run(whole)[3])


def wait(processes: list[subprocess.Popen]) -> list[int]:
    try:
        return [process.wait(timeout=240) for process in processes]
    finally:
        end(processes)


def wait_for_steps(out: Path, steps: int, processes: list[subprocess.Popen]) -> None:
    while max(steps_told(out), default=0) < steps:
        assert all(process.poll() is None for process in processes), "a process ended before it was to"
        time.sleep(0.05)


def end(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        process.kill()
        process.wait()


def test_a_process_that_hangs_is_ended_with_a_stack_dump():
    code = """
import time
from foveax.training.watchdog import watchdog
with watchdog(0.5) as alive:
    for _ in range(4):
        time.sleep(0.2)
        alive()
    print("alive", flush=True)
    time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "alive\n")
    assert "Timeout" in done.stderr
    assert 'File "<string>", line 9' in done.stderr
    with pytest.raises(fx.InputError, match="patience must be at least 0; got -1"), watchdog(-1):
        pass


REFUSED = {
    ("--coordinator", "localhost"): "coordinator must be HOST:PORT where several processes train; got 'localhost'",
    ("--process-id", "1"): "coordinator must be HOST:PORT where several processes train; got ''",
    ("--coordinator", "localhost:1"): "num_processes must be at least 1 with a coordinator; got 0",
    ("--coordinator", "localhost:1", "--num-processes", "2"): "process_id must be at least 0 and less than "
    "num_processes, 2; got -1",
    ("--devices", "9"): "devices must be at least 0 and at most those of each process, 1; got 9",
}


@pytest.mark.parametrize("flags", REFUSED)
def test_flags_that_do_not_fit_are_refused(flags, capsys):
    with pytest.raises(SystemExit) as refusal:
        main(["train", *flags])
    assert refusal.value.code == 2
    assert REFUSED[flags] in capsys.readouterr().err


def test_a_process_alone_leads_and_agrees_with_itself(monkeypatch):
    assert [any_process(flag) for flag in (True, False)] == [True, False]
    assert lead_first(lambda: 3) == 3
    check_alike("configuration", "any")
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    monkeypatch.delenv("OMPI_COMM_WORLD_SIZE", raising=False)
    start_processes()
    assert not jax.distributed.is_initialized()


@pytest.mark.parametrize(("name", "launched"), [("SLURM_NTASKS", False), ("OMPI_COMM_WORLD_SIZE", True)])
def test_a_launcher_is_recognised_but_not_a_shell_within_an_allocation(name, launched, monkeypatch):
    began = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *given, **more: began.append(given))
    monkeypatch.setenv(name, "2")
    start_processes()
    assert began == ([(None, None, None)] if launched else [])
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[1-2]")
    start_processes()
    assert began[-1] == (None, None, None)
