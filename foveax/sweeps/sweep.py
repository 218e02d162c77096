"""Sweeps: a training for every combination of values of any fields, those that share a program as one population."""

import dataclasses
import difflib
import functools
import inspect
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from foveax._types import InputError
from foveax.data.dataset import Data
from foveax.data.fingerprint import fingerprint
from foveax.evaluation.controls import evaluate_with_controls, own_name
from foveax.evaluation.evaluate import Report, silent
from foveax.graph.graph import Graph
from foveax.learning.hyperparameters import LearningConfig
from foveax.pipelines.named import Build, Pipeline
from foveax.pipelines.standard import PipelineConfig
from foveax.runs.config import ExecutionConfig, TrainingConfig
from foveax.runs.pipeline import STOCK, build_graph, find_pipeline
from foveax.runs.train import check_size, load_data, prepare
from foveax.runs.validation import check_unvalidated
from foveax.runtime.files import read_json, write_atomically, write_json
from foveax.sweeps.population import FIELDS, FLOATS, Member, make_member, population_mesh, train_members
from foveax.training.adversary import learner_of

if TYPE_CHECKING:
    import pandas as pd


def sweep(
    config: TrainingConfig,
    data: Data | None,
    grid: Mapping[str, Sequence[Any]],
    *,
    pipeline: Build | Pipeline | None = None,
    out: str | Path | None = None,
    controls: bool = True,
    report: Report = silent,
    execution: ExecutionConfig | None = None,
) -> "pd.DataFrame":
    """Trains every combination of the values given, and tabulates what each comes to.

    Members that compile to the same program (they differ in seeds, in numbers of learning, in hyper-parameters of the
    graph) are trained together as a population; the others in groups, one after another.

    Args:
      config: of all members.
      data: as in `foveax.train`.
      grid: values by name: any field of the configuration, of its pipeline or learning, with dashes or underscores, or
        an argument of a pipeline of your own.
      pipeline: as in `foveax.train`.
      out: a directory with ``sweep.json``, a run directory for each group, and the table as ``sweep.csv``; the same
        sweep that is there already is resumed. None keeps nothing.
      controls: whether to evaluate each member's controls too.
      report: called with a line as each group begins.
      execution: how it is executed.

    Returns:
      a pandas frame, one row per member: the values; ``accuracy_1`` to ``accuracy_T`` after each glimpse, on the test
      split; each control's accuracy after the last glimpse; ``images_per_second`` of its group, all members together.

    Raises:
      InputError: for a name or a value that is refused, a group whose pipeline and data do not fit, or a directory of
        another sweep, before anything is trained; and if pandas is not installed.

    Example:
      >>> import foveax as fx
      >>> config = fx.TrainingConfig(images=64, pipeline=fx.PipelineConfig(hidden=8, features=8, glimpses=2))
      >>> table = fx.sweep(config, None, {"learning-rate": [1e-3, 1e-2], "seed": [0, 1]}, controls=False)
      >>> table[["learning_rate", "seed"]].values.tolist()
      [[0.001, 0.0], [0.001, 1.0], [0.01, 0.0], [0.01, 1.0]]
    """
    try:
        import pandas as pd
    except ImportError:
        raise InputError("a sweep's table needs pandas, which is not installed: pip install 'foveax[sweep]'") from None
    execution = ExecutionConfig() if execution is None else execution
    path = None if out is None else Path(out).expanduser()
    own = find_pipeline(config, pipeline)
    members = _members(config, own, grid)
    data = load_data(config, data, execution)
    groups = _groups(members, data, execution)
    record = {"config": config.to_json(), "grid": _plain(grid)}
    record |= {"data": fingerprint(data), "pipeline": {"function": own.function, "arguments": own.arguments}}
    if path is not None:
        _open(path, json.loads(json.dumps(record)))
    rows: dict[int, dict[str, Any]] = {}
    for number, indices in enumerate(groups, start=1):
        group = [members[index] for index in indices]
        report(f"group {number} of {len(groups)}, {len(group)} trained as one: {group[0].values}")
        folder = None if path is None else path / f"group-{number}"
        figures = _figures(folder, group, data, controls=controls, execution=execution)
        rows |= {index: {**member.values, **own} for index, member, own in zip(indices, group, figures, strict=True)}
    table = pd.DataFrame([rows[index] for index in range(len(members))])
    if path is not None:
        write_atomically(path / "sweep.csv", lambda file: file.write(table.to_csv(index=False).encode()))
    return table


def _members(config: TrainingConfig, pipeline: Pipeline, grid: Mapping[str, Sequence[Any]]) -> list[Member]:
    """A member for each combination, the first name outermost; refuses names and values that there are not."""
    stock = pipeline.function in STOCK
    arguments = [] if stock else list(inspect.signature(pipeline.build).parameters)[1:]
    names = [*(name for name, part in FIELDS.items() if name != "data" and (stock or part != "pipeline")), *arguments]
    plain = _plain(grid)
    for name, values in plain.items():
        if names.count(name) != 1:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near and near[0] != name else f"they are {', '.join(names)}"
            raise InputError(f"a sweep must be over fields of one meaning; got {name!r}; {hint}")
        if not values:
            raise InputError(f"a sweep must have values for {name}; got none")
    combinations = itertools.product(*plain.values())
    return [make_member(config, pipeline, dict(zip(plain, values, strict=True))) for values in combinations]


