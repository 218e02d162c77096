"""Diagnosis: the verdict on eyes whose collapse is made by hand, the alarm while training, and the controls."""

import dataclasses
import functools
import warnings

import jax
import numpy as np
import pytest

import foveax as fx
from foveax.evaluation.controls import CONTROLS
from foveax.evaluation.diagnosis import format_diagnosis, has_collapsed, paired_gain
from foveax.evaluation.retraining import retrained_controls
from foveax.evaluation.whole_image import whole_image_evaluation, whole_image_pipeline
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


def diagnosed(graph, fixations, own=1.0, sequence=0.5, another=0.5, random=1.0):
    """The diagnosis of an eye with these shares of right decisions, its own and those under its controls."""
    shares = {"learned": own, "best sequence": sequence, "another image": another, "random": random, "centre": 0.5}
    evaluations = {name: evaluation(fixations, share) for name, share in shares.items()}
    return fx.diagnose(evaluations, graph, height=28, width=28)["saccader"]


def anywhere(size=1000):
    return np.random.default_rng(0).random((size, 6, 2)) * 0.9 + 0.05


def on_a_circle(pixels, size=1000):
    """Five places on a circle about the centre, the same on every image, after the centre itself."""
    angles = 2 * np.pi * np.arange(5) / 5
    circle = 0.5 + pixels / 27 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return np.broadcast_to(np.concatenate([[[0.5, 0.5]], circle]), (size, 6, 2))


ALONG_THE_BORDER = np.where(np.arange(6)[:, None] > 0, [[0.0, 0.3]], 0.5) + np.linspace(0, 0.6, 6)[:, None] * [0, 1]


@pytest.mark.parametrize(
    ("fixations", "shares", "verdict"),
    [
        (anywhere(), {"own": 0.92, "sequence": 0.9, "another": 0.88}, "a gaze"),
        (np.full((1000, 6, 2), 0.3), {"own": 0.92, "sequence": 0.7, "another": 0.5}, "a gaze"),  # found, then studied
        (on_a_circle(9), {"own": 0.97, "sequence": 0.972, "another": 0.97}, "an itinerary"),
        (anywhere(), {"own": 0.9, "sequence": 0.95, "another": 0.85}, "an itinerary"),
        (np.full((1000, 6, 2), 0.5), {"own": 0.9, "sequence": 0.9, "another": 0.9, "random": 0.95}, "an itinerary"),
        (on_a_circle(3.2), {"own": 0.6, "sequence": 0.9, "another": 0.6}, "collapsed"),
        (np.full((1000, 6, 2), 0.5), {"own": 0.9, "sequence": 0.9, "another": 0.9, "random": 0.3}, "collapsed"),
        (np.tile(ALONG_THE_BORDER, (1000, 1, 1)), {"own": 0.6, "sequence": 0.9, "another": 0.6}, "collapsed"),
        (anywhere(100), {"own": 0.92, "sequence": 0.9, "another": 0.8}, "cannot be told from 100 images"),
        (anywhere(), {"own": 0.91, "sequence": 0.905, "another": 0.8}, "cannot be told from 1,000 images"),
    ],
)
def test_planted_eyes_are_named_rightly(standard, fixations, shares, verdict):
    measures = diagnosed(standard, np.array(fixations), **shares)
    assert measures["verdict"] == verdict, measures["because"]
    assert measures["collapsed"] == (verdict == "collapsed") == ("try: more exploration" in measures["because"])


def test_a_remedy_in_force_is_not_named(standard):
    stays = np.full((1000, 6, 2), 0.5)
    because = diagnosed(standard, stays, own=0.5, sequence=0.9)["because"]
    paid = "pay for what a glimpse tells alone (--glimpse-reward 1 --saccade relative --saccader-sees both)"
    assert because.endswith(f"try: more exploration (--scale-start, now 2; --entropy), {paid}")
    config = fx.PipelineConfig(glimpse_reward=1.0)
    because = diagnosed(fx.standard_pipeline(fx.load("mnist5k"), config), stays, own=0.5, sequence=0.9)["because"]
    assert because.endswith("try: more exploration (--scale-start, now 2; --entropy)")
    because = diagnosed(standard.unlink("saccader.index"), stays, own=0.5, sequence=0.9)["because"]
    assert because.endswith("a link into saccader.index")


