"""Fine-tuning: what fits is taken, the rest is named, and the run remembers where it began."""

import dataclasses
import json
import shutil

import chex
import jax
import numpy as np
import pytest
import tiny
from command import refused

import foveax as fx
from foveax.cli import main

STILL = dataclasses.replace(tiny.CONFIG, learning=fx.LearningConfig(learning_rate=0.0, policy_learning_rate=0.0))
"""Learns nothing: a run ends with the parameters that it begins with."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    out = tmp_path_factory.mktemp("source") / "run"
    return out, tiny.train(out)


def named(params):
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }


def more_classes() -> fx.Data:
    """The same images, each of one of five classes."""
    splits = ({**split, "label": np.arange(32) % 5} for split in tiny.data()[:2])
    return fx.from_arrays(*splits)


def test_on_other_classes_all_but_the_last_layer_is_taken(source, tmp_path):
    run, trained = source
    reported = []
    tuned = tiny.train(tmp_path / "run", more_classes(), config=STILL, init_from=run, report=reported.append)
    fresh = tiny.train(None, more_classes(), config=STILL)
    theirs, new, ours = (named(result.params) for result in (trained, fresh, tuned))
    last = {name for name in ours if ours[name].shape[-1:] == (5,)}  # classes
    assert len(last) == 2
    for name, leaf in ours.items():
        np.testing.assert_array_equal(leaf, (new if name in last else theirs)[name], err_msg=name)
    assert {line.partition(" is new: ")[0] for line in reported} == last
    assert any(line.endswith("is new: float32[4, 5], float32[4, 3] there") for line in reported)
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["init_from"]
    assert stored["run"] == str(run)
    assert stored["new"] == reported
    assert {len(stored[name]) for name in ("identity", "params")} == {64}


def test_the_optimiser_begins_anew_and_a_stopped_run_is_resumed_without_its_origin(source, tmp_path):
    run, _ = source
    origin = shutil.copytree(run, tmp_path / "origin")

    def stop(metrics):
        if metrics["step"] == 10:
            raise ZeroDivisionError

    whole = tiny.train(tmp_path / "whole", init_from=origin)
    with pytest.raises(ZeroDivisionError):
        tiny.train(tmp_path / "run", init_from=origin, listeners=[stop])
    with pytest.raises(
        fx.InputError, match=r"must be begun from the same run to be resumed: .*origin there, .*other here"
    ):
        tiny.train(tmp_path / "run", init_from=tmp_path / "other")
    shutil.rmtree(origin)
    resumed = tiny.train(tmp_path / "run")
    chex.assert_trees_all_equal(resumed.params, whole.params)
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["step"] == 2  # not of the origin's 24 steps


def test_where_nothing_fits_it_is_refused_before_anything_is_written(source, tmp_path, capsys):
    run, _ = source
    pipeline = dataclasses.replace(tiny.PIPELINE, hidden=7, features=7, policy="centre")
    with pytest.raises(
        fx.InputError, match=r"parameters of .*run must fit in name and shape to begin from; none does: "
    ):
        tiny.train(
            tmp_path / "new", more_classes(), config=dataclasses.replace(STILL, pipeline=pipeline), init_from=run
        )
    with pytest.raises(fx.InputError, match="one of fork and init_from must be given; got both"):
        tiny.train(tmp_path / "new", init_from=run, fork=run)
    message = refused(capsys, "train", *tiny.FLAGS, "--init-from", tmp_path / "gone", "--out", tmp_path / "new")
    assert message.endswith("gone does not")
    assert not (tmp_path / "new").exists()


def test_the_command_names_what_is_new_on_other_channels(source, tmp_path, capsys):
    coloured = [{**split, "image": np.repeat(split["image"], 3, axis=-1)} for split in tiny.data()[:2]]
    file = tiny.write_npz(tmp_path / "coloured.npz", fx.from_arrays(*coloured))
    capsys.readouterr()
    main([*map(str, ["train", *tiny.FLAGS, "--data", file, "--init-from", source[0], "--out", tmp_path / "run"])])
    lines = [line for line in capsys.readouterr().err.splitlines() if " is new: " in line]
    assert len(lines) == 1
    assert "classifier.params" in lines[0]
    assert fx.load_run(tmp_path / "run").graph.inputs["image"].shape == (24, 24, 3)


def test_a_run_begins_with_the_parameters_in_a_file_and_those_that_are_frozen_stay(source, tmp_path):
    """An encoder from elsewhere: only its layers are in the file; the rest is new, and learns."""
    safetensors = pytest.importorskip("safetensors.numpy")
    theirs = {name: np.asarray(leaf) for name, leaf in named(source[1].params).items() if ".encoder." in name}
    (tmp_path / "encoder.safetensors").write_bytes(safetensors.save(theirs))
    frozen = dataclasses.replace(tiny.CONFIG, freeze=("classifier.encoder",))
    fresh = named(tiny.train(None, config=STILL).params)
    reported = []
    origin = {"init_from": tmp_path / "encoder.safetensors", "report": reported.append}
    ours = named(tiny.train(tmp_path / "run", config=frozen, **origin).params)
    assert {line.partition(" is new: ")[0] for line in reported} == set(ours) - set(theirs)
    for name, leaf in ours.items():
        if name in theirs:
            np.testing.assert_array_equal(leaf, theirs[name])
        else:
            assert (leaf != fresh[name]).any() == ("log_scale" not in name), name  # the scale is not learned
    (tmp_path / "none.safetensors").write_bytes(b"no tensors")
    with pytest.raises(fx.InputError, match=r"none\.safetensors must be a file of safetensors"):
        tiny.train(tmp_path / "new", init_from=tmp_path / "none.safetensors")
    with pytest.raises(fx.InputError, match=r"gone\.safetensors must be readable: No such file or directory"):
        tiny.train(tmp_path / "new", init_from=tmp_path / "gone.safetensors")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("epochs", [pytest.param(1, marks=pytest.mark.nightly), 3])
def test_a_frozen_eye_stays_in_every_epoch(epochs):
    learning = fx.LearningConfig(epochs=epochs)
    config = dataclasses.replace(tiny.CONFIG, freeze=("saccader",), learning=learning, images=64)
    still = dataclasses.replace(STILL, images=64)
    ours, begun = (named(tiny.train(None, config=each).params) for each in (config, still))
    for name, leaf in ours.items():
        assert (leaf == begun[name]).all() == name.startswith("saccader"), name


def test_what_is_not_there_cannot_be_frozen():
    config = dataclasses.replace(tiny.CONFIG, freeze=("classifier.enc",))
    with pytest.raises(
        fx.InputError,
        match="freeze must name modules with parameters, classifier, saccader, or layers in them; got 'classifier",
    ):
        tiny.train(None, config=config)
