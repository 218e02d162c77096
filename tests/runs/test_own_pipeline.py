"""A pipeline of one's own as a run: named again by whoever loads it, compared, and never taken from the directory."""

import dataclasses
import functools
import json
import shutil
import signal
from pathlib import Path

import chex
import noisy_eye
import numpy as np
import pytest
import tiny
from command import printed, refused

import foveax as fx
from foveax.cli import main
from foveax.runtime.metrics_file import read_metrics

pytestmark = pytest.mark.slow

BUDGET = ["--images", "96", "--batch", "4", "--shift", "0", "--dispatch", "2", "--no-evaluate"]
CONFIG = fx.TrainingConfig(images=96, batch=4, shift=0)
SOURCE = Path(noisy_eye.__file__).read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder: ``my_eye.py``, ``own.npz``, and a run of the one on the other, by the command line."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_eye.py").write_text(SOURCE)
    tiny.write_npz(folder / "own.npz")
    main(["train", *BUDGET, *place(folder), "--out", str(folder / "run")])
    return folder


def place(folder, function="pipeline", arguments=("noise=0.1",)):
    """The flags that name data and pipeline."""
    flags = ["--data", str(folder / "own.npz"), *named(folder, function)]
    return [*flags, "--pipeline-args", *arguments] if arguments else flags


def named(folder, function="pipeline"):
    return ["--pipeline", f"{folder / 'my_eye.py'}:{function}"]


NAMED = ("--pipeline-args", "noise=0.1")


def snapshot(folder):
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_the_run_records_the_pipeline_and_a_copy_of_its_source(folder):
    stored = json.loads((folder / "run" / "config.json").read_text())
    assert stored["pipeline"]["function"] == f"{folder / 'my_eye.py'}:pipeline"
    assert stored["pipeline"]["arguments"] == {"noise": 0.1}
    assert stored["pipeline"]["hyperparameters"] == {"noise": 0.1, "scale_start": 2.0, "scale_end": 0.15}
    assert stored["pipeline"]["graph"]["modules"]["noise"]["outputs"] == {"glimpse": "float32[3, 3, 1]"}
    assert (folder / "run" / "pipeline.py.txt").read_text() == SOURCE


@pytest.mark.nightly
def test_a_stopped_run_is_resumed_to_the_same_bytes(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("foveax.runs.run.SAVE_SECONDS", 0.0)

    def interrupt(metrics, config):
        if metrics["step"] == 10:
            signal.raise_signal(signal.SIGTERM)

    command = ["train", *BUDGET, *place(folder), "--out", str(tmp_path / "run")]
    with monkeypatch.context() as patched:
        patched.setattr("foveax.runs.run.warn_of_skips", interrupt)
        with pytest.raises(SystemExit) as end:
            main(command)
    assert end.value.code == 128 + signal.SIGTERM
    assert read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]["step"] < CONFIG.steps
    main(command)
    whole = (folder / "run" / "metrics.jsonl").read_bytes()
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == whole


def test_commands_take_the_pipeline(folder, tmp_path, capsys):
    run = shutil.copytree(folder / "run", tmp_path / "run")
    own = [*named(folder), *NAMED]
    table = printed(capsys, "evaluate", run, *own).splitlines()
    assert [line[:13].strip() for line in table[1:6]] == [
        "learned", "best sequence", "another image", "random", "centre"]  # fmt: skip
    assert "32 examples" in printed(capsys, "export", run, *own)
    with np.load(run / "test.npz") as arrays:
        share = 100 * (arrays["predicted"][:, -1] == arrays["label"]).mean()
    assert f"{share:.2f}" in table[1]
    printed(capsys, "diagnose", run, *own, "--whole-image", "0")
    (eye,) = json.loads((run / "diagnosis.json").read_text())["diagnosis"].values()
    assert "gain_over_sequence" in eye
    assert "same: the first 24 steps" in printed(capsys, "verify", run, *own)
    longer = ["train", *BUDGET, "--images", "128", *place(folder), "--out", tmp_path / "fork", "--fork", run]
    printed(capsys, *longer)
    assert [line["step"] for line in read_metrics(tmp_path / "fork" / "metrics.jsonl")] == [26, 28, 30, 32]