def test_the_distance_that_counts_as_staying_grows_with_the_crop(standard):
    small = standard.replace(roles=standard.roles._replace(crop_size=5))
    shares = {"own": 0.6, "sequence": 0.9, "another": 0.6}
    assert diagnosed(standard, on_a_circle(3.2), **shares)["dwell_late"] == 1
    assert diagnosed(small, on_a_circle(3.2), **shares)["verdict"] == "an itinerary"


def test_the_interval_of_a_gain_covers_it_in_nineteen_of_twenty_samples():
    """Images on which one, the other, both or none are right, drawn anew: the planted difference is 0.04."""
    rng, label = np.random.default_rng(0), np.zeros(1000, np.int32)
    none = np.zeros((1000, 1), np.float32)

    def decided(right):
        return fx.Evaluation(np.eye(2, dtype=np.float32)[1 - right][:, None], label, None, {}, none, {})

    covered = 0
    for _ in range(400):
        kind = rng.choice(4, 1000, p=[0.8, 0.09, 0.05, 0.06])
        gain = paired_gain(decided((kind < 2).astype(int)), decided(((kind == 0) | (kind == 2)).astype(int)))
        covered += gain.low <= 0.04 <= gain.high
    assert 0.92 <= covered / 400 <= 0.98


def test_measures_that_the_roles_do_not_allow_are_left_out(standard):
    """Without a label there is no information about it; without a square crop, no coverage."""
    fixations, roles = anywhere(), standard.roles
    measures = diagnosed(standard.add(roles=roles._replace(crop_size=0)), fixations)
    assert "coverage" not in measures
    unknown = evaluation(fixations)._replace(probabilities=None, label=None)
    blind = dict.fromkeys(["learned", "best sequence", "another image", "random", "centre"], unknown)
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
        **{f"saccader: {control}": evaluation(fixations, 0.6) for control in CONTROLS},
        **{
            f"other: {control}": evaluation(fixations, 0.95 if control == "best sequence" else 0.8)
            for control in CONTROLS
        },
    }
    diagnoses = fx.diagnose(evaluations, graph, height=28, width=28)
    assert {name: measures["collapsed"] for name, measures in diagnoses.items()} == {"saccader": False, "other": True}
    gains = {name: measures["gain_over_sequence"]["mean"] for name, measures in diagnoses.items()}
    assert gains == pytest.approx({"saccader": 0.3, "other": -0.05})
    assert has_collapsed(diagnoses)
    assert format_diagnosis(diagnoses).count("saccader:\n") == 1


def test_an_eye_that_does_not_learn_is_diagnosed_by_its_gaze(digits):
    graph = fx.standard_pipeline(digits, fx.PipelineConfig(hidden=8, features=8, policy="random"))
    controls = {control: evaluation(anywhere(), 0.5, tracks={}) for control in CONTROLS}
    evaluations = {"scripted": evaluation(anywhere(), tracks={}), **controls}
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
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapseWarning)  # none: an eye that is paid for each glimpse alone may stay
        paid = dataclasses.replace(config, pipeline=dataclasses.replace(pipeline, glimpse_reward=1.0))
        fx.train(paid, digits, execution=fx.ExecutionConfig(dispatch=10), evaluate=False)


@pytest.mark.slow
def test_controls_move_the_eye_of_the_same_classifier(digits, small_config):
    result = fx.train(fx.TrainingConfig(images=640, pipeline=small_config), digits, evaluate=False)
    runs = fx.evaluate_with_controls(result.graph, result.params, digits, key=jax.random.key(0))
    assert list(runs) == ["learned", "best sequence", "another image", "random", "centre"]
    own, others = runs["learned"].fixations, runs["another image"].fixations
    np.testing.assert_allclose(np.sort(own[:, 3, 0]), np.sort(others[:, 3, 0]))
    assert (own[:, 1:] != others[:, 1:]).any()
    assert np.ptp(runs["best sequence"].fixations, axis=0).max() == 0
    for run in runs.values():  # the first glimpse, at the centre, is the same for all
        np.testing.assert_allclose(run.probabilities[:, 0], runs["learned"].probabilities[:, 0], atol=1e-5)


