"""Populations: each member is its own training, and the combinations are those asked for."""

import jax
import numpy as np
import pytest

import foveax as fx
from foveax.training.population import format_population, members


@pytest.mark.slow
def test_each_member_equals_its_single_run(digits, small_model):
    config = fx.Config(images=320, dispatch=4, model=small_model)
    vary = {"policy_learning_rate": [1e-4, 1e-2], "pathwise": [0.5]}
    population = fx.train_population(config, digits, seeds=2, vary=vary)
    assert [(c.seed, c.learning.policy_learning_rate, c.model.pathwise) for c in population.configs] == [
        (0, 1e-4, 0.5), (0, 1e-2, 0.5), (1, 1e-4, 0.5), (1, 1e-2, 0.5)]  # fmt: skip
    for index, member in enumerate(population.configs):
        data = member.prepare(digits)
        graph = member.pipeline(data)
        learner = fx.make_learner(graph, member.learning, steps=member.steps)
        *_, (single, _) = fx.fit(learner, data, learner.init(jax.random.key(member.seed)), steps=member.steps, batch=32,
                                 dispatch=member.dispatch)  # fmt: skip
        for ours, theirs in zip(jax.tree.leaves(population.params), jax.tree.leaves(single.params), strict=True):
            np.testing.assert_allclose(ours[index], theirs, atol=2e-4)
        accuracy = fx.evaluate(graph, single.params, data.test, key=jax.random.key(member.seed)).accuracy
        np.testing.assert_allclose(population.accuracy[index], accuracy, atol=5e-3)


def test_what_cannot_vary_is_refused():
    with pytest.raises(fx.InputError, match=r"vary must name one of deviation_start, .*; got 'batch'"):
        members(fx.Config(), seeds=1, vary={"batch": [1, 2]})
    with pytest.raises(fx.InputError, match=r"discount must be at least 0.0 and at most 1.0; got 2"):
        members(fx.Config(), seeds=1, vary={"discount": [0.5, 2]})


def test_several_processes_are_refused(digits, small_model, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(fx.InputError, match="a population must be trained in one process; this is one of 2"):
        fx.train_population(fx.Config(images=64, model=small_model), digits)


def test_table_gives_mean_deviation_and_worst_of_each_combination():
    configs = members(fx.Config(), seeds=2, vary={"entropy": [0.0, 0.1]})
    accuracy = np.array([[0.5, 0.8], [0.5, 0.9], [0.5, 0.6], [0.5, 0.7]])
    table = format_population(fx.Population(configs, {}, accuracy, {}), ["entropy"]).splitlines()
    assert [line.split() for line in table[1:]] == [
        ["0", "2", "70.00", "14.14", "60.00"],
        ["0.1", "2", "80.00", "14.14", "70.00"],
    ]
