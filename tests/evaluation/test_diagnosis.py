"""Diagnosis: the verdict on eyes whose collapse is made by hand, the alarm while training, and the controls."""

import dataclasses

import jax
import numpy as np
import pytest

import foveax as fx
from foveax.evaluation.diagnosis import format_diagnosis, has_collapsed
from foveax.evaluation.whole_image import whole_image_accuracy
from foveax.runs.run import CollapseWarning


def evaluation(fixations, share_correct=1.0, tracks=None):
    """What a pipeline would have done that is right about a share of the images."""
    size, glimpses = fixations.shape[:2]
    label = np.arange(size, dtype=np.int32) % 10
    predicted = np.where(np.arange(size) < share_correct * size, label, (label + 1) % 10)
    probabilities = np.eye(10, dtype=np.float32)[predicted][:, None].repeat(glimpses, 1)
    tracks = {"saccader": fixations} if tracks is None else tracks
    return fx.Evaluation(probabilities, label, fixations, tracks, np.zeros((size, glimpses), np.float32), {})


@pytest.fixture(scope="module")
def standard(digits):
    return fx.standard_pipeline(digits, fx.PipelineConfig(hidden=8, features=8, saccader_hidden=8))


def diagnosed(graph, fixations, sequence=0.5, **options):
    evaluations = {"learned": evaluation(fixations), "best sequence": evaluation(fixations, sequence)}
    return fx.diagnose(evaluations, graph, height=28, width=28, **options)["saccader"]


def anywhere(size=200):
    return np.random.default_rng(0).random((size, 6, 2)) * 0.9 + 0.05


def test_an_eye_that_moves_has_not_collapsed(standard):
    measures = diagnosed(standard, anywhere())
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
def test_late_fixations_on_one_spot_or_on_the_border_are_a_collapse(standard, moved, reason):
    fixations = anywhere()
    fixations[:, 3:] = moved(fixations)
    assert any(found.startswith(reason) for found in diagnosed(standard, fixations)["reasons"])


def test_no_gain_over_a_fixed_sequence_is_a_collapse_where_looking_matters(standard):
    assert not diagnosed(standard, anywhere(), sequence=1.0)["collapsed"]
    assert diagnosed(standard, anywhere(), sequence=1.0, matters=True)["reasons"][0].startswith(
        "it gains 0.0 points over the best fixed sequence; try: train longer"
    )


def test_measures_that_the_roles_do_not_allow_are_left_out(standard):
    """Without a label there is no information about it; without a square crop, no coverage."""
    fixations, roles = anywhere(), standard.roles
    measures = diagnosed(standard.add(roles=roles._replace(crop_size=0)), fixations)
    assert "coverage" not in measures
    unknown = evaluation(fixations)._replace(probabilities=None, label=None)
    blind = {"learned": unknown, "best sequence": unknown}
    graph = standard.add(roles=roles._replace(belief="", label=""))
    measures = fx.diagnose(blind, graph, height=28, width=28)["saccader"]
    assert not {"information", "information_shuffled"} & measures.keys()
    assert {"coverage", "map_entropy", "refixation", "border"} <= measures.keys()
    assert "entropy of the map" in format_diagnosis({"saccader": measures})


def test_each_of_several_eyes_has_a_verdict_of_its_own(standard):
    """One eye moves, the other stays: the controls of each are those under its own name."""
    links = ["classifier.hidden -> other.observation", "other.fixation -> memory.second"]
    graph = standard.add(*links, other=fx.saccader(), memory={"second": (0.5, 0.5)})
    fixations = anywhere()
    tracks = {"saccader": fixations, "other": np.full_like(fixations, 0.5)}
    evaluations = {
        "learned": evaluation(fixations, 0.9, tracks),
        "saccader: best sequence": evaluation(fixations, 0.6),
        "other: best sequence": evaluation(fixations, 0.8),
    }
    diagnoses = fx.diagnose(evaluations, graph, height=28, width=28)
    assert {name: measures["collapsed"] for name, measures in diagnoses.items()} == {"saccader": False, "other": True}
    gains = {name: measures["gain_over_sequence"] for name, measures in diagnoses.items()}
    assert gains == pytest.approx({"saccader": 0.3, "other": 0.1})
    assert has_collapsed(diagnoses)
    assert format_diagnosis(diagnoses).count("saccader:\n") == 1


def test_an_eye_that_does_not_learn_is_diagnosed_by_its_gaze(digits):
    graph = fx.standard_pipeline(digits, fx.PipelineConfig(hidden=8, features=8, policy="random"))
    evaluations = {"scripted": evaluation(anywhere(), tracks={}), "best sequence": evaluation(anywhere(), 0.5)}
    assert fx.diagnose(evaluations, graph, height=28, width=28).keys() == {"fixation"}


def test_a_pipeline_that_makes_no_saccades_has_no_diagnosis(digits):
    graph = fx.standard_pipeline(digits, fx.PipelineConfig(hidden=8, features=8, glimpses=1))
    assert fx.diagnose({"learned": evaluation(anywhere()[:, :1])}, graph, height=28, width=28) == {}
    assert format_diagnosis({}) == "no saccades to diagnose"


@pytest.mark.slow
def test_alarm_fires_on_a_run_that_is_made_to_collapse(digits, small_config):
    """Without index, place or exploration, and with little to learn from, the eye stays put."""
    pipeline = dataclasses.replace(small_config, exploration="fixed", scale_start=0.01)
    blind = ("saccader.index", "saccader.position")
    config = fx.TrainingConfig(images=1600, pipeline=pipeline, unlink=blind)
    with pytest.warns(CollapseWarning, match="saccader shows signs of collapse: .* 100% return to an earlier one"):
        result = fx.train(config, digits, execution=fx.ExecutionConfig(dispatch=10))
    assert result.summary["diagnosis"]["saccader"]["collapsed"]


@pytest.mark.slow
def test_controls_move_the_eye_of_the_same_classifier(digits, small_config):
    result = fx.train(fx.TrainingConfig(images=640, pipeline=small_config), digits, evaluate=False)
    runs = fx.evaluate_with_controls(result.graph, result.params, digits, key=jax.random.key(0), rounds=1)
    assert list(runs) == ["learned", "best sequence", "another image", "random", "centre"]
    own, others = runs["learned"].fixations, runs["another image"].fixations
    np.testing.assert_allclose(np.sort(own[:, 3, 0]), np.sort(others[:, 3, 0]))
    assert (own[:, 1:] != others[:, 1:]).any()
    assert np.ptp(runs["best sequence"].fixations, axis=0).max() == 0
    for run in runs.values():  # the first glimpse, at the centre, is the same for all
        np.testing.assert_allclose(run.probabilities[:, 0], runs["learned"].probabilities[:, 0], atol=1e-5)


@pytest.mark.nightly
@pytest.mark.slow
def test_whole_image_network_sees_the_whole_image(digits, small_config):
    pipeline = dataclasses.replace(small_config, hidden=64, features=64)
    data = fx.TrainingConfig(pipeline=pipeline).prepare(digits)
    assert whole_image_accuracy(data, pipeline, fx.LearningConfig(), images=20_000, batch=32, seed=0) > 0.8
