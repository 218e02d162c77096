"""Populations: each member is its own training, and the combinations are those asked for."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
import tiny

import foveax as fx
from foveax.sweeps.population import format_population, population_members

LISTED = "learning_rate, policy_learning_rate, ppo, reinforce, value, entropy, discount, gae_lambda, epsilon"


def check_members(population, data, *, every=1):
    """Asserts that each member is what `foveax.train` gives for it; 24 steps amplify the rounding of sums."""
    for index, member in list(enumerate(population.members))[::every]:
        single = tiny.train(None, data, config=member.config, pipeline=member.pipeline)
        for ours, theirs in zip(jax.tree.leaves(population.params), jax.tree.leaves(single.params), strict=True):
            np.testing.assert_allclose(ours[index], theirs, rtol=1e-4, atol=2e-5)
        accuracy = fx.evaluate(single.graph, single.params, data.test, key=jax.random.key(member.config.seed)).accuracy
        np.testing.assert_allclose(population.accuracy[index], accuracy, atol=5e-3)


@pytest.mark.slow
def test_each_member_equals_its_single_run():
    vary = {"learning_rate": [1e-3, 1e-2], "pathwise": [0.5]}
    population = fx.train_population(tiny.CONFIG, tiny.data(), seeds=2, vary=vary, execution=tiny.EXECUTION)
    members = [(member.config.seed, member.config.learning.learning_rate, member.config.pipeline.pathwise)
               for member in population.members]  # fmt: skip
    assert members == [(0, 1e-3, 0.5), (0, 1e-2, 0.5), (1, 1e-3, 0.5), (1, 1e-2, 0.5)]
    check_members(population, tiny.data(), every=3)  # the first and the last, which differ in both


def fading(data: fx.Data, weight: float = 1.0, blur: float = 0.0, hidden: int = 4) -> fx.Graph:
    """The tiny pipeline with one more loss, whose weight is a hyper-parameter of the graph."""
    graph = fx.standard_pipeline(data, dataclasses.replace(tiny.PIPELINE, hidden=hidden))
    brightness = fx.from_function(lambda glimpse, logits: (glimpse.mean() - logits[0]) ** 2, outputs="error",
                                  losses={"error": fx.Loss(weight="weight")})  # fmt: skip
    return graph.add(
        "retina.glimpse -> brightness.glimpse",
        "classifier.logits -> brightness.logits",
        hyperparameters={"weight": weight},
        brightness=brightness,
    )


OWN = dataclasses.replace(tiny.CONFIG, pipeline=fx.PipelineConfig())


@pytest.mark.nightly
@pytest.mark.slow
def test_a_float_of_a_pipeline_of_ones_own_is_varied_next_to_the_learning_rate():
    vary = {"weight": [0.0, 3.0], "learning_rate": [1e-3, 1e-2]}
    population = fx.train_population(OWN, tiny.data(), vary=vary, pipeline=fading, execution=tiny.EXECUTION)
    values = [(member.pipeline.arguments["weight"], member.config.learning.learning_rate)
              for member in population.members]  # fmt: skip
    assert values == [(0.0, 1e-3), (0.0, 1e-2), (3.0, 1e-3), (3.0, 1e-2)]
    check_members(population, tiny.data(), every=3)  # the first and the last, which differ in both
    classifiers = jax.tree.leaves(population.params["classifier"])
    assert any((leaf[0] != leaf[2]).any() for leaf in classifiers)  # so that the test can fail
    table = format_population(population).splitlines()
    assert table[0].split() == ["weight", "learning_rate", "seeds", "mean", "deviation", "worst"]
    assert [line.split()[:2] for line in table[1:]] == [["0", "0.001"], ["0", "0.01"], ["3", "0.001"], ["3", "0.01"]]


def test_the_arguments_of_a_partial_are_kept():
    pipeline = functools.partial(fading, hidden=5)
    first, second = population_members(OWN, pipeline, seeds=1, vary={"weight": [2.0, 3.0]})
    assert first.pipeline.arguments == {"hidden": 5, "weight": 2.0}
    graph = fx.build_graph(second.config, tiny.data(), second.pipeline)
    assert graph.hyperparameters["weight"] == 3.0
    assert graph.wiring.outputs["classifier"]["hidden"].shape == (5,)


def test_what_cannot_vary_is_refused():
    with pytest.raises(fx.InputError, match=r"vary must name one of .*scale_start, .*; got 'batch'"):
        population_members(fx.TrainingConfig(), seeds=1, vary={"batch": [1, 2]})
    with pytest.raises(fx.InputError, match=r"discount must be at least 0.0 and at most 1.0; got 2"):
        population_members(fx.TrainingConfig(), seeds=1, vary={"discount": [0.5, 2]})
    with pytest.raises(fx.InputError, match=rf"vary must name one of {LISTED}.*, weight, blur, hidden; got 'wieght'"):
        population_members(OWN, fading, seeds=1, vary={"wieght": [0.5]})
    with pytest.raises(fx.InputError, match=r"vary must name one of learning_rate, .*; got 'scale_start'"):
        population_members(OWN, fading, seeds=1, vary={"scale_start": [0.5]})  # of the standard pipeline
    with pytest.raises(fx.InputError, match="seeds must be at least 1; got 0"):
        population_members(OWN, fading, seeds=0, vary={"weight": [0.5]})
    with pytest.raises(fx.InputError, match="vary must give values for weight; got none"):
        population_members(OWN, fading, seeds=1, vary={"weight": []})

    def ambiguous(data: fx.Data, entropy: float = 0.0) -> fx.Graph:
        return fading(data, entropy)

    with pytest.raises(fx.InputError, match=r"'entropy' is learning's and an argument of .*ambiguous"):
        population_members(OWN, ambiguous, seeds=1, vary={"entropy": [0.5]})


def test_members_of_another_shape_or_all_alike_are_refused(tmp_path):
    with pytest.raises(fx.InputError, match=r"members of a population must share one graph; that of .'hidden': 5"):
        fx.train_population(OWN, tiny.data(), vary={"hidden": [4, 5]}, pipeline=fading, out=tmp_path / "run")
    with pytest.raises(fx.InputError, match=r"vary must change numbers .*; blur leaves some members alike"):
        fx.train_population(OWN, tiny.data(), vary={"blur": [0.0, 0.5]}, pipeline=fading, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(fx.InputError, match="a population must be trained in one process; this is one of 2"):
        fx.train_population(tiny.CONFIG, tiny.data())


def test_table_gives_mean_deviation_and_worst_of_each_combination():
    members = population_members(fx.TrainingConfig(), seeds=2, vary={"entropy": [0.0, 0.1]})
    accuracy = np.array([[0.5, 0.8], [0.5, 0.9], [0.5, 0.6], [0.5, 0.7]])
    table = format_population(fx.Population(members, {}, accuracy, {})).splitlines()
    assert [line.split() for line in table[1:]] == [
        ["0", "2", "70.00", "14.14", "60.00"],
        ["0.1", "2", "80.00", "14.14", "70.00"],
    ]
