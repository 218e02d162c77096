"""Glimpse prediction: the error of what was predicted, its gradients, its baselines, and the pay for surprise."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
import tiny
from command import printed

import foveax as fx
from foveax.evaluation.prediction import prediction_errors
from foveax.modules.surprise import TEMPERATURE
from foveax.pipelines import predictive_pipeline

KEY = jax.random.key(0)
CONFIG = fx.PipelineConfig(glimpses=4, crop_size=3, hidden=6, features=5, saccader_hidden=4)


def rollout(graph, batch=None, ports=None):
    params = fx.init(graph, KEY)
    compiled = jax.jit(jax.vmap(fx.compile(graph, ports), (None, 0, 0)))
    return jax.tree.map(np.asarray, compiled(params, batch or small.batch(6), jax.random.split(KEY, 6)))


def test_errors_are_those_of_the_prediction_made_a_glimpse_before():
    values = rollout(predictive_pipeline(small.data(), CONFIG))
    pixels, predicted = values["target"]["output"], values["predictor"]["output"]
    error = ((pixels[:, 1:] - predicted[:, :-1]) ** 2).mean((2, 3, 4))
    np.testing.assert_allclose(values["surprise"]["error"][:, 1:], error, rtol=1e-5)
    steady = ((pixels[:, 1:] - pixels[:, :-1]) ** 2).mean((2, 3, 4))
    np.testing.assert_allclose(values["surprise"]["persistence"][:, 1:], steady, rtol=1e-5)
    assert (values["surprise"]["error"][:, 0] == 0).all()
    assert pixels.max() > 0.5  # as fractions of white, not parted into contrast and luminance


def test_contrastive_error_is_a_softmax_over_the_glimpses_so_far():
    values = rollout(predictive_pipeline(small.data(), CONFIG, predict="features", error="contrastive"))
    target, predicted = values["target"]["output"], values["predictor"]["output"]
    assert target.shape == (6, 4, 5)
    for image, t in np.ndindex(6, 3):
        candidates = target[image, : t + 2][::-1]
        unit = candidates / np.maximum(np.linalg.norm(candidates, axis=-1, keepdims=True), 1e-6)
        guess = predicted[image, t] / max(np.linalg.norm(predicted[image, t]), 1e-6)
        scores = np.exp(unit @ guess / TEMPERATURE)
        assert values["surprise"]["error"][image, t + 1] == pytest.approx(-np.log(scores[0] / scores.sum()), abs=1e-4)


def test_copies_of_the_efference_reach_the_predictor():
    data = small.data()
    sources = {
        kind: predictive_pipeline(data, dataclasses.replace(CONFIG, efference=kind)).wiring.sources
        for kind in ("absolute", "relative", "none", "shuffled")
    }
    assert str(sources["absolute"]["predictor"]["place"]) == "saccader.fixation"
    assert str(sources["relative"]["predictor"]["place"]) == "saccade.place"
    assert str(sources["relative"]["saccade"]["fixation"]) == "saccader.fixation"
    assert "place" not in sources["none"]["predictor"]
    assert sources["shuffled"]["saccade"] == {}


def gradients(graph):
    params = fx.init(graph, KEY)
    compiled = jax.vmap(fx.compile(graph, ["surprise.error"]), (None, 0, 0))

    def loss(params):
        return compiled(params, small.batch(6), jax.random.split(KEY, 6))["surprise"]["error"].mean()

    norms = jax.tree.map(lambda leaf: float(jnp.abs(leaf).max()), jax.jit(jax.grad(loss))(params))
    return {name: max(jax.tree.leaves(values), default=0.0) for name, values in norms.items()}


def test_errors_teach_predictor_and_classifier_and_neither_eye_nor_target():
    norms = gradients(predictive_pipeline(small.data(), CONFIG, predict="features"))
    assert norms["predictor"] > 0
    assert norms["classifier"] > 0
    assert norms["saccader"] == norms["target"] == 0


def test_surprise_is_paid_next_to_the_reward_or_alone():
    both = predictive_pipeline(small.data(), CONFIG, surprise_reward=0.5)
    values = rollout(both)
    wanted = values["reward"]["reward"] + 0.5 * values["surprise"]["error"]
    np.testing.assert_allclose(values["payment"]["reward"], wanted, rtol=1e-6)
    assert both.modules["saccader"].agent.reward == "payment.reward"
    alone = predictive_pipeline(small.data(), CONFIG, classify=False, surprise_reward=2.0)
    values = rollout(alone)
    np.testing.assert_allclose(values["payment"]["reward"], 2 * values["surprise"]["error"], rtol=1e-6)
    assert "decision" not in alone.modules
    with pytest.raises(fx.InputError, match="surprise_reward must be more than 0 without classes"):
        predictive_pipeline(small.data(), CONFIG, classify=False)
    with pytest.raises(fx.InputError, match="predict must be pixels or features"):
        predictive_pipeline(small.data(), CONFIG, predict="words")
    with pytest.raises(fx.InputError, match="error must be one of squared, contrastive"):
        predictive_pipeline(small.data(), CONFIG, error="cubic")


def test_baselines_of_known_glimpses():
    """Images of one grey each: the next glimpse is the present one, and the mean of all misses by their variance."""
    greys = np.repeat(np.array([0, 51, 255], np.uint8), 4)
    split = {"image": np.broadcast_to(greys[:, None, None, None], (12, 9, 9, 1)), "label": np.zeros(12, np.int32)}
    data = fx.from_arrays({**split, "image": split["image"].copy()}, {**split, "image": split["image"].copy()})
    config = fx.PipelineConfig(glimpses=3, crop_size=1, hidden=4, features=4, policy="centre", contrast=False)
    graph = predictive_pipeline(data, config)
    errors = prediction_errors(graph, fx.init(graph, KEY), data, key=KEY)
    assert errors["this glimpse"].mean == 0
    assert errors["mean glimpse"].mean == pytest.approx((greys / 255).var(), rel=1e-5)
    with pytest.raises(fx.InputError, match="must have a module target"):
        prediction_errors(fx.standard_pipeline(data, config), {}, data, key=KEY)


@pytest.mark.slow
def test_command_trains_it_with_flags_of_the_standard_pipeline(tmp_path, capsys):
    data = tiny.write_npz(tmp_path / "data.npz")
    pipeline = ["--pipeline", "foveax.pipelines.predictive:predictive_pipeline", "--pipeline-args", "classify=False"]
    printed(capsys, "train", "--data", data, *tiny.FLAGS, "--fixations", "random", "--policy", "learned",
            *pipeline, "surprise_reward=1", "--out", tmp_path / "run")  # fmt: skip
    run = fx.load_run(tmp_path / "run")
    assert run.graph.length == 3
    assert run.graph.agents == []
    assert list(map(str, run.graph.losses)) == ["surprise.error"]
