"""The reward for what a glimpse tells alone, by hand in NumPy, and which networks it teaches; relative saccades."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from scipy import special

import foveax as fx
from foveax.evaluation.whole_image import whole_image_pipeline
from foveax.pipelines import predictive_pipeline
from foveax.pipelines.payment import READOUT_LOSS

KEY = jax.random.key(0)
CONFIG = fx.PipelineConfig(glimpses=4, crop_size=3, hidden=6, features=5, saccader_hidden=4, glimpse_reward=0.7)


def rollout(graph):
    params = fx.init(graph, KEY)
    compiled = jax.jit(jax.vmap(fx.compile(graph), (None, 0, 0)))
    values = compiled(params, small.batch(6), jax.random.split(KEY, 6))
    return *jax.tree.map(np.asarray, (params, values)), np.asarray(small.batch(6)["label"])


@pytest.mark.parametrize("layers", [1, 2])
def test_the_eye_is_paid_minus_the_cross_entropy_of_a_read_out(layers):
    graph = fx.standard_pipeline(small.data(), dataclasses.replace(CONFIG, layers=layers))
    params, values, label = rollout(graph)
    last = "what" if layers == 1 else f"what_{layers}"
    weights = params["readout"]["params"]["readout"]
    logits = values["classifier"][f"encoder.{last}"] @ weights["kernel"] + weights["bias"]
    wrong = -np.take_along_axis(special.log_softmax(logits, axis=-1), label[:, None, None], axis=-1)[..., 0]
    paid = values["reward"]["reward"] - 0.7 * wrong
    np.testing.assert_allclose(values["glimpse_payment"]["reward"], paid, rtol=1e-4, atol=1e-5)
    assert graph.modules["saccader"].agent.reward == "glimpse_payment.reward"
    assert paid.std() > 0.01


def test_the_read_out_knows_neither_the_glimpses_before_nor_the_place():
    """An eye that returns to the first place after another reads the same there, though its decision has changed."""
    places = ((0.1, 0.9), (0.5, 0.5), (0.9, 0.2))
    graph = fx.standard_pipeline(small.data(), dataclasses.replace(CONFIG, policy="sequence", sequence=places))
    _, values, _ = rollout(graph)
    read, decided = values["readout"]["logits"], values["classifier"]["logits"]
    np.testing.assert_allclose(read[:, 2], read[:, 0], rtol=1e-6)
    assert abs(decided[:, 2] - decided[:, 0]).max() > 0.01
    assert abs(read[:, 1] - read[:, 0]).max() > 0.01


def test_its_loss_teaches_read_out_and_encoder_and_neither_core_nor_eye():
    graph = fx.standard_pipeline(small.data(), CONFIG)
    assert graph.modules["readout_decision"].losses["cross_entropy"].weight == READOUT_LOSS
    compiled = jax.vmap(fx.compile(graph, ["readout_decision.cross_entropy"]), (None, 0, 0))

    def loss(params):
        values = compiled(params, small.batch(6), jax.random.split(KEY, 6))
        return values["readout_decision"]["cross_entropy"].mean()

    grads = jax.jit(jax.grad(loss))(fx.init(graph, KEY))
    largest = jax.tree.map(lambda leaf: float(jnp.abs(leaf).max()), grads)
    assert largest["readout"]["params"]["readout"]["kernel"] > 0
    classifier = largest["classifier"]["params"]
    assert classifier["encoder"]["what"]["kernel"] > 0
    rest = [part for name, part in classifier["encoder"].items() if name != "what"]
    rest += [part for name, part in classifier.items() if name != "encoder"]
    assert max(jax.tree.leaves([rest, largest["saccader"]])) == 0


def test_both_agents_of_a_zooming_eye_are_paid():
    graph = fx.standard_pipeline(small.data(), dataclasses.replace(CONFIG, zoom=2.0))
    assert {graph.modules[name].agent.reward for name in graph.agents} == {"glimpse_payment.reward"}


def test_surprise_is_paid_beside_it():
    _, values, _ = rollout(predictive_pipeline(small.data(), CONFIG, surprise_reward=0.5))
    wanted = values["glimpse_payment"]["reward"] + 0.5 * values["surprise"]["error"]
    np.testing.assert_allclose(values["payment"]["reward"], wanted, rtol=1e-5)


def test_a_network_of_the_whole_image_has_no_read_out():
    config = dataclasses.replace(CONFIG, kernels=4, kernel_size=3, kernel_stride=1, blocks=(1,), contrast=False)
    assert "readout" not in whole_image_pipeline(small.data(), config).modules


def test_what_cannot_be_is_refused_in_one_sentence():
    with pytest.raises(fx.InputError, match="glimpse_reward must be 0 with a map, which is never of one glimpse alone"):
        dataclasses.replace(CONFIG, map_size=8, contrast=False)
    with pytest.raises(fx.InputError, match="glimpse_reward must be 0 without classes"):
        predictive_pipeline(small.data(), CONFIG, classify=False)
    with pytest.raises(fx.InputError, match="saccade must be absolute on a grid of places; got 'relative'"):
        fx.PipelineConfig(saccade="relative", grid=5)


def test_relative_saccades_of_a_pipeline_lead_from_the_present_fixation():
    """From where the eye is, the fixation's logit moves by the action; without its position it is refused."""
    graph = fx.standard_pipeline(small.data(), dataclasses.replace(CONFIG, saccade="relative"))
    _, values, _ = rollout(graph)
    before, after = values["memory"]["fixation"], values["saccader"]["fixation"]
    moved = special.logit(after) - special.logit(np.clip(before, 0.03, 0.97))
    np.testing.assert_allclose(moved, values["saccader"]["action"], atol=1e-4)
    with pytest.raises(fx.InputError, match="a relative policy needs a link from the gaze"):
        fx.init(graph.unlink("saccader.position"), KEY)
