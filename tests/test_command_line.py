"""The command line as a user meets it: files, exit codes, one clear sentence."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import tiny
import tyro
from command import printed, refused

import foveax as fx
from foveax import commands
from foveax.cli import main
from foveax.learning.rewards import REWARDS
from foveax.recipes.tables import RECIPES
from foveax.runs.config import PRESETS
from foveax.training_help import MAIN

TINY = ["--images", "320", "--hidden", "16", "--features", "8"]


def write_npz(path, **changes):
    rng = np.random.default_rng(0)
    arrays = {f"{split}_image": rng.integers(0, 255, (40, 12, 12), dtype=np.uint8) for split in ("train", "test")}
    arrays |= {f"{split}_label": np.arange(40) % 4 for split in ("train", "test")}
    np.savez(path, **{**arrays, "classes": 4, **changes})
    return str(path)


def test_train_evaluate_export(tmp_path, capsys):
    out = tmp_path / "run"
    table = printed(capsys, "train", *TINY, "--out", out)
    assert printed(capsys, "evaluate", out).splitlines() == table.splitlines()[:7]
    assert table.splitlines()[6].startswith("the most frequent class alone 10.00; accuracy balanced over classes ")
    rows = ["learned", "best sequence", "another image", "random", "centre"]
    assert all(line.startswith(row) for line, row in zip(table.splitlines()[1:6], rows, strict=True))
    main(["export", str(out)])
    with np.load(out / "test.npz") as arrays:
        shapes = {name: arrays[name].shape for name in arrays}
        paths = {"probabilities": (1000, 6, 10), "predicted": (1000, 6), "label": (1000,), "fixations": (1000, 6, 2),
                 "track_saccader": (1000, 6, 2), "losses": (1000, 6)}  # fmt: skip
        assert shapes == paths
        share = 100 * (arrays["predicted"][:, -1] == arrays["label"]).mean()
    assert f"{share:.2f}" in table.splitlines()[1]
    # the same command again: nothing left to do, the same table; the speed too is that of the training
    assert printed(capsys, "train", *TINY, "--out", out) == table


def test_diagnose_writes_what_it_prints(tmp_path, capsys):
    out, data = tmp_path / "run", write_npz(tmp_path / "own.npz")
    flags = ["--glimpses", "3", "--crop-size", "5", "--task", "translated", "--canvas", "20"]
    main(["train", *TINY, *flags, "--data", data, "--no-evaluate", "--out", str(out)])
    output = printed(capsys, "diagnose", out, "--whole-image", "320")
    stored = json.loads((out / "diagnosis.json").read_text())
    assert stored["judged_on"] == ""
    assert f"whole image: {100 * stored['whole_image']:.2f} %" in output
    (eye,) = stored["diagnosis"].values()
    assert len(eye["information"]) == 2
    assert eye["because"] in output
    assert ("COLLAPSED" in output) == eye["collapsed"]
    assert f"{100 * stored['test']['best sequence']['accuracy'][-1]:.2f}" in output


@pytest.mark.nightly
def test_population_prints_each_combination(tmp_path, capsys):
    flags = [*TINY, "--images", "64", "--data", write_npz(tmp_path / "own.npz"), "--glimpses", "3", "--crop-size", "5"]
    vary = ["--seeds", "2", "--vary", "entropy=0,0.1", "--table", str(tmp_path / "members.json")]
    command = ["population", *flags, *vary, "--out", str(tmp_path / "run")]
    table = printed(capsys, *command)
    assert [line.split()[:2] for line in table.splitlines()[1:]] == [["0", "2"], ["0.1", "2"]]
    stored = json.loads((tmp_path / "members.json").read_text())["members"]
    assert [(member["config"]["seed"], member["config"]["learning"]["entropy"]) for member in stored] == [
        (0, 0.0), (0, 0.1), (1, 0.0), (1, 0.1)]  # fmt: skip
    assert printed(capsys, *command) == table  # the same command again: nothing left to do
    assert "is a population's" in refused(capsys, "evaluate", tmp_path / "run")


def test_unknown_recipes_and_values_that_are_no_numbers_are_refused(tmp_path, capsys):
    assert f"recipe must be one of {', '.join(RECIPES)}, or FILE.py:NAME" in refused(capsys, "recipe", "tabel1")
    assert "vary must be NAME=VALUE,VALUE,... with numbers; got 'entropy=a'" in refused(
        capsys, "population", "--vary", "entropy=a"
    )
    assert "got 'entropi'" in refused(capsys, "population", "--vary", "entropi=1")
    assert "seeds must be at least 1; got 0" in refused(capsys, "population", "--seeds", "0")
    many = refused(capsys, "population", "--seeds", "1000000000", "--vary", "entropy=0,0.1")
    assert many == "a population must have at most 100000 members; got 2000000000"
    (tmp_path / "mine.py").write_text("shown = 3")
    assert "FILE.py:NAME of a Recipe" in refused(capsys, "recipe", f"{tmp_path / 'mine.py'}:shown")


BAD_VALUES = {
    ("--preset", "mnst"): f"preset must be one of {', '.join(PRESETS)}; got 'mnst'; did you mean 'mnist'?",
    ("--batch", "-3"): "batch must be at least 1 and at most 1000000; got -3",
    ("--learning-rate", "nan"): "learning_rate must be at least 0.0; got nan",
    ("--learning-rate", "-1e-3"): "learning_rate must be at least 0.0; got -0.001",
    ("--discount", "1.5"): "discount must be at least 0.0 and at most 1.0; got 1.5",
    ("--epsilon", "0"): "epsilon must be more than 0.0; got 0.0",
    ("--glimpses", "0"): "glimpses must be at least 1 and at most 1000; got 0",
    ("--crop-size", "29"): "crop_size must be at most the image's larger side, 28; got 29",
    ("--batch", "6000"): "batch must be at most the number of training images, 5000; got 6000",
    ("--link", "classifier.hiden -> saccader.observation"): "no output port 'hiden' on 'classifier' to feed "
    "saccader.observation; it has core",
    ("--link", "classifier.hidden"): "a link must read \"module.port -> module.port\"; got 'classifier.hidden'",
    ("--link", "input.label -> retina.fixation"): "input.label gives int32[], but retina.fixation takes float32[2]",
    ("--unlink", "saccader.nothing"): "no link leads into saccader.nothing; links lead into retina.image, ",
    ("--unlink", "retina.image"): "retina.image has no source; it needs a link that brings",
    ("--pipeline-args", "noise=1"): "pipeline arguments must go with a pipeline; got none: name it with --pipeline",
    ("--fork", "gone"): "run directory must hold a config.json; gone does not",
    ("--policy", "given"): "no output port 'fixations' on 'input'",
    ("--policy", "sequence"): "sequence must hold 5 fixations, one per saccade; got 0",
    ("--data", "mnst", "--data-dir", "nowhere"): "data 'mnst' must be prepared: no dataset_info.json below",
    ("--images", str(10**12), "--batch", "1"): "images must be at most 2147483647 batches; got 1000000000000 of 1",
    ("--task", "cluttered", "--canvas", "100000"): "test canvases must fit into memory, of which ",
    ("--data", "gone.npz"): f"data must be there: no file {Path('gone.npz').absolute()}",
}


@pytest.mark.parametrize("arguments", BAD_VALUES)
def test_bad_value_is_refused_before_anything_is_written(arguments, tmp_path, capsys):
    message = refused(capsys, "train", *arguments, "--out", tmp_path / "run")
    assert BAD_VALUES[arguments] in message
    assert not (tmp_path / "run").exists()


UNKNOWN = {
    ("--bacth", "3"): "--batch",
    ("--reward", "money"): "--reward",
    ("--crop", "9"): "--crop-size",
    ("--observe", "hidden"): "Unrecognized options: --observe",
    ("--batch", "some"): "--batch",
}


@pytest.mark.parametrize("arguments", UNKNOWN)
def test_unknown_flags_are_refused_with_those_that_are_near(arguments, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", *arguments, "--out", str(tmp_path / "run")])
    assert end.value.code == 2
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    assert UNKNOWN[arguments] in " ".join(errors.split())
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
    file = write_npz(tmp_path / "own.npz", **changes)
    assert message in refused(capsys, "train", "--data", file, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


LONG = "1" + 400 * "0"
"""No file has a name of so many characters."""


@pytest.mark.parametrize(
    "arguments",
    [
        *[["train", flag, LONG] for flag in ("--out", "--data", "--data-dir", "--init-from", "--extend")],
        *[[command, flag, LONG] for command in ("population", "sweep", "train-sb3") for flag in ("--out", "--data")],
        *[[command, LONG] for command in ("evaluate", "diagnose", "analyze", "export", "verify")],
        ["train", "--fork", LONG, "--out", "fork"],
        ["train", "--config", LONG],
        ["train", "--pipeline", f"{LONG}.py:pipeline"],
        ["train", "--pipeline", f"{LONG}:pipeline"],
        ["analyze", "folder", "--people", LONG],
        ["predict", LONG, LONG],
        ["train", "--compilation-cache", LONG],
    ],
    ids=lambda arguments: " ".join(argument[:14] for argument in arguments),
)
def test_names_that_no_file_has_are_refused(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    most = ["--images", "32"] if arguments[0] in ("train", "population", "sweep", "train-sb3") else []
    more = ["--data", "mnist"] if "--data-dir" in arguments else []
    assert "1000000" in refused(capsys, *arguments, *most, *more)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_run_directories_that_do_not_fit_are_refused(tmp_path, capsys):
    flags = [*TINY, "--data", write_npz(tmp_path / "own.npz"), "--glimpses", "3", "--crop-size", "5", "--no-evaluate"]
    (line,) = printed(capsys, "train", *flags, "--out", tmp_path / "run").splitlines()
    assert "images/s" in line  # without an evaluation that is all
    message = refused(capsys, "train", *flags, "--seed", "4", "--out", tmp_path / "run")
    assert "must be of the same configuration to be resumed: seed is 0 there, 4 here" in message
    execution = ["--dispatch", "3", "--resident-megabytes", "0", "--data-dir", "elsewhere", "--devices", "0"]
    main(["train", *flags, *execution, "--patience", "600", "--out", str(tmp_path / "run")])  # is the same run
    (tmp_path / "file").write_text("")
    assert "run directory must be writable" in refused(capsys, "train", *flags, "--out", tmp_path / "file" / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    assert "must hold a config.json" in refused(capsys, "train", *flags, "--out", tmp_path / "other")
    for command in ("evaluate", "diagnose", "analyze", "export", "verify"):
        assert "must hold a config.json" in refused(capsys, command, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps({**stored, "format": 99}))
    assert "must be of format 3" in refused(capsys, "export", tmp_path / "run")


def test_import_is_light():
    code = "import sys, foveax; print([m for m in sys.modules if m.split('.')[0] in HEAVY])"
    heavy = "HEAVY = ('tensorflow_datasets', 'matplotlib', 'gymnasium', 'distrax', 'tensorflow', 'orbax')"
    done = subprocess.run([sys.executable, "-c", f"{heavy}; {code}"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_configuration_is_printed_and_read_again(tmp_path, capsys):
    text = printed(capsys, "config", *TINY, "--entropy", "0.25")
    assert fx.TrainingConfig.from_json(json.loads(text)).learning.entropy == 0.25
    (tmp_path / "my.json").write_text(text)
    assert printed(capsys, "config", "--config", tmp_path / "my.json") == text
    changed = json.loads(printed(capsys, "config", "--config", tmp_path / "my.json", "--seed", "3"))
    assert changed == {**json.loads(text), "seed": 3}
    (tmp_path / "short.yaml").write_text("images: 320\nlearning: {entropy: 0.25}\npipeline: {hidden: 16, features: 8}")
    assert printed(capsys, "config", f"--config={tmp_path / 'short.yaml'}") == text


BAD_CONFIGURATIONS = {
    "nowhere.json": (None, "must be readable: No such file"),
    "torn.json": ("{", "must be JSON"),
    "torn.yaml": ("a: [", "must be YAML"),
    "list.yaml": ("[1, 2]", "TrainingConfig must be a JSON object; got list"),
    "more.json": ('{"imagse": 3}', "has no field 'imagse'; did you mean 'images'?"),
    "text.yaml": ("warp: 1e-3", "warp must be float; got '1e-3'"),  # which YAML takes for text
}


@pytest.mark.parametrize("name", BAD_CONFIGURATIONS)
def test_files_that_hold_no_configuration_are_refused(name, tmp_path, capsys):
    text, message = BAD_CONFIGURATIONS[name]
    if text is not None:
        (tmp_path / name).write_text(text)
    assert message in refused(capsys, "config", "--config", tmp_path / name)


def test_flags_start_from_one_place(tmp_path, capsys):
    assert "must start from one of" in refused(capsys, "config", "--preset", "mnist", "--config", tmp_path / "my.json")


def test_a_finished_run_is_extended_in_a_directory_of_its_own(tmp_path, capsys):
    first, longer = tmp_path / "first", tmp_path / "longer"
    printed(capsys, "train", *tiny.FLAGS, "--data", tiny.write_npz(tmp_path / "tiny.npz"), "--out", first)
    message = refused(capsys, "train", "--config", first / "config.json", "--images", "160", "--out", first)
    assert message.endswith(f"images is 96 there, 160 here; --extend {first} and another --out go on from its end")
    flags = ["--dispatch", "2", "--no-evaluate", "--out", longer]
    printed(capsys, "train", "--extend", first, "--images", "160", *flags)
    steps = [json.loads(line)["step"] for line in (longer / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(26, 41, 2))
    stored = json.loads((longer / "config.json").read_text())
    assert stored["fork"]["step"] == 24
    assert stored["config"] == {**json.loads((first / "config.json").read_text())["config"], "images": 160}
    assert "images must be more than those" in refused(capsys, "train", "--extend", first, "--out", tmp_path / "no")
    assert "must have a run directory of its own" in refused(capsys, "train", "--extend", first, "--images", "160")


@pytest.mark.parametrize("name", ["train", "train_sb3", "population", "config"])
def test_help_has_every_flag_once_and_those_that_matter_first(name, capsys):
    text = printed(capsys, name.replace("_", "-"), "--help")
    shown = re.findall(r"^  (--\S+?),? ", text, re.MULTILINE)
    assert shown[: len(MAIN)] == ["--" + field.replace("_", "-") for field in MAIN]
    command = functools.partial(getattr(commands, name), flags=commands.TrainingFlags(PRESETS["default"]))
    with pytest.raises(SystemExit):
        tyro.cli(command, args=["--help"])
    parsed = set(re.findall(r"--(?!no-)[a-z][a-z0-9-]*", capsys.readouterr().out)) - {"--help"}
    assert sorted(shown) == sorted(parsed)
    assert all(f"\n  {choice} " in text for choice in (*PRESETS, *REWARDS))


def test_the_page_names_the_flags_that_matter_in_the_order_of_the_help():
    page = Path(__file__).parents[1] / "docs" / "getting_started.md"
    named = re.findall(r"^\| `--(\S+)` ", page.read_text(), re.MULTILINE)
    assert named == [field.replace("_", "-") for field in MAIN]


def test_commands_are_listed_and_others_refused_with_the_one_that_is_near(capsys):
    listed = printed(capsys, "--help")
    assert printed(capsys) == listed
    assert "  train       Train a pipeline, and test it next to its controls.\n" in listed
    message = refused(capsys, "trian")
    assert message.endswith("got 'trian'; did you mean 'train'?")
    named = message.partition("one of ")[2].partition(";")[0].split(", ")
    assert re.findall(r"^  (\S+)", listed, re.MULTILINE) == named


def test_a_flag_of_several_values_is_given_once(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["population", "--vary", "entropy=0,1", "--vary", "discount=0,1"])
    assert "--vary must be given once, with all its values behind it" in capsys.readouterr().err


def test_the_version_is_printed(capsys):
    assert printed(capsys, "--version").startswith("foveax 0.")


def test_a_source_tree_that_is_not_installed_says_so(monkeypatch, capsys):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert printed(capsys, "--version") == "foveax not installed\n"


def test_a_result_is_printed_in_three_lines():
    result = tiny.train(evaluate=True)
    lines = repr(result).splitlines()
    assert lines[0] == "Result of 96 training images"
    assert f"learned {100 * result.evaluations['learned'].accuracy[-1]:.2f}, best sequence" in lines[1]
    assert len(lines) == 3


ENVIRONMENTS = {
    "JAX_ENABLE_X64=1": "switch JAX_ENABLE_X64 off",
    "PYTHONOPTIMIZE=2": "run Python without -OO",
    "SOURCE_DATE_EPOCH=x": "with SOURCE_DATE_EPOCH a number or not set",
    "JAX_PLATFORMS=cuda": "a device must be there; JAX_PLATFORMS=cuda finds none",
    "PYTHONWARNINGS=error": "",
    "MPLBACKEND=nonsense": "",
    "LC_ALL=C": "",
}


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("setting", ENVIRONMENTS)
def test_in_odd_environments_a_training_ends_well_or_with_a_sentence(setting, tmp_path):
    name, _, value = setting.partition("=")
    data, out = tiny.write_npz(tmp_path / "tiny.npz"), tmp_path / "ordn\u00e9r"
    command = [sys.executable, "-m", "foveax.cli", "train", *tiny.FLAGS, "--evaluate", "--data", data, "--out", out]
    done = subprocess.run(command, env={**os.environ, name: value}, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    message = ENVIRONMENTS[setting]
    assert done.returncode == (2 if message else 0), done.stderr
    assert message in done.stderr
    assert bool(message) != (out / "summary.json").exists()


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("seconds", [5, 8, 11])
def test_an_interrupt_before_the_first_step_ends_a_command_with_its_code(seconds):
    """Where the tests run in the background, their processes would not hear of an interrupt unless they ask to."""
    hearing = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import foveax.cli as f; f.main()"
    )
    command = [sys.executable, "-c", hearing, "train", "--images", "6400000", "--no-evaluate"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("foveax: interrupted")


@pytest.mark.slow
@pytest.mark.nightly
def test_whoever_stops_reading_sees_no_traceback():
    command = f"{sys.executable} -m foveax.cli train --help | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert done.stdout.startswith("usage: foveax")
    assert done.stderr == ""
