"""Accuracy under corruptions is that of the public evaluation, shown images that NumPy has corrupted."""

import jax
import numpy as np
import pytest
import small

import foveax as fx
from foveax.evaluation import corrupted
from foveax.evaluation.attack import _clean
from foveax.evaluation.attack_models import compiled_attacks, models_of
from foveax.evaluation.attack_rows import AttackConfig
from foveax.evaluation.controls import control_targets
from foveax.modules.scripted import following
from foveax.robustness import CORRUPTIONS

SHAPE, IMAGES = (12, 12, 1), 30
EYE = fx.PipelineConfig(
    glimpses=3, crop_size=4, core="rnn", hidden=12, features=12, saccader_hidden=8, bands=1, contrast=False
)
CONFIG = AttackConfig(images=IMAGES, batch=20, steps=1)


@pytest.mark.slow
def test_accuracies_are_those_of_the_evaluation(tmp_path, monkeypatch):
    """Of the learned gaze, and of the fixations on the clean images."""
    monkeypatch.setattr(corrupted, "CORRUPTIONS", {"brightness": CORRUPTIONS["brightness"]})
    graph = fx.standard_pipeline(small.data(SHAPE, dtype=np.float32), EYE)
    params = jax.jit(lambda key: fx.init(graph, key))(jax.random.key(0))
    rng = np.random.default_rng(0)
    split = {"image": rng.random((IMAGES, *SHAPE), np.float32), "label": rng.integers(0, 5, IMAGES, np.int32)}
    models = models_of(graph, params, (graph, params))
    programs = compiled_attacks(models, CONFIG)
    images = _clean(models["free"], programs, split, CONFIG)
    lines = []
    options = {"has_eye": True, "report": lambda line, share: lines.append((line, share))}
    found = corrupted.corrupted_accuracy(models, programs, images, CONFIG, tmp_path, **options)

    brighter = np.stack([np.minimum(split["image"] + level / 10, 1) for level in range(1, 6)])
    followed = following(graph, next(iter(control_targets(graph).values())).port)
    places = fx.evaluate(graph, params, split, key=jax.random.key(1)).fixations[:, 1:]
    expected = {
        "own gaze": [fx.evaluate(graph, params, {**split, "image": each}, key=jax.random.key(1)) for each in brighter],
        "clean fixations": [
            fx.evaluate(followed, params, {**split, "image": each, "fixations": places}, key=jax.random.key(1))
            for each in brighter
        ],
    }
    for name, evaluations in expected.items():
        right = np.stack([evaluation.score[:, -1] for evaluation in evaluations])
        subject = found["subjects"][name]
        np.testing.assert_allclose(subject["accuracy"]["brightness"], right.mean(axis=1), atol=1e-6)
        assert subject["mean"] == pytest.approx(right.mean())
        assert subject["low"] < subject["mean"] < subject["high"]
    own = fx.evaluate(graph, params, split, key=jax.random.key(1)).accuracy[-1]
    assert found["subjects"]["own gaze"]["clean"] == pytest.approx(own)
    assert found["subjects"].keys() == {
        "own gaze", "clean fixations", "random fixations", "fixed fixations", "whole image"
    }  # fmt: skip
    assert lines[-1][1] == 1
    assert lines[-1][0].startswith("brightness: ")
    monkeypatch.delattr(corrupted, "_corrupted")  # what was written is read
    assert corrupted.corrupted_accuracy(models, programs, images, CONFIG, tmp_path, **options) == found


def test_without_an_eye_there_are_no_fixations():
    assert list(corrupted.subjects(has_eye=False)) == ["model", "whole image"]
