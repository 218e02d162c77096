"""Lesions and patches: against networks whose weights do the same, and passes whose activity is put in."""

import jax
import numpy as np
import pytest
import small

import foveax as fx
from foveax.modules.interventions import lesion, patch

KEY = jax.random.key(0)
CONFIG = fx.PipelineConfig(glimpses=4, crop_size=3, hidden=6, features=5, saccader_hidden=4, core="rnn")
PORTS = ["classifier.core", "classifier.hidden", "classifier.encoder.what", "classifier.logits", "memory.fixation"]


@pytest.fixture(scope="module")
def graph():
    return fx.greedy(fx.standard_pipeline(small.data(), CONFIG))


@pytest.fixture(scope="module")
def params(graph):
    return fx.init(graph, KEY)


@pytest.fixture(scope="module")
def batch():
    return {name: np.asarray(array) for name, array in small.batch(5).items()}


def trajectory(graph, params, batch, ports=PORTS):
    values = jax.jit(jax.vmap(fx.compile(graph, ports), (None, 0, 0)))(params, batch, jax.random.split(KEY, 5))
    return {port: np.asarray(values[port.partition(".")[0]][port.partition(".")[2]]) for port in ports}


def test_lesion_of_recurrent_units_is_a_network_without_their_weights(graph, params, batch):
    """All that a unit does goes through the weights that it drives: without these it might as well be 0."""
    lesioned = trajectory(lesion(graph, "classifier.core", [1, 4]), params, batch)
    cut = jax.tree.map(lambda leaf: np.array(leaf), params)
    inner = cut["classifier"]["params"]
    eye = cut["saccader"]["params"]["layer"]  # whose first rows read the hidden state
    for kernel in (inner["core"]["h"]["kernel"], inner["readout"]["kernel"], eye["kernel"]):
        kernel[[1, 4]] = 0
    by_weights = trajectory(graph, cut, batch)
    for port in ("classifier.logits", "memory.fixation"):
        np.testing.assert_allclose(lesioned[port], by_weights[port], atol=1e-6)
    assert (lesioned["classifier.core"][..., [1, 4]] == 0).all()
    assert np.abs(lesioned["classifier.logits"] - trajectory(graph, params, batch)["classifier.logits"]).max() > 1e-3


def test_lesion_of_a_feed_forward_layer(graph, params, batch):
    lesioned = trajectory(lesion(graph, "classifier.encoder.what", [0], value=0.5), params, batch)
    assert (lesioned["classifier.encoder.what"][..., 0] == 0.5).all()
    intact = trajectory(graph, params, batch)
    assert np.abs(lesioned["classifier.core"] - intact["classifier.core"]).max() > 1e-4


def test_lesion_of_a_port_that_is_no_layer_is_what_leaves_the_module(graph, params, batch):
    intact = trajectory(graph, params, batch)
    lesioned = trajectory(lesion(graph, "classifier.hidden", range(6)), params, batch)
    assert (lesioned["classifier.hidden"] == 0).all()
    np.testing.assert_array_equal(lesioned["classifier.logits"][:, 0], intact["classifier.logits"][:, 0])
    assert np.abs(lesioned["memory.fixation"] - intact["memory.fixation"]).max() > 1e-5


def test_lesion_of_no_units_changes_nothing(graph, params, batch):
    intact, none = (trajectory(each, params, batch) for each in (graph, lesion(graph, "classifier.core", [])))
    for port in PORTS:
        np.testing.assert_array_equal(none[port], intact[port])


def test_patch_with_what_was_there_changes_nothing_and_with_another_images_moves_the_decision(graph, params, batch):
    intact = trajectory(graph, params, batch)
    patched = patch(graph, "classifier.core", glimpses=[1])
    same = trajectory(patched, params, {**batch, "patch": intact["classifier.core"]})
    np.testing.assert_allclose(same["classifier.logits"], intact["classifier.logits"], atol=1e-6)
    donors = np.roll(np.arange(5), 1)
    other = trajectory(patched, params, {**batch, "patch": intact["classifier.core"][donors]})
    np.testing.assert_allclose(other["classifier.logits"][:, 1], intact["classifier.logits"][donors, 1], atol=1e-6)
    np.testing.assert_array_equal(other["classifier.logits"][:, 0], intact["classifier.logits"][:, 0])
    assert np.abs(other["classifier.logits"][:, 2] - intact["classifier.logits"][:, 2]).max() > 1e-4


def test_evaluation_and_sampling_are_lesioned_alike(params, batch):
    """A policy's mode is another function of the agent than its samples: both are changed."""
    sampling = fx.standard_pipeline(small.data(), CONFIG)
    lesioned = lesion(sampling, "saccader.fixation", [0, 1], value=0.25)
    evaluation = fx.evaluate(lesioned, params, batch, key=KEY)
    assert (evaluation.fixations[:, 1:] == 0.25).all()
    assert (trajectory(lesioned, params, batch)["memory.fixation"][:, 1:] == 0.25).all()


def test_areas_are_lesioned_at_each_internal_step(batch):
    from foveax.networks.recurrent_convolutional import ccn23

    network = ccn23("BL", classes=5, channels=(2, 2, 2, 2, 2), internal_steps=3)
    config = fx.PipelineConfig(glimpses=2, crop_size=8, contrast=False)
    graph = fx.standard_pipeline(small.data(), config).unlink("classifier.fixation")
    graph = fx.greedy(graph.swap("classifier", fx.from_linen_cell(network)))
    values = trajectory(
        lesion(graph, "classifier.v2", np.ones((4, 4, 2), bool)),
        fx.init(graph, KEY),
        batch,
        ["classifier.v2_by_step", "classifier.it_by_step"],
    )
    assert values["classifier.v2_by_step"].shape == (5, 2, 3, 4, 4, 2)
    assert (values["classifier.v2_by_step"] == 0).all()


def test_what_is_refused(graph):
    with pytest.raises(fx.GraphError, match=r"no port 'classifier\.nothing' of real numbers to change; ports are "):
        lesion(graph, "classifier.nothing", [0])
    with pytest.raises(fx.GraphError, match="from 0 to 5; got "):
        lesion(graph, "classifier.core", [6])
    with pytest.raises(fx.GraphError, match="from 0 to 3; got "):
        patch(graph, "classifier.core", glimpses=[4])
    with pytest.raises(fx.GraphError, match="a name of its own; 'image'"):
        patch(graph, "classifier.core", name="image")
