"""Configurations and run directories that anyone may have written: refused in a sentence, and nothing else happens."""

import builtins
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import tiny
from command import refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foveax as fx
from foveax.cli import main
from foveax.runtime.compilation_cache import keep_compilation_cache
from foveax.runtime.files import write_json

KINDS = (fx.TrainingConfig, fx.PipelineConfig, fx.LearningConfig)
FIELDS = [field for kind in KINDS for field in kind.__dataclass_fields__]
NUMBERS = st.one_of(
    st.integers(), st.integers(-3, 40), st.floats(), st.sampled_from([10**400, -(10**400), 1e308, 2**63])
)
WORDS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["gru", "learned", "squashed", "\0", "\ud800", "each", "mnist5k", "a.b -> c.d"]),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(FIELDS), WORDS), inner, max_size=4)
    ),
    max_leaves=8,
)
DEEP = st.integers(1, 3000).map(lambda depth: nested(depth))


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def part(kind, more=None):
    fields = st.sampled_from([*kind.__dataclass_fields__])
    return st.dictionaries(
        st.one_of(fields, WORDS), st.one_of(LEAVES, JSON, DEEP, *([more] if more else [])), max_size=3
    )


CONFIGURATIONS = st.one_of(
    JSON,
    part(fx.TrainingConfig),
    st.fixed_dictionaries(
        {}, optional={"pipeline": st.one_of(part(fx.PipelineConfig), JSON), "learning": part(fx.LearningConfig)}
    ),
)


def check_configuration(values) -> None:
    """Asserts that a value is a configuration that goes to JSON and back, or is refused by the name of its field."""
    try:
        config = fx.TrainingConfig.from_json(values)
    except fx.InputError as error:
        message = str(error)
        assert any(name in message for name in (*FIELDS, *(kind.__name__ for kind in KINDS))), message
        assert "\n" not in message
    else:
        hash(config)
        assert fx.TrainingConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=300, **QUIET)
@given(CONFIGURATIONS)
def test_json_is_a_configuration_or_an_error_that_names_the_field(values):
    check_configuration(values)


@pytest.mark.nightly
@settings(max_examples=10_000, **QUIET)
@given(CONFIGURATIONS)
def test_any_json_is_a_configuration_or_an_error_that_names_the_field(values):
    check_configuration(values)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    file = tiny.write_npz(out.parent / "tiny.npz")
    main(["train", "--data", str(file), *FLAGS, "--out", str(out)])
    return out


FLAGS = [*tiny.FLAGS, "--images", "32"]


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "inside" / "run")


def snapshot(folder: Path) -> dict:
    found = {path: path.lstat() for path in folder.rglob("*")}
    return {path: (status.st_mode, status.st_size, status.st_mtime_ns) for path, status in found.items()}


def config_json(**changes) -> bytes:
    """A whole config.json but for some of its parts."""
    parts = {"format": 3, "foveax": "0.2.0", "config": {}, "data": {}, "pipeline": STANDARD, **changes}
    return json.dumps({name: part for name, part in parts.items() if part is not None}).encode()


