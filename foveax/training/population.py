"""Populations: many trainings as one program, over seeds and over any numeric hyper-parameter."""

import copy
import dataclasses
import itertools
import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import Array, InputError, Params
from foveax.data.dataset import Data
from foveax.data.load import load
from foveax.pipelines import Model
from foveax.training.config import Config, Learning
from foveax.training.evaluate import make_evaluator
from foveax.training.learner import Learner, make_learner
from foveax.training.mesh import check_divides, training_mesh
from foveax.training.metrics_file import read_metrics
from foveax.training.progress import optimise
from foveax.training.run import optimise_in
from foveax.training.run_directory import Stored, open_run

PARTS = {"model": Model, "learning": Learning}
HYPER_PARAMETERS = {
    field.name: part for part, kind in PARTS.items() for field in dataclasses.fields(kind) if field.type is float
}
"""What can be varied, and the part of the configuration it belongs to."""
COUNTED = ("step", "images", "images_per_second")
"""Metrics that are the same for all members."""


class Population(NamedTuple):
    """The outcome of a population's training; the members' axis ``[P]`` comes first.

    Attributes:
      configs: each member's own: the same training alone is ``foveax.train(config)``.
      params: by module, ``[P, ...]``.
      accuracy: ``[P, T]``, on the test split, mean action, one pass.
      metrics: of the last dispatch, ``[P]`` each.
    """

    configs: list[Config]
    params: dict[str, Params]
    accuracy: np.ndarray
    metrics: Mapping[str, np.ndarray]


def train_population(
    config: Config,
    data: Data | None = None,
    *,
    seeds: int = 1,
    vary: Mapping[str, Sequence[float]] | None = None,
    out: str | Path | None = None,
    devices: int = 1,
) -> Population:
    """Trains every combination of seeds and of the values given, as one program.

    Each member is the training of its own configuration: the same parameters at the start, the same images in the
    same order, the same exploration; the numbers agree but for the rounding of batched matrix products, which small
    differences a long training amplifies as it does those between devices.

    Args:
      config: of all members; its seed is the first.
      data: by default what `config.data` names; prepared by the configuration.
      seeds: how many, counted on from the configuration's.
      vary: values by the name of a hyper-parameter: any float of `Model` or `Learning`.
      out: a run directory, with ``config.json``, ``metrics.jsonl``, ``checkpoints/`` and ``provenance.json``; the same
        population that is there already is continued. None keeps nothing.
      devices: among which the members are divided and, where there are more of them, every batch; 0 takes all.

    A member whose losses or gradients are no longer finite keeps its last good parameters, while the others go on.

    Raises:
      InputError: if a name is no such hyper-parameter, a value is one that its field refuses, there are no such devices
        or several processes, or the run directory is another's.
      Interrupted: as in `foveax.train`.
      DivergenceError: likewise, once all members have diverged.

    Example:
      >>> import foveax as fx
      >>> config = fx.Config(images=320, model=fx.Model(hidden=8, features=8))
      >>> population = fx.train_population(config, seeds=2, vary={"entropy": [0.0, 0.1]})
      >>> population.accuracy.shape, [member.seed for member in population.configs]
      ((4, 6), [0, 0, 1, 1])
    """
    if config.trainer != "foveax":
        raise InputError(f"trainer must be foveax, which alone trains populations; got {config.trainer!r}")
    if jax.process_count() > 1:
        raise InputError(f"a population must be trained in one process; this is one of {jax.process_count()}")
    configs = members(config, seeds=seeds, vary=vary or {})
    mesh = training_mesh(devices, members=len(configs))
    if mesh:
        check_divides(mesh, config.batch)
    data = config.prepare(data or load(config.data, data_dir=config.data_dir or None))
    keys = jnp.stack([jax.random.key(member.seed) for member in configs])
    values = {name: jnp.array([_value(member, name) for member in configs], jnp.float32) for name in vary or {}}
    state = jax.vmap(lambda key, values: _learner(config, data, values).init(key)._replace(varied=values))(keys, values)
    learner = Learner(
        init=_learner(config, data, {}).init,
        step=lambda state, batch: _learner(config, data, state.varied).step(state, batch),
    )
    last: dict[str, Any] = {}
    told = {"listeners": [last.update], "mesh": mesh}
    if out is None:
        state, _ = optimise(config, data, learner, state, **told)
    else:
        vary_json = {name: [float(value) for value in values] for name, values in (vary or {}).items()}
        path = open_run(out, Stored(config, population={"seeds": seeds, "vary": vary_json}))
        state, _ = optimise_in(path, config, data, learner, state, **told)
        last = read_metrics(path / "metrics.jsonl")[-1]
    metrics = {name: np.asarray(value) for name, value in last.items() if name not in COUNTED}
    evaluator = make_evaluator(config.pipeline(data))
    params = jax.device_put(state.params, jax.devices()[0])
    accuracy = [
        evaluator(jax.tree.map(operator.itemgetter(index), params), data.test, keys[index]).accuracy
        for index in range(len(configs))
    ]
    return Population(configs, params, np.stack(accuracy), metrics)


def members(config: Config, *, seeds: int, vary: Mapping[str, Sequence[float]]) -> list[Config]:
    """The configuration of each member: every combination, the seeds outermost.

    Raises:
      InputError: if a name is no hyper-parameter, or a value is one that its field refuses.
    """
    for name in vary:
        if name not in HYPER_PARAMETERS:
            raise InputError(f"vary must name one of {', '.join(HYPER_PARAMETERS)}; got {name!r}")
    combinations = itertools.product(range(seeds), *vary.values())
    return [
        _with_values(dataclasses.replace(config, seed=config.seed + number), dict(zip(vary, values, strict=True)))
        for number, *values in combinations
    ]


def _with_values(config: Config, values: Mapping[str, float]) -> Config:
    parts = {part: {name: values[name] for name in values if HYPER_PARAMETERS[name] == part} for part in PARTS}
    return dataclasses.replace(
        config, **{part: dataclasses.replace(getattr(config, part), **chosen) for part, chosen in parts.items()}
    )


def _learner(config: Config, data: Data, values: Mapping[str, Array]) -> Learner:
    """The learner of a configuration in which traced values stand for hyper-parameters."""
    parts = {part: copy.copy(getattr(config, part)) for part in PARTS}
    for name, value in values.items():
        object.__setattr__(parts[HYPER_PARAMETERS[name]], name, value)  # past the checks, which want numbers
    varied = copy.copy(config)
    for part, holding in parts.items():
        object.__setattr__(varied, part, holding)
    return make_learner(varied.pipeline(data), varied.learning, steps=config.steps)


def _value(config: Config, name: str) -> float:
    return getattr(getattr(config, HYPER_PARAMETERS[name]), name)


def format_population(population: Population, vary: Sequence[str]) -> str:
    """A table of test accuracy in %: mean, standard deviation and worst over the seeds, for each combination."""
    rows: dict[tuple[float, ...], list[float]] = {}
    for config, accuracy in zip(population.configs, population.accuracy, strict=True):
        rows.setdefault(tuple(_value(config, name) for name in vary), []).append(100 * accuracy[-1])
    header = "".join(f"{name:>24}" for name in vary)
    lines = [f"{header}{'seeds':>8}{'mean':>9}{'deviation':>11}{'worst':>9}"]
    for values, scores in rows.items():
        shown = "".join(f"{value:>24g}" for value in values)
        lines.append(
            f"{shown}{len(scores):>8}{np.mean(scores):>9.2f}{np.std(scores, ddof=len(scores) > 1):>11.2f}"
            f"{min(scores):>9.2f}"
        )
    return "\n".join(lines)
