"""The loop around the step: numbers that it is given, agents of any name, and a run that is cut into parts."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import foveax as fx
from foveax.training.fit import _blocks
from foveax.training.learner import progress_at

STEPS, BATCH = 6, 8


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    split = {"image": rng.integers(0, 255, (24, *small.SHAPE), dtype=np.uint8), "label": np.arange(24) % small.CLASSES}
    return fx.from_arrays(split, split)


def pipeline(data):
    """The standard pipeline, whose saccader is called ``eye``."""
    graph = fx.standard_pipeline(
        data, fx.PipelineConfig(crop_size=3, glimpses=3, hidden=8, features=6, saccader_hidden=4)
    )
    links = [link.replace("saccader.", "eye.") for link in graph.links if "saccader." in link]
    return graph.remove("saccader").add(*links, eye=graph.modules["saccader"])


@pytest.fixture(scope="module")
def learner(data):
    return fx.make_learner(pipeline(data), fx.LearningConfig(), steps=STEPS)


def fitted(learner, data, key=None, *, steps=None, state=None, **options):
    key = jax.random.key(0) if key is None else key
    state = (jax.vmap(learner.init) if key.ndim else learner.init)(key) if state is None else state
    for state, metrics in fx.fit(learner, data, state, steps=steps, batch=BATCH, dispatch=3, **options):  # noqa: B007
        pass
    return state, metrics


def test_metrics_of_an_agent_are_under_its_name(learner, data):
    _, metrics = fitted(learner, data)
    named = {name for name in metrics if "/" in name and not name.startswith("loss/")}
    terms = ("policy_loss", "value_loss", "entropy", "kl", "reward", "refixation", "border")
    assert named == {f"eye/{term}" for term in terms}


def test_fit_is_the_step_on_the_batches_in_their_order(learner, data):
    """Steps made one by one, on the rows that the order of the images says."""
    from foveax.data.order import batch_indices, epoch_orders
    from foveax.training.fit import _data_keys

    state, metrics = fitted(learner, data)
    by_hand, logged, step = learner.init(jax.random.key(0)), [], jax.jit(learner.step)
    orders = epoch_orders(_data_keys(by_hand.key)[0], 24)
    for row in batch_indices(orders, 0, steps=STEPS, batch=BATCH, size=24):
        by_hand, one = step(by_hand, {name: jnp.asarray(array[row]) for name, array in data.train.items()})
        logged.append(one)
    chex.assert_trees_all_close(state.params, by_hand.params, atol=1e-6)
    for name in logged[0]:
        np.testing.assert_allclose(metrics[name], np.mean([one[name] for one in logged[3:]]), rtol=1e-4, atol=1e-5)


def test_every_state_that_is_held_stays_usable(learner, data):
    """The first one, from which a cell is run twice, and each that was handed on, from which the rest is the same."""
    first = learner.init(jax.random.key(0))
    once, again = ([state for state, _ in fx.fit(learner, data, first, batch=BATCH, dispatch=2)] for _ in range(2))
    chex.assert_trees_all_equal(once, again)
    resumed, _ = fitted(learner, data, state=once[0])
    chex.assert_trees_all_equal(resumed.params, once[-1].params)


def test_fit_ends_where_the_learner_does(learner, data):
    first = learner.init(jax.random.key(0))
    assert int(fitted(learner, data, state=first)[0].step) == STEPS
    half, _ = fitted(learner, data, state=first, steps=STEPS // 2)
    chex.assert_trees_all_equal(fitted(learner, data, state=half), fitted(learner, data, state=first))
    with pytest.raises(fx.InputError, match="steps must be at most those that the learner was made for, 6; got 12"):
        fitted(learner, data, state=first, steps=2 * STEPS)


@pytest.mark.parametrize("steps", [0, 2.5])
def test_a_training_has_at_least_one_step(steps, data):
    for make in (fx.make_learner, functools.partial(fx.make_agent_learner, agent="eye")):
        with pytest.raises(fx.InputError, match=f"steps must be a whole number, at least 1; got {steps}"):
            make(pipeline(data), fx.LearningConfig(), steps=steps)


def test_numbers_given_to_fit_are_those_of_a_learner_made_with_them(learner, data):
    learning = fx.LearningConfig(learning_rate=0.01, entropy=0.5, discount=0.9, ppo=0.3)
    made = fx.make_learner(pipeline(data).add(hyperparameters={"scale_start": 1.0}), learning, steps=STEPS)
    given, metrics = fitted(learner, data, hyperparameters=made.hyperparameters)
    baked, others = fitted(made, data)
    chex.assert_trees_all_close(given.params, baked.params, atol=1e-6)
    chex.assert_trees_all_close(metrics, others, rtol=1e-4, atol=1e-5)
    usual, _ = fitted(learner, data)
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (usual.params, given.params)), strict=True))


@pytest.mark.nightly
def test_without_numbers_all_members_of_a_population_have_the_learners_own(learner, data):
    together, _ = fitted(learner, data, jax.random.split(jax.random.key(3), 2))
    alone, _ = fitted(learner, data, jax.random.split(jax.random.key(3), 2)[1])
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[1], together.params), alone.params, atol=1e-4)


def test_each_member_of_a_population_has_its_own_numbers(learner, data):
    keys, own = jnp.stack([jax.random.key(0)] * 2), learner.hyperparameters
    hyper = [own._replace(learning_rate=rate, graph={**own.graph, "scale_start": scale})
             for rate, scale in ((1e-3, 2.0), (1e-2, 0.7))]  # fmt: skip
    stacked = jax.tree.map(lambda *values: np.array(values, np.float32), *hyper)
    together, metrics = fitted(learner, data, keys, hyperparameters=stacked)
    for member, numbers in enumerate(hyper):
        alone, own = fitted(learner, data, hyperparameters=numbers)
        ours = jax.tree.map(lambda leaf: leaf[member], together.params)  # noqa: B023
        chex.assert_trees_all_close(ours, alone.params, atol=1e-4)
        np.testing.assert_allclose(metrics["eye/entropy"][member], own["eye/entropy"], rtol=1e-3)


def test_progress_reaches_a_module_as_the_share_of_steps_done(data):
    graph = pipeline(data).add("loop.progress -> clock.now", clock=CLOCK)
    learner = fx.make_learner(graph, fx.LearningConfig(), steps=STEPS)
    shares = []
    state = learner.init(jax.random.key(0))
    for _, metrics in fx.fit(learner, data, state, batch=BATCH, dispatch=1):
        shares.append(float(metrics["clock.done"]))
    np.testing.assert_allclose(shares, np.arange(STEPS) / STEPS, rtol=1e-6)
    assert progress_at(jnp.int32(STEPS + 2), STEPS) == 1


CLOCK = fx.from_function(lambda now: now, outputs="done", metrics=("done",))


def test_dispatches_begin_at_multiples_and_end_with_the_training():
    assert list(_blocks(7, 31, 10, 31)) == [(7, 3), (10, 10), (20, 10), (30, 1)]
    assert list(_blocks(30, 30, 10, 30)) == []
    endless = _blocks(0, 2**31 - 1, 1, 2**31 - 1)  # are counted as they come, however many there are
    assert [next(endless) for _ in range(2)] == [(0, 1), (1, 1)]
