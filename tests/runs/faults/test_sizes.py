"""Whatever size a configuration asks for is refused in a sentence, or is trained with within memory."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny
from sizes import lines

LONGEST = 300
"""Seconds for a start."""


def outcomes(flags, asked):
    """How each start ends, by its flags, in child processes: one that hangs or dies takes only its own line with it."""
    found = {}
    while len(found) < len(asked):
        command = [sys.executable, str(Path(__file__).with_name("sizes.py")), *flags]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            child.stdin.write(json.dumps(asked[len(found) :]))
            child.stdin.close()
            for line in child.stdout:
                timer = threading.Timer(LONGEST, child.kill)
                timer.start()
                end = child.stdout.readline()
                timer.cancel()
                found[" ".join(json.loads(line))] = json.loads(end) if end else "killed, or it hung"
    return found


def check(tmp_path, asked):
    flags = ["--data", str(tiny.write_npz(tmp_path / "tiny.npz")), *tiny.FLAGS]
    found = outcomes(flags, asked)
    assert {line: end for line, end in found.items() if end not in ("ran", "refused")} == {}
    return found


@pytest.mark.slow
def test_some_sizes_are_refused_or_fit(tmp_path):
    asked = [
        ["--hidden", "1000000"],
        ["--batch", "0"],
        ["--seed", str(2**63)],
        ["--canvas", "100000", "--task", "cluttered"],
    ]
    assert set(check(tmp_path, asked).values()) == {"refused"}


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_every_size_is_refused_or_fits(tmp_path):
    """On both tasks, in two processes at a time."""
    canvas = [[*line, *([] if "--canvas" in line else ["--canvas", "30"])] for line in lines()]
    folders = [tmp_path / task for task in ("original", "cluttered")]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda folder: check(folder, [[*line, "--task", folder.name] for line in canvas]), folders))