STANDARD = {
    "function": "foveax.pipelines.standard:standard_pipeline",
    **{"arguments": {}, "hyperparameters": {}, "graph": {}},
}
CONFIGS = {
    "an array": b"[]",
    "no JSON": b"\xff\xfe{",
    "NaN": b'{"format": 3, "config": {"seed": NaN}, "data": {}, "pipeline": {}}',
    "nested": b"[" * 100_000,
    "a long number": b'{"format": 3, "config": {"seed": ' + b"9" * 5000 + b"}}",
    "the same name twice": b'{"format": 3, "config": {"seed": 1, "seed": 2}}',
    "too large": b'{"format": 3, "config": {"data": "' + b"a" * 2**24 + b'"}}',
    "the first format": b'{"format": 1, "foveax": "0.1.0", "data": "mnist5k"}',
    "a format to come": b'{"format": 4, "foveax": "9.9"}',
    "a list of formats": b'{"format": [3]}',
    "true for a format": b'{"format": true}',
    "a float for a format": config_json(format=3.0),
    "nothing else": b'{"format": 3}',
    "a configuration of text": config_json(config="default"),
    "no data": config_json(data=None),
    "data in a list": config_json(data=[]),
    "a fork from nowhere": config_json(fork={"run": 3}),
    "a fork of other types": config_json(fork={"run": "a", "step": "3", "identity": "b"}),
    "a population of text": config_json(population="two"),
    "an unknown field": config_json(config={"pipelien": {}}),
    "no pipeline": config_json(pipeline=None),
    "a pipeline without a graph": config_json(pipeline={"function": "os:system", "arguments": {}}),
    "a pipeline that is code": config_json(
        pipeline={**STANDARD, "function": "os:system", "arguments": {"command": "id"}}
    ),
    "a pipeline in the run": config_json(pipeline={**STANDARD, "function": "pipeline.py:pipeline"}),
    "a pipeline without a name": config_json(pipeline={**STANDARD, "function": ""}),
    "arguments that do not fit": config_json(pipeline={**STANDARD, "arguments": {"command": "id"}}),
    "a graph of nothing": config_json(),
    "data with a NUL": config_json(config={"data": "a\0.npz"}),
    "a folder with a NUL": config_json(config={"data": "a\0"}),
    "data of half a letter": config_json(config={"data": "\ud800.npz"}),
    "data above": config_json(config={"data": "../../secret"}),
    "a pickle": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x05touch\x85R.",
}


@pytest.mark.parametrize("command", ["export", "train"])
@pytest.mark.parametrize("case", CONFIGS)
def test_config_files_of_any_content_are_refused(case, command, run, capsys):
    (run / "config.json").write_bytes(CONFIGS[case])
    before = snapshot(run.parent.parent)
    arguments = ["export", str(run)] if command == "export" else ["train", *FLAGS, "--out", str(run)]
    refused(capsys, *arguments)
    assert snapshot(run.parent.parent) == before


PARTS = {
    "another function of foveax": (("pipeline", "function"), "foveax.pipelines.standard:PipelineConfig"),
    "a function that is code": (("pipeline", "function"), "os:system"),
    "a file of the run": (("pipeline", "function"), "pipeline.py:pipeline"),
    "a function with a line and a colour": (("pipeline", "function"), "a\n\x1b[31m"),
    "arguments that do not fit": (("pipeline", "arguments"), {"command": "id"}),
    "an argument that takes a place": (("pipeline", "arguments"), {"data": 3}),
    "hyper-parameters in a list": (("pipeline", "hyperparameters"), ["scale_start"]),
    "a hyper-parameter of text": (("pipeline", "hyperparameters", "scale_start"), "\n2"),
    "no graph": (("pipeline", "graph"), {}),
    "modules in a list": (("pipeline", "graph", "modules"), ["retina"]),
    "links in a number": (("pipeline", "graph", "links"), 3),
    "links of lists": (("pipeline", "graph", "links"), [["a", "b"]]),
    "links with lines": (("pipeline", "graph", "links"), ["a.b ->\n\x1b[2J c.d"]),
    "a module more": (("pipeline", "graph", "modules", "spy"), {"inputs": {}}),
    "a length of text": (("pipeline", "graph", "length"), "three"),
    "no data": (("data",), {}),
    "other arrays": (("data", "train"), {}),
    "another digest": (("data", "train", "image", 2), "0" * 64),
    "a split of text": (("data", "train"), "images"),
    "an array of a number": (("data", "train", "image"), 3),
    "an array in short": (("data", "train", "image"), ["float32"]),
    "an array without a digest": (("data", "train", "image"), ["float32", [32, 24, 24, 1]]),
    "an array of nothing": (("data", "train", "image"), [None, None, None]),
    "a digest of a number": (("data", "train", "image", 2), 10**30),
    "classes of text": (("data", "classes"), "\n"),
}


