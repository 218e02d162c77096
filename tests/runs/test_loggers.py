"""Metrics as TensorBoard and Weights & Biases keep them."""

import json
import sys

import pytest
import tiny
from command import printed, refused
from tensorboardX.proto.event_pb2 import Event

import foveax as fx
from foveax.runs.loggers import logger


def events(folder):
    """What event files hold: length, checksum, event, checksum (the format of TFRecord)."""
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        while content:
            size = int.from_bytes(content[:8], "little")
            yield Event.FromString(content[12 : 12 + size])
            content = content[16 + size :]


def test_tensorboard_holds_every_metric_by_the_images_shown(tmp_path, capsys):
    data = tiny.write_npz(tmp_path / "tiny.npz")
    printed(capsys, "train", *tiny.FLAGS, "--data", data, "--out", tmp_path / "run", "--log", "tensorboard")
    logged = {}
    for event in events(tmp_path / "run" / "tensorboard"):
        for value in event.summary.value:
            logged.setdefault(value.tag, {})[event.step] = value.simple_value
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for name in lines[0]:
        expected = {line["images"]: pytest.approx(line[name], rel=1e-6) for line in lines}
        assert logged[name] == expected
    assert fx.load_run(tmp_path / "run").params  # the files are no strangers in a run directory


class StandIn:
    """What of wandb is used, kept in memory."""

    def __init__(self):
        self.given, self.logged, self.finished = {}, [], False

    def init(self, **given):
        self.given = given
        return self

    def log(self, metrics, step):
        self.logged.append((step, metrics))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.finished = True


def test_wandb_is_given_the_configuration_and_every_line(tmp_path, monkeypatch):
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    with logger("wandb", tiny.CONFIG, tmp_path / "run") as log:
        tiny.train(tmp_path / "run", listeners=[log])
    assert stand_in.given == {"project": "foveax", "name": "run", "config": tiny.CONFIG.to_json()}
    assert [step for step, _ in stand_in.logged] == list(range(8, 97, 8))
    assert stand_in.finished


def test_what_cannot_log_is_refused(tmp_path, monkeypatch, capsys):
    assert "must have a run directory" in refused(capsys, "train", *tiny.FLAGS, "--log", "tensorboard")
    monkeypatch.setitem(sys.modules, "wandb", None)
    out = tmp_path / "run"
    message = refused(capsys, "train", *tiny.FLAGS, "--log", "wandb", "--out", out)
    assert message == "wandb needs wandb, which is not installed: pip install 'foveax[wandb]'"
    assert not out.exists()
