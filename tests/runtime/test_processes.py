"""Two processes on one machine, through the command line: one is lost, and the training goes on in one and in two."""

import dataclasses
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
import tiny

import foveax as fx
from foveax.cli import main
from foveax.runtime.processes import (
    any_process,
    check_alike,
    is_main,
    lost_another,
    main_first,
    max_over_processes,
    start_processes,
)
from foveax.runtime.watchdog import watchdog

CONFIG = fx.TrainingConfig(images=3200, pipeline=fx.PipelineConfig(glimpses=3, hidden=8, features=8, saccader_hidden=8))
FLAGS = ["--images", "3200", "--dispatch", "10", "--glimpses", "3", "--hidden", "8", "--features", "8",
         "--saccader-hidden", "8"]  # fmt: skip
EXECUTION = fx.ExecutionConfig(dispatch=10)
SAVING_ALWAYS = """
import sys, foveax.runs.run
foveax.runs.run.SAVE_SECONDS = 0.0
from foveax.cli import main
main(sys.argv[1:])
"""


def start_two(out: Path, folder: Path, flags: list[str] = FLAGS) -> list[subprocess.Popen]:
    """Two processes that train together, each with its files OUT.0 and ERR.0 or OUT.1 and ERR.1 in a folder."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = []
    for number in range(2):
        command = [sys.executable, "-c", SAVING_ALWAYS, "train", *flags, "--out", str(out)]
        command += ["--coordinator", coordinator, "--num-processes", "2", "--process-id", str(number)]
        with (folder / f"OUT.{number}").open("w") as output, (folder / f"ERR.{number}").open("w") as errors:
            started.append(subprocess.Popen(command, env=environment, stdout=output, stderr=errors))
    return started


def recorded_steps(out: Path) -> list[int]:
    lines = (out / "metrics.jsonl").read_text().splitlines() if (out / "metrics.jsonl").exists() else []
    return [json.loads(line)["step"] for line in lines]


def lose(lost: int, out: Path, folder: Path, flags: list[str] = FLAGS) -> None:
    """Starts two processes, kills one on the way, and asserts that the other ends in a sentence."""
    stays = 1 - lost
    processes = start_two(out, folder, flags)
    try:
        wait_for_steps(out, 20, processes)
        processes[lost].send_signal(signal.SIGKILL)
        assert processes[stays].wait(timeout=30) != 0
    finally:
        end(processes)
    errors = (folder / f"ERR.{stays}").read_text()
    assert f"process {stays} of 2 lost another process and ends" in errors or "another task died" in errors
    assert "Traceback" not in errors
    assert any((out / "checkpoints").iterdir())


@pytest.mark.nightly
@pytest.mark.slow
def test_a_killed_process_ends_the_other_and_one_goes_on(tmp_path):
    config = dataclasses.replace(tiny.CONFIG, images=400, data=str(tiny.write_npz(tmp_path / "tiny.npz")))
    lose(1, tmp_path / "run", tmp_path, [*tiny.FLAGS, "--images", "400", "--dispatch", "10", "--data", config.data])
    resumed = fx.train(config, out=tmp_path / "run", evaluate=False, execution=EXECUTION)
    assert recorded_steps(tmp_path / "run") == list(range(10, 101, 10))
    alone = fx.train(config, evaluate=False, execution=EXECUTION)
    chex.assert_trees_all_close(resumed.params, alone.params, atol=1e-4)  # 100 updates amplify the rounding of sums


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_killed_process_ends_the_other_and_one_or_two_go_on(lost, digits, tmp_path):
    out = tmp_path / "run"
    lose(lost, out, tmp_path)
    if lost == 0:
        return

    class StopError(Exception):
        pass

    def stop(metrics):
        if metrics["step"] == 60:
            raise StopError

    with pytest.raises(StopError):
        fx.train(CONFIG, digits, out=out, listeners=[stop], execution=EXECUTION)
    # one process went on from a checkpoint of two, and saved on its way out; metrics are reported one dispatch later
    assert recorded_steps(out) == list(range(10, 71, 10))
    assert wait(start_two(out, tmp_path)) == [0, 0], (tmp_path / "ERR.0").read_text()
    assert recorded_steps(out) == list(range(10, 101, 10))  # and two from one of one
    tables = [(tmp_path / f"OUT.{number}").read_text().count("test accuracy") for number in range(2)]
    assert tables == [1, 0]
    alone = fx.train(CONFIG, digits, evaluate=False).params
    chex.assert_trees_all_close(fx.load_run(out).params, alone, atol=1e-4)  # 100 updates amplify the rounding of sums


def test_a_process_lost_while_a_checkpoint_is_saved_is_distinguished_from_a_place_that_cannot_be_written(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    barrier = TimeoutError("Timed out while waiting for async_write_complete barrier.")  # as orbax puts it
    assert not lost_another(barrier)
    barrier.__cause__ = jax.errors.JaxRuntimeError("UNAVAILABLE: the tasks have crashed")
    assert lost_another(barrier)
    full = ValueError("the state could not be written")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert not lost_another(full)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_signal_to_one_ends_both_and_two_resume_to_the_same_bits(tmp_path):
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
    assert 20 <= max(recorded_steps(out)) < 100
    assert wait(start_two(out, tmp_path)) == [0, 0]
    assert (out / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    chex.assert_trees_all_equal(fx.load_run(out).params, fx.load_run(whole).params)


def wait(processes: list[subprocess.Popen]) -> list[int]:
    try:
        return [process.wait(timeout=240) for process in processes]
    finally:
        end(processes)


def wait_for_steps(out: Path, steps: int, processes: list[subprocess.Popen]) -> None:
    while max(recorded_steps(out), default=0) < steps:
        assert all(process.poll() is None for process in processes), "a process ended before it was to"
        time.sleep(0.05)


def end(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        process.kill()
        process.wait()


def test_a_process_that_hangs_is_ended_with_a_stack_dump():
    code = """
import time
from foveax.runtime.watchdog import watchdog
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
    ("--coordinator", "localhost:99999"): "coordinator must be HOST:PORT where several processes train",
    ("--coordinator", "localhost:1", "--num-processes", str(2**63)): "num_processes must be at most 1000000; got 92233",
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


def test_a_process_alone_is_the_main_one_and_agrees_with_itself(monkeypatch):
    assert [any_process(flag) for flag in (True, False)] == [True, False]
    assert main_first(lambda: 3) == 3
    assert is_main()
    assert max_over_processes(7) == 7
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
