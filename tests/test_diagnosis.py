"""Diagnosis: the verdict on eyes whose collapse is made by hand, the alarm while training, and the recipe's table."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import foveax as fx
from foveax.recipes import Recipe, Row, format_results, run_recipe
from foveax.training.controls import evaluate_with_controls
from foveax.training.diagnosis import whole_image_accuracy
from foveax.training.progress import CollapseWarning


def evaluation(fixations, share_correct=1.0):
    size, glimpses = fixations.shape[:2]
    label = np.arange(size, dtype=np.int32) % 10
    predicted = np.where(np.arange(size) < share_correct * size, label, (label + 1) % 10)
    return fx.Evaluation(np.eye(10)[predicted][:, None].repeat(glimpses, 1), predicted[:, None].repeat(glimpses, 1),
                         label, fixations)  # fmt: skip


def diagnosed(digits, fixations, task="original", sequence=0.5):
    evaluations = {"learned": evaluation(fixations), "best sequence": evaluation(fixations, sequence)}
    return fx.diagnose(evaluations, policy="learned", config=fx.Config(task=task), data=digits)


def anywhere(size=200):
    return np.random.default_rng(0).random((size, 6, 2)) * 0.9 + 0.05


def test_an_eye_that_moves_has_not_collapsed(digits):
    measures = diagnosed(digits, anywhere())
    assert (measures["collapsed"], measures["reasons"]) == (False, [])
    assert measures["gain_over_sequence"] == 0.5
    assert len(measures["information"]) == len(measures["map_entropy"]) == 5


@pytest.mark.parametrize(
    ("moved", "reason"),
    [
        (
            lambda path: path[:, 2:3],
            "100% of its fixations from glimpse 4 on return to an earlier one; try",
        ),
        (lambda path: path[:, 3:] * [0, 1], "100% of its fixations from glimpse 4 on lie on the border"),
    ],
)
def test_late_fixations_on_one_spot_or_on_the_border_are_a_collapse(digits, moved, reason):
    fixations = anywhere()
    fixations[:, 3:] = moved(fixations)
    assert any(found.startswith(reason) for found in diagnosed(digits, fixations)["reasons"])


def test_no_gain_over_a_fixed_sequence_is_a_collapse_where_looking_matters(digits):
    assert not diagnosed(digits, anywhere(), sequence=1.0)["collapsed"]
    assert diagnosed(digits, anywhere(), "translated", sequence=1.0)["reasons"][0].startswith(
        "it gains 0.0 points over the best fixed sequence; try: train longer"
    )


@pytest.mark.slow
def test_alarm_fires_on_a_run_that_is_made_to_collapse(digits, small_model):
    """Without time, place or exploration, and with a value loss and nothing else to learn from, the eye stays put."""
    model = dataclasses.replace(small_model, time=False, position=False, deviation="fixed", deviation_start=0.01)
    with pytest.warns(CollapseWarning, match="100% return to an earlier one"):
        result = fx.train(fx.Config(images=1600, dispatch=10, model=model), digits)
    assert result.summary["diagnosis"]["collapsed"]


@pytest.mark.slow
def test_controls_lead_the_same_classifier(digits, small_model):
    result = fx.train(fx.Config(images=640, model=small_model), digits)
    runs = evaluate_with_controls(
        result.graph, result.params, digits, policy="learned", key=jax.random.key(0), rounds=1
    )
    assert list(runs) == ["learned", "best sequence", "another image", "random", "centre"]
    own, others = runs["learned"].fixations, runs["another image"].fixations
    np.testing.assert_allclose(np.sort(own[:, 3, 0]), np.sort(others[:, 3, 0]))
    assert (own[:, 1:] != others[:, 1:]).any()
    assert np.ptp(runs["best sequence"].fixations, axis=0).max() == 0
    for run in runs.values():  # the first glimpse, at the centre, is the same for all
        np.testing.assert_allclose(run.probabilities[:, 0], runs["learned"].probabilities[:, 0], atol=1e-5)


@pytest.mark.slow
def test_whole_image_network_sees_the_whole_image(digits, small_model):
    model = dataclasses.replace(small_model, hidden=64, features=64)
    config = fx.Config(images=20_000, model=model)
    assert whole_image_accuracy(config, config.prepare(digits), images=20_000) > 0.8


@pytest.mark.slow
def test_recipe_keeps_its_results_and_does_not_repeat_them(small_model, tmp_path, monkeypatch):
    row = Row(fx.Config(images=320, model=small_model), 2, "50/49")
    recipe = Recipe("Two seeds", "train/test %", {"small, row": row})
    said: list[str] = []
    results = run_recipe(recipe, name="two", out=tmp_path / "two", report=said.append)
    assert json.loads((tmp_path / "two" / "results.json").read_text()) == json.loads(json.dumps(results))
    finals = [seed["test"]["learned"][-1] for seed in results["rows"]["small, row"]["seeds"]]
    assert results["rows"]["small, row"]["mean"] == pytest.approx(np.mean(finals))
    assert results["rows"]["small, row"]["worst"] == min(finals)
    assert (tmp_path / "two" / "programs").stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr("foveax.recipes.recipe.train_with", None)  # from here on only what is there can answer
    assert run_recipe(recipe, name="two", out=tmp_path / "two") == results
    assert run_recipe(recipe, name="two", out=tmp_path / "two", only="another row") == results
    assert "50/49" in format_results(results)
    provenance = tmp_path / "two" / "small--row" / "seed-1" / "provenance.json"
    begun = json.loads(provenance.read_text())["starts"][0] | {"processor": "elsewhere"}
    provenance.write_text(json.dumps({"starts": [begun]}))
    again = run_recipe(recipe, name="two", out=tmp_path / "two")["rows"]["small, row"]["seeds"]
    assert again[1]["machine"]["processor"] == "elsewhere"  # read here, trained there
