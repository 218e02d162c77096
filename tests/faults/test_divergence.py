"""Numbers that are not finite: the update is skipped and counted, and a training that only skips is ended."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import foveax as fx
from foveax.training.checkpoint import Checkpoints
from foveax.training.divergence import DivergenceWarning
from foveax.training.learner import make_learner
from foveax.training.metrics_file import read_metrics
from foveax.training.run_directory import read_run

pytestmark = pytest.mark.filterwarnings("ignore::foveax.training.divergence.DivergenceWarning")


def batch(seed: int = 0, fill: float | None = None) -> dict:
    rng = np.random.default_rng(seed)
    image = rng.random((4, 8, 8, 1), np.float32) if fill is None else np.full((4, 8, 8, 1), fill, np.float32)
    return {"image": jnp.asarray(image), "label": jnp.asarray(rng.integers(0, 3, 4), jnp.int32)}


def make(**learning):
    graph = fx.standard_pipeline(tiny.MODEL, tiny.data().inputs, classes=3)
    learner = make_learner(graph, fx.Learning(decay="constant", **learning), steps=100)
    return jax.jit(learner.step), learner.init(jax.random.key(0))


def learnt(state):
    return state.params, state.optimizer


def finite(tree) -> bool:
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("epochs", [1, 2])
def test_a_batch_that_is_not_finite_is_skipped_and_counted(bad, epochs):
    step, state = make(epochs=epochs)
    state, _ = step(state, batch())
    skipped, metrics = step(state, batch(fill=bad))
    assert not np.isfinite(metrics["loss/classifier.cross_entropy"])  # so that the test can fail
    chex.assert_trees_all_equal(learnt(skipped), learnt(state))
    counts = [int(value) for value in (skipped.step, skipped.skipped, skipped.skipped_in_a_row)]
    assert counts == [2, 1, 1]
    onward, _ = step(skipped, batch(1))
    assert [int(value) for value in (onward.step, onward.skipped, onward.skipped_in_a_row)] == [3, 1, 0]
    assert finite(learnt(onward))
    # what comes after is as if the bad batch had not been there, but for the number of the step
    chex.assert_trees_all_equal(learnt(onward), learnt(step(state._replace(step=state.step + 1), batch(1))[0]))


def test_a_gradient_that_is_not_finite_is_skipped_though_the_loss_is():
    graph = fx.standard_pipeline(tiny.MODEL, tiny.data().inputs, classes=3)
    root = fx.from_function(lambda logits: jnp.sqrt(jnp.sum(logits * 0)), outputs="root", losses=("root",))
    graph = graph.add("classifier.logits -> rooted.logits", rooted=root)
    learner = make_learner(graph, fx.Learning(), steps=100)
    state = learner.init(jax.random.key(0))
    after, metrics = jax.jit(learner.step)(state, batch())
    assert metrics["loss/rooted.root"] == 0  # while the derivative of a root at 0 is infinite
    chex.assert_trees_all_equal(learnt(after), learnt(state))
    assert (int(after.skipped), finite(after.params)) == (1, True)


def test_after_so_many_in_a_row_no_update_is_made():
    step, state = make(skips_in_a_row=3)
    for _ in range(3):
        state, _ = step(state, batch(fill=np.nan))
    after, _ = step(state, batch())
    chex.assert_trees_all_equal(learnt(after), learnt(state))
    assert (int(after.step), int(after.skipped), int(after.skipped_in_a_row)) == (4, 4, 4)


def data_with_nan(images: slice) -> fx.Data:
    data = tiny.data()
    image = data.train["image"].copy()  # the test images are the same array
    image[images] = np.nan  # past the checks at the door
    return data._replace(train={**data.train, "image": image})


def test_a_training_over_a_bad_image_goes_on_and_says_so(tmp_path):
    with pytest.warns(DivergenceWarning, match="usual causes: a learning rate that is too high .learning_rate 0.002"):
        result = fx.train(tiny.CONFIG, data_with_nan(slice(0, 1)), out=tmp_path / "run")
    assert finite(result.params)
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert lines[-1]["skipped"] == 3  # once in each of 3 epochs
    assert all(np.isfinite(line["loss/classifier.cross_entropy"]) for line in lines)  # means of the other steps
    assert max(line["skipped_in_a_row"] for line in lines) <= 1


def test_ten_in_a_row_end_the_training_with_the_last_good_state(tmp_path):
    out, endless = tmp_path / "run", data_with_nan(slice(None))
    with pytest.raises(fx.DivergenceError, match=r"by step \d+ losses or gradients were not finite in 10 "):
        fx.train(tiny.CONFIG, endless, out=out)
    data = tiny.CONFIG.prepare(tiny.data())
    learner = make_learner(tiny.CONFIG.pipeline(data), tiny.CONFIG.learning, steps=tiny.CONFIG.steps)
    initial = learner.init(jax.random.key(0))
    with Checkpoints(out / "checkpoints", read_run(out).identity) as checkpoints:
        state, _ = checkpoints.restore(initial)
    chex.assert_trees_all_equal(state.params, initial.params)  # none was ever good
    assert int(state.skipped_in_a_row) >= 10
    assert int(state.step) < tiny.CONFIG.steps
    with pytest.raises(fx.DivergenceError):  # the same command comes to the same end
        fx.train(tiny.CONFIG, endless, out=out)
    result = fx.train(dataclasses.replace(tiny.CONFIG, seed=1), tiny.data(), out=tmp_path / "calmer", fork=out)
    assert finite(result.params)


def test_of_a_population_the_members_that_are_well_go_on():
    config = dataclasses.replace(tiny.CONFIG, learning=fx.Learning(skips_in_a_row=2, decay="constant", entropy=0.0))
    population = fx.train_population(config, tiny.data(), vary={"value": [0.5, 3e38]})
    skipped = population.metrics["skipped_in_a_row"]
    assert skipped[0] == 0
    assert skipped[1] >= 2
    assert finite(population.params)
    alone = fx.train_population(config, tiny.data(), vary={"value": [0.5]})
    chex.assert_trees_all_close(
        jax.tree.map(lambda leaf: leaf[0], population.params),
        jax.tree.map(lambda leaf: leaf[0], alone.params),
        atol=1e-5,
    )
