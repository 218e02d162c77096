"""What test_mesh.py runs where there are four devices: one training over all, and what they say to each other."""

import re

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

import foveax as fx
from foveax.training.fit import make_dispatch
from foveax.training.mesh import place, place_rows, training_mesh

PIPELINE = fx.PipelineConfig(glimpses=3, hidden=16, features=8, saccader_hidden=8)
LEARNING = {"epochs": 3, "reinforce": 0.5, "normalize": "batch", "fit_every": 2}
CASES = {
    "default": {},
    "streamed": {"resident_megabytes": 0},
    "pieces of other images": {"task": "cluttered"},
    "epochs": {"learning": fx.LearningConfig(**LEARNING)},
}


def mesh_of(population, batch):
    return jax.make_mesh((population, batch), ("population", "batch"), axis_types=(AxisType.Auto,) * 2)


def trained(config, digits, key, mesh, resident_megabytes=2048):
    data = config.prepare(digits)
    learner = fx.make_learner(fx.build_graph(config, data), config.learning, steps=config.steps)
    state = (jax.vmap(learner.init) if key.ndim else learner.init)(key)
    *_, (state, metrics) = fx.fit(learner, data, state, steps=config.steps, batch=config.batch, dispatch=4, mesh=mesh,
                                  resident_bytes=resident_megabytes * 2**20)  # fmt: skip
    return {"params": state.params, "metrics": metrics}


def assert_close(ours, theirs):
    """Within 1e-5 after ten updates: the shards' sums are rounded in another order."""
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_four_devices_train_as_one_does(case, digits):
    fields = dict(CASES[case])
    resident = fields.pop("resident_megabytes", 2048)
    config = fx.TrainingConfig(images=320, pipeline=PIPELINE, **fields)
    ours, theirs = (trained(config, digits, jax.random.key(3), mesh, resident) for mesh in (mesh_of(1, 4), None))
    assert_close(ours, theirs)


def test_a_population_is_divided_as_well(digits):
    config, keys = fx.TrainingConfig(images=320, pipeline=PIPELINE), jax.random.split(jax.random.key(3), 4)
    on_mesh = trained(config, digits, keys, mesh_of(2, 2))
    assert_close(on_mesh, trained(config, digits, keys, None))
    assert not on_mesh["metrics"]["accuracy"].is_fully_replicated


def test_a_population_over_devices_is_the_one_on_one(digits, tmp_path):
    config, options = fx.TrainingConfig(images=320, pipeline=PIPELINE), {"seeds": 3, "vary": {"entropy": [0.0, 0.1]}}
    one = fx.train_population(config, digits, **options, execution=fx.ExecutionConfig(dispatch=5))
    execution = fx.ExecutionConfig(dispatch=5, devices=0)
    for _ in ("trained", "read again from its run directory"):
        over_all = fx.train_population(config, digits, **options, execution=execution, out=tmp_path / "run")
        assert_close(over_all.params, one.params)
        assert_close(over_all.metrics, one.metrics)
        np.testing.assert_allclose(over_all.accuracy, one.accuracy, atol=1e-3)


