"""The gradient through the gaze is there where it should be, and exactly absent where the gaze is held."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import foveax as fx
from foveax.evaluation.gaze_attacks import (
    away_objective,
    class_objective,
    free_gaze,
    held_gaze,
    towards_objective,
)
from foveax.robustness import apgd, expectation, linf, noise

SHAPE, KEY = (12, 12, 1), jax.random.key(3)
DISTANCE = 0.015
"""From the clean fixations, as a fraction of the image; an eye that has learned nothing moves little."""
CONFIG = fx.PipelineConfig(
    glimpses=3, crop_size=4, core="rnn", hidden=12, features=12, saccader_hidden=8, bands=1, contrast=False
)


def lively(graph):
    """Parameters with which the eye moves by what it sees, not only by its sequence."""
    params = jax.jit(lambda key: fx.init(graph, key))(jax.random.key(0))
    head = params["saccader"]["params"]["policy"]
    return {
        **params,
        "saccader": {"params": {**params["saccader"]["params"], "policy": {**head, "kernel": 60 * head["kernel"]}}},
    }


@pytest.fixture(scope="module")
def pipeline():
    graph = fx.standard_pipeline(small.data(SHAPE), CONFIG)
    image = jnp.asarray(np.random.default_rng(5).uniform(0.3, 0.7, SHAPE).astype(np.float32))
    return graph, lively(graph), {"label": jnp.int32(2)}, image


def slope(function, image, direction, step=2e-3):
    """The central difference along a direction."""
    return (function(image + step * direction) - function(image - step * direction)) / (2 * step)


def smooth_slope(function, image, rng):
    """A direction along which two steps agree, so that no kink of the crop or the relus lies between, and its slope."""
    for _ in range(40):
        direction = jnp.asarray(rng.normal(size=SHAPE).astype(np.float32))
        near, far = (slope(function, image, direction, step) for step in (1e-3, 2e-3))
        if abs(near - far) < 0.01 * abs(far):
            return direction, far
    raise AssertionError("no smooth direction")


def test_the_response_is_that_of_the_evaluation(pipeline):
    graph, params, inputs, image = pipeline
    split = {"image": np.asarray(image)[None], "label": np.array([2], np.int32)}
    whole = fx.standard_pipeline(small.data(SHAPE, dtype=np.float32), CONFIG)
    evaluation = fx.evaluate(whole, params, split, key=KEY)
    response = jax.jit(free_gaze(graph))(params, inputs, image, KEY)
    np.testing.assert_allclose(response.fixations, evaluation.fixations[0], atol=1e-6)
    np.testing.assert_allclose(jax.nn.softmax(response.logits), evaluation.probabilities[0], atol=1e-6)
    held = jax.jit(held_gaze(graph))(params, inputs, image, KEY, response.places)
    np.testing.assert_allclose(held.fixations, response.fixations, atol=1e-6)
    np.testing.assert_allclose(held.logits, response.logits, atol=1e-5)


def test_gradients_through_fixations_are_finite_differences(pipeline):
    graph, params, inputs, image = pipeline
    respond = free_gaze(graph)

    def last_fixation(image):
        return respond(params, inputs, image, KEY).fixations[-1, 0]

    def loss(image):
        return class_objective(lambda image, key: respond(params, inputs, image, key), 2)(image, KEY)[0]

    for function in (jax.jit(last_fixation), jax.jit(loss)):
        gradient = jax.jit(jax.grad(function))(image)
        direction, expected = smooth_slope(function, image, np.random.default_rng(1))
        assert abs(expected) > 1e-4
        np.testing.assert_allclose(jnp.vdot(gradient, direction), expected, rtol=0.03)


def test_no_gradient_flows_through_a_held_gaze(pipeline):
    """Nor does one where the graph's own agents are left as in training."""
    graph, params, inputs, image = pipeline
    free, held = free_gaze(graph), held_gaze(graph)
    places = jax.jit(free)(params, inputs, image, KEY).places

    def held_loss(image):
        return class_objective(lambda image, key: held(params, inputs, image, key, places), 2)(image, KEY)[0]

    def free_loss(image):
        return class_objective(lambda image, key: free(params, inputs, image, key), 2)(image, KEY)[0]

    def of_own_places(image):
        chosen = free(params, inputs, image, KEY).places
        return held(params, inputs, image, KEY, chosen).fixations.sum()

    gradients = jax.jit(jax.grad(of_own_places))(image)
    assert (np.asarray(gradients) == 0).all()
    gradient = jax.jit(jax.grad(held_loss))(image)
    direction, expected = smooth_slope(jax.jit(held_loss), image, np.random.default_rng(2))
    np.testing.assert_allclose(jnp.vdot(gradient, direction), expected, rtol=0.03)
    np.testing.assert_array_less(
        1e-3 * np.abs(gradient).max(), np.abs(jax.jit(jax.grad(free_loss))(image) - gradient).max()
    )

    trained = fx.compile(graph.replace(inputs={**graph.inputs, "image": jax.ShapeDtypeStruct(SHAPE, jnp.float32)}))

    def as_trained(image):
        trajectory = trained(params, {**inputs, "image": image}, KEY)
        return trajectory["memory"]["fixation"].sum()

    assert (np.asarray(jax.jit(jax.grad(as_trained))(image)) == 0).all()


