"""Trainings that are killed or asked to end, at any moment, and then resumed to the same end."""

import dataclasses
import functools
import hashlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import chex
import jax
import orbax.checkpoint as ocp
import pytest
import tiny

import foveax as fx
from foveax.runtime.signals import ENDING, Interrupted, held_signals

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Sharding info not provided"),  # of the reader that compares
]


KILLS = 25


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """Processes forked from one that has imported everything, and that share their compiled programs."""
    folder = tmp_path_factory.mktemp("programs")
    patch = pytest.MonkeyPatch()
    patch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
    patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tiny", "foveax.runs.train", "orbax.checkpoint"])
    yield context
    patch.undo()


def outcome(run: Path) -> tuple[str, dict]:
    """All that a run leaves that decides what it learned: its metrics, and the digests of its last state's arrays."""
    last = max((run / "checkpoints").iterdir(), key=lambda path: int(path.name))
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
        like = {"params": ocp.args.PyTreeRestore(), "state": ocp.args.PyTreeRestore()}
        parts = reader.restore(last, args=ocp.args.Composite(**like))

    state = {"params": parts.params, "state": parts.state}
    leaves = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}
    assert leaves["['state']['step']"] == tiny.CONFIG.steps
    digests = {name: hashlib.sha256(leaf.tobytes()).hexdigest() for name, leaf in leaves.items()}
    return (run / "metrics.jsonl").read_bytes().decode(), digests


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_killed_at_any_moment_a_run_ends_as_if_nothing_had_happened(processes, tmp_path, record_property):
    def start(out: Path):
        process = processes.Process(target=tiny.train_saving_always, args=(out,))
        process.start()
        return process

    start(tmp_path / "warm").join()
    began = time.monotonic()
    whole = start(tmp_path / "whole")
    wait_for(tmp_path / "whole" / "metrics.jsonl", whole)
    before = time.monotonic() - began
    whole.join()
    lasted = time.monotonic() - began - before
    expected, rng = outcome(tmp_path / "whole"), random.Random(0)

    def kill_and_resume(number: int, moment: float) -> tuple[bool, bool]:
        out = tmp_path / f"killed-{number}"
        process = start(out)
        wait_for(out / "metrics.jsonl", process)
        if number % 2:
            stop_in_a_save(process, out / "checkpoints", steps[number])
        else:
            time.sleep(moment)
        process.kill()
        process.join()
        saving = any((out / "checkpoints").glob("*tmp*"))
        resumed = start(out)
        resumed.join()
        return saving, resumed.exitcode == 0 and outcome(out) == expected

    moments = [rng.uniform(0, lasted) for _ in range(KILLS)]
    steps = [rng.randrange(tiny.CONFIG.steps - 8) for _ in range(KILLS)]
    with ThreadPoolExecutor(max_workers=2) as threads:
        saving, same = zip(*threads.map(kill_and_resume, range(KILLS), moments), strict=True)
    record_property("killed", f"{KILLS}, {sum(saving)} of them in mid-save; {sum(same)} ended the same")
    assert sum(same) == KILLS
    assert sum(saving) >= KILLS // 3  # about half of them


def stop_in_a_save(process, checkpoints: Path, step: int) -> None:
    """Stops a process while it writes the checkpoint of a later step than this one, unless it ends before."""

    def is_saving() -> bool:
        return any(int(path.name.partition(".")[0]) > step for path in checkpoints.glob("*tmp*"))

    while process.is_alive():
        if is_saving():
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(0.01)  # until it has stopped
            if is_saving():
                return
            os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.0005)


def wait_for(file: Path, process) -> None:
    while process.is_alive() and not file.exists():
        time.sleep(0.002)


@pytest.mark.nightly
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_command_with_its_code_and_the_same_command_resumes(number, code, tmp_path):
    command = [sys.executable, "-m", "foveax.cli", "train", "--images", "64000", "--hidden", "8", "--features", "8",
               "--dispatch", "20", "--no-evaluate", "--out", str(tmp_path / "run")]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    metrics = tmp_path / "run" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == code
    assert "Traceback" not in errors
    last = errors.splitlines()[-1]
    step = int(last.removeprefix("foveax: interrupted at step ").split(";")[0])
    assert last.endswith("; the same command resumes from there")
    assert max(int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir()) == step
    assert f'"step": {step}' in metrics.read_text().splitlines()[-1]


def test_handlers_are_put_back_and_other_threads_install_none():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin without
    before = [signal.getsignal(number) for number in ENDING]
    with held_signals() as came:
        signal.raise_signal(signal.SIGINT)
        assert came == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):  # the second acts at once
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in ENDING] == before
    with ThreadPoolExecutor(max_workers=1) as threads:

        def inside() -> list:
            with held_signals():
                return [signal.getsignal(number) for number in ENDING]

        assert threads.submit(inside).result() == before


def test_from_python_an_interrupted_training_raises_and_is_resumed(tmp_path):
    def interrupt(metrics):
        if metrics["step"] == 6:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted, match="at step 8; the same command resumes") as ended:
        tiny.train(tmp_path / "run", listeners=[interrupt])
    assert ended.value.signal == signal.SIGTERM
    resumed, whole = tiny.train(tmp_path / "run"), tiny.train(tmp_path / "whole")
    chex.assert_trees_all_equal(resumed.params, whole.params)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_without_a_directory_an_interrupted_training_promises_nothing():
    def interrupt(metrics):
        if metrics["step"] == 6:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="at step 8; nothing is kept, since there is no run directory"):
        tiny.train(listeners=[interrupt])


@pytest.mark.nightly
def test_an_interrupted_population_is_resumed_to_the_same_end(tmp_path):
    config = dataclasses.replace(tiny.CONFIG, images=48)
    train = functools.partial(fx.train_population, config, tiny.data(), execution=tiny.EXECUTION)
    population = functools.partial(train, seeds=2, vary={"entropy": [0.0, 0.1]})
    whole = population(out=tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("foveax.runs.run.warn_of_skips", interrupt_at_6)
        with pytest.raises(Interrupted):
            population(out=tmp_path / "run")
    resumed = population(out=tmp_path / "run")
    chex.assert_trees_all_equal(resumed.params, whole.params)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    with pytest.raises(fx.InputError, match=r"of the same population to be resumed: .*'seeds': 2.* there, .*3.* here"):
        train(seeds=3, out=tmp_path / "run")


def interrupt_at_6(metrics, config) -> bool:
    if metrics["step"] == 6:
        signal.raise_signal(signal.SIGINT)
    return False
