"""A memory that begins with an input of the graph: each example with its own."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny

import foveax as fx

CONFIG = fx.PipelineConfig(glimpses=3, hidden=16, features=16, saccader_hidden=16)


@pytest.fixture(scope="module")
def data():
    config = fx.TrainingConfig(shift=0, pipeline=dataclasses.replace(CONFIG, first="random"))
    return config.prepare(fx.load("mnist5k"))


def test_a_rollout_that_begins_at_an_input_is_that_of_a_constant(data):
    """Where the input holds the constant; and elsewhere it begins elsewhere."""
    constant = fx.standard_pipeline(data, CONFIG)
    given = fx.standard_pipeline(data, dataclasses.replace(CONFIG, first="given"))
    params, keys = fx.init(constant, jax.random.key(0)), jax.random.split(jax.random.key(1), 5)
    inputs = {name: array[:5] for name, array in data.test.items()}
    centred = {**inputs, "first": np.full((5, 2), 0.5, np.float32)}
    roll = [jax.vmap(fx.compile(graph), in_axes=(None, 0, 0)) for graph in (constant, given)]
    expected, came = roll[0](params, centred, keys), roll[1](params, centred, keys)
    jax.tree.map(np.testing.assert_array_equal, came, expected)
    own = roll[1](params, inputs, keys)["memory"]["fixation"]
    np.testing.assert_array_equal(own[:, 0], inputs["first"])


def test_the_split_graph_begins_there_too(data):
    graph = fx.standard_pipeline(data, dataclasses.replace(CONFIG, first="given"))
    params, inputs = fx.init(graph, jax.random.key(0)), {name: array[0] for name, array in data.test.items()}
    environment, _ = fx.split(graph)
    state, _ = environment.reset(jax.random.key(1), params, inputs)
    np.testing.assert_array_equal(state.memory["fixation"], inputs["first"])


def test_random_first_places_cover_the_image_and_are_drawn_anew(data):
    shown = data.sample(jax.random.key(0), 2000)["first"]
    again = data.sample(jax.random.key(1), 2000)["first"]
    histogram = np.histogram2d(*shown.T, bins=4, range=[[0, 1], [0, 1]])[0]
    assert np.abs(histogram - 125).max() < 5 * 125**0.5
    assert not np.array_equal(shown, again)
    assert data.test["first"].std(0) == pytest.approx([12**-0.5] * 2, abs=0.02)


def test_what_is_no_input_is_refused(data):
    graph = fx.standard_pipeline(data, CONFIG)
    with pytest.raises(
        fx.GraphError, match="memory 'fixation' must begin with numbers of one shape, or with one of input"
    ):
        graph.replace(memory={"fixation": "input.start"})
    with pytest.raises(fx.GraphError, match="fixation gives int32"):
        graph.replace(memory={"fixation": "input.label"})
    with pytest.raises(fx.InputError, match="first must not be random where the data have an array first"):
        fx.TrainingConfig(pipeline=fx.PipelineConfig(first="random")).prepare(
            data._replace(train={**data.train, "first": np.zeros((len(data.train["label"]), 2), np.float32)})
        )


def test_a_run_that_begins_anywhere_is_trained_judged_and_loaded(tmp_path):
    config = fx.TrainingConfig(images=64, shift=0, pipeline=dataclasses.replace(CONFIG, first="random"))
    data = tiny.data()
    fx.train(config, data, out=tmp_path / "run")
    run = fx.load_run(tmp_path / "run", data)
    evaluation = fx.evaluate(run.graph, run.params, run.data.test, key=jax.random.key(0))
    np.testing.assert_array_equal(evaluation.fixations[:, 0], run.data.test["first"])


def test_the_saccader_sees_the_glimpse(data):
    """Two glimpses that the classifier's state does not tell apart lead elsewhere only if the saccader sees them."""
    for sees, differs in (("hidden", False), ("both", True)):
        graph = fx.standard_pipeline(data, dataclasses.replace(CONFIG, saccader_sees=sees))
        eye = graph.modules["saccader"]
        inputs = {port: np.ones(spec.shape, spec.dtype) for port, spec in graph.wiring.inputs["saccader"].items()}
        params, carry = fx.init(graph, jax.random.key(0))["saccader"], eye.begin(graph.wiring.inputs["saccader"])
        places = []
        for value in (0.0, 1.0):
            shown = {**inputs, **({"glimpse": value * inputs["glimpse"]} if "glimpse" in inputs else {})}
            places.append(eye.agent.mode(params, carry, shown, None)[0]["mode"])
        assert bool(np.any(np.asarray(places[0]) != np.asarray(places[1]))) == differs
