"""The pages that begin with files of one's own run as they stand: their Python, and their commands in a shell."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(3600)]


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Runs lines in bash, where ``foveax`` is that of these sources; what they print is returned."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    command = tmp_path / "bin" / "foveax"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m foveax.cli "$@"\n')
    command.chmod(0o700)

    def run(lines):
        arguments = ["bash", "-e", "-c", lines]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=900, check=True).stdout

    yield run
    plt.close("all")


def execute(page, shell):
    """Runs a page's blocks in their order; returns the names of its Python, and what each shell block printed."""
    names, printed = {}, []
    for language, block in re.findall(
        r"```(python|sh)\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(), re.DOTALL
    ):
        if language == "sh":
            printed.append(shell(block))
        else:
            exec(compile(block, page, "exec"), names)
    return names, printed


@pytest.mark.filterwarnings("ignore::foveax.analysis.gaze_file.GazeWarning")
def test_the_walk_is_walked(shell, tmp_path):
    names, (stopped, resumed, extended, looked, compared, exported) = execute("walk", shell)
    assert "stopped, with the exit code 130" in stopped
    assert "best sequence" in resumed
    assert re.search(r"events\.out\.tfevents", extended)
    rows = list(csv.reader(line for line in looked.splitlines() if line.count(",") == 2))
    assert rows[0] == ["picture", "class", "probability"]
    assert rows[1][0] == "new.png"
    assert rows[1][1] in ("disc", "ring", "square")
    assert "report.html" in compared
    assert list(names["frame"]["seed"]) == [0, 1, 0, 1]
    assert exported.splitlines()[-1] == "(1, 4, 3) (1, 4, 2) False"
    assert (tmp_path / "with-people" / "figures" / "people_trials.png").exists()
    assert len(names["gaze"].x) == 3 * 12 * 5 - 5 - 1  # a trial is missing, and one place
    assert all((tmp_path / name).stat().st_size for name in ("anna.png", "people.png"))


@pytest.mark.filterwarnings("ignore::foveax.analysis.gaze_file.GazeWarning")
@pytest.mark.parametrize("page", ["own_pictures", "own_gaze"])
def test_the_page_on_ones_own_files_runs(page, shell, tmp_path):
    names, printed = execute(page, shell)
    if page == "own_pictures":
        assert names["run"].data.train["image"].shape == (48, 48, 48, 1)
        assert "best sequence" in printed[0]
    else:
        assert len(names["table"].x) == 9
        assert (tmp_path / "runs" / "short" / "people" / "figures" / "densities.pdf").exists()


def test_the_figure_of_the_retinas_is_drawn(shell, tmp_path):
    names, _ = execute("retinas", shell)
    assert (tmp_path / "retinas.png").stat().st_size
    assert {glimpse.shape[-1] for glimpse in names["shown"].values()} == {3}


def test_the_gallery_is_that_of_its_page(shell, tmp_path):
    """Of a short training: the files that the page shows."""
    shell("foveax train --images 640 --hidden 16 --features 16 --no-evaluate --out runs/first")
    execute("gallery", shell)
    made, kept = ({path.name for path in (folder / "gallery").iterdir()} for folder in (tmp_path, ROOT / "docs"))
    assert made == kept
