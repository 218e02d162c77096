"""Whatever foveax hands out can be pickled, in this process and into another, and deep-copied."""

import copy
import pickle
import subprocess
import sys

import chex
import jax
import numpy as np
import pytest
import tiny

import foveax as fx
from foveax.sweeps.population import population_members

MEMBERS = population_members(tiny.CONFIG, seeds=2, vary={})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("pickled")
    config = tiny.named(tiny.write_npz(out / "tiny.npz"))
    return out / "run", tiny.train(out / "run", fx.load(config.data), config=config, evaluate=True)


def arrays(value):
    return [leaf for leaf in jax.tree.leaves(value) if isinstance(leaf, (np.ndarray, jax.Array))]


def test_what_is_handed_out_is_pickled_and_copied(run):
    out, result = run
    loaded = fx.load_run(out)
    values = {
        "result": result,
        "run": loaded,
        "data": loaded.data,
        "augmented": fx.TrainingConfig(task="cluttered", pieces=2, canvas=30).prepare(tiny.data()),
        "evaluation": result.evaluations["learned"],
        "prediction": loaded.predict(loaded.data.test["image"][:2]),
        "config": tiny.CONFIG,
        "population": fx.Population(MEMBERS, {}, np.zeros(2), {}),
    }
    for name, value in values.items():
        for again in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
            assert type(again) is type(value), name
            chex.assert_trees_all_equal(arrays(again), arrays(value))


def test_what_comes_out_of_a_pickle_computes_the_same(run):
    out, result = run
    again = pickle.loads(pickle.dumps(fx.load_run(out)))
    images = again.data.test["image"]
    shown = result.evaluations["learned"].probabilities
    np.testing.assert_allclose(again.predict(images).probabilities, shown, atol=1e-6)
    key, batch = jax.random.key(3), {name: array[:4] for name, array in tiny.data().train.items()}
    data = fx.TrainingConfig(task="cluttered", pieces=2, canvas=30).prepare(tiny.data())
    ours, theirs = (part.render(key, batch)["image"] for part in (data, pickle.loads(pickle.dumps(data))))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.nightly
def test_another_process_reads_a_result_with_functions_of_this_one(run, tmp_path):
    _, result = run
    offset = 7.0
    graph = result.graph.add(
        "retina.glimpse -> mean.glimpse", mean=fx.from_function(lambda glimpse: glimpse.mean() + offset)
    )
    (tmp_path / "result.pickle").write_bytes(pickle.dumps(result._replace(graph=graph)))
    code = "import pickle, sys; result = pickle.load(open(sys.argv[1], 'rb')); print(list(result.graph.modules)[-1])"
    command = [sys.executable, "-c", code, str(tmp_path / "result.pickle")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "mean\n"