def _plain(grid: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Values by the names of fields, as Python has them."""
    if text := [name for name, values in grid.items() if isinstance(values, str)]:
        raise InputError(f"a sweep must have a list of values for {text[0]}; got {grid[text[0]]!r}")
    values = {name.replace("-", "_"): list(values) for name, values in grid.items()}
    return {
        name: [part.item() if isinstance(part, np.generic) else part for part in parts]
        for name, parts in values.items()
    }


def _groups(members: list[Member], data: Data, execution: ExecutionConfig) -> list[list[int]]:
    """The members by program, as their indices: alike in all but seed, learning's numbers and the graph's.

    Builds the graph of each, and so refuses what does not fit, the devices and the memory included, before anything is
    written.
    """
    prepared = functools.lru_cache(maxsize=1)(lambda config: prepare(config, data, execution)[0])
    built: dict[str, Graph] = {}
    graphs: dict[str, Graph] = {}
    groups: dict[str, list[int]] = {}
    for index, (config, pipeline, _) in enumerate(members):
        check_unvalidated(config, "a sweep")
        floats = {name: getattr(LearningConfig, name) for name, part in FLOATS.items() if part == "learning"}
        bare = dataclasses.replace(config, seed=0, learning=dataclasses.replace(config.learning, **floats))
        key = str((bare, pipeline.arguments))
        if key not in built:
            told = "told" if config.pipeline.policy == "told" else "learned"  # all that decides how images are shown
            eye = PipelineConfig(first=config.pipeline.first, policy=told)
            shown = dataclasses.replace(bare, pipeline=eye, learning=LearningConfig())
            built[key] = build_graph(config, prepared(shown), pipeline)
        names = list(built[key].hyperparameters)
        numbers = {name: getattr(PipelineConfig, name) for name in names if FLOATS.get(name) == "pipeline"}
        same = str((dataclasses.replace(bare, pipeline=dataclasses.replace(bare.pipeline, **numbers)),
                    pipeline.arguments, names))  # fmt: skip
        graphs.setdefault(same, built[key])
        groups.setdefault(same, []).append(index)
    for same, indices in groups.items():
        config = members[indices[0]].config
        population_mesh(config, len(indices), execution)
        learner = learner_of(graphs[same], config.learning, steps=config.steps)
        check_size(graphs[same], learner, config, execution, members=len(indices))
    return list(groups.values())


def _open(path: Path, record: dict[str, Any]) -> None:
    """Makes a sweep's directory, or refuses one of something else."""
    file = path / "sweep.json"
    if path.is_dir() and any(path.iterdir()):
        there = read_json(file) if file.exists() else {}
        names = [name for name in record if not isinstance(there, dict) or there.get(name) != record[name]]
        if names:
            raise InputError(f"{path} must be new, or of the same sweep to be resumed; {', '.join(names)} differ there")
        return
    path.mkdir(parents=True, exist_ok=True)
    write_json(file, record)


def _figures(
    folder: Path | None, group: list[Member], data: Data, *, controls: bool, execution: ExecutionConfig
) -> list[dict[str, Any]]:
    """The figures of a group's members: trained, resumed, or read if all is there already."""
    stored = None if folder is None else folder / ("figures.json" if controls else "accuracy.json")
    if stored is not None and stored.exists():
        return read_json(stored)["members"]
    config = group[0].config
    varied = json.loads(json.dumps({"members": [member.values for member in group]}))
    population = train_members(group, varied, config, data, out=folder, execution=execution)
    prepared = prepare(config, data, execution)[0]
    figures = []
    for index, (member, accuracy) in enumerate(zip(group, population.accuracy.tolist(), strict=True)):
        row = {f"accuracy_{glimpse}": value for glimpse, value in enumerate(accuracy, start=1)}
        if controls:
            params = jax.tree.map(lambda leaf, index=index: leaf[index], population.params)
            row |= _controls(build_graph(member.config, prepared, member.pipeline), params, prepared, member)
        rate = population.images_per_second
        figures.append({**row, "images_per_second": None if math.isnan(rate) else rate})
    if stored is not None:
        write_json(stored, {"members": figures})
    return figures


def _controls(graph: Graph, params: Any, data: Data, member: Member) -> dict[str, float]:
    evaluations = evaluate_with_controls(graph, params, data, key=jax.random.key(member.config.seed))
    others = {name: evaluation for name, evaluation in evaluations.items() if name != own_name(graph)}
    return {name.replace(" ", "_"): float(evaluation.accuracy[-1]) for name, evaluation in others.items()}
