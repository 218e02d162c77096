"""One process at a time writes a run directory; whoever is killed lets go of it."""

import os
import subprocess
import sys

import pytest
import tiny

import foveax as fx
from foveax.runtime.ownership import owned

HOLDER = """
import sys, time
from pathlib import Path
from foveax.runtime.ownership import owned
with owned(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_run_is_refused_to_a_second_process_until_the_first_is_gone(tmp_path):
    out = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        named = rf"one process at a time; process {holder.pid} on .*, since 20.*, holds it"
        with pytest.raises(fx.InputError, match=named):
            tiny.train(out)
        assert [path.name for path in out.iterdir()] == [".lock"]
        holder.kill()
    tiny.train(out)
    assert fx.load_run(out, tiny.data()).params


def test_what_killed_processes_left_half_written_goes(tmp_path):
    (tmp_path / ".summary.json.123").write_text("{")
    (tmp_path / "summary.json").write_text("{}")
    with owned(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {".lock", "summary.json"}


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_lock_that_is_no_file_is_refused_and_left(kind, tmp_path):
    outside, place = tmp_path / "outside", tmp_path / "run" / ".lock"
    outside.write_text("kept")
    place.parent.mkdir()
    {"link": lambda: place.symlink_to(outside), "pipe": lambda: os.mkfifo(place), "folder": place.mkdir}[kind]()
    with pytest.raises(fx.InputError, match="run directory must be writable"), owned(place.parent):
        pass
    assert outside.read_text() == "kept"
