"""A graph's fingerprint: equal for equal graphs, whoever built them, and another for each change that matters."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
import small

import foveax as fx
from foveax.graph.fingerprint import fingerprint

CONFIG = fx.PipelineConfig(crop_size=3, glimpses=3, hidden=8, features=6, saccader_hidden=4)


def standard(**choices):
    return fx.standard_pipeline(small.data(), dataclasses.replace(CONFIG, **choices))


def rebuilt(graph, **changes):
    return dataclasses.replace(graph, **changes)


def with_agent(graph, **changes):
    saccader = graph.modules["saccader"]
    return graph.add(saccader=saccader._replace(agent=saccader.agent._replace(**changes)))


SAME = {
    "built twice": lambda graph: standard(),
    "links in another order": lambda graph: rebuilt(graph, links=tuple(reversed(graph.links))),
    "links with other spaces": lambda graph: rebuilt(graph, links=[link.replace(" ", "   ") for link in graph.links]),
    "modules in another order": lambda graph: rebuilt(graph, modules=dict(reversed(graph.modules.items()))),
    "memory as an array": lambda graph: rebuilt(graph, memory={"fixation": np.array([0.5, 0.5], np.float32)}),
    "memory as a jax array": lambda graph: rebuilt(graph, memory={"fixation": jnp.array([0.5, 0.5])}),
    "other values of hyper-parameters": lambda graph: standard(scale_start=3.0),
}

DIFFERENT = {
    "a link less": lambda graph: graph.unlink("classifier.fixation"),
    "a link from another port of one shape": lambda graph: graph.add("classifier.readout -> decision.logits"),
    "another initial memory": lambda graph: rebuilt(graph, memory={"fixation": (0.5, 0.4)}),
    "another memory": lambda graph: graph.add(memory={"more": 0.0}),
    "a longer rollout": lambda graph: standard(glimpses=4),
    "another port's shape": lambda graph: graph.add(retina=fx.cropper(3, contrast=False)),
    "another dtype": lambda graph: fx.standard_pipeline(small.data(dtype=np.float32), CONFIG),
    "more classes": lambda graph: fx.standard_pipeline(small.data(classes=6), CONFIG),
    "more parameters": lambda graph: standard(hidden=9),
    "another core": lambda graph: standard(core="lstm"),
    "another module": lambda graph: graph.add(more=fx.centre()),
    "another role": lambda graph: graph.add(roles=graph.roles._replace(belief="")),
    "another hyper-parameter": lambda graph: graph.add(hyperparameters={"more": 0.0}),
    "another weight": lambda graph: graph.add(decision=fx.decision(weight=0.5)),
    "other glimpses": lambda graph: graph.add(decision=fx.decision(glimpses="last")),
    "a schedule": lambda graph: graph.add(
        decision=fx.decision()._replace(losses={"cross_entropy": fx.Loss(schedule=lambda progress: progress)})
    ),
    "a metric": lambda graph: graph.add(decision=fx.decision()._replace(metrics=("correct",))),
    "a reward elsewhere": lambda graph: with_agent(graph, reward="decision.cross_entropy"),
    "a pathwise gradient": lambda graph: with_agent(graph, pathwise=0.5),
    "a reach": lambda graph: with_agent(graph, reach=0.5),
    "a batching capsule": lambda graph: graph.add(classifier=fx.batching(graph.modules["classifier"], every=4)),
}


@pytest.mark.parametrize("case", SAME)
def test_equal_graphs_have_one_fingerprint(case):
    graph = standard()
    assert fingerprint(SAME[case](graph)) == fingerprint(graph)


@pytest.mark.parametrize("case", DIFFERENT)
def test_every_change_shows(case):
    graph = standard()
    assert fingerprint(DIFFERENT[case](graph)) != fingerprint(graph)


def test_it_survives_json_and_names_every_parameter():
    ours = fingerprint(standard().add(memory={"most": (-np.inf, 0.0)}))
    assert json.loads(json.dumps(ours, allow_nan=False)) == ours
    assert ours["memory"].pop("most") == ["float32[2]", ["-Infinity", 0.0]]
    assert ours["modules"]["saccader"]["parameters"]["['params']['policy']['kernel']"] == "float32[4, 2]"
    assert ours["memory"] == {"fixation": ["float32[2]", [0.5, 0.5]]}
    assert ours["length"] == 3