def collectives(digits, config, *, members=None):
    """The collective operations of a dispatch's compiled program, each with the shape of what it gives."""
    data, mesh, batch = config.prepare(digits), mesh_of(members or 1, 4 // (members or 1)), config.batch
    learner = fx.make_learner(fx.build_graph(config, data), config.learning, steps=config.steps)
    key = jax.random.split(jax.random.key(0), members) if members else jax.random.key(0)
    state, axes = (jax.vmap(learner.init) if members else learner.init)(key), ("population",) if members else ()
    index = np.zeros((members, 4, batch) if members else (4, batch), np.int64)
    run = make_dispatch(learner, data.render, population=bool(members), mesh=mesh)
    state, key = place((state, key), mesh, *axes)
    hyper = jax.tree.map(lambda value: np.full(members or (), value, np.float32), learner.hyperparameters)
    feed, hyper = place(index, mesh, *axes, None, "batch"), place(hyper, mesh, *axes)
    program = run.lower(state, 4, feed, key, place(data.train, mesh), hyper)
    text = program.compile().as_text()
    kinds = "all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute|collective-broadcast"
    found = re.findall(rf"= (\w+)\[([\d,]*)\]\S* ({kinds})(?:-start)?\(", text)
    assert len(found) == len(re.findall(rf"(?<!%)\b(?:{kinds})(?:-start)?\(", text))
    return sorted((kind, dtype, int(np.prod([int(side) for side in shape.split(",")]))) for dtype, shape, kind in found)


def parameters(digits, config, *, of=None):
    params = fx.init(fx.build_graph(config, config.prepare(digits)), jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(params[of] if of else params))


CREDIT = ("all-gather", "f32", 32 * 2 * (PIPELINE.glimpses - 1))
"""The advantage, and the return less the value, of each saccade of the batch."""


def test_gradients_are_reduced_once_per_update(digits):
    config = fx.TrainingConfig(pipeline=PIPELINE)
    gather, (kind, dtype, size) = collectives(digits, config)
    assert gather == CREDIT
    assert (kind, dtype) == ("all-reduce", "f32")
    assert 0 <= size - parameters(digits, config) <= 12  # the metrics travel with the gradients


def test_each_later_epoch_reduces_the_saccaders_gradient_once(digits):
    """They are a loop, in whose body there is one."""
    config = fx.TrainingConfig(pipeline=PIPELINE, learning=fx.LearningConfig(epochs=3))
    gather, *reduces = collectives(digits, config)
    assert gather == CREDIT
    assert [kind for kind, *_ in reduces] == ["all-reduce"] * 3
    assert reduces[0][-1] == 4  # the metrics, after the last epoch
    assert 0 <= reduces[1][-1] - parameters(digits, config, of="saccader") <= 12
    assert 0 <= reduces[2][-1] - parameters(digits, config) <= 12


def test_members_of_a_population_do_not_speak_to_each_other(digits):
    assert collectives(digits, fx.TrainingConfig(pipeline=PIPELINE), members=4) == []


def test_devices_are_shared_first_among_members():
    assert dict(training_mesh(0, members=6).shape) == {"population": 2, "batch": 2}
    assert dict(training_mesh(3).shape) == {"population": 1, "batch": 3}
    assert training_mesh(1, members=8) is None
    with pytest.raises(fx.InputError, match="devices must be at least 0 and at most those of each process, 4; got 5"):
        training_mesh(5)


def test_what_cannot_be_divided_is_refused(digits, tmp_path):
    config = fx.TrainingConfig(batch=30, images=60, pipeline=PIPELINE)
    with pytest.raises(fx.InputError, match="batch must be divisible by the 4 devices that share it; got 30"):
        fx.train(config, digits, execution=fx.ExecutionConfig(devices=4), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    keys = jax.random.split(jax.random.key(0), 3)
    with pytest.raises(fx.InputError, match="population must be divisible by the 2 devices that share it; got 3"):
        trained(fx.TrainingConfig(images=64, pipeline=PIPELINE), digits, keys, mesh_of(2, 2))


def test_each_device_reads_only_its_own_rows(rng):
    asked = []

    class Recording:
        shape = (100, 3)

        def __getitem__(self, rows):
            asked.append(rows.size)
            return array[rows]

    array, index = rng.random((100, 3)).astype(np.float32), rng.integers(0, 100, (2, 8))
    placed = place_rows(Recording(), index, mesh_of(1, 4), None, "batch")
    np.testing.assert_array_equal(placed, array[index])
    assert asked == [index.size // 4] * 4


def test_numbers_of_a_training_are_the_same_on_every_device(digits):
    """Numbers given to `fit` on a mesh are those of a learner made with them, on one device."""
    config = fx.TrainingConfig(images=320, pipeline=PIPELINE)
    other = fx.TrainingConfig(images=320, pipeline=PIPELINE, learning=fx.LearningConfig(entropy=0.5, discount=0.9))
    data, mesh = config.prepare(digits), mesh_of(1, 4)
    learner = fx.make_learner(fx.build_graph(config, data), config.learning, steps=config.steps)
    hyper = other.learning.hyperparameters(learner.hyperparameters.graph)
    options = {"steps": config.steps, "batch": config.batch, "dispatch": 4, "mesh": mesh, "hyperparameters": hyper}
    *_, (state, _) = fx.fit(learner, data, learner.init(jax.random.key(3)), **options)
    assert_close(state.params, trained(other, digits, jax.random.key(3), None)["params"])
