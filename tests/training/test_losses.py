"""Declared losses, metrics and accuracy against a computation by hand, and the numbers of a training as arguments."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small

import foveax as fx

STEPS, LENGTH = 10, 4
PLAIN = fx.LearningConfig(decay="constant", gradient_clip=1e9)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 3)).astype(np.float32)
WEIGHTS = np.array([0.4, -0.2, 0.7], np.float32)


def ramp(loss, metrics=()):
    """A linear model whose error at glimpse t is (t + 1) (w x - 1)^2, minimised as `loss` says."""

    def apply(params, state, inputs, key):
        error = jnp.square(jnp.dot(params, inputs["x"]) - 1)
        return {"error": (inputs["index"] + 1).astype(jnp.float32) * error, "positive": inputs["x"][0] > 0}, state

    model = fx.Module(
        {"x": fx.Port(), "index": fx.Port()}, apply, init=lambda key, inputs: jnp.asarray(WEIGHTS),
        losses={"error": loss}, metrics=metrics,
    )  # fmt: skip
    return fx.Graph(
        {"x": jax.ShapeDtypeStruct((3,), jnp.float32)},
        {"model": model},
        ["input.x -> model.x", "loop.index -> model.index"],
        LENGTH,
        hyperparameters={"gain": 0.3},
    )


ERROR = (X @ WEIGHTS - 1) ** 2
GRADIENT = np.mean(2 * (X @ WEIGHTS - 1)[:, None] * X, axis=0)
EACH, LAST = np.mean(np.arange(LENGTH) + 1), LENGTH
"""What stands before the error: its mean over the glimpses, and that of the last."""


def halving(progress):
    return 1 - progress / 2


LOSSES = {
    "plain": (fx.Loss(), EACH, 1.0),
    "last": (fx.Loss(glimpses="last"), LAST, 1.0),
    "weight": (fx.Loss(weight=0.25), EACH, 0.25),
    "integer weight": (fx.Loss(weight=3), EACH, 3.0),
    "weight by name": (fx.Loss(weight="gain"), EACH, 0.3),
    "schedule": (fx.Loss(schedule=halving), EACH, 0.8),  # after 4 of 10 steps
    "all": (fx.Loss(weight="gain", schedule=halving, glimpses="last"), LAST, 0.3 * 0.8),
    "nothing": (fx.Loss(weight=0.0), EACH, 0.0),
}


def stepped(graph, learning=PLAIN, step=4, **options):
    learner = fx.make_learner(graph, learning, steps=STEPS)
    state = learner.init(jax.random.key(0))._replace(step=jnp.int32(step))
    return jax.jit(learner.step)(state, {"x": jnp.asarray(X)}, **options)


def first_moment(state, name):
    """The gradient of the first step: Adam's first moment is a tenth of it."""
    moment = optax.tree.get(state.optimizer[name], "mu")
    return jax.tree.map(lambda leaf: 10 * leaf, moment)


@pytest.mark.parametrize("case", LOSSES)
def test_gradient_is_weight_times_schedule_times_that_of_the_mean(case):
    loss, glimpses, factor = LOSSES[case]
    state, metrics = stepped(ramp(loss))
    np.testing.assert_allclose(first_moment(state, "model"), factor * glimpses * GRADIENT, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics["loss/model.error"], glimpses * ERROR.mean(), rtol=1e-5)  # without its weight


def test_a_weight_by_name_is_an_argument_of_the_step():
    graph = ramp(fx.Loss(weight="gain"))
    hyper = PLAIN.hyperparameters({"gain": 2.0})
    state, _ = stepped(graph, hyperparameters=hyper)
    np.testing.assert_allclose(first_moment(state, "model"), 2 * EACH * GRADIENT, rtol=1e-4)


def test_several_losses_add_up():
    graph = ramp(fx.Loss(weight=0.5))
    model = graph.modules["model"]
    both = model._replace(losses={"error": fx.Loss(weight=0.5), "twice": fx.Loss(glimpses="last")},
                          apply=lambda *arguments: doubled(model.apply(*arguments)))  # fmt: skip
    state, metrics = stepped(graph.add(model=both))
    np.testing.assert_allclose(first_moment(state, "model"), (0.5 * EACH + 2 * LAST) * GRADIENT, rtol=1e-4)
    np.testing.assert_allclose(metrics["loss/model.twice"], 2 * LAST * ERROR.mean(), rtol=1e-5)


def doubled(result):
    outputs, state = result
    return {**outputs, "twice": 2 * outputs["error"]}, state


def test_declared_metrics_are_means_after_the_last_glimpse():
    _, metrics = stepped(ramp(fx.Loss(), metrics=("error", "positive")))
    assert metrics.keys() == {"loss/model.error", "model.error", "model.positive"}
    np.testing.assert_allclose(metrics["model.error"], LAST * ERROR.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["model.positive"], (X[:, 0] > 0).mean(), rtol=1e-6)


SMALL = fx.PipelineConfig(crop_size=3, glimpses=3, hidden=8, features=6, saccader_hidden=4)


