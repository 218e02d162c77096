"""Eyes that follow a rule: each against its rule, written another way, and trained with a classifier of its own."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.ndimage import uniform_filter

import foveax as fx

CONFIG = fx.PipelineConfig(glimpses=4, crop_size=9, hidden=16, features=16)


def looks(graph, params, inputs):
    """Fixations ``[B, T, 2]``."""
    rollout = jax.jit(jax.vmap(fx.compile(graph, ["memory.fixation"]), in_axes=(None, 0, 0)))
    keys = jax.random.split(jax.random.key(0), len(inputs["label"]))
    return np.asarray(rollout(params, {name: inputs[name] for name in graph.inputs}, keys)["memory"]["fixation"])


def test_the_salient_eye_goes_where_local_contrast_is_left_over():
    data = fx.load("mnist5k")
    graph = fx.standard_pipeline(data, dataclasses.replace(CONFIG, policy="salient"))
    inputs = {name: array[:8] for name, array in data.test.items()}
    fixations = looks(graph, fx.init(graph, jax.random.key(0)), inputs)
    y, x = np.mgrid[:28, :28]
    for image, path in zip(inputs["image"][..., 0].astype(float), fixations, strict=True):
        variance = uniform_filter(image**2, 9, mode="constant") - uniform_filter(image, 9, mode="constant") ** 2
        left = np.sqrt(np.maximum(variance, 0))
        for place, then in zip(path[:-1] * 27, path[1:] * 27, strict=True):
            left = left * (1 - np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * 4.5**2)))
            column, row = np.rint(then).astype(int)
            assert left[row, column] == pytest.approx(left.max(), rel=1e-4)


def test_the_told_eye_looks_about_the_object():
    config = fx.TrainingConfig(task="translated", shift=0, pipeline=dataclasses.replace(CONFIG, policy="told"))
    data = config.prepare(fx.load("mnist5k"))
    graph = fx.standard_pipeline(data, config.pipeline)
    params = fx.init(graph, jax.random.key(0))
    inputs = {name: array[:8] for name, array in data.test.items()}
    away = looks(graph, params, inputs)[:, 1:] - inputs["object"][:, None]
    np.testing.assert_allclose(away, np.broadcast_to(params["saccader"]["offsets"], away.shape), atol=1e-6)
    assert 0 < np.abs(away).max() < 9 / 60  # within half a crop, of a canvas of 60


@pytest.mark.parametrize("policy", ["itinerary", "told"])
def test_their_places_learn_by_the_gradient_through_the_retina(policy):
    config = fx.TrainingConfig(
        images=640, task="translated", canvas=40, shift=0, pipeline=dataclasses.replace(CONFIG, policy=policy)
    )
    data = config.prepare(fx.load("mnist5k"))
    graph = fx.standard_pipeline(data, config.pipeline)
    learner = fx.make_learner(graph, config.learning, steps=20)
    before = learner.init(jax.random.key(0))
    *_, (after, _) = fx.fit(learner, data, before, batch=32)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), before.params["saccader"], after.params["saccader"])
    assert min(jax.tree.leaves(moved)) > 1e-4
    fixations = looks(graph, after.params, {name: array[:8] for name, array in data.test.items()})
    assert (fixations[:, 1:].std(0).max() > 0.01) == (policy == "told")


def test_the_plain_scan_takes_the_quarters_and_then_the_halves():
    """Over and over, and the centre first."""
    data = fx.load("mnist5k")
    graph = fx.standard_pipeline(data, dataclasses.replace(CONFIG, policy="corners", glimpses=11))
    inputs = {name: array[0] for name, array in data.test.items()}
    path = np.asarray(
        fx.compile(graph)(fx.init(graph, jax.random.key(0)), inputs, jax.random.key(1))["memory"]["fixation"]
    )
    assert path[0].tolist() == [0.5, 0.5]
    assert sorted(map(tuple, path[1:5].tolist())) == [(0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)]
    assert sorted(map(tuple, path[5:9].tolist())) == [(0.25, 0.5), (0.5, 0.25), (0.5, 0.75), (0.75, 0.5)]
    np.testing.assert_array_equal(path[9:], path[1:3])