JUDGED = {"other arrays", "another digest"}
"""Fingerprints that are whole, but not of the run's data: it can be judged on others all the same."""


@pytest.mark.parametrize("case", PARTS)
def test_fingerprints_of_any_content_are_refused(case, run, tmp_path, capsys):
    """Everything else in ``config.json`` is as it was."""
    (*place, last), value = PARTS[case]
    stored = json.loads((run / "config.json").read_text())
    part = stored
    for name in place:
        part = part[name]
    part[last] = value
    (run / "config.json").write_text(json.dumps(stored))
    (run / "pipeline.py").write_text("raise SystemExit(99)")
    before = snapshot(run.parent)
    other = tiny.write_npz(tmp_path / "other.npz", tiny.data(seed=1))
    refused(capsys, "export", run)
    if case not in JUDGED:
        refused(capsys, "export", run, "--data", other)
    assert snapshot(run.parent) == before


@pytest.mark.parametrize(("number", "version"), [(1, "0.1.0"), (2, "0.2.0"), (4, "9.9"), (4, "9\n9")])
def test_the_version_that_wrote_another_format_is_reported(number, version, run, capsys):
    (run / "config.json").write_text(json.dumps({"format": number, "foveax": version}))
    message = refused(capsys, "export", str(run))
    printed = version.replace("\n", "\\n")
    assert f"must be of format 3, which this version of foveax reads; foveax {printed} wrote it" in message


LINKED = ["config.json", "metrics.jsonl", "summary.json", "provenance.json", "fixations.png", "checkpoints", "test.npz"]


@pytest.mark.parametrize("command", ["export", "train", "diagnose", "analyze", "verify", "fork"])
@pytest.mark.parametrize("name", LINKED)
def test_links_are_not_followed(name, command, run, trained, tmp_path, capsys):
    outside = tmp_path / "outside"
    source = run / name
    if source.exists():
        source.rename(outside)
    else:
        outside.write_text("precious")
    source.symlink_to(outside)
    before = snapshot(tmp_path)
    train = ["train", "--data", str(trained.parent / "tiny.npz"), *FLAGS, "--out"]
    whole = {"train": [*train, str(run)], "fork": [*train, str(tmp_path / "new"), "--fork", str(run)]}
    message = refused(capsys, *whole.get(command, [command, str(run)]))
    assert f"must hold plain files and folders alone; {source} is not" in message
    assert snapshot(tmp_path) == before


def test_a_pipe_is_refused_and_not_waited_for(run, capsys):
    (run / "summary.json").unlink()
    os.mkfifo(run / "summary.json")
    assert "plain files and folders alone" in refused(capsys, "export", str(run))


def test_a_hard_link_is_replaced_and_what_it_shares_left_alone(trained, run, tmp_path, capsys):
    """Metrics that share their place with a file outside: the run goes on in a file of its own."""
    precious = tmp_path / "precious"
    precious.write_bytes((run / "metrics.jsonl").read_bytes())
    (run / "metrics.jsonl").unlink()
    os.link(precious, run / "metrics.jsonl")
    content = precious.read_bytes()
    (run / "summary.json").unlink()
    main(["train", "--data", str(trained.parent / "tiny.npz"), *FLAGS, "--out", str(run)])
    assert precious.read_bytes() == content
    assert precious.stat().st_nlink == 1


def test_nothing_of_a_run_is_run(run, monkeypatch):
    """Loading compiles, evaluates and unpickles nothing of what it reads, and starts no process."""
    import pickle

    def refuse(*arguments, **more):
        raise AssertionError("code of a run was run")

    fx.load_run(run)  # what is imported late is there from here on
    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (os, "system")):
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr("subprocess.Popen", refuse)
    read = []
    opened = builtins.open

    def watched(file, *arguments, **more):
        read.append(str(file))
        return opened(file, *arguments, **more)

    monkeypatch.setattr(builtins, "open", watched)
    before = set(sys.modules)
    (run / "metrics.py").write_text("raise AssertionError")
    (run / "checkpoints" / "__init__.py").write_text("raise AssertionError")
    fx.load_run(run)
    assert not any(str(run) in str(getattr(sys.modules[name], "__file__", "")) for name in set(sys.modules) - before)