def test_accuracy_is_that_of_the_declared_belief_after_the_last_glimpse():
    """Logits stand for the probabilities, shifted by one class: only their argmax counts."""
    graph = fx.standard_pipeline(small.data(), SMALL)
    shifted = graph.add(
        "classifier.logits -> belief.logits",
        belief=fx.from_function(lambda logits: jnp.roll(logits, 1), outputs="all"),
        roles=graph.roles._replace(belief="belief.all"),
    )
    batch = small.batch(40)
    for each, shift in ((graph, 0), (shifted, 1)):
        learner = fx.make_learner(each, fx.LearningConfig(), steps=STEPS)
        state = learner.init(jax.random.key(0))
        keys = jax.random.split(jax.random.fold_in(state.key, 0), 40)
        rollout = jax.jit(jax.vmap(fx.compile(each, ["classifier.logits"]), (None, 0, 0, None)))
        logits = np.asarray(rollout(state.params, batch, keys, 0.0)["classifier"]["logits"])
        expected = np.mean((logits[:, -1].argmax(-1) + shift) % small.CLASSES == np.asarray(batch["label"]))
        _, metrics = jax.jit(learner.step)(state, batch)
        np.testing.assert_allclose(metrics["accuracy"], expected, rtol=1e-6)


@pytest.mark.parametrize("role", ["belief", "label"])
def test_without_a_belief_or_a_label_there_is_no_accuracy(role):
    graph = fx.standard_pipeline(small.data(), SMALL)
    without = graph.add(roles=graph.roles._replace(**{role: ""}))
    learner = fx.make_learner(without, fx.LearningConfig(), steps=STEPS)
    metrics = jax.eval_shape(learner.step, jax.eval_shape(learner.init, jax.random.key(0)), small.batch())[1]
    assert "accuracy" not in metrics
    assert "loss/decision.cross_entropy" in metrics


OTHER = {
    "learning_rate": 0.003,
    "policy_learning_rate": 0.004,
    "ppo": 0.7,
    "reinforce": 0.4,
    "value": 0.8,
    "entropy": 0.03,
    "discount": 0.9,
    "gae_lambda": 0.5,
    "epsilon": 0.1,
    "gradient_clip": 0.5,
}


@pytest.mark.parametrize("epochs", [pytest.param(1, marks=pytest.mark.nightly), 2])
def test_numbers_given_to_the_step_are_those_of_a_learner_made_with_them(epochs):
    """Every field is given another value; so are the graph's own."""
    fields = {"epochs": epochs, "decay": "cosine"}
    graph = fx.standard_pipeline(small.data(), dataclasses.replace(SMALL, pathwise=0.5))
    own = {"scale_start": 1.2, "scale_end": 0.4, "pathwise": 0.25}
    assert graph.hyperparameters.keys() == own.keys()
    made = fx.make_learner(graph.add(hyperparameters=own), fx.LearningConfig(**fields, **OTHER), steps=STEPS)
    plain = fx.make_learner(graph, fx.LearningConfig(**fields), steps=STEPS)
    hyper = fx.LearningConfig(**fields, **OTHER).hyperparameters(own)
    assert hyper == made.hyperparameters
    assert hyper._fields == (*OTHER, "graph")
    hyper = jax.tree.map(jnp.float32, hyper)
    state = made.init(jax.random.key(0))
    chex.assert_trees_all_equal(state.params, plain.init(jax.random.key(0)).params)
    given, baked = jax.jit(plain.step), jax.jit(made.step)
    ours, theirs = state, state
    for seed in range(3):
        ours, our_metrics = given(ours, small.batch(16, seed), hyper)
        theirs, their_metrics = baked(theirs, small.batch(16, seed))
    chex.assert_trees_all_close(our_metrics, their_metrics, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(ours.params, theirs.params, atol=1e-6)


def test_each_number_of_a_training_matters():
    """Each changes what a step makes, so that none is left out on its way; checked without compiling again."""
    graph = fx.standard_pipeline(small.data(), dataclasses.replace(SMALL, pathwise=0.5))
    learning = fx.LearningConfig(epochs=2, ppo=0.5, reinforce=0.5, policy_learning_rate=0.05, gradient_clip=0.01)
    learner = fx.make_learner(graph, learning, steps=STEPS)
    step = jax.jit(learner.step)
    hyper = jax.tree.map(jnp.float32, learner.hyperparameters)

    def after(hyper):
        state = learner.init(jax.random.key(0))
        for seed in range(2):
            state, _ = step(state, small.batch(16, seed), hyper)
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.params)])

    usual = after(hyper)
    for name in hyper._fields[:-1]:
        assert (after(hyper._replace(**{name: 0.7 * getattr(hyper, name)})) != usual).any(), name
    for name in graph.hyperparameters:
        changed = hyper._replace(graph={**hyper.graph, name: 0.7 * hyper.graph[name]})
        assert (after(changed) != usual).any(), name
    assert step._cache_size() == 1
