"""Recordings: the arrays of a rollout, in files, whatever stopped them on the way."""

import json

import jax
import numpy as np
import pytest
import small
import tiny
from command import printed, refused

import foveax as fx
from foveax.analysis import read_activations, record_activations

KEY = jax.random.key(3)
PORTS = ["classifier.hidden", "classifier.encoder.what", "memory.fixation", "input.label"]


class KilledError(Exception):
    """What takes the place of a kill between two batches."""


@pytest.fixture(scope="module")
def pipeline():
    config = fx.PipelineConfig(glimpses=3, crop_size=3, hidden=4, features=4, saccader_hidden=4, precision="bfloat16")
    graph = fx.greedy(fx.standard_pipeline(small.data(), config))
    return graph, fx.init(graph, jax.random.key(0))


@pytest.fixture(scope="module")
def split():
    return {name: np.asarray(array) for name, array in small.batch(11).items()}


def record(pipeline, split, folder, **options):
    return record_activations(*pipeline, split, options.pop("ports", PORTS), folder, key=KEY, batch=4, **options)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_arrays_are_those_of_the_rollout(pipeline, split, tmp_path):
    arrays = record(pipeline, split, tmp_path / "rec")
    graph, params = pipeline
    rollout = jax.jit(jax.vmap(fx.compile(graph, PORTS[:3]), (None, 0, 0)))
    wanted = rollout(params, split, jax.random.split(KEY, 11))
    for port in PORTS[:3]:
        module, _, name = port.partition(".")
        assert isinstance(arrays[port], np.memmap)
        assert arrays[port].dtype == np.float32
        np.testing.assert_allclose(arrays[port], np.asarray(wanted[module][name], np.float32), rtol=0.02, atol=1e-3)
    np.testing.assert_array_equal(arrays["input.label"], np.repeat(split["label"][:, None], 3, axis=1))
    assert arrays["classifier.hidden"].shape == (11, 3, 4)


@pytest.mark.parametrize("stop", [0, 4, 8])
def test_recording_that_was_killed_ends_in_the_same_bytes(pipeline, split, tmp_path, stop):
    record(pipeline, split, tmp_path / "whole")
    written = []

    def kill(images):
        written.append(images)
        if sum(written) >= stop:
            raise KilledError

    with pytest.raises(KilledError):
        record(pipeline, split, tmp_path / "killed", watch=kill)
    with pytest.raises(fx.InputError, match=f"holds {stop} of 11 images"):
        read_activations(tmp_path / "killed")
    for file in (tmp_path / "killed").glob("*.npy"):  # a batch that was half written
        with file.open("r+b") as opened:
            opened.seek(-2, 2)
            opened.write(b"xx")
    watched = []
    record(pipeline, split, tmp_path / "killed", watch=watched.append)
    assert watched[0] == stop
    assert sum(watched) == 11
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_training_images_are_recorded_as_they_are_rendered(pipeline, split, tmp_path):
    def inverted(key, batch):
        return {**batch, "image": 255 - batch["image"]}

    arrays = record(pipeline, split, tmp_path / "a", render=inverted, ports=["input.image"])
    np.testing.assert_array_equal(arrays["input.image"][:, 1], 255 - split["image"])


def test_what_is_refused(pipeline, split, tmp_path):
    record(pipeline, split, tmp_path / "rec", ports=["input.label"])
    darker = {**split, "image": split["image"] // 2}
    with pytest.raises(fx.InputError, match="holds one of other split"):
        record(pipeline, darker, tmp_path / "rec", ports=["input.label"])
    with pytest.raises(fx.InputError, match="holds one of other ports, program"):
        record(pipeline, split, tmp_path / "rec", ports=["classifier.hidden"])
    with pytest.raises(fx.GraphError, match=r"no port 'classifier\.nothing' to record"):
        record(pipeline, split, tmp_path / "b", ports=["classifier.nothing"])
    with pytest.raises(fx.GraphError, match=r"no port 'input\.nothing' to record; inputs are image, label"):
        record(pipeline, split, tmp_path / "b", ports=["input.nothing"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(fx.InputError, match="must have a folder of its own"):
        record(pipeline, split, tmp_path / "other", ports=["input.label"])
    with pytest.raises(fx.InputError, match=r"must hold recording\.json"):
        read_activations(tmp_path / "other")
    stored = json.loads((tmp_path / "rec" / "recording.json").read_text())
    (tmp_path / "rec" / "recording.json").write_text(json.dumps({**stored, "recorded": 12}))
    with pytest.raises(fx.InputError, match="it counts 12"):
        record(pipeline, split, tmp_path / "rec", ports=["input.label"])


def test_command_records_a_run_once(tmp_path, capsys):
    tiny.train(tmp_path / "run", config=tiny.named(tiny.write_npz(tmp_path / "data.npz")))
    flags = ["record", tmp_path / "run", "--ports", "classifier.hidden", "memory.fixation"]
    said = printed(capsys, *flags)
    assert said.splitlines() == [
        "classifier.hidden: float32[32, 3, 4]",
        "memory.fixation: float32[32, 3, 2]",
        f"in {tmp_path / 'run' / 'recording-test'}",
    ]
    before = contents(tmp_path / "run" / "recording-test")
    assert printed(capsys, *flags) == said
    assert contents(tmp_path / "run" / "recording-test") == before
    assert "[32, 3, 24, 24, 1]" in printed(capsys, *flags[:2], "--ports", "input.image", "--split", "train")
    assert "ports must name what to record; there are input.image, " in refused(capsys, *flags[:2])
