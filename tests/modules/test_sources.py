"""Sources of fixations: the network is the same, and the eye goes where the source says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from scipy import stats

import foveax as fx
from foveax.modules.interventions import patch
from foveax.modules.scripted import centre_biased
from foveax.modules.sources import copy_efference, steer

KEY = jax.random.key(0)
CONFIG = fx.PipelineConfig(glimpses=4, crop_size=3, hidden=4, features=4, saccader_hidden=4, pathwise=1.0)


@pytest.fixture(scope="module")
def graph():
    return fx.standard_pipeline(small.data(), CONFIG)


@pytest.fixture(scope="module")
def params(graph):
    return fx.init(graph, KEY)


def shown(graph, params, **more):
    return fx.evaluate(graph, params, {**small.batch(6), **more}, key=KEY)


def test_network_under_given_fixations_is_that_of_the_learned_eye_on_the_same_fixations(graph, params):
    own = shown(graph, params)
    given = shown(steer(graph, "given"), params, fixations=own.fixations[:, 1:])
    np.testing.assert_array_equal(given.fixations, own.fixations)
    np.testing.assert_allclose(given.probabilities, own.probabilities, atol=1e-6)


@pytest.mark.parametrize("source", ["centre", "random", "centre_biased", "corners", "salient"])
def test_each_source_moves_the_eye_and_trains_no_agent(graph, params, source):
    steered = steer(graph, source)
    assert steered.agents == []
    assert "saccader" not in steered.modules
    assert steered.hyperparameters == {}
    places = shown(steered, params).fixations
    assert (places[:, 0] == 0.5).all()
    later = places[:, 1:]
    assert {
        "centre": (later == 0.5).all(),
        "random": later.std() > 0.2,
        "centre_biased": 0.1 < later.std() < 0.25,
        "corners": (later[:, 0] == 0.25).all(),
        "salient": np.allclose(later * 7, np.round(later * 7), atol=1e-4),
    }[source]


def test_learned_is_the_graph_itself(graph):
    assert steer(graph, "learned") is graph


def test_agents_that_still_act_stay():
    """Of two agents, the one that does not move the gaze goes on learning."""
    graph = fx.standard_pipeline(
        small.data(), fx.PipelineConfig(glimpses=3, crop_size=3, zoom=2.0, hidden=4, features=4)
    )
    assert steer(graph, "random").agents == ["zoom"]


def test_centre_biased_places_are_of_the_truncated_gaussian():
    eye = jax.jit(jax.vmap(lambda key: centre_biased(0.3).apply({}, (), {}, key)[0]["fixation"]))
    x = np.asarray(eye(jax.random.split(KEY, 4000)))[:, 0]
    assert stats.kstest(x, stats.truncnorm(-0.5 / 0.3, 0.5 / 0.3, 0.5, 0.3).cdf).pvalue > 0.01
    assert ((x >= 0) & (x <= 1)).all()


def told(graph, params):
    """What enters the classifier as a place, next to where the eye is."""
    ports = ["memory.fixation", *(["efference.place"] if "efference" in graph.modules else [])]
    rollout = jax.jit(jax.vmap(fx.compile(graph, ports), (None, 0, 0)))
    values = rollout(params, small.batch(6), jax.random.split(KEY, 6))
    return np.asarray(values["memory"]["fixation"]), np.asarray(values.get("efference", {}).get("place"))


def test_relative_copy_is_the_saccade_that_led_there(graph, params):
    places, place = told(copy_efference(graph, "relative"), params)
    np.testing.assert_allclose(place[:, 0], 0.5)
    np.testing.assert_allclose(place[:, 1:], 0.5 + np.diff(places, axis=1) / 2, atol=1e-6)


def test_shuffled_copy_has_nothing_to_do_with_the_place(graph, params):
    places, place = told(copy_efference(graph, "shuffled"), params)
    assert np.unique(place).size == place.size
    assert not np.isclose(place, places).any()


def test_configuration_says_what_the_classifier_is_told():
    sources = {
        kind: fx.standard_pipeline(small.data(), fx.PipelineConfig(crop_size=3, efference=kind)).wiring.sources
        for kind in ("absolute", "relative", "none", "shuffled")
    }
    assert str(sources["absolute"]["classifier"]["fixation"]) == "memory.fixation"
    assert str(sources["relative"]["classifier"]["fixation"]) == "efference.place"
    assert "fixation" not in sources["none"]["classifier"]


def test_what_is_refused(graph):
    with pytest.raises(fx.InputError, match=r"must be one of learned, given, centre, random, .*; got 'people'"):
        steer(graph, "people")  # pyright: ignore
    with pytest.raises(fx.InputError, match="must declare a gaze"):
        steer(graph.add(roles=fx.Roles()), "random")
    with pytest.raises(fx.InputError, match="an efference copy must be one of"):
        copy_efference(graph, "late")  # pyright: ignore
    with pytest.raises(fx.GraphError, match=r"a port that reads memory\.fixation; retina\.image reads input\.image"):
        copy_efference(graph, "relative", "retina.image")
    with pytest.raises(fx.InputError, match="efference must be absolute with zoom or a map"):
        fx.PipelineConfig(zoom=2.0, efference="none")
    with pytest.raises(fx.InputError, match="scale must be more than 0"):
        centre_biased(0.0)


def test_steered_graph_can_be_patched(graph, params):
    """Edits of a graph go together: what one adds, the other leaves."""
    both = patch(steer(graph, "given"), "classifier.core")
    assert set(both.inputs) == {"image", "label", "fixations", "patch"}
    assert shown(both, params, fixations=jnp.full((6, 3, 2), 0.25), patch=jnp.zeros((6, 4, 4))).accuracy.shape == (4,)
