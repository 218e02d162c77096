"""Places that fill up, can no longer be written, or go away while a run is saved there."""

import contextlib
import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

import foveax as fx
from foveax.runs.checkpoint import Checkpoints
from foveax.runs.directory import read_run

pytestmark = [
    pytest.mark.slow,
    # a save that fails may leave writes of jax's un-awaited, next to the one that is reported
    pytest.mark.filterwarnings("ignore:coroutine 'async_serialize_from_host.*was never awaited:RuntimeWarning"),
]

BREAK = 10
"""The step after which the place breaks."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("foveax.runs.run.SAVE_SECONDS", 0.0)
    yield
    gc.collect()  # so that what a failed save left behind is not attributed to a later test


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    tiny.train(out)
    return (out / "metrics.jsonl").read_bytes()


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mounting a small file system is not permitted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def breaking(out: Path, spoil) -> str:
    """The message of a training whose place is spoilt on the way; its checkpoints of before must remain."""

    def listener(metrics):
        if metrics["step"] == BREAK:
            spoil()

    with pytest.raises(fx.InputError) as ended:
        tiny.train(out, listeners=[listener])
    message = str(ended.value)
    assert "\n" not in message
    return message


def whole_steps(out: Path) -> list[int]:
    with Checkpoints(out / "checkpoints", read_run(out).identity) as checkpoints:
        return checkpoints.steps()


def test_a_full_disk_loses_no_checkpoint_and_the_run_is_resumed_once_there_is_room(disk, whole):
    filler, out = disk / "filler", disk / "run"

    def fill() -> None:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    message = breaking(out, fill)
    assert "must be writable" in message
    assert "No space left on device" in message
    assert max(whole_steps(out)) >= BREAK - 2 * tiny.EXECUTION.dispatch
    filler.unlink()
    tiny.train(out)
    assert (out / "metrics.jsonl").read_bytes() == whole


def test_a_read_only_place_is_refused_and_left_as_it_is(disk, whole):
    out = disk / "run"

    class StopError(Exception):
        pass

    def stop(metrics):
        if metrics["step"] == BREAK:
            raise StopError

    with pytest.raises(StopError):
        tiny.train(out, listeners=[stop])
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(fx.InputError, match="must be writable"):
        tiny.train(out)
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    tiny.train(out)
    assert (out / "metrics.jsonl").read_bytes() == whole


@pytest.mark.nightly
def test_folders_that_take_no_new_files_lose_no_checkpoint(tmp_path, whole):
    """The folder of the checkpoints is made immutable, which binds root as well."""
    out, locked = tmp_path / "run", tmp_path / "run" / "checkpoints"
    if shutil.which("chattr") is None:
        pytest.skip("there is no chattr here")

    def lock() -> None:
        done = subprocess.run(["chattr", "+i", locked], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"making a folder immutable is not permitted here: {done.stderr.strip()}")

    try:
        message = breaking(out, lock)
    finally:
        subprocess.run(["chattr", "-i", locked], check=False, capture_output=True)
    assert "must be writable" in message
    assert whole_steps(out)
    tiny.train(out)
    assert (out / "metrics.jsonl").read_bytes() == whole


@pytest.mark.nightly
def test_a_limit_on_the_size_of_files_ends_a_training_in_a_sentence(tmp_path, whole):
    """As a full disk, without a file system of its own; in a process of its own, since the limit stays."""
    out = tmp_path / "run"
    code = f"""
import resource, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(tiny.__file__).parent)!r}]
import test_disks
import foveax.graph.compile
from pathlib import Path
from foveax.runs import run
run.SAVE_SECONDS = 0.0
foveax.graph.compile.UNROLL = 1  # as here
limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
print(test_disks.breaking(Path({str(out)!r}), limit))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "must be writable" in done.stdout
    assert "File too large" in done.stdout
    assert "Traceback" not in done.stderr
    assert max(whole_steps(out)) >= BREAK - 2 * tiny.EXECUTION.dispatch
    tiny.train(out)
    assert (out / "metrics.jsonl").read_bytes() == whole


def test_a_directory_that_is_removed_ends_the_training_and_is_not_made_again(tmp_path):
    out = tmp_path / "run"

    def remove() -> None:
        while out.exists():  # what is being written there comes in between
            shutil.rmtree(out, ignore_errors=True)

    message = breaking(out, remove)
    assert "must be writable" in message
    assert not (out / "config.json").exists()


@pytest.mark.nightly
def test_a_command_without_room_ends_with_code_2(tmp_path):
    flags = ["--images", "320", "--hidden", "8", "--features", "8", "--no-evaluate", "--out", str(tmp_path / "run")]
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY)); "
        "from foveax.cli import main; main(sys.argv[1:])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, "-c", limited, "train", *flags]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "must be writable" in done.stderr.splitlines()[-1]
