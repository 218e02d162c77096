"""Sweeps: each row is its own training, programs are shared where they can be, and nothing is done twice."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import tiny
from command import printed, refused

import foveax as fx
from foveax.sweeps import sweep as module

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep over a name and a number, its directory and what it reported."""
    out, reported = tmp_path_factory.mktemp("sweep") / "s", []
    grid = {"reward": ["correct_each", "cross_entropy_drop"], "learning-rate": np.array([1e-3, 5e-2])}
    table = fx.sweep(tiny.CONFIG, tiny.data(), grid, out=out, report=reported.append, execution=tiny.EXECUTION)
    return out, grid, table, reported


def test_a_row_is_its_own_training_next_to_its_controls(swept):
    out, _, table, reported = swept
    assert len(reported) == 2  # groups: the rewards, each with both rates as one program
    assert [line.split(":")[0] for line in reported] == [f"group {n} of 2, 2 trained as one" for n in (1, 2)]
    columns = ["reward", "learning_rate", "accuracy_1", "accuracy_2", "accuracy_3", "best_sequence", "another_image",
               "random", "centre", "images_per_second"]  # fmt: skip
    assert list(table) == columns
    assert table["reward"].tolist() == ["correct_each"] * 2 + ["cross_entropy_drop"] * 2
    row = table.iloc[1]
    config = dataclasses.replace(
        tiny.CONFIG,
        pipeline=dataclasses.replace(tiny.PIPELINE, reward="correct_each"),
        learning=fx.LearningConfig(learning_rate=5e-2),
    )
    alone = tiny.train(config=config, evaluate=True).evaluations
    np.testing.assert_allclose(row[["accuracy_1", "accuracy_2", "accuracy_3"]].astype(float),
                               alone["learned"].accuracy, atol=1e-6)  # fmt: skip
    for control in ("best sequence", "another image", "random", "centre"):
        np.testing.assert_allclose(row[control.replace(" ", "_")], alone[control].accuracy[-1], atol=1e-6)
    assert (table["images_per_second"] > 0).all()
    pd.testing.assert_frame_equal(pd.read_csv(out / "sweep.csv"), table)


def test_what_is_there_is_not_trained_again_and_another_sweep_is_refused(swept, monkeypatch):
    out, grid, table, _ = swept

    def refuse(*arguments, **more):
        raise AssertionError("a group was trained again")

    monkeypatch.setattr(module, "train_members", refuse)
    pd.testing.assert_frame_equal(fx.sweep(tiny.CONFIG, tiny.data(), grid, out=out), table)
    with pytest.raises(fx.InputError, match="must be new, or of the same sweep to be resumed; grid differ there"):
        fx.sweep(tiny.CONFIG, tiny.data(), {"seed": [0, 1]}, out=out)
    with pytest.raises(fx.InputError, match="of the same sweep to be resumed; data differ there"):
        fx.sweep(tiny.CONFIG, tiny.data(seed=1), grid, out=out)


REFUSED = {
    "a field of one meaning; got 'rewrad'; did you mean 'reward'": {"rewrad": ["correct_each"]},
    "a list of values for reward; got 'correct_each'": {"reward": "correct_each"},
    "a sweep must have values for seed; got none": {"seed": []},
    "reward must be one of .*; got 'money'": {"reward": ["correct_each", "money"]},
    "crop_size must be at most the image's larger side, 24; got 40": {"crop_size": [3, 40]},
    "batch must be at most the number of training images, 32; got 64": {"batch": [4, 64]},
    "batch must be at least 2 where advantages are standardised": {"batch": [4, 1]},
    "must fit into memory, of which .* are free": {"hidden": [4, 10**6]},
    "validate must be 0 in a sweep": {"validate": [0.0, 0.1]},
    "got 'data'": {"data": ["mnist5k", "mnist"]},
}


@pytest.mark.parametrize("message", REFUSED)
def test_it_is_refused_before_anything_is_trained(message, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "train_members", None)
    with pytest.raises(fx.InputError, match=message.replace("a field", "fields")):
        fx.sweep(tiny.CONFIG, tiny.data(), REFUSED[message], out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_devices_that_are_not_there_are_refused_before_anything_is_written(tmp_path):
    execution = fx.ExecutionConfig(devices=30)
    with pytest.raises(fx.InputError, match="devices must be at least 0 and at most"):
        fx.sweep(tiny.CONFIG, tiny.data(), {"seed": [0, 1]}, out=tmp_path / "s", execution=execution)
    assert not (tmp_path / "s").exists()


def test_from_the_command_line_over_fields_that_change_the_shape(tmp_path, capsys):
    data = tiny.write_npz(tmp_path / "tiny.npz")
    flags = [
        *(flag for flag in tiny.FLAGS if flag != "--no-evaluate"),
        "--data",
        data,
        "--images",
        16,
        "--policy",
        "random",
    ]
    command = ["sweep", *flags, "--vary", "glimpses=1,2", "seed=3,5", "--no-controls", "--out", tmp_path / "s"]
    first = printed(capsys, *command)
    table = pd.read_csv(tmp_path / "s" / "sweep.csv")
    assert table[["glimpses", "seed"]].to_numpy().tolist() == [[1, 3], [1, 5], [2, 3], [2, 5]]
    assert table["accuracy_2"].isna().tolist() == [True, True, False, False]
    assert sorted(path.name for path in (tmp_path / "s").iterdir() if path.is_dir()) == ["group-1", "group-2"]
    assert printed(capsys, *command) == first
    assert refused(capsys, "sweep", *flags, "--vary", "seed") == "vary must be NAME=VALUE,VALUE,...; got 'seed'"


def test_members_of_a_program_are_those_that_differ_in_its_numbers_alone():
    """`pathwise` is a number of the graph where it is not 0, `reach` never is, a scale only where it is scheduled."""
    grid = {"pathwise": [0.0, 0.5, 1.0], "reach": [0.5, 1.0], "scale_end": [0.1, 0.2], "seed": [0, 1]}
    members = module._members(tiny.CONFIG, module.find_pipeline(tiny.CONFIG), grid)
    groups = module._groups(members, tiny.data(), tiny.EXECUTION)
    assert sorted(map(len, groups)) == [4, 4, 8, 8]
    learned = dataclasses.replace(tiny.CONFIG, pipeline=dataclasses.replace(tiny.PIPELINE, exploration="learned"))
    members = module._members(learned, module.find_pipeline(learned), {"scale_start": [1.0, 2.0]})
    assert len(module._groups(members, tiny.data(), tiny.EXECUTION)) == 2


@pytest.mark.nightly
def test_eyes_that_need_more_of_the_data_are_swept():
    """Told eyes need the place of the object, and those that begin anywhere their first one."""
    small = fx.PipelineConfig(glimpses=2, crop_size=5, hidden=4, features=4)
    config = fx.TrainingConfig(images=64, batch=32, task="translated", canvas=32, shift=0, pipeline=small)
    table = fx.sweep(config, None, {"policy": ["told"], "first": ["random"]}, controls=False)
    assert list(table["policy"]) == ["told"]
    assert table["accuracy_2"].between(0, 1).all()
