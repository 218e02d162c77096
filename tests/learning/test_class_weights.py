"""Weights of classes: against NumPy, and that unbalanced data are then no longer called by their greatest class."""

import dataclasses
import re

import jax
import numpy as np
import pytest
import tiny

import foveax as fx
from foveax.cli import main
from foveax.evaluation.evaluate import class_balance, format_balance
from foveax.modules.decision import balanced_class_weights


def test_balanced_weights_give_each_class_the_same_sum_and_examples_one_on_average():
    label = np.random.default_rng(0).choice(5, 1000, p=[0.6, 0.25, 0.1, 0.05, 0.0])
    weights = balanced_class_weights(label, 5)
    sums = np.bincount(label, weights=weights[label], minlength=5)
    np.testing.assert_allclose(sums, [250, 250, 250, 250, 0], rtol=1e-6)
    np.testing.assert_allclose(weights[label].mean(), 1, rtol=1e-6)


@pytest.mark.parametrize("weights", ["balanced", (0.5, 2.0, 4.0)])
def test_the_loss_is_the_weighted_cross_entropy(weights):
    data = tiny.data()
    graph = fx.standard_pipeline(data, dataclasses.replace(tiny.PIPELINE, class_weights=weights))
    params = fx.init(graph, jax.random.key(0))
    shown = fx.evaluate(graph, params, data.test, key=jax.random.key(1))
    counts = np.bincount(data.train["label"])
    by_class = 32 / (3 * counts) if weights == "balanced" else np.array(weights)
    label = data.test["label"]
    expected = -by_class[label, None] * np.log(shown.probabilities[np.arange(len(label)), :, label])
    np.testing.assert_allclose(shown.losses, expected, rtol=1e-4)


def test_weights_are_checked_and_go_to_json_and_back():
    config = fx.TrainingConfig(pipeline=fx.PipelineConfig(class_weights=(1.0, 2.0)))
    assert fx.TrainingConfig.from_json(config.to_json()) == config
    for bad, message in (
        ("unequal", "class_weights must be one of 'equal', 'balanced'; got 'unequal'"),
        ((1.0, -2.0), r"class_weights must be numbers of at least 0, one for each class; got \(1.0, -2.0\)"),
        ((), "class_weights must be numbers of at least 0"),
        (3.0, "class_weights must be .* of finite numbers; got 3.0"),
    ):
        with pytest.raises(fx.InputError, match=message):
            fx.PipelineConfig(class_weights=bad)
    with pytest.raises(fx.InputError, match="class_weights must be one for each class, 3; got 2"):
        fx.standard_pipeline(tiny.data(), config.pipeline)


def unbalanced(images: int = 400) -> fx.Data:
    """Two classes, 95:5, that differ in how much brighter the upper half is than the lower, and overlap in it."""
    rng = np.random.default_rng(0)
    label = (np.arange(images) % 20 == 0).astype(int)
    step = 0.3 * label - 0.15 + 0.2 * rng.normal(size=images)
    halves = np.where(np.arange(24) < 12, 0.5, -0.5)[:, None] + np.zeros((1, 24))
    image = np.clip(0.5 + step[:, None, None] * halves, 0, 1).astype(np.float32)
    split = {"image": image, "label": label}
    return fx.from_arrays(split, split)


@pytest.mark.slow
def test_a_rare_class_is_decided_for_when_classes_are_balanced():
    balance = {}
    for weights in ("equal", "balanced"):
        sizes = {"hidden": 16, "features": 16, "bands": 2}
        pipeline = dataclasses.replace(tiny.PIPELINE, class_weights=weights, policy="centre", **sizes)
        learning = fx.LearningConfig(learning_rate=0.01)
        config = fx.TrainingConfig(images=6400, batch=32, shift=0, pipeline=pipeline, learning=learning)
        result = tiny.train(None, unbalanced(), config=config, execution=fx.ExecutionConfig())
        shown = fx.evaluate(result.graph, result.params, unbalanced().test, key=jax.random.key(0))
        balance[weights] = class_balance(shown, unbalanced().train["label"])
    assert balance["equal"]["classes"]["1"] < 0.4
    assert balance["balanced"]["classes"]["1"] > 0.6
    assert balance["balanced"]["balanced"] > balance["equal"]["balanced"] + 0.05


def test_classes_of_unequal_size_are_printed_the_worst_first(searched, tmp_path, capsys):
    classes = {str(number): number / 20 for number in reversed(range(12))}
    text = format_balance({"majority": 0.5, "balanced": 0.25, "classes": classes}).splitlines()[1]
    assert text.startswith("accuracy by class: 0 0.00, 1 5.00, 2 10.00, ")
    assert text.endswith(", 9 45.00, and 2 more")
    file = tiny.write_npz(tmp_path / "tiny.npz")  # 11 of class 0, 11 of class 1, 10 of class 2
    flags = [flag for flag in tiny.FLAGS if flag != "--no-evaluate"]
    capsys.readouterr()
    main(["train", *flags, "--data", str(file), "--class-weights", "1", "2", "3.5"])
    table, bars = capsys.readouterr()
    (line,) = (line for line in table.splitlines() if line.startswith("accuracy by class: "))
    assert {part.split()[0] for part in line.removeprefix("accuracy by class: ").split(", ")} == {"0", "1", "2"}
    assert table.splitlines()[-1] == "nothing is kept of this training; --out DIR keeps the next"
    for title in ("test images, best sequence", "training images", "diagnosis"):
        assert f"{title}: " in bars
    number, thousands = re.findall(r"diagnosis: ([\d.]+)(k?) images ", bars)[-1]
    assert float(number) * (1000 if thousands else 1) > 6 * 32  # six evaluations, and what the search shows
