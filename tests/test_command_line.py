"""The command line as a user meets it: files, exit codes, one clear sentence."""

import json
import subprocess
import sys

import numpy as np
import pytest

from foveax.cli import main
from foveax.recipes.tables import RECIPES
from foveax.training.config import PRESETS

TINY = ["--images", "320", "--hidden", "16", "--features", "8"]


def refused(capsys, *arguments):
    """What a refused command says: it must end with code 2 and without a traceback."""
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def write_npz(path, **changes):
    rng = np.random.default_rng(0)
    arrays = {f"{split}_image": rng.integers(0, 255, (40, 12, 12), dtype=np.uint8) for split in ("train", "test")}
    arrays |= {f"{split}_label": np.arange(40) % 4 for split in ("train", "test")}
    np.savez(path, **{**arrays, "classes": 4, **changes})
    return str(path)


def test_train_evaluate_export(tmp_path, capsys):
    out = tmp_path / "run"
    main(["train", *TINY, "--out", str(out)])
    table = capsys.readouterr().out
    main(["evaluate", str(out)])
    assert capsys.readouterr().out.splitlines() == table.splitlines()[:6]
    rows = ["learned", "best sequence", "another image", "random", "centre"]
    assert all(line.startswith(row) for line, row in zip(table.splitlines()[1:6], rows, strict=True))
    main(["export", str(out)])
    with np.load(out / "test.npz") as arrays:
        shapes = {name: arrays[name].shape for name in arrays}
        paths = {"probabilities": (1000, 6, 10), "predicted": (1000, 6), "label": (1000,), "fixations": (1000, 6, 2)}
        assert shapes == paths
        share = 100 * (arrays["predicted"][:, -1] == arrays["label"]).mean()
    assert f"{share:.2f}" in table.splitlines()[1]
    capsys.readouterr()
    main(["train", *TINY, "--out", str(out)])  # the same command again: nothing left to do, the same table
    assert capsys.readouterr().out == table  # the speed too is that of the training


def test_diagnose_writes_what_it_prints(tmp_path, capsys):
    out = tmp_path / "run"
    main(["train", *TINY, "--task", "translated", "--canvas", "32", "--out", str(out)])
    capsys.readouterr()
    main(["diagnose", str(out), "--rounds", "1", "--whole-image", "320"])
    said = capsys.readouterr().out
    stored = json.loads((out / "diagnosis.json").read_text())
    assert f"whole image: {100 * stored['whole_image']:.2f} %" in said
    assert len(stored["information"]) == 5
    assert ("COLLAPSED" in said) == stored["collapsed"] == bool(stored["reasons"])
    assert f"{100 * stored['test']['best sequence']['accuracy'][-1]:.2f}" in said


def test_population_prints_each_combination(tmp_path, capsys):
    main(["population", *TINY, "--seeds", "2", "--vary", "entropy=0,0.1", "--out", str(tmp_path / "members.json")])
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in table[1:]] == [["0", "2"], ["0.1", "2"]]
    stored = json.loads((tmp_path / "members.json").read_text())["members"]
    assert [(member["config"]["seed"], member["config"]["learning"]["entropy"]) for member in stored] == [
        (0, 0.0), (0, 0.1), (1, 0.0), (1, 0.1)]  # fmt: skip


def test_unknown_recipes_and_values_that_are_no_numbers_are_refused(capsys):
    assert f"recipe must be one of {', '.join(RECIPES)}; got 'tabel1'" in refused(capsys, "recipe", "tabel1")
    assert "vary must be NAME=VALUE,VALUE,... with numbers; got 'entropy=a'" in refused(
        capsys, "population", "--vary", "entropy=a"
    )


def test_arrays_of_ones_own(tmp_path, capsys):
    main(["train", *TINY, "--data", write_npz(tmp_path / "own.npz"), "--crop", "5", "--glimpses", "3"])
    assert "learned" in capsys.readouterr().out


