"""Evaluation: what is read off a graph by its roles, against the compiled rollout and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import foveax as fx
from foveax.evaluation.evaluate import scores

CONFIG = fx.PipelineConfig(crop_size=3, glimpses=4, hidden=8, features=6, saccader_hidden=4)
SPLIT = {name: np.asarray(value) for name, value in small.batch(13).items()}
KEY = jax.random.key(2)


@pytest.fixture(scope="module")
def graph():
    return fx.standard_pipeline(small.data(), CONFIG)


@pytest.fixture(scope="module")
def params(graph):
    return fx.init(graph, jax.random.key(0))


@pytest.fixture(scope="module")
def evaluation(graph, params):
    return fx.evaluate(graph, params, SPLIT, key=KEY)


def rolled(graph, params, record):
    """The modes of the policies, whose keys do not matter."""
    rollout = jax.jit(jax.vmap(fx.compile(fx.greedy(graph), record), (None, 0, 0)))
    return jax.tree.map(np.asarray, rollout(params, SPLIT, jax.random.split(jax.random.key(9), 13)))


def test_it_is_the_rollout_of_the_modes(graph, params, evaluation):
    record = ["classifier.logits", "memory.fixation", "saccader.mode"]
    trajectory = rolled(graph, params, record)
    logits = trajectory["classifier"]["logits"].astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(evaluation.probabilities, expected, atol=1e-5)
    np.testing.assert_allclose(evaluation.fixations, trajectory["memory"]["fixation"], atol=1e-6)
    np.testing.assert_allclose(evaluation.fixations[:, 1:], trajectory["saccader"]["mode"][:, :-1], atol=1e-6)
    np.testing.assert_allclose(evaluation.tracks["saccader"], evaluation.fixations)
    np.testing.assert_array_equal(evaluation.label, SPLIT["label"])
    np.testing.assert_array_equal(evaluation.predicted, logits.argmax(-1))
    np.testing.assert_allclose(evaluation.accuracy, (logits.argmax(-1) == SPLIT["label"][:, None]).mean(0))
    of_label = np.take_along_axis(expected, SPLIT["label"][:, None, None], axis=-1)[..., 0]
    np.testing.assert_allclose(evaluation.losses, -np.log(of_label), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 5, 13])
def test_parts_of_any_size_give_the_same(graph, params, evaluation, batch):
    parts = fx.evaluate(graph, params, SPLIT, key=KEY, batch=batch)
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-5), parts, evaluation)


def test_a_module_that_draws_does_so_alike_in_parts_of_any_size(graph, params):
    random = graph.swap("saccader", fx.uniform_random())
    whole, parts = (fx.evaluate(random, params, SPLIT, key=KEY, batch=batch).fixations for batch in (500, 4))
    np.testing.assert_array_equal(whole, parts)
    assert len(np.unique(whole[:, 1:].reshape(-1, 2), axis=0)) == 13 * 3


def test_without_a_belief_what_counts_is_the_weighted_loss(graph, params, evaluation):
    weighted = graph.add(
        decision=fx.decision(weight="gain")._replace(metrics=("correct",)),
        hyperparameters={"gain": 0.25},
        roles=graph.roles._replace(belief=""),
    )
    without = fx.evaluate(weighted, params, SPLIT, key=KEY)
    np.testing.assert_allclose(without.losses, 0.25 * evaluation.losses, rtol=1e-5)
    np.testing.assert_allclose(without.accuracy, -0.25 * evaluation.losses.mean(0), rtol=1e-5)
    correct = evaluation.predicted == SPLIT["label"][:, None]
    np.testing.assert_array_equal(without.metrics["decision.correct"], correct)
    with pytest.raises(fx.InputError, match="the graph must declare a belief to have predictions"):
        _ = without.predicted


def test_places_of_an_agent_that_writes_no_memory_come_a_glimpse_later(graph, params):
    """What it chose at a glimpse is where it looks at the next."""
    other = fx.saccader(fx.networks.SaccadeNetwork(hidden=4))
    bright = fx.from_function(lambda place: place.sum())
    two = graph.add(
        "classifier.hidden -> other.observation", "other.fixation -> bright.place", other=other, bright=bright
    )
    both = {**params, **{name: part for name, part in fx.init(two, jax.random.key(0)).items() if name == "other"}}
    tracks = fx.evaluate(two, both, SPLIT, key=KEY).tracks
    chosen = rolled(two, both, ["other.fixation"])["other"]["fixation"]
    np.testing.assert_allclose(tracks["other"][:, 1:], chosen[:, :-1], atol=1e-6)
    assert tracks.keys() == {"saccader", "other"}


def test_without_roles_there_is_only_the_loss(graph, params):
    bare = fx.evaluate(graph.add(roles=fx.Roles()), params, SPLIT, key=KEY)
    assert (bare.probabilities, bare.label, bare.fixations) == (None, None, None)
    row = scores(bare, height=8, width=8)
    assert (row["amplitude"], row["refixation"]) == (None, None)


def test_sampled_scanpaths_differ_from_pass_to_pass_and_begin_alike(graph, params):
    scanpaths = fx.sample_scanpaths(graph, params, SPLIT, key=KEY, passes=3)
    assert scanpaths.shape == (3, 13, 4, 2)
    np.testing.assert_array_equal(scanpaths[:, :, 0], np.full((3, 13, 2), 0.5))
    assert (scanpaths[0, :, 1:] != scanpaths[1, :, 1:]).all()


def test_greedy_leaves_modules_that_are_no_agents_as_they_are(graph):
    greedy = fx.greedy(graph.add(noise=fx.uniform_random()))
    assert greedy.modules["noise"].apply is not greedy.modules["saccader"].apply
    outputs = fx.compile(greedy, ["noise.fixation"])(fx.init(greedy, KEY), small.example(), KEY)["noise"]["fixation"]
    assert len(jnp.unique(outputs, axis=0)) == 4


def test_images_that_are_shown_again_are_sent_once(graph, params, monkeypatch):
    """Along two sequences of places; of other images, or larger ones, nothing stays."""
    from foveax.evaluation import evaluate as module
    from foveax.modules.scripted import following

    sent = []
    monkeypatch.setattr(module, "take", lambda array, rows: sent.append(array) or array[rows])
    follow = module.make_evaluator(following(graph, graph.wiring.writes["fixation"]), batch=5, tracks={})
    places = [np.full((13, 3, 2), value, np.float32) for value in (0.2, 0.8, 0.2)]
    shown = []
    with module.watched(shown.append):
        runs = [follow(params, {**SPLIT, "fixations": fixations}, KEY) for fixations in places]
    assert sum(array is SPLIT["image"] for array in sent) == 3  # blocks, of 5, 5 and 3
    assert shown == [5, 5, 3] * 3
    np.testing.assert_allclose(runs[1].fixations[:, 1:], places[1])
    np.testing.assert_array_equal(runs[0].probabilities, runs[2].probabilities)
    assert (runs[0].probabilities != runs[1].probabilities).any()
    other = follow(params, {**SPLIT, "image": 255 - SPLIT["image"], "fixations": places[0]}, KEY)
    assert (other.probabilities != runs[0].probabilities).any()
    monkeypatch.setattr(module, "SAMPLED_BYTES", 5 * SPLIT["image"][:1].nbytes * 2)
    large = follow(params, {**SPLIT, "fixations": places[0]}, KEY)
    np.testing.assert_allclose(large.probabilities, runs[0].probabilities, atol=1e-6)
