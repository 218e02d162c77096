"""Numbers that are not finite: the update is skipped and counted, and a training that only skips is ended."""

import dataclasses
import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import foveax as fx
from foveax.runs.checkpoint import Checkpoints
from foveax.runs.directory import read_run
from foveax.runs.divergence import DivergenceWarning
from foveax.runtime.metrics_file import read_metrics

pytestmark = pytest.mark.filterwarnings("ignore::foveax.runs.divergence.DivergenceWarning")


def batch(seed: int = 0, fill: float | None = None) -> dict:
    rng = np.random.default_rng(seed)
    image = rng.random((4, 24, 24, 1), np.float32) if fill is None else np.full((4, 24, 24, 1), fill, np.float32)
    return {"image": jnp.asarray(image), "label": jnp.asarray(rng.integers(0, 3, 4), jnp.int32)}


def make(**learning):
    graph = fx.standard_pipeline(tiny.data(), tiny.PIPELINE)
    learner = fx.make_learner(graph, fx.LearningConfig(decay="constant", **learning), steps=100)
    return jax.jit(learner.step), learner.init(jax.random.key(0))


def learned(state):
    return state.params, state.optimizer


def finite(tree) -> bool:
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(("bad", "epochs"), [(np.nan, 1), (np.inf, 2)])
def test_a_batch_that_is_not_finite_is_skipped_and_counted(bad, epochs):
    step, state = make(epochs=epochs)
    state, _ = step(state, batch())
    skipped, metrics = step(state, batch(fill=bad))
    assert not np.isfinite(metrics["loss/decision.cross_entropy"])  # so that the test can fail
    chex.assert_trees_all_equal(learned(skipped), learned(state))
    counts = [int(value) for value in (skipped.step, skipped.skipped, skipped.consecutive_skips)]
    assert counts == [2, 1, 1]
    onward, _ = step(skipped, batch(1))
    assert [int(value) for value in (onward.step, onward.skipped, onward.consecutive_skips)] == [3, 1, 0]
    assert finite(learned(onward))
    # what comes after is as if the bad batch had not been there, but for the number of the step
    chex.assert_trees_all_equal(learned(onward), learned(step(state._replace(step=state.step + 1), batch(1))[0]))


@pytest.mark.parametrize("epochs", [2, 5])
def test_a_later_epoch_that_is_not_finite_takes_back_the_first(epochs):
    """A step as long as 1e30 is finite, and what the saccader then gives is not."""
    step, state = make(epochs=epochs, policy_learning_rate=1e30)
    after, metrics = step(state, batch())
    assert np.isfinite(metrics["loss/decision.cross_entropy"])  # of the first epoch
    assert not np.isfinite(metrics["saccader/policy_loss"])  # of the second
    chex.assert_trees_all_equal(learned(after), learned(state))
    assert [int(value) for value in (after.step, after.skipped, after.consecutive_skips)] == [1, 1, 1]


def test_a_gradient_that_is_not_finite_is_skipped_though_the_loss_is():
    graph = fx.standard_pipeline(tiny.data(), tiny.PIPELINE)
    root = fx.from_function(lambda logits: jnp.sqrt(jnp.sum(logits * 0)), outputs="root", losses=("root",))
    graph = graph.add("classifier.logits -> rooted.logits", rooted=root)
    learner = fx.make_learner(graph, fx.LearningConfig(), steps=100)
    state = learner.init(jax.random.key(0))
    after, metrics = jax.jit(learner.step)(state, batch())
    assert metrics["loss/rooted.root"] == 0  # while the derivative of a root at 0 is infinite
    chex.assert_trees_all_equal(learned(after), learned(state))
    assert (int(after.skipped), finite(after.params)) == (1, True)


def test_after_the_last_allowed_skip_no_update_is_made():
    step, state = make(max_skips=3)
    for _ in range(3):
        state, _ = step(state, batch(fill=np.nan))
    after, _ = step(state, batch())
    chex.assert_trees_all_equal(learned(after), learned(state))
    assert (int(after.step), int(after.skipped), int(after.consecutive_skips)) == (4, 4, 4)


def data_with_nan(images: slice) -> fx.Data:
    data = tiny.data()
    image = data.train["image"].copy()  # the test images are the same array
    image[images] = np.nan  # past the checks at the door
    return data._replace(train={**data.train, "image": image})


def test_a_training_over_a_bad_image_goes_on_and_reports_it(tmp_path):
    with pytest.warns(DivergenceWarning, match="usual causes: a learning rate that is too high .learning_rate 0.002"):
        result = tiny.train(tmp_path / "run", data_with_nan(slice(0, 1)))
    assert finite(result.params)
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert lines[-1]["skipped"] == 3  # once in each of 3 epochs
    assert all(np.isfinite(line["loss/decision.cross_entropy"]) for line in lines)  # means of the other steps
    assert max(line["consecutive_skips"] for line in lines) <= 1


def test_ten_in_a_row_end_the_training_with_the_state_of_the_last_update(tmp_path):
    out, never_finite = tmp_path / "run", data_with_nan(slice(None))
    with pytest.raises(fx.DivergenceError, match=r"not finite in 10 .*of the last update.*may not be finite"):
        tiny.train(out, never_finite)
    lines = (out / "metrics.jsonl").read_text().splitlines()
    written = [json.loads(line, parse_constant=pytest.fail) for line in lines]  # NaN is no JSON
    assert {line["accuracy"] for line in written} == {None}
    assert all(np.isnan(line["accuracy"]) for line in read_metrics(out / "metrics.jsonl"))
    graph = fx.build_graph(tiny.CONFIG, tiny.CONFIG.prepare(tiny.data()))
    learner = fx.make_learner(graph, tiny.CONFIG.learning, steps=tiny.CONFIG.steps)
    initial = learner.init(jax.random.key(0))
    with Checkpoints(out / "checkpoints", read_run(out).identity) as checkpoints:
        state, _ = checkpoints.restore(initial)
    chex.assert_trees_all_equal(state.params, initial.params)  # none was ever good
    assert int(state.consecutive_skips) >= 10
    assert int(state.step) < tiny.CONFIG.steps
    with pytest.raises(fx.DivergenceError):  # the same command comes to the same end
        tiny.train(out, never_finite)
    calmer = dataclasses.replace(tiny.CONFIG, seed=1, data="repaired")
    result = tiny.train(tmp_path / "calmer", config=calmer, fork=out)
    assert finite(result.params)


@pytest.mark.nightly
def test_of_a_population_the_members_that_are_well_go_on():
    config = dataclasses.replace(tiny.CONFIG, learning=fx.LearningConfig(max_skips=2, decay="constant", entropy=0.0))
    train = functools.partial(fx.train_population, config, tiny.data(), execution=tiny.EXECUTION)
    population = train(vary={"value": [0.5, 3e38]})
    skipped = population.metrics["consecutive_skips"]
    assert skipped[0] == 0
    assert skipped[1] >= 2
    assert finite(population.params)
    alone = train(vary={"value": [0.5]})
    chex.assert_trees_all_close(
        jax.tree.map(lambda leaf: leaf[0], population.params),
        jax.tree.map(lambda leaf: leaf[0], alone.params),
        atol=1e-5,
    )