def test_a_checkpoint_that_claims_to_be_huge_is_damaged(run):
    """Sizes are those of the model, whatever a file says."""
    for checkpoint in (run / "checkpoints").iterdir():
        metadata = checkpoint / "state" / "_METADATA"
        metadata.write_text(metadata.read_text().replace("[4", "[4000000000"))
        for zarr in checkpoint.rglob("array_metadatas/*"):
            zarr.write_text(zarr.read_text().replace("[4", "[4000000000"))
    with pytest.raises(fx.InputError, match="must be whole; none is"):
        fx.load_run(run)


NAMES_CODE = {
    "a class": '{"pythonClassName": "antigravity.Feature", "jsonFeature": {"json": "{}"}}',
    "an escape": r'{"python\u0043lassName": "antigravity.Feature", "featuresDict": {"features": {}}}',
    "a snake": '{"python_class_name": "antigravity.Feature"}',
    "the older form": '{"type": "antigravity.Feature", "content": {}}',
    "twice": '{"pythonClassName": "a", "pythonClassName": "antigravity.Feature"}',
    "inside": """{"pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
        "featuresDict": {"features": {"image": {"pythonClassName": "antigravity.Feature"}}}}""",
    "in text": """{"pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
        "jsonFeature": {"json": "{\\"image\\": {\\"type\\": \\"antigravity.Feature\\", \\"content\\": {}}}"}}""",
    "a module of TFDS": '{"pythonClassName": "tensorflow_datasets.core.features.antigravity.Feature"}',
}


@pytest.mark.parametrize("case", NAMES_CODE)
def test_an_image_set_that_names_code_is_refused(case, tmp_path):
    folder = image_set_folder(tmp_path)
    (folder / "features.json").write_text(NAMES_CODE[case])
    with pytest.raises(fx.InputError, match=r"features of TFDS's own|of an older form|occurs twice"):
        fx.load("mnist", data_dir=tmp_path)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json", "mnist-train.array_record-00000-of-00001"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_an_image_set_with_a_pipe_or_a_device_is_refused(kind, name, tmp_path):
    place = image_set_folder(tmp_path) / name
    place.unlink(missing_ok=True)
    os.mkfifo(place) if kind == "pipe" else place.symlink_to("/dev/zero")
    with pytest.raises(fx.InputError, match=f"must be plain files; .*{name} is not"):
        fx.load("mnist", data_dir=tmp_path)


def image_set_folder(root):
    folder = root / "mnist" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text('{"name": "mnist", "version": "1.0.0", "fileFormat": "array_record"}')
    return folder


def test_folders_of_compiled_programs_are_private(tmp_path, monkeypatch):
    monkeypatch.setattr("jax.config.update", lambda name, value: None)
    folder = tmp_path / "programs"
    keep_compilation_cache(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    keep_compilation_cache(folder)
    folder.chmod(0o750)
    with pytest.raises(fx.InputError, match="must be a folder of your own, closed to others"):
        keep_compilation_cache(folder)
    folder.chmod(0o700)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(fx.InputError, match="must be a folder of your own, closed to others"):
        keep_compilation_cache(tmp_path / "link")
    if os.getuid() == 0:
        os.chown(folder, 12345, -1)
        with pytest.raises(fx.InputError, match="must be a folder of your own, closed to others"):
            keep_compilation_cache(folder)


def test_what_is_written_in_place_of_a_link_does_not_follow_it(tmp_path):
    (tmp_path / "outside").write_text("precious")
    (tmp_path / f".config.json.{os.getpid()}").symlink_to(tmp_path / "outside")
    write_json(tmp_path / "config.json", {})
    (tmp_path / "linked.json").symlink_to(tmp_path / "outside")
    write_json(tmp_path / "linked.json", {})
    assert (tmp_path / "outside").read_text() == "precious"
