"""A run is attacked by one call and by one command, and an attack that is killed goes on where it was."""

import json
import subprocess
import sys
import time

import pytest
import tiny

from foveax.cli import main
from foveax.evaluation import attack as evaluation
from foveax.evaluation import smallest_changes as smallest
from foveax.evaluation.attack_rows import rows

KILLED_AT = (2, 7, 11)
"""Batches that are there when the command is killed: in the first row, and in later ones."""
FEW = """
import sys
from foveax.cli import main
from foveax.evaluation import attack as evaluation
from foveax.evaluation import smallest_changes as smallest
smallest.STEPS = 2
rows = evaluation.rows
names = ("clean", "FGSM", "sampled gaze, 2 draws", "whole image, clean")
evaluation.rows = lambda config, **kind: {name: rows(config, **kind)[name] for name in names}
main(sys.argv[1:])
"""
"""The command with four rows."""


@pytest.mark.nightly
def test_a_run_is_attacked_by_a_command(tmp_path, monkeypatch, capsys):
    def some(config, **kind):
        made = rows(config, **kind)
        return {name: made[name] for name in ("clean", "noise of equal norm", "whole image, clean")}

    monkeypatch.setattr(evaluation, "rows", some)
    monkeypatch.setattr(smallest, "STEPS", 2)
    run, data = tmp_path / "run", tiny.write_npz(tmp_path / "tiny.npz")
    tiny.train(run, config=tiny.named(data), given=None)
    command = ["attack", str(run), "--images", "8", "--batch", "4"]
    main(command)
    first = (run / "attack" / "whole_image.npz").stat()
    printed = capsys.readouterr()
    assert "noise of equal norm" in printed.out
    assert f"open {run / 'attack' / 'attack.html'}" in printed.out
    assert "whole image, clean: " in printed.err
    assert "100 %" in printed.err
    results = json.loads((run / "attack" / "attack.json").read_text())
    assert results["rows"]["clean"]["images"] == 8
    page = (run / "attack" / "attack.html").read_text()
    assert page.index("test images") < page.index("noise of equal norm")
    assert (run / "attack" / "figures" / "examples.png").exists()
    main([*command, "--corruptions"])
    assert (run / "attack" / "whole_image.npz").stat() == first
    again = json.loads((run / "attack" / "attack.json").read_text())
    assert again.pop("corruptions")["subjects"].keys() >= {"own gaze", "whole image"}
    assert again == results
    assert (run / "attack" / "figures" / "corruptions.png").exists()
    with pytest.raises(SystemExit):
        main([*command, "--epsilon", "0.2"])
    assert "folder must hold this evaluation, or none" in capsys.readouterr().err


@pytest.mark.nightly
def test_a_killed_attack_ends_like_one_that_was_not(tmp_path):
    run, data = tmp_path / "run", tiny.write_npz(tmp_path / "tiny.npz")
    tiny.train(run, config=tiny.named(data), given=None)
    flags = ["--images", "12", "--batch", "3", "--steps", "3", "--draws", "1", "2", "--sweep", "0.6"]

    def command(out):
        return [sys.executable, "-c", FEW, "attack", str(run), *flags, "--out", str(out)]

    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    out = tmp_path / "killed"
    for count in KILLED_AT:
        process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(list(out.glob("*-[0-9].npz"))) < count:
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
        process.wait()
        assert not (out / "attack.json").exists()
    subprocess.run(command(out), check=True, capture_output=True)
    ends = [json.loads((folder / "attack.json").read_text()) for folder in (tmp_path / "whole", out)]
    for end in ends:
        for row in end["rows"].values():
            del row["seconds"]
    assert ends[0] == ends[1]
    assert [row["images"] for row in ends[1]["rows"].values()] == [12] * 4
