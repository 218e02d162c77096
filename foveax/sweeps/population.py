"""Populations: many trainings as one program, over seeds and over any hyper-parameter of learning or of the graph."""

import dataclasses
import functools
import inspect
import itertools
import math
import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from foveax._types import InputError, Params
from foveax.data.dataset import Data
from foveax.evaluation.evaluate import make_evaluator
from foveax.graph.fingerprint import fingerprint
from foveax.graph.graph import Graph
from foveax.learning.hyperparameters import Hyperparameters, LearningConfig
from foveax.pipelines.named import Build, Pipeline
from foveax.pipelines.standard import PipelineConfig
from foveax.runs.config import ExecutionConfig, TrainingConfig
from foveax.runs.directory import RunRecord, run_path
from foveax.runs.pipeline import STOCK, build_graph, find_pipeline, stock_pipeline
from foveax.runs.run import open_run
from foveax.runs.train import check_size, describe_pipeline, prepare
from foveax.runs.validation import check_unvalidated
from foveax.runtime.metrics_file import read_metrics
from foveax.training.adversary import learner_of
from foveax.training.fit import fit
from foveax.training.mesh import check_divides, training_mesh

FLOATS = {
    field.name: part
    for part, kind in (("pipeline", PipelineConfig), ("learning", LearningConfig))
    for field in dataclasses.fields(kind)
    if field.type is float
}
"""The numbers of a configuration that can be varied, and the part that they belong to."""
FIELDS = {
    field.name: part
    for part, kind in (("", TrainingConfig), ("pipeline", PipelineConfig), ("learning", LearningConfig))
    for field in dataclasses.fields(kind)
    if field.name not in ("pipeline", "learning")
}
"""Every field of a configuration, and the part that it belongs to."""
SHARED = ("step", "images", "images_per_second")
"""Metrics that are the same for all members."""
MOST_MEMBERS = 100_000


class Member(NamedTuple):
    """One training of a population: alone it is ``foveax.train(config, pipeline=pipeline)``; `values` are varied."""

    config: TrainingConfig
    pipeline: Pipeline
    values: dict[str, Any]


class Population(NamedTuple):
    """The outcome of a population's training; the members' axis ``[P]`` comes first.

    Attributes:
      members: what each was trained with.
      params: by module, ``[P, ...]``.
      accuracy: ``[P, T]``, on the test split, mode of the policy, one pass.
      metrics: of the last dispatch, ``[P]`` each.
      images_per_second: of all members together; NaN if all was trained before.
    """

    members: list[Member]
    params: dict[str, Params]
    accuracy: np.ndarray
    metrics: Mapping[str, np.ndarray]
    images_per_second: float = math.nan


def train_population(
    config: TrainingConfig,
    data: Data | None = None,
    *,
    seeds: int = 1,
    vary: Mapping[str, Sequence[float]] | None = None,
    pipeline: Build | Pipeline | None = None,
    out: str | Path | None = None,
    execution: ExecutionConfig | None = None,
) -> Population:
    """Trains every combination of seeds and of the values given, as one program.

    Each member is the training of its own configuration: the same parameters at the start, the same images in the
    same order, the same exploration; the numbers agree but for the rounding of batched matrix products, which small
    differences a long training amplifies as it does those between devices. A member whose losses or gradients are no
    longer finite keeps the parameters of its last update, while the others go on.

    Args:
      config: of all members; its seed is the first.
      data: by default those that `config.data` names; prepared by the configuration.
      seeds: how many, counted on from the configuration's.
      vary: values by name: a float of `LearningConfig` or of `PipelineConfig`, or an argument of a pipeline of your own
        by which hyper-parameters of its graph change (`Graph.hyperparameters`), and nothing else.
      pipeline: as in `foveax.train`.
      out: a run directory, with ``config.json``, ``metrics.jsonl``, ``checkpoints/`` and ``provenance.json``; the same
        population that is there already is resumed. None keeps nothing.
      execution: how it is executed; members are divided among the devices and, where there are more of them, every
        batch.

    Raises:
      InputError: if a name cannot be varied, a value is one that its field refuses, there are no such devices or
        several processes, or the run directory is another's.
      Interrupted: as in `foveax.train`.
      DivergenceError: likewise, once all members have diverged.

    Example:
      >>> import foveax as fx
      >>> config = fx.TrainingConfig(images=320, pipeline=fx.PipelineConfig(glimpses=2, hidden=8, features=8))
      >>> population = fx.train_population(config, seeds=2, vary={"entropy": [0.0, 0.1]})
      >>> population.accuracy.shape, [member.config.seed for member in population.members]
      ((4, 2), [0, 0, 1, 1])
    """
    vary = vary or {}
    members = population_members(config, pipeline, seeds=seeds, vary=vary)
    varied = {"seeds": seeds, "vary": {name: [float(value) for value in values] for name, values in vary.items()}}
    return train_members(members, varied, config, data, out=out, execution=execution)