@pytest.mark.nightly
def test_report_and_population_take_the_pipeline(folder, tmp_path, capsys):
    run = shutil.copytree(folder / "run", tmp_path / "run")
    printed(capsys, "analyze", run, *named(folder), *NAMED)
    assert (run / "analysis" / "report.html").stat().st_size > 10_000
    vary = ["--vary", "noise=0,0.5", "--seeds", "1", "--out", tmp_path / "population"]
    table = printed(capsys, "population", *BUDGET[:-1], *place(folder, arguments=()), *vary).splitlines()
    assert [line.split()[:2] for line in table[1:]] == [["0", "1"], ["0.5", "1"]]


def test_from_python_the_function_is_enough(folder, tmp_path):
    """The run of the command line is that of Python, and is loaded by either."""
    build = functools.partial(noisy_eye.pipeline, noise=0.1)
    result = tiny.train(tmp_path / "run", config=CONFIG, pipeline=build)
    loaded = fx.load_run(folder / "run", pipeline=build)
    chex.assert_trees_all_equal(loaded.params, result.params)
    assert fx.verify(folder / "run", pipeline=build, steps=4).same
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["pipeline"]
    assert stored["function"] == "noisy_eye:pipeline"
    assert (tmp_path / "run" / "pipeline.py.txt").read_text() == SOURCE
    again = fx.load_run(tmp_path / "run", data=tiny.data(), pipeline=build)
    chex.assert_trees_all_equal(again.params, result.params)
    assert list(again.graph.modules) == [*fx.standard_pipeline(tiny.data()).modules, "noise"]


def test_a_module_of_a_package_is_named_with_dots(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "eyes").mkdir()
    (tmp_path / "eyes" / "noisy.py").write_text("from noisy_eye import pipeline")
    monkeypatch.chdir(tmp_path)
    pipeline = ["--pipeline", "eyes.noisy:pipeline", *NAMED]
    assert "same: " in printed(capsys, "verify", folder / "run", *pipeline, "--steps", "2")
    assert "ModuleNotFoundError" in refused(capsys, "verify", folder / "run", "--pipeline", "eyes.loud:pipeline")


def test_what_a_file_imports_may_lie_next_to_it(folder, tmp_path, capsys):
    (tmp_path / "noise_of_mine.py").write_text("from noisy_eye import pipeline as noisy")
    (tmp_path / "two_files.py").write_text("from noise_of_mine import noisy as pipeline")
    pipeline = ["--pipeline", f"{tmp_path / 'two_files.py'}:pipeline", *NAMED]
    assert "same: " in printed(capsys, "verify", folder / "run", *pipeline, "--steps", "2")


COMMANDS = ("evaluate", "diagnose", "analyze", "export", "verify")