def test_of_residual_blocks_the_same_network_sees_the_whole_image():
    """All its pixels, whatever its proportions, and by the layers of the glimpses."""
    sizes = {"crop_size": 9, "kernels": 8, "kernel_stride": 3, "blocks": (1, 1), "hidden": 8}
    config = fx.PipelineConfig(scales=2, glance=True, zoom=2.0, **sizes)
    arrays = {"image": np.ones((4, 20, 28, 1), np.float32), "label": np.arange(4)}
    data = fx.from_arrays(arrays, arrays)
    graph = whole_image_pipeline(data, config)
    assert graph.roles.crop_size == 28
    graphs = (graph, fx.standard_pipeline(data, config))
    params, own = (jax.jit(functools.partial(fx.init, each))(jax.random.key(0)) for each in graphs)
    blocks = [tree["classifier"]["params"]["encoder"]["block_2_1"] for tree in (params, own)]
    assert len({str(jax.tree.map(np.shape, block)) for block in blocks}) == 1
    rollout = fx.compile(graph, ["retina.glimpse"])

    def total(image):
        return rollout(params, {"image": image, "label": 0}, jax.random.key(0))["retina"]["glimpse"].sum()

    assert (jax.jit(jax.grad(total))(arrays["image"][0]) != 0).all()


@pytest.mark.nightly
@pytest.mark.slow
def test_a_network_that_sees_the_whole_image_is_better_than_most_eyes(digits):
    graph = whole_image_pipeline(digits)
    assert (
        whole_image_evaluation(graph, digits, learning=fx.LearningConfig(), images=20_000, batch=32, seed=0).accuracy[
            -1
        ]
        > 0.96
    )


@pytest.mark.slow
@pytest.mark.nightly
def test_a_control_is_trained_with_a_classifier_of_its_own(digits, small_config):
    """A budget so small that only the plumbing shows: the places, and that the best sequence has learned."""
    data = digits._replace(test={name: array[:64] for name, array in digits.test.items()})
    result = fx.train(fx.TrainingConfig(images=320, pipeline=small_config), data, evaluate=False)
    evaluations = fx.evaluate_with_controls(result.graph, result.params, data, key=jax.random.key(0))
    options = {"learning": fx.LearningConfig(), "steps": 10, "batch": 32, "seed": 0}
    controls = (*CONTROLS, "corners", "salient")
    trained = dict(retrained_controls(result.graph, result.params, data, evaluations, **options, controls=controls))
    assert list(trained) == [f"{control}, retrained" for control in controls]
    np.testing.assert_array_equal(
        trained["corners, retrained"].fixations[7, :4], [(0.5, 0.5), (0.25, 0.25), (0.75, 0.25), (0.25, 0.75)]
    )
    salient = fx.standard_pipeline(data, dataclasses.replace(small_config, policy="salient"))
    alone = fx.evaluate(salient, result.params | {"saccader": {}}, data.test, key=jax.random.key(0))
    np.testing.assert_allclose(trained["salient, retrained"].fixations, alone.fixations, atol=1e-6)
    moved = trained["best sequence, retrained"].fixations
    assert np.ptp(moved, axis=0).max() == 0
    assert 0 < np.abs(moved[0] - evaluations["best sequence"].fixations[0]).max() < 0.1
    assert np.ptp(trained["centre, retrained"].fixations) == 0
    assert np.ptp(trained["random, retrained"].fixations[:, 1:], axis=0).min() > 0.8
    other = trained["another image, retrained"].fixations
    own = fx.evaluate(result.graph, result.params, data.train, key=jax.random.key(0)).fixations
    assert {path.tobytes() for path in other} <= {path.tobytes() for path in own}
    assert not np.allclose(trained["centre, retrained"].probabilities[:, 0], evaluations["centre"].probabilities[:, 0])


def test_a_salient_eye_that_can_take_no_place_is_refused(digits, small_config):
    graph = fx.standard_pipeline(digits, dataclasses.replace(small_config, reach=0.2))
    options = {"learning": fx.LearningConfig(), "steps": 10, "batch": 32, "seed": 0}
    with pytest.raises(fx.InputError, match="a salient eye must take the place of one that moves the gaze anywhere"):
        next(retrained_controls(graph, fx.init(graph, jax.random.key(0)), digits, {}, **options, controls=["salient"]))