def train_members(
    members: list[Member],
    varied: dict[str, Any],
    config: TrainingConfig,
    data: Data | None = None,
    *,
    out: str | Path | None = None,
    execution: ExecutionConfig | None = None,
) -> Population:
    """Trains members that differ in their seeds and in hyper-parameters as one program; otherwise as a population.

    A run directory records the configuration and, as JSON types, what is `varied`.
    """
    execution = ExecutionConfig() if execution is None else execution
    check_unvalidated(config, "a population")
    path = run_path(out, config)
    mesh = population_mesh(config, len(members), execution)
    data, prints, _ = prepare(config, data, execution)
    graph, hypers = _vary_graph(members, data)
    hyper = jax.tree.map(lambda *values: np.asarray(values, np.float32), *hypers)
    learner = learner_of(graph, config.learning, steps=config.steps)
    check_size(graph, learner, config, execution, members=len(members))
    keys = jnp.stack([jax.random.key(member.config.seed) for member in members])
    record = RunRecord(config, prints, describe_pipeline(members[0].pipeline, graph), population=varied)
    last: dict[str, Any] = {}
    with open_run(path, record, source=members[0].pipeline.source, listeners=[last.update]) as run:
        state = run.restore(jax.vmap(learner.init)(keys))
        options = execution.fit_options(config)
        for state, metrics in fit(learner, data, state, mesh=mesh, hyperparameters=hyper, **options):
            run.log(metrics, state)
            if run.should_save():
                run.save(state)
            if run.should_stop():
                break
        run.finish(state)
    rate = len(members) * run.timing["images_per_second"] if last else math.nan
    last = last or read_metrics(path / "metrics.jsonl")[-1] if path else last
    metrics = {name: np.asarray(value) for name, value in last.items() if name not in SHARED}
    params = jax.device_put(state.params, jax.devices()[0])
    evaluator = make_evaluator(graph)
    singles = [jax.tree.map(operator.itemgetter(index), (params, keys, hyper.graph)) for index in range(len(members))]
    accuracy = np.stack([evaluator(own, data.test, key, numbers).accuracy for own, key, numbers in singles])
    return Population(members, params, accuracy, metrics, rate)


def population_mesh(config: TrainingConfig, members: int, execution: ExecutionConfig) -> Mesh | None:
    """The devices that so many members train on; refuses several processes, and devices that do not fit."""
    if jax.process_count() > 1:
        raise InputError(f"a population must be trained in one process; this is one of {jax.process_count()}")
    mesh = training_mesh(execution.devices, members=members)
    if mesh:
        check_divides(mesh, config.batch)
    return mesh