@pytest.fixture
def poisoned(folder, tmp_path, monkeypatch):
    """A run whose directory holds code under every name by which it could be found, and where the command is given."""
    run = shutil.copytree(folder / "run", tmp_path / "run")
    poison = f"open({str(tmp_path / 'executed')!r}, 'w').close()\nraise SystemExit(99)\n"
    names = ["pipeline.py.txt", "pipeline.py", "my_eye.py", "sitecustomize.py", "config.py", "checkpoints/__init__.py"]
    for name in (*names, "conftest.py", "jax.py", "foveax.py", "numpy.py", "my_eye/__init__.py"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text(poison)
    monkeypatch.chdir(run)
    yield run
    assert not (tmp_path / "executed").exists()
    assert (run / "pipeline.py.txt").read_text() == poison


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_is_not_loaded_without_its_pipeline_and_nothing_of_it_is_executed(command, poisoned, folder, capsys):
    before = snapshot(poisoned)
    message = refused(capsys, command, poisoned)
    assert message == (
        f"pipeline must be given again, since no code is taken from a run directory: {poisoned} was trained with "
        f"{folder / 'my_eye.py'}:pipeline; name it with --pipeline, or in Python with pipeline=..."
    )
    assert snapshot(poisoned) == before


def test_nothing_of_a_run_is_executed_with_its_pipeline_either(poisoned, folder, capsys):
    own = [*named(folder), *NAMED]
    printed(capsys, "export", poisoned, *own)
    printed(capsys, "verify", poisoned, *own, "--steps", "2")
    main(["train", *BUDGET, *place(folder), "--out", str(poisoned)])
    fx.load_run(poisoned, pipeline=functools.partial(noisy_eye.pipeline, noise=0.1))
    with pytest.raises(fx.InputError, match="pipeline must be given again"):
        fx.load_run(poisoned)
    with pytest.raises(fx.InputError, match="pipeline must be given again"):
        fx.verify(poisoned)


def test_the_standard_pipeline_is_not_that_of_the_run(folder, capsys):
    """A run of one's own is not resumed with the standard pipeline, nor the other way round."""
    message = refused(capsys, "train", *BUDGET, "--data", folder / "own.npz", "--out", folder / "run")
    start = f"pipeline must be the one that run {folder / 'run'} was trained with: "
    assert f"{start}arguments noise is 0.1 there, absent here" in message
    standard = ["--pipeline", "foveax.pipelines.standard:standard_pipeline"]
    message = refused(capsys, "evaluate", folder / "run", *standard)
    assert start in message


EDITS = {
    "a size": (
        ("hidden: int = 4", "hidden: int = 5"),
        "modules classifier outputs core is float32[4] there, float32[5] here",
    ),
    "a port": (
        ('return {"glimpse": inputs["glimpse"] +', 'return {"more": jnp.zeros(3), "glimpse": inputs["glimpse"] +'),
        "modules noise outputs more is absent there, float32[3] here",
    ),
    "a link": (
        ("*links,", '*links, "classifier.encoder.what -> saccader.observation",'),
        "links is classifier.hidden -> saccader.observation there, classifier.encoder.what -> saccader.observation "
        "here",
    ),
    "a length": (('"glimpses": 3', '"glimpses": 4'), "length is 3 there, 4 here"),
    "a module": (
        ("noise=noise_module(),", "noise=noise_module(), spy=fx.from_function(lambda: 0.0),"),
        "modules spy is absent there, ",
    ),
    "a number": (
        ('"bands": 0,', '"bands": 0, "scale_end": 0.2,'),
        "hyperparameter scale_end is 0.15 there, 0.2 here",
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_pipeline_that_changed_is_refused_with_what_differs(edit, folder, tmp_path, capsys):
    """On resuming, and on the ways to load."""
    (before, after), message = EDITS[edit]
    assert SOURCE.count(before) == 1
    (tmp_path / "my_eye.py").write_text(SOURCE.replace(before, after))
    run, flags = folder / "run", [*named(tmp_path), *NAMED]
    kept = snapshot(run)
    train = ["train", *BUDGET, "--data", folder / "own.npz", *flags, "--out", run]
    for command in (train, ["export", run, *flags], ["verify", run, *flags]):
        refusal = refused(capsys, *command)
        assert f"pipeline must be the one that run {run} was trained with: {message}" in refusal
        assert " there, " in refusal
        assert refusal.endswith(" here")
    assert snapshot(run) == kept


OTHER_ARGUMENTS = {
    ("noise=0.2",): "arguments noise is 0.1 there, 0.2 here",
    (): "arguments noise is 0.1 there, absent here",
    ("noise=0.1", "hidden=4"): "arguments hidden is absent there, 4 here",
    ("noise=0.1", "hidden=5"): "arguments hidden is absent there, 5 here",
}


@pytest.mark.parametrize("arguments", OTHER_ARGUMENTS)
def test_other_arguments_are_refused(arguments, folder, capsys):
    run = folder / "run"
    flags = [*named(folder), *(("--pipeline-args", *arguments) if arguments else ())]
    train = ["train", *BUDGET, "--data", folder / "own.npz", *flags, "--out", run]
    for command in (train, ["export", run, *flags]):
        message = refused(capsys, *command)
        assert f"the one that run {run} was trained with: {OTHER_ARGUMENTS[arguments]}" in message


def test_arguments_are_compared_as_they_are_stored(folder, tmp_path, capsys):
    """A tuple is a list in JSON, and the same argument."""
    arguments = ("noise=0.1", "links=('classifier.logits -> saccader.observation',)")
    command = ["train", *BUDGET, *place(folder, arguments=arguments), "--out", tmp_path / "run"]
    assert printed(capsys, *command) == printed(capsys, *command)


FILES = {
    "no Graph": ("def pipeline(data): return 3", "pipeline must give a foveax.Graph; {file}:pipeline gave int"),
    "nothing": ("def pipeline(data): pass", "pipeline must give a foveax.Graph; {file}:pipeline gave NoneType"),
    "no function": ("pipeline = 3", "pipeline must be a function of the data; {file}:pipeline is int"),
    "another name": (
        "def pipelin(data): pass",
        "pipeline must be there; {file} has no 'pipeline'; did you mean 'pipelin'?",
    ),
    "nothing like it": ("", "pipeline must be there; {file} has no 'pipeline'"),
    "no parameter": ("def pipeline(): pass", "pipeline arguments must fit {file}:pipeline(): too many positional"),
    "raises": (
        "def pipeline(data):\n    return data.nothing",
        "pipeline must give a graph; {file}:pipeline raised AttributeError: 'Data' object has no attribute 'nothing' "
        "(bad.py, line 2)",
    ),
    "raises in lines": (
        "def pipeline(data):\n    raise ValueError('a\\nb')",
        "{file}:pipeline raised ValueError: a\\nb (bad.py, line 2)",
    ),
    "raises when imported": (
        "import foveax\n1 / 0",
        "pipeline must be in a file or module that can be imported; {file} raised ZeroDivisionError: division by zero "
        "(bad.py, line 2)",
    ),
    "imports nothing": (
        "import nothing_of_this_name",
        "{file} raised ModuleNotFoundError: No module named 'nothing_of_",
    ),
    "no Python": ("def pipeline(data:", "{file} raised SyntaxError: '(' was never closed (bad.py, line 1)"),
    "a graph that cannot be": (
        "import foveax as fx\ndef pipeline(data): return fx.standard_pipeline(data).unlink('retina.image')",
        "retina.image has no source; it needs a link that brings",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_without_a_pipeline_is_refused_and_nothing_is_written(case, tmp_path, capsys):
    source, message = FILES[case]
    file = tmp_path / "bad.py"
    file.write_text(source)
    data = tiny.write_npz(tmp_path / "own.npz")
    flags = [*BUDGET, "--data", data, "--pipeline", f"{file}:pipeline"]
    assert message.format(file=file) in refused(capsys, "train", *flags, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


NAMES = {
    "gone.py:pipeline": "pipeline must be in a file that is there; got gone.py",
    "foveax.gone:pipeline": "foveax.gone raised ModuleNotFoundError: No module named 'foveax.gone'",
    "my_eye.py": "pipeline must be FILE.py:NAME or package.module:NAME; got 'my_eye.py'",
    "my_eye.py:": "pipeline must be FILE.py:NAME or package.module:NAME; got 'my_eye.py:'",
    ":pipeline": "pipeline must be FILE.py:NAME or package.module:NAME; got ':pipeline'",
    "my_eye.py:pipeline()": "pipeline must be FILE.py:NAME or package.module:NAME; got 'my_eye.py:pipeline()'",
    ".:pipeline": "pipeline must be ",
    "my_eye.txt:pipeline": "pipeline must be ",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_nowhere_are_refused(name, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert NAMES[name] in refused(capsys, "train", *BUDGET, "--pipeline", name, "--out", tmp_path / "run")
    assert NAMES[name] in refused(capsys, "export", folder / "run", "--pipeline", name)
    assert not (tmp_path / "run").exists()


ARGUMENTS = {
    ("nose=0.1",): "pipeline arguments must fit {file}:pipeline(",
    ("data=3",): "multiple values for argument 'data'",
    ("noise",): "pipeline arguments must be name=value; got 'noise'",
    ("=3",): "pipeline arguments must be name=value; got '=3'",
    ("0=3",): "pipeline arguments must be name=value; got '0=3'",
    ("noise=much",): "the hyper-parameter 'noise' must be a number; got 'much'",
    ("links=3",): "{file}:pipeline raised TypeError: ",
    ("hidden=0",): "hidden must be at least 1 and at most 1000000; got 0",
}


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_arguments_that_do_not_fit_are_refused(arguments, folder, tmp_path, capsys):
    flags = ["--data", folder / "own.npz", *named(folder), "--pipeline-args", *arguments]
    message = refused(capsys, "train", *BUDGET, *flags, "--out", tmp_path / "run")
    assert ARGUMENTS[arguments].format(file=folder / "my_eye.py") in message
    assert not (tmp_path / "run").exists()


def test_fields_of_the_standard_pipeline_are_refused_next_to_a_pipeline_of_ones_own(folder, tmp_path, capsys):
    flags = [*place(folder), "--hidden", "8", "--core", "rnn"]
    message = refused(capsys, "train", *BUDGET, *flags, "--out", tmp_path / "run")
    assert "fields of the standard pipeline must not be given next to" in message
    assert message.endswith("of your own; got core, hidden")
    with pytest.raises(fx.InputError, match=r"of the standard pipeline must not be given .* of your own; got glimpses"):
        fx.train(fx.TrainingConfig(pipeline=fx.PipelineConfig(glimpses=2)), tiny.data(), pipeline=noisy_eye.pipeline)
    with pytest.raises(fx.InputError, match="pipeline must be a function of the data; got Graph"):
        fx.train(CONFIG, tiny.data(), pipeline=noisy_eye.pipeline(tiny.data()))
    with pytest.raises(fx.InputError, match="must be given its arguments by name"):
        fx.train(CONFIG, tiny.data(), pipeline=functools.partial(noisy_eye.pipeline, tiny.data()))


LINK, UNLINK = "classifier.encoder.what -> saccader.observation", "saccader.position"


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    """A run of the standard pipeline with a link of its own and one fewer, by the command line."""
    folder = tmp_path_factory.mktemp("linked")
    data = tiny.write_npz(folder / "own.npz")
    edits = ["--link", LINK, "--unlink", UNLINK]
    command = ["train", *tiny.FLAGS, "--data", str(data), *edits, "--out", str(folder / "run")]
    main(command)
    return folder / "run", command


def test_links_are_part_of_a_run(linked, capsys):
    run, command = linked
    stored = json.loads((run / "config.json").read_text())
    assert (stored["config"]["link"], stored["config"]["unlink"]) == ([LINK], [UNLINK])
    loaded = fx.load_run(run)
    assert str(loaded.graph.wiring.sources["saccader"]["observation"]) == "classifier.encoder.what"
    assert "position" not in loaded.graph.wiring.sources["saccader"]
    printed(capsys, *command)  # the same command again: nothing left to do
    assert "same: " in printed(capsys, "verify", run, "--steps", "4")
    for flag, value, message in (
        ("--link", "classifier.logits -> saccader.observation", "link is ['classifier.encoder.what -> "),
        ("--unlink", "saccader.index", "unlink is ['saccader.position'] there, ['saccader.index'] here"),
    ):
        other = [value if previous == flag else word for previous, word in zip(["", *command], command, strict=False)]
        refusal = refused(capsys, *other)
        assert f"run {run} must be of the same configuration to be resumed: " in refusal
        assert message in refusal


def test_links_are_those_of_python(linked):
    run, _ = linked
    config = dataclasses.replace(tiny.CONFIG, link=(LINK,), unlink=(UNLINK,))
    chex.assert_trees_all_equal(tiny.train(config=config).params, fx.load_run(run).params)


def test_a_pipeline_of_ones_own_is_edited_by_links_and_a_default_that_changed_is_refused(folder, tmp_path, capsys):
    (tmp_path / "my_eye.py").write_text(SOURCE)
    data = ["--data", folder / "own.npz"]
    command = ["train", *BUDGET, "--images", "16", *data, *named(tmp_path), "--link", LINK, "--out", tmp_path / "run"]
    printed(capsys, *command)
    loaded = fx.load_run(tmp_path / "run", pipeline=noisy_eye.pipeline)
    assert str(loaded.graph.wiring.sources["saccader"]["observation"]) == "classifier.encoder.what"
    (tmp_path / "my_eye.py").write_text(SOURCE.replace("noise: float = 0.0", "noise: float = 0.3"))
    message = "hyperparameter noise is 0.0 there, 0.3 here"
    assert message in refused(capsys, *command)
    assert message in refused(capsys, "export", tmp_path / "run", *named(tmp_path))