BAD_VALUES = {
    ("--preset", "mnst"): f"preset must be one of {', '.join(PRESETS)}; got 'mnst'; did you mean 'mnist'?",
    ("--bacth", "3"): "--batch",
    ("--batch", "-3"): "batch must be at least 1 and at most 1000000; got -3",
    ("--learning-rate", "nan"): "learning_rate must be at least 0.0; got nan",
    ("--learning-rate", "-1e-3"): "learning_rate must be at least 0.0; got -0.001",
    ("--discount", "1.5"): "discount must be at least 0.0 and at most 1.0; got 1.5",
    ("--epsilon", "0"): "epsilon must be more than 0.0; got 0.0",
    ("--glimpses", "0"): "glimpses must be at least 1 and at most 1000; got 0",
    ("--crop", "29"): "crop must be at most the image's larger side, 28; got 29",
    ("--batch", "6000"): "batch must be at most the number of training images, 5000; got 6000",
    ("--observe", "hiden"): "no output port 'hiden' on 'network' to feed saccader.observation; it has core",
    ("--policy", "given"): "no output port 'fixations' on 'input'",
    ("--policy", "sequence"): "sequence must hold 5 fixations, one per saccade; got 0",
    ("--reward", "money"): "--reward",
    ("--data", "mnst", "--data-dir", "nowhere"): "data 'mnst' must be prepared: no dataset_info.json below",
    ("--data", "gone.npz"): "no file gone.npz",
}


@pytest.mark.parametrize("arguments", BAD_VALUES)
def test_bad_value_is_refused_before_anything_is_written(arguments, tmp_path, capsys):
    said = refused(capsys, "train", *arguments, "--out", str(tmp_path / "run"))
    assert BAD_VALUES[arguments] in " ".join(said.split())
    assert not (tmp_path / "run").exists()


BAD_ARRAYS = {
    "labels outside": (
        {"train_label": np.full(40, 4)},
        "labels must be less than the number of classes, 4; got a label 4",
    ),
    "rank": ({"train_image": np.zeros((40, 12), np.uint8)}, "must have the shape [N, H, W, C] or [N, H, W]"),
    "dtype": ({"train_image": np.zeros((40, 12, 12), np.int64)}, "got int64"),
    "nan": ({"train_image": np.full((40, 12, 12), np.nan)}, "must lie in [0, 1] where it is a float"),
    "empty": ({"train_image": np.zeros((0, 12, 12), np.uint8)}, "must not be empty"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_are_refused(case, tmp_path, capsys):
    changes, message = BAD_ARRAYS[case]
    said = refused(
        capsys, "train", "--data", write_npz(tmp_path / "own.npz", **changes), "--out", str(tmp_path / "run")
    )
    assert message in said
    assert not (tmp_path / "run").exists()


def test_run_directories_that_do_not_fit_are_refused(tmp_path, capsys):
    main(["train", *TINY, "--out", str(tmp_path / "run")])
    capsys.readouterr()
    said = refused(capsys, "train", *TINY, "--seed", "4", "--out", str(tmp_path / "run"))
    assert "must be of the same configuration to be continued: seed is 0 there, 4 here" in said
    (tmp_path / "file").write_text("")
    assert "run directory must be writable" in refused(capsys, "train", *TINY, "--out", str(tmp_path / "file" / "run"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    assert "must hold a config.json" in refused(capsys, "train", *TINY, "--out", str(tmp_path / "other"))
    assert "must hold a config.json" in refused(capsys, "evaluate", str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps({**stored, "format": 99}))
    assert "must be of format 1" in refused(capsys, "export", str(tmp_path / "run"))


def test_import_is_light():
    code = "import sys, foveax; print([m for m in sys.modules if m.split('.')[0] in HEAVY])"
    heavy = "HEAVY = ('tensorflow_datasets', 'matplotlib', 'gymnasium', 'distrax', 'tensorflow', 'orbax')"
    done = subprocess.run([sys.executable, "-c", f"{heavy}; {code}"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