def population_members(
    config: TrainingConfig, pipeline: Build | Pipeline | None = None, *, seeds: int, vary: Mapping[str, Sequence[float]]
) -> list[Member]:
    """The members of a population: every combination, the seeds outermost; refuses names that cannot be varied."""
    own = find_pipeline(config, pipeline)
    stock = own.function in STOCK
    arguments = [] if stock else list(inspect.signature(own.build).parameters)[1:]
    names = [*(name for name, part in FLOATS.items() if stock or part == "learning"), *arguments]
    if seeds < 1:
        raise InputError(f"seeds must be at least 1; got {seeds}")
    for name, values in vary.items():
        if name not in names:
            raise InputError(f"vary must name one of {', '.join(names)}; got {name!r}")
        if names.count(name) > 1:
            raise InputError(f"vary must name one number; {name!r} is learning's and an argument of {own.function}")
        if not len(values):
            raise InputError(f"vary must give values for {name}; got none")
    size = seeds * math.prod(map(len, vary.values()))
    if size > MOST_MEMBERS:
        raise InputError(f"a population must have at most {MOST_MEMBERS} members; got {size}")
    combinations = itertools.product(range(seeds), *vary.values())
    return [
        make_member(dataclasses.replace(config, seed=config.seed + number), own, dict(zip(vary, values, strict=True)))
        for number, *values in combinations
    ]


def make_member(config: TrainingConfig, pipeline: Pipeline, values: dict[str, Any]) -> Member:
    """The member that has these values of fields or, in a pipeline of one's own, of its arguments."""
    stock = pipeline.function in STOCK
    parts: dict[str, dict[str, Any]] = {"": {}, "pipeline": {}, "learning": {}, "arguments": {}}
    for name, value in values.items():
        part = FIELDS.get(name, "arguments")
        parts["arguments" if part == "pipeline" and not stock else part][name] = value
    inner = {part: dataclasses.replace(getattr(config, part), **parts[part]) for part in ("pipeline", "learning")}
    config, others = dataclasses.replace(config, **inner, **parts[""]), parts["arguments"]
    if stock:
        return Member(config, stock_pipeline(config, pipeline.function, pipeline.arguments), values)
    build = functools.partial(pipeline.build, **others)
    return Member(config, pipeline._replace(arguments={**pipeline.arguments, **others}, build=build), values)


def _vary_graph(members: Sequence[Member], data: Data) -> tuple[Graph, list[Hyperparameters]]:
    """The graph that all members share, and the hyper-parameters of each."""
    alike = [str((dataclasses.replace(member.config, seed=0), member.pipeline.arguments)) for member in members]
    firsts = dict(zip(reversed(alike), reversed(members), strict=True))  # those that differ only in their seeds are one
    graphs = {name: build_graph(member.config, data, member.pipeline) for name, member in reversed(firsts.items())}
    prints = {name: fingerprint(graph) for name, graph in graphs.items()}
    for member, name in zip(members, alike, strict=True):
        if prints[name] != prints[alike[0]]:
            raise InputError(f"members of a population must share one graph; that of {member.values} is another")
    hypers = [
        member.config.learning.hyperparameters(dict(graphs[name].hyperparameters))
        for member, name in zip(members, alike, strict=True)
    ]
    seeds = [member.config.seed for member in members]
    asked = {(seed, str(member.values)) for seed, member in zip(seeds, members, strict=True)}
    if len(set(zip(seeds, map(str, hypers), strict=True))) < len(asked):
        raise InputError(
            "vary must change numbers of learning, or hyper-parameters of the graph (Graph.hyperparameters), which "
            f"alone can differ between members; {', '.join(members[0].values)} leaves some members alike"
        )
    return graphs[alike[0]], hypers


def format_population(population: Population) -> str:
    """A table of test accuracy in %: mean, standard deviation and worst over the seeds, for each combination."""
    rows: dict[tuple[float, ...], list[float]] = {}
    for member, accuracy in zip(population.members, population.accuracy, strict=True):
        rows.setdefault(tuple(member.values.values()), []).append(100 * accuracy[-1])
    header = "".join(f"{name:>24}" for name in population.members[0].values)
    lines = [f"{header}{'seeds':>8}{'mean':>9}{'deviation':>11}{'worst':>9}"]
    for values, accuracies in rows.items():
        columns = "".join(f"{value:>24g}" for value in values)
        lines.append(
            f"{columns}{len(accuracies):>8}{np.mean(accuracies):>9.2f}"
            f"{np.std(accuracies, ddof=len(accuracies) > 1):>11.2f}{min(accuracies):>9.2f}"
        )
    return "\n".join(lines)
