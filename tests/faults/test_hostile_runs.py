"""Configurations and run directories that anyone may have written: refused in a sentence, and nothing else happens."""

import builtins
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foveax as fx
from foveax.cli import main
from foveax.training.files import write_json
from foveax.training.programs import keep_programs

FIELDS = [*fx.Config.__dataclass_fields__, *fx.Model.__dataclass_fields__, *fx.Learning.__dataclass_fields__]
NUMBERS = st.one_of(
    st.integers(), st.integers(-3, 40), st.floats(), st.sampled_from([10**400, -(10**400), 1e308, 2**63])
)
WORDS = st.one_of(
    st.text(max_size=8), st.sampled_from(["gru", "learned", "sb3_ppo", "\0", "\ud800", "each", "mnist5k"])
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
    part(fx.Config),
    st.fixed_dictionaries({}, optional={"model": st.one_of(part(fx.Model), JSON), "learning": part(fx.Learning)}),
)


@settings(max_examples=10_000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(CONFIGURATIONS)
def test_any_json_is_a_configuration_or_an_error_that_names_the_field(values):
    try:
        config = fx.Config.from_json(values)
    except fx.InputError as error:
        said = str(error)
        assert any(name in said for name in (*FIELDS, "Config", "Model", "Learning")), said
        assert "\n" not in said
    else:
        hash(config)
        assert fx.Config.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    arrays = tiny.data()
    file = out.parent / "tiny.npz"
    np.savez(file, classes=3, **{f"{split}_{name}": getattr(arrays, split)[name]
                                 for split in ("train", "test") for name in ("image", "label")})  # fmt: skip
    main(["train", "--data", str(file), *FLAGS, "--out", str(out)])
    return out


FLAGS = ["--images", "32", "--batch", "4", "--shift", "0", "--glimpses", "3", "--crop", "3", "--hidden", "4",
         "--features", "4"]  # fmt: skip


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "inside" / "run")


def snapshot(folder: Path) -> dict:
    found = {path: path.lstat() for path in folder.rglob("*")}
    return {path: (status.st_mode, status.st_size, status.st_mtime_ns) for path, status in found.items()}


def refused(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert "Traceback" not in said
    *bar, last = said.splitlines()
    assert last.startswith("foveax: ")
    assert all("images/s" in line for line in bar if line)
    return last


CONFIGS = {
    "an array": b"[]",
    "no JSON": b"\xff\xfe{",
    "NaN": b'{"format": 2, "seed": NaN}',
    "nested": b"[" * 100_000,
    "a long number": b'{"format": 2, "seed": ' + b"9" * 5000 + b"}",
    "the same name twice": b'{"format": 2, "seed": 1, "seed": 2}',
    "too large": b'{"format": 2, "data": "' + b"a" * 2**24 + b'"}',
    "a format to come": b'{"format": 3, "foveax": "9.9"}',
    "a list of formats": b'{"format": [1]}',
    "true for a format": b'{"format": true}',
    "a fork from nowhere": b'{"format": 2, "fork": {"run": 3}}',
    "a population of text": b'{"format": 2, "population": "two"}',
    "an unknown field": b'{"format": 2, "modle": {}}',
    "data with a NUL": b'{"format": 2, "data": "a\\u0000.npz"}',
    "a place with a NUL": b'{"format": 2, "data": "mnist", "data_dir": "\\u0000"}',
    "data of half a letter": b'{"format": 2, "data": "\\ud800.npz"}',
    "data above": b'{"format": 2, "data": "../../secret"}',
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


def test_the_version_that_wrote_another_format_is_told(run, capsys):
    (run / "config.json").write_text('{"format": 3, "foveax": "9.9"}')
    said = refused(capsys, "export", str(run))
    assert "must be of format 1 or 2, which this version of foveax reads; foveax 9.9 wrote it" in said


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
    said = refused(capsys, *whole.get(command, [command, str(run)]))
    assert f"must hold plain files and folders alone; {source} is not" in said
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


def test_an_image_set_that_names_code_is_refused(tmp_path):
    folder = tmp_path / "mnist" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text('{"name": "mnist", "version": "1.0.0", "fileFormat": "array_record"}')
    (folder / "features.json").write_text('{"pythonClassName": "antigravity.Feature", "jsonFeature": {"json": "{}"}}')
    with pytest.raises(fx.InputError, match=r"must have features of TFDS's own; .* names 'antigravity.Feature'"):
        fx.load("mnist", data_dir=tmp_path)
    assert "antigravity" not in sys.modules


def test_folders_of_compiled_programs_are_private(tmp_path, monkeypatch):
    monkeypatch.setattr("jax.config.update", lambda name, value: None)
    folder = tmp_path / "programs"
    keep_programs(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    keep_programs(folder)
    folder.chmod(0o750)
    with pytest.raises(fx.InputError, match="must be a folder of your own, closed to others"):
        keep_programs(folder)
    folder.chmod(0o700)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(fx.InputError, match="must be a folder of your own, closed to others"):
        keep_programs(tmp_path / "link")
    if os.getuid() == 0:
        os.chown(folder, 12345, -1)
        with pytest.raises(fx.InputError, match="must be a folder of your own, closed to others"):
            keep_programs(folder)


def test_what_is_written_in_place_of_a_link_does_not_follow_it(tmp_path):
    (tmp_path / "outside").write_text("precious")
    (tmp_path / f".config.json.{os.getpid()}").symlink_to(tmp_path / "outside")
    write_json(tmp_path / "config.json", {})
    (tmp_path / "linked.json").symlink_to(tmp_path / "outside")
    write_json(tmp_path / "linked.json", {})
    assert (tmp_path / "outside").read_text() == "precious"
