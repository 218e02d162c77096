"""Validation while training: on what, when, which state is kept, and when it ends a training."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
import tiny
from command import printed, refused

import foveax as fx
from foveax.data.dataset import held_out_by_class
from foveax.runs.directory import RunRecord

FAST = fx.LearningConfig(learning_rate=0.05)
CONFIG = dataclasses.replace(tiny.CONFIG, validate=0.25, validate_every=12, keep="best", learning=FAST)
"""24 steps of 4 images, judged every third."""
STILL = dataclasses.replace(CONFIG, learning=fx.LearningConfig(learning_rate=0.0, policy_learning_rate=0.0))
"""Learns nothing, so that no validation is better than the first."""


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_share_of_each_class_is_held_out():
    image = np.arange(100, dtype=np.uint8)[:, None, None] + np.zeros((1, 2, 2), np.uint8)
    split = {"image": image, "label": np.repeat([0, 1, 2], [60, 31, 9])}
    data = fx.from_arrays(split, split)
    parts = held_out_by_class(data, 0.2)
    np.testing.assert_array_equal(np.bincount(parts.test["label"]), [12, 6, 2])
    joined = np.concatenate([parts.train["image"], parts.test["image"]])[:, 0, 0, 0]
    np.testing.assert_array_equal(np.sort(joined), np.arange(100))
    with pytest.raises(fx.InputError, match=r"must hold at least one image and leave one; 0.9 of 1 .* holds out 1$"):
        held_out_by_class(data._replace(train={"image": image[:1], "label": np.zeros(1, int)}), 0.9)
    with pytest.raises(fx.InputError, match=r"0.001 of 100 training images in 3 classes holds out 0"):
        held_out_by_class(data, 0.001)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("validated")
    file = tiny.write_npz(out / "tiny.npz")
    config = dataclasses.replace(CONFIG, data=str(file))
    return out / "run", tiny.train(out / "run", fx.load(str(file)), config=config)


def test_the_best_state_is_the_one_that_is_kept_judged_and_loaded(run):
    out, result = run
    recorded = {line["step"]: line["val_accuracy"] for line in lines(out) if "val_accuracy" in line}
    assert list(recorded) == [3, 6, 9, 12, 15, 18, 21, 24]
    best = max(recorded, key=recorded.get)  # of equal ones the first
    assert len(set(recorded.values())) > 1
    assert result.summary["validation"]["step"] == best < 24
    held = held_out_by_class(tiny.data(), 0.25).test
    judged = fx.evaluate(result.graph, result.params, held, key=jax.random.key(0))
    np.testing.assert_allclose(judged.accuracy[-1], recorded[best])
    chex.assert_trees_all_equal(fx.load_run(out).params, result.params)
    in_memory = tiny.train(config=dataclasses.replace(CONFIG, data=str(out.parent / "tiny.npz")))
    chex.assert_trees_all_equal(in_memory.params, result.params)
    assert fx.verify(out).same


def test_what_is_held_out_is_not_trained_on_and_moves_nothing_else(run, tmp_path):
    """The same training on the rest alone, whose validation is no part of the program."""
    rest = tiny.data()._replace(train=held_out_by_class(tiny.data(), 0.25).train)
    config = dataclasses.replace(tiny.CONFIG, learning=FAST)
    tiny.train(tmp_path / "run", rest, config=config, execution=fx.ExecutionConfig(dispatch=3))
    recorded = {line["step"]: line for line in lines(run[0])}
    for line in lines(tmp_path / "run"):
        before = recorded[line["step"] - 1]["accuracy"], recorded[line["step"]]["accuracy"]
        np.testing.assert_allclose(line["accuracy"], (2 * before[0] + before[1]) / 3, atol=1e-6)


def test_a_run_that_was_stopped_keeps_the_same_best(run, tmp_path, monkeypatch):
    out, result = run
    config = dataclasses.replace(CONFIG, data=str(out.parent / "tiny.npz"))

    def stop(metrics):
        if metrics["step"] == 17:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tiny.train(tmp_path / "run", config=config, listeners=[stop])
    resumed = tiny.train(tmp_path / "run", config=config)
    chex.assert_trees_all_equal(resumed.params, result.params)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (out / "metrics.jsonl").read_bytes()
    assert resumed.summary["validation"] == result.summary["validation"]


def test_it_stops_early_and_stays_so(tmp_path):
    config = dataclasses.replace(STILL, early_stopping=2)
    result = tiny.train(tmp_path / "run", config=config)
    assert lines(tmp_path / "run")[-1]["step"] == 9  # the first of three, and two that are no better
    assert result.summary["images"] == 36
    assert result.summary["validation"]["step"] == 3
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    again = tiny.train(tmp_path / "run", config=config)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    assert again.summary["images"] == 36
    assert again.summary["train_seconds"] == result.summary["train_seconds"]


@pytest.mark.nightly
@pytest.mark.parametrize("wait", [0.0, 0.3, 0.8])
def test_killed_a_validated_command_ends_to_the_byte_as_the_whole_one(wait, tmp_path):
    data = tiny.write_npz(tmp_path / "tiny.npz")
    flags = [
        *tiny.FLAGS,
        "--images",
        "4000",
        "--data",
        str(data),
        "--validate",
        "0.25",
        "--validate-every",
        "100",
        "--learning-rate",
        "0.05",
    ]
    command = [sys.executable, "-m", "foveax.cli", "train", *flags, "--keep", "best", "--out"]
    subprocess.run([*command, tmp_path / "whole"], check=True, capture_output=True)
    process = subprocess.Popen([*command, tmp_path / "run"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = tmp_path / "run" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.02)
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([*command, tmp_path / "run"], check=True, capture_output=True)
    assert metrics.read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    runs = [fx.load_run(tmp_path / name) for name in ("run", "whole")]
    chex.assert_trees_all_equal(*(loaded.params for loaded in runs))
    (first, second) = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("run", "whole"))
    assert first["validation"] == second["validation"]


def test_from_the_command_line_it_is_in_the_bar_and_refused_where_it_cannot_be(tmp_path, capsys):
    data = tiny.write_npz(tmp_path / "tiny.npz")
    flags = [*tiny.FLAGS, "--data", data, "--validate", "0.25", "--validate-every", "12"]
    main_line = printed(capsys, "train", *flags, "--out", tmp_path / "run")
    assert "images/s" in main_line
    assert [line["step"] for line in lines(tmp_path / "run") if "val_accuracy" in line] == list(range(3, 25, 3))
    for arguments, message in (
        (["train", "--keep", "best"], "validate must be more than 0 to keep the best, or to stop early; got 0.0"),
        (["train", "--early-stopping", "3"], "validate must be more than 0 to keep the best, or to stop early"),
        (["train", "--validate", "1"], "validate must be at least 0.0 and at most 0.9; got 1"),
        (["population", "--validate", "0.1"], "validate must be 0 in a population, which is not validated"),
    ):
        assert message in refused(capsys, *arguments)


def test_runs_from_before_there_was_validation_keep_their_identity():
    before = "65254521d6aac6dfb9aa0aca584b3ffa19df29bd3e6d331d4044d7a9f34f61e7"
    assert RunRecord(fx.TrainingConfig(), {}, {}).identity == before
    assert RunRecord(dataclasses.replace(fx.TrainingConfig(), validate=0.1), {}, {}).identity != before
