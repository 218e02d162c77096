"""A run knows its data: others are refused with both sides, or judged only where they are asked for, and named."""

import dataclasses
import json
import shutil
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
import tiny
from command import printed, refused

import foveax as fx
from foveax.cli import main
from foveax.report import write_report
from foveax.runs.directory import read_run

pytestmark = pytest.mark.slow

PIPELINE = ["--glimpses", "3", "--hidden", "8", "--features", "8", "--saccader-hidden", "4", "--images", "320"]
INVERTED = fx.TrainingConfig(
    images=320, pipeline=fx.PipelineConfig(glimpses=3, hidden=8, features=8, saccader_hidden=4)
)

LONGER = dataclasses.replace(INVERTED, images=640)


def changed(data: fx.Data, **splits) -> fx.Data:
    """The same data with some arrays replaced, by split and name."""
    return data._replace(**{split: {**getattr(data, split), **arrays} for split, arrays in splits.items()})


@pytest.fixture(scope="module")
def inverted(digits):
    """Digits in black on white, given as arrays."""
    return changed(digits, train={"image": 255 - digits.train["image"]}, test={"image": 255 - digits.test["image"]})


@pytest.fixture(scope="module")
def trained(inverted, tmp_path_factory):
    """A run on inverted digits, whose configuration names the digits as they are, and its result."""
    out = tmp_path_factory.mktemp("inverted") / "run"
    return out, fx.train(INVERTED, inverted, out=out)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A file of other digits: some of the bundled ones, upside down."""
    data = fx.load("mnist5k")
    data = changed(
        data,
        train={name: array[:200] for name, array in data.train.items()},
        test={"image": data.test["image"][:100, ::-1], "label": data.test["label"][:100]},
    )
    return tiny.write_npz(tmp_path_factory.mktemp("other") / "other digits.npz", data)


def snapshot(folder):
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


COMMANDS = {
    **{name: [name, "RUN"] for name in ("evaluate", "diagnose", "analyze", "export", "verify")},
    "resume": ["train", *PIPELINE, "--out", "RUN"],
    "fork": ["train", *PIPELINE, "--images", "640", "--out", "NEW", "--fork", "RUN"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_on_arrays_is_never_judged_on_the_set_that_its_configuration_names(command, trained, tmp_path, capsys):
    run, _ = trained
    before = snapshot(run)
    places = {"RUN": run, "NEW": tmp_path / "new"}
    message = refused(capsys, *(places.get(word, word) for word in COMMANDS[command]))
    assert f"data must be those that run {run} was trained on: train image holds other values, SHA-256 " in message
    digests = [word for word in message.split() if len(word) == 12 and set(word) <= set("0123456789abcdef")]
    assert len(set(digests)) == 2
    assert snapshot(run) == before
    assert not (tmp_path / "new").exists()


def test_given_the_arrays_again_a_run_is_judged_as_training_reported(trained, inverted):
    run, result = trained
    loaded = fx.load_run(run, data=inverted)
    assert loaded.judged_on == ""
    np.testing.assert_array_equal(loaded.data.test["image"], inverted.test["image"])
    again = fx.evaluate(loaded.graph, loaded.params, loaded.data.test, key=jax.random.key(0))
    assert again.accuracy.tolist() == result.summary["test"]["learned"]["accuracy"]


def test_in_a_file_the_same_arrays_are_the_runs_own(trained, inverted, tmp_path, capsys):
    run, result = trained
    file = tiny.write_npz(tmp_path / "inverted.npz", inverted)
    table = printed(capsys, "evaluate", run, "--data", file).splitlines()
    assert table[1].split()[1:4] == [f"{100 * share:.2f}" for share in result.summary["test"]["learned"]["accuracy"]]
    assert "judged on" not in "".join(table)
    assert "same: " in printed(capsys, "verify", run, "--data", file, "--steps", "1")
    printed(capsys, "export", run, "--data", file, "--file", tmp_path / "test.npz")
    with np.load(tmp_path / "test.npz") as arrays:
        np.testing.assert_array_equal(arrays["predicted"], result.evaluations["learned"].predicted)


READERS = {
    "load_run": fx.load_run,
    "verify": lambda run, data: fx.verify(run, data=data, steps=1),
    "write_report": lambda run, data: write_report(run, data=data),
    "resume": lambda run, data: fx.train(INVERTED, data, out=run),
    "fork": lambda run, data: fx.train(LONGER, data, out=run.parent / "new", fork=run),
}


@pytest.mark.parametrize("reader", READERS)
def test_other_arrays_are_refused_from_python(reader, trained, inverted):
    run, _ = trained
    before = snapshot(run.parent)
    image = inverted.test["image"].copy()
    image[7, 3, 3] ^= 1  # one bit of one pixel
    message = f"data must be those that run {run} was trained on: test image holds other values, SHA-256 "
    with pytest.raises(fx.InputError, match=message):
        READERS[reader](run, changed(inverted, test={"image": image}))
    fewer = {name: array[:1000] for name, array in inverted.train.items()}
    message = r"train image is uint8\[5000, 28, 28, 1\] there, uint8\[1000, 28, 28, 1\] here"
    with pytest.raises(fx.InputError, match=message):
        READERS[reader](run, inverted._replace(train=fewer))
    with pytest.raises(fx.InputError, match=r"classes is 10 there, 11 here"):
        READERS[reader](run, inverted._replace(classes=11))
    more = changed(inverted, train={"depth": np.zeros(5000, np.float32)}, test={"depth": np.zeros(1000, np.float32)})
    with pytest.raises(fx.InputError, match=r"train depth is absent there, float32\[5000\] here"):
        READERS[reader](run, more)
    assert snapshot(run.parent) == before


def test_a_new_set_is_judged_and_named_in_what_is_printed_and_written(trained, other, capsys):
    run, result = trained
    note = f"judged on {other}, on which it was not trained"
    first, *table = printed(capsys, "evaluate", run, "--data", other).splitlines()
    assert first == note
    loaded = fx.load_run(run, new_data=str(other))
    assert loaded.judged_on == str(other)
    chex.assert_trees_all_equal(loaded.params, result.params)
    own = fx.evaluate(loaded.graph, loaded.params, loaded.data.test, key=jax.random.key(0))
    assert len(own.label) == 100
    assert f"{100 * own.accuracy[-1]:.2f}" in table[1]
    before = snapshot(run)
    assert note in printed(capsys, "export", run, "--data", other)
    with np.load(next(run.glob("test-on-*other-digits.npz.npz"))) as arrays:
        np.testing.assert_array_equal(arrays["predicted"], own.predicted)
    assert note in printed(capsys, "diagnose", run, "--data", other)
    stored = json.loads(next(run.glob("diagnosis-on-*other-digits.npz.json")).read_text())
    assert stored["judged_on"] == str(other)
    assert stored["test"]["learned"]["accuracy"] == own.accuracy.tolist()
    assert "whole_image" not in stored  # it would be trained on the new set
    after = snapshot(run)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 2


@pytest.mark.nightly
def test_a_report_on_a_new_set_says_so(trained, other, capsys):
    run, _ = trained
    output = printed(capsys, "analyze", run, "--data", other)
    (folder,) = run.glob("analysis-on-*other-digits.npz")
    assert str(folder) in output
    assert f"judged on {other}" in (folder / "report.html").read_text()


def test_arrays_that_are_new_are_judged_and_named(trained, digits):
    run, _ = trained
    loaded = fx.load_run(run, new_data=digits)
    assert loaded.judged_on == "arrays given in Python"
    np.testing.assert_array_equal(loaded.data.test["image"], digits.test["image"])
    assert fx.load_run(run, new_data=changed(digits, train={"image": 255 - digits.train["image"]},
                                             test={"image": 255 - digits.test["image"]})).judged_on == ""  # fmt: skip


def test_new_sets_that_do_not_fit_are_refused(trained, digits, other, tmp_path, capsys):
    run, _ = trained
    smaller = tiny.write_npz(tmp_path / "smaller.npz")
    message = refused(capsys, "evaluate", run, "--data", smaller)
    assert f"data to judge run {run} on must have its inputs" in message
    assert "uint8[28, 28, 1]" in message
    assert "float32[24, 24, 1]" in message
    more = digits._replace(classes=11)
    with pytest.raises(fx.InputError, match="must have at most its 10 classes; got 11"):
        fx.load_run(run, new_data=more)
    assert f"no file {Path('gone.npz').absolute()}" in refused(capsys, "evaluate", run, "--data", "gone.npz")
    # verification is of the run's own data alone
    assert f"data must be those that run {run} was trained on" in refused(capsys, "verify", run, "--data", other)


def test_the_name_of_a_new_set_may_be_long(trained, other, tmp_path, capsys):
    run, _ = trained
    folder = tmp_path / ("a" * 200) / ("b" * 100)
    folder.mkdir(parents=True)
    shutil.copy(other, folder / "other.npz")
    printed(capsys, "export", run, "--data", folder / "other.npz")
    assert len(list(run.glob("test-on-*b-other.npz.npz"))) == 1


def rows(order: slice) -> dict:
    """The test split of the tiny data in another order, the labels with the images."""
    return {name: array[order] for name, array in tiny.data().test.items()}


def replaced(path, data):
    """Writes other data in the place of a file or a folder."""
    if path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path)
    return KINDS[path.suffix](path, data)


KINDS = {".npz": tiny.write_npz, "": tiny.write_folder}
ANOTHER_PIXEL = tiny.data().train["image"].copy()
ANOTHER_PIXEL[3, 1, 1] = 0.5
CHANGES = {
    "a pixel": (changed(tiny.data(), train={"image": ANOTHER_PIXEL}), "train image holds other values"),
    "a test split in another order": (
        tiny.data()._replace(test=rows(slice(None, None, -1))),
        "test image holds other values",
    ),
    "labels in another order": (
        changed(tiny.data(), test={"label": rows(slice(None, None, -1))["label"]}),
        "test label holds other values",
    ),
    "fewer test images": (
        tiny.data()._replace(test=rows(slice(16))),
        r"test image is float32[32, 24, 24, 1] there, float32[16, 24, 24, 1] here",
    ),
}


@pytest.fixture(scope="module", params=KINDS, ids=["npz", "folder"])
def run_of_a_file(request, tmp_path_factory):
    """A run by the command line on data in a file, or in a folder that is mapped into memory."""
    folder = tmp_path_factory.mktemp("files")
    data = KINDS[request.param](folder / f"own{request.param}")
    command = ["train", *tiny.FLAGS, "--data", str(data), "--out", str(folder / "run")]
    main(command)
    return folder / "run", data, command


@pytest.fixture
def own(run_of_a_file):
    """The same, its data put back afterwards."""
    yield run_of_a_file
    replaced(run_of_a_file[1], tiny.data())


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_is_refused(change, own, capsys):
    """Between two starts of a training, and between training and evaluation."""
    run, file, command = own
    data, difference = CHANGES[change]
    replaced(file, data)
    before = snapshot(run)
    for arguments in (command, ["evaluate", run], ["export", run], ["verify", run]):
        message = refused(capsys, *arguments)
        assert f"data must be those that run {run} was trained on: {difference}" in message
        assert " there" in message
        assert " here" in message
    with pytest.raises(fx.InputError, match="data must be those that run"):
        fx.load_run(run)
    assert snapshot(run) == before


def test_a_file_that_moved_is_named_again(own, tmp_path, capsys):
    run, file, command = own
    moved = shutil.move(file, tmp_path / f"moved{file.suffix}")
    try:
        for arguments in (["evaluate", run], ["export", run], ["verify", run]):
            message = refused(capsys, *arguments)
            assert str(file) in message
            assert f"--data names where the data of run {run} are now" in message
        assert fx.load_run(run, new_data=str(moved)).judged_on == ""
        assert fx.load_run(run, data=fx.load(str(moved))).judged_on == ""
        assert "judged on" not in printed(capsys, "export", run, "--data", moved)
        assert (run / "test.npz").exists()
        assert "same: " in printed(capsys, "verify", run, "--data", moved)
        named = command.index("--data") + 1
        printed(capsys, *command[:named], str(moved), *command[named + 1 :])  # is resumed from its new place
        assert read_run(run).config.data == str(file)
    finally:
        shutil.move(moved, file)


def test_a_relative_name_is_good_in_every_folder(tmp_path, monkeypatch, capsys):
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
    tiny.write_npz(tmp_path / "here" / "tiny.npz")
    monkeypatch.chdir(tmp_path / "here")
    printed(capsys, "train", *tiny.FLAGS, "--data", "tiny.npz", "--out", tmp_path / "run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "judged on" not in printed(capsys, "export", tmp_path / "run")
    printed(capsys, "train", *tiny.FLAGS, "--data", "../here/tiny.npz", "--out", tmp_path / "run")


def test_a_rewritten_file_of_the_same_arrays_is_the_runs_own(own, capsys):
    run, file, command = own
    replaced(file, tiny.data())
    printed(capsys, *command)
    assert fx.load_run(run).judged_on == ""


def test_a_prepared_set_is_judged_on_the_canvas_of_the_run(tmp_path):
    config = dataclasses.replace(tiny.CONFIG, images=16, task="translated", canvas=32, validation=8)
    tiny.train(tmp_path / "run", config=config)
    loaded = fx.load_run(tmp_path / "run", data=tiny.data())
    assert loaded.data.test["image"].shape == (8, 32, 32, 1)  # held out from the training images
    other = fx.load_run(tmp_path / "run", new_data=tiny.data(seed=1))
    assert other.data.test["image"].shape == (32, 32, 32, 1)
    with pytest.raises(fx.InputError, match="data must be those that run"):
        fx.load_run(tmp_path / "run", data=config.prepare(tiny.data()))