def test_pixels_that_no_glimpse_shows_have_no_gradient_when_the_gaze_is_held(pipeline):
    graph, params, inputs, image = pipeline
    held = held_gaze(graph)
    corner = {"saccader": jnp.full((2, 2), 0.5)}

    def loss(image):
        return class_objective(lambda image, key: held(params, inputs, image, key, corner), 2)(image, KEY)[0]

    gradient = np.array(jax.jit(jax.grad(loss))(image))[..., 0]
    assert (gradient[3:9, 3:9] != 0).any()
    gradient[3:9, 3:9] = 0
    assert (gradient == 0).all()


def test_attacks_on_the_gaze_move_it(pipeline):
    """Pushed off where noise of equal norm does not push it, and led towards places that another image leads to."""
    graph, params, inputs, image = pipeline
    free = free_gaze(graph)

    def respond(image, key):
        return free(params, inputs, image, key)

    clean = jax.jit(respond)(image, KEY).fixations
    reached = jax.jit(respond)(1 - image, KEY).fixations  # places that some image leads to
    away = away_objective(respond, clean, DISTANCE)
    pushed = jax.jit(lambda key: apgd(away, image, key, ball=linf(0.3), steps=30))(KEY)
    assert pushed.success
    assert not jax.jit(jax.vmap(lambda key: noise(away, image, key, ball=linf(0.3))))(
        jax.random.split(KEY, 50)
    ).success.any()
    moved = np.asarray(jax.jit(respond)(pushed.image, KEY).fixations - clean)[1:]
    assert np.sqrt((moved**2).sum(-1).mean()) > DISTANCE
    towards = towards_objective(respond, reached, 1e-3)
    led = jax.jit(lambda key: apgd(towards, image, key, ball=linf(0.3), steps=30))(KEY)
    to = np.square(np.asarray(reached - clean)[1:]).sum(-1).mean()
    assert -led.loss < to / 2


def test_expectation_over_the_eyes_noise(pipeline):
    """The mean over the policy's samples: two draws differ, the mean of many has a gradient through the gaze."""
    graph, params, inputs, image = pipeline
    sampled = free_gaze(graph, sampled=True)

    def fixations(image, key):
        return sampled(params, inputs, image, key).fixations[1:].sum(), jnp.bool_(False)

    one, other = (jax.jit(fixations)(image, jax.random.key(seed))[0] for seed in (0, 1))
    assert one != other
    many = jax.jit(jax.grad(expectation(fixations, 64), has_aux=True))(image, KEY)[0]
    assert (np.asarray(many) != 0).any()


def test_refusals():
    graph = fx.standard_pipeline(small.data(SHAPE), CONFIG)
    with pytest.raises(fx.InputError, match="a graph must declare a belief"):
        free_gaze(graph.replace(roles=fx.Roles("fixation")))
