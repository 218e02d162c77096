"""A training from beginning to end: data, loop, controls, and the directory that keeps it all."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from foveax._types import InputError, Params
from foveax.data.dataset import Data
from foveax.data.load import load
from foveax.graph.graph import Graph
from foveax.training.checkpoint import Checkpoints
from foveax.training.config import Config
from foveax.training.files import read_json
from foveax.training.learner import Learner, TrainState, make_learner
from foveax.training.mesh import check_divides, local_copy, place, training_mesh
from foveax.training.metrics_file import MetricsFile
from foveax.training.processes import any_process, check_alike, lead_first, leads
from foveax.training.progress import TIMING, Kept, Listener, optimise
from foveax.training.provenance import record
from foveax.training.run_directory import Stored, open_run, read_config, read_run
from foveax.training.summary import Result, conclude
from foveax.training.watchdog import watchdog


def train(
    config: Config,
    data: Data | None = None,
    *,
    out: str | Path | None = None,
    fork: str | Path | None = None,
    download: bool = False,
    progress: Listener | None = None,
    devices: int = 1,
    patience: float = 0.0,
) -> Result:
    """Trains the standard pipeline from a configuration, and evaluates it beside its controls.

    Where several processes train together (`jax.distributed`), all call this alike, with a run directory that all see.
    Each takes its share of every batch and of every checkpoint; process 0 alone writes the rest.

    Args:
      config: all that decides the outcome.
      data: by default what `config.data` names; prepared by the configuration (`Config.prepare`).
      out: the run directory. It gets ``config.json``, ``metrics.jsonl``, ``checkpoints/``, ``summary.json``,
        ``provenance.json`` and ``fixations.png``; a run of the same configuration that is there already is continued.
        None writes nothing.
      fork: another run, of a configuration with the same arrays in its model, from whose newest checkpoint the run
        begins: its parameters, optimiser's state and step, under this configuration, seed and length.
      download: whether to download a TFDS set that is not there.
      progress: called after each dispatch.
      devices: of each process, among which every batch is divided; 0 takes all.
      patience: seconds without a finished dispatch after which the process is ended (`watchdog`); 0 waits for ever.

    Raises:
      InputError: for data, devices or a run directory that do not fit the configuration, before anything is written;
        and if the run directory can no longer be written.
      Interrupted: a KeyboardInterrupt, on SIGINT or SIGTERM, once the running dispatch is done and saved in `out`.
      DivergenceError: after `Learning.skips_in_a_row` updates skipped for losses or gradients that are not finite; the
        last good parameters are saved in `out`.

    Example:
      >>> import foveax as fx
      >>> result = fx.train(fx.Config(images=640, model=fx.Model(hidden=16, features=16)))
      >>> list(result.evaluations), len(result.summary["test"]["learned"]["accuracy"])
      (['learned', 'best sequence', 'another image', 'random', 'centre'], 6)
    """
    if config.trainer != "foveax":
        raise InputError(f"trainer must be foveax here; got {config.trainer!r}: use foveax.environments.train_with")
    if fork is not None and out is None:
        raise InputError("a fork must have a run directory of its own; give one with --out")
    check_alike("configuration", str(dataclasses.replace(config, data_dir="")))
    given = data or lead_first(lambda: load(config.data, data_dir=config.data_dir or None, download=download))
    data = config.prepare(given)
    if config.batch > len(data.train["label"]):
        size = len(data.train["label"])
        raise InputError(f"batch must be at most the number of training images, {size}; got {config.batch}")
    mesh = training_mesh(devices)
    if mesh:
        check_divides(mesh, config.batch)
    learner = make_learner(config.pipeline(data), config.learning, steps=config.steps)
    initial = learner.init(jax.random.key(config.seed))
    initial = place(initial, mesh) if mesh else initial
    path = None if out is None else _opened(Path(out), config, fork, initial)
    with watchdog(patience) as alive:
        told = {"listeners": [progress, alive], "mesh": mesh}
        if path is None:
            state, timing = optimise(config, data, learner, initial, **told)
        else:
            state, timing = optimise_in(path, config, data, learner, initial, fork=fork, **told)
    return conclude(config, data, local_copy(state), timing, path if leads() else None)


def load_run(directory: str | Path) -> tuple[Config, Data, Graph, dict[str, Params]]:
    """The configuration, prepared data, pipeline and newest parameters of a run directory.

    Of checkpoints that are damaged, it warns, and takes the newest whole one.

    Raises:
      InputError: if it is no run directory, holds links, holds no whole checkpoint, or its data are not there.
    """
    path = Path(directory)
    config, identity = read_config(path), read_run(path).identity
    data = config.prepare(load(config.data, data_dir=config.data_dir or None))
    graph = config.pipeline(data)
    learner = make_learner(graph, config.learning, steps=config.steps)
    with Checkpoints(path / "checkpoints", identity) as checkpoints:
        state, _ = checkpoints.restore(jax.eval_shape(learner.init, jax.random.key(0)))
    return config, data, graph, state.params


def optimise_in(
    path: Path,
    config: Config,
    data: Data,
    learner: Learner,
    initial: TrainState,
    *,
    listeners: Sequence[Listener | None] = (),
    mesh: Mesh | None = None,
    fork: str | Path | None = None,
) -> tuple[TrainState, dict[str, float]]:
    """Trains with an open run directory: from its newest checkpoint if there is one, adding to its metrics.

    Args:
      path: of the run directory.
      config: of the training.
      data: prepared.
      learner: of the configuration.
      initial: the state, or those of a population, at the beginning.
      listeners: told the metrics after each dispatch.
      mesh: as in `fit`; the initial state lies on it.
      fork: the run whose checkpoint takes the place of `initial`, if this run is a fork.

    Returns:
      the state at the end, and the timing; of a run that is finished, those that it has.
    """
    stored = read_run(path)
    with Checkpoints(path / "checkpoints", stored.identity) as checkpoints:
        notes: dict[str, Any] = {}
        if checkpoints.steps():
            state, notes = checkpoints.restore(initial, repair=True)
        else:
            state = initial if stored.fork is None else _forked(fork, initial, stored.fork)
        step = int(state.step.max())
        timing = finished_timing(path / "summary.json") if step == config.steps else None
        if timing:
            return state, timing
        with _metrics_file(path, step, notes) as metrics:
            kept = Kept(checkpoints, metrics)
            if stored.fork is not None and not notes:
                kept.save(state)  # from here on the other run may go on, or go
            return optimise(config, data, learner, state, listeners=listeners, kept=kept, mesh=mesh)


def _metrics_file(
    path: Path, step: int, notes: Mapping[str, Any]
) -> contextlib.AbstractContextManager[MetricsFile | None]:
    """Records who begins or continues, and opens the metrics; process 0 alone does, the others get None."""
    if not leads():
        return contextlib.nullcontext()
    record(path, step)
    return MetricsFile(path / "metrics.jsonl", step=step, seal=notes.get("metrics"))


def finished_timing(summary: Path) -> dict[str, float] | None:
    """The timing in a summary, if it is there and whole."""
    with contextlib.suppress(InputError, KeyError, TypeError, ValueError):
        stored = read_json(summary)
        return {name: float(stored[name]) for name in TIMING}
    return None


def _opened(path: Path, config: Config, fork: str | Path | None, initial: TrainState) -> Path:
    """The open run directory: a new one, which says where it was forked from, or that of the same run."""
    if fork is None or any_process((path / "config.json").exists()):
        return lead_first(lambda: open_run(path, Stored(config, None if fork is None else {"run": str(fork)})))
    step = int(_forked(fork, initial).step)
    if step >= config.steps:
        raise InputError(
            f"images must be more than those the fork begins after, {step * config.batch}; got {config.images}"
        )
    begun = {"run": str(fork), "step": step, "identity": read_run(Path(fork)).identity}
    return lead_first(lambda: open_run(path, Stored(config, begun)))


def _forked(fork: str | Path | None, initial: TrainState, point: Mapping[str, Any] | None = None) -> TrainState:
    """The state with which a fork begins: another run's, under the new seed, its skipped steps forgotten.

    Args:
      fork: the other run.
      initial: of the new one.
      point: what the new one has recorded of it; None takes the newest checkpoint.
    """
    if fork is None:
        raise InputError(
            f"a fork without a checkpoint yet must be told again where it begins: --fork {point and point['run']}"
        )
    path = Path(fork)
    read_config(path)
    identity = read_run(path).identity
    if point and identity != point["identity"]:
        raise InputError(f"a fork must begin from the run it began from; the configuration of {path} is another now")
    with Checkpoints(path / "checkpoints", identity) as checkpoints:
        state, _ = checkpoints.restore(initial, step=point["step"] if point else None)
    return state._replace(key=initial.key, skipped=initial.skipped, skipped_in_a_row=initial.skipped_in_a_row)
