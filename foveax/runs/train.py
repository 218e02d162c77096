"""A training from beginning to end: data, pipeline, loop, controls, and the directory that keeps it all."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from foveax._types import InputError
from foveax.data.dataset import Data, Split
from foveax.data.fingerprint import fingerprint as data_fingerprint
from foveax.evaluation.evaluate import Report, silent
from foveax.graph.fingerprint import fingerprint as graph_fingerprint
from foveax.graph.graph import Graph
from foveax.learning.ppo import check_compared
from foveax.pipelines.named import Build, Pipeline
from foveax.runs.config import ExecutionConfig, TrainingConfig
from foveax.runs.directory import RunRecord, run_path
from foveax.runs.initial import initial_point
from foveax.runs.pipeline import build_graph, find_pipeline
from foveax.runs.run import Listener, fork_point, open_run
from foveax.runs.summary import Result, conclude
from foveax.runs.validation import make_validation
from foveax.runtime.machine import check_memory
from foveax.runtime.processes import check_alike, main_first
from foveax.runtime.watchdog import watchdog
from foveax.training.adversary import learner_of
from foveax.training.fit import fit
from foveax.training.learner import Learner
from foveax.training.mesh import check_divides, local_copy, place, training_mesh


class SlowWarning(UserWarning):
    """A training that will take very long."""


def train(
    config: TrainingConfig,
    data: Data | None = None,
    *,
    pipeline: Build | Pipeline | None = None,
    out: str | Path | None = None,
    fork: str | Path | None = None,
    init_from: str | Path | None = None,
    evaluate: bool = True,
    listeners: Sequence[Listener] = (),
    report: Report = silent,
    execution: ExecutionConfig | None = None,
) -> Result:
    """Trains a pipeline, and evaluates it next to its controls.

    Where several processes train together (`jax.distributed`), all call this alike, with a run directory that all see.
    Each takes its share of every batch and of every checkpoint; process 0 alone writes the rest.

    Args:
      config: all that decides the outcome.
      data: by default those that `config.data` names; prepared by the configuration (`TrainingConfig.prepare`).
      pipeline: ``(data) -> graph``, a function of your own, or a `functools.partial` of one; by default the standard
        pipeline of the configuration.
      out: the run directory. It gets ``config.json``, ``metrics.jsonl``, ``checkpoints/``, ``summary.json``,
        ``provenance.json`` and ``fixations.png``; a run of the same configuration, data and pipeline that is there
        already is resumed. None writes nothing.
      fork: another run, with the same arrays in its pipeline, from whose newest checkpoint the run begins: its
        parameters, optimiser's state and step, under this configuration, seed and length. Other data are refused,
        unless the configuration names others.
      init_from: another run, on whatever data, with whose parameters the run begins as far as they fit in name and
        shape; the rest is new, and the optimiser's state. ``config.json`` says where from, and has a line on each that
        is new.
      evaluate: whether to evaluate at the end; without, ``summary.json`` holds the timing alone, and there are no
        figures.
      listeners: called after each dispatch with the metrics.
      report: called with a line on what else goes on: each parameter that is new next to `init_from`, and each part of
        the evaluation as it begins.
      execution: how it is executed.

    Raises:
      InputError: for data, a pipeline, devices or a run directory that do not fit the configuration, before anything is
        written; and if the run directory can no longer be written.
      Interrupted: a KeyboardInterrupt, on SIGINT or SIGTERM, once the running dispatch is done and saved in `out`.
      DivergenceError: after `LearningConfig.max_skips` consecutive updates that were skipped, for losses or gradients
        that are not finite; the parameters of the last update are saved in `out`, finite themselves, though what
        they give may not be.

    Example:
      >>> import foveax as fx
      >>> config = fx.TrainingConfig(images=320, pipeline=fx.PipelineConfig(glimpses=2, hidden=8, features=8))
      >>> result = fx.train(config)
      >>> list(result.evaluations), len(result.summary["test"]["learned"]["accuracy"])
      (['learned', 'best sequence', 'another image', 'random', 'centre'], 2)
    """
    execution = ExecutionConfig() if execution is None else execution
    if fork is not None and init_from is not None:
        raise InputError("one of fork and init_from must be given; got both")
    origin, source = (None if run is None else Path(run).expanduser() for run in (fork, init_from))
    if origin is not None and out is None:
        raise InputError("a fork must have a run directory of its own; give one with --out")
    check_alike("configuration", str(config))
    path = run_path(out, config)
    pipeline = find_pipeline(config, pipeline)
    mesh = training_mesh(execution.devices)
    data, prints, held = prepare(config, data, execution)
    graph = build_graph(config, data, pipeline)
    if mesh:
        check_divides(mesh, config.batch)
    learner = learner_of(graph, config.learning, steps=config.steps)
    check_size(graph, learner, config, execution)
    initial = learner.init(jax.random.key(config.seed))
    initial = place(initial, mesh) if mesh else initial
    begin = fork_point(path, origin, initial, config, prints)
    point = initial_point(path, source, initial.params)
    record = RunRecord(config, prints, describe_pipeline(pipeline, graph), begin, init_from=point)
    with (
        watchdog(execution.patience) as alive,
        open_run(path, record, source=pipeline.source, origin=origin or source, listeners=[*listeners, alive]) as run,
    ):
        for line in () if run.record.init_from is None else run.record.init_from["new"]:
            report(str(line))
        state = run.restore(initial)
        options = {**execution.fit_options(config), "steps": run.last_step}
        validate = make_validation(graph, held, config)
        for state, metrics in fit(learner, data, state, mesh=mesh, **options):
            run.log(validate(state, metrics), state)
            if run.should_save():
                run.save(state)
            if run.should_stop():
                break
        run.finish(state)
        params = run.final_params(state)
    return conclude(run, data, graph, local_copy(params), evaluate=evaluate, report=report)


def prepare(config: TrainingConfig, data: Data | None, execution: ExecutionConfig) -> tuple[Data, dict, Split]:
    """The data of a training, prepared, the fingerprint that they had before, and the images that it is validated on.

    Refuses fewer than a batch. Warns where compilation is switched off, as for debugging.
    """
    if jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
        message = "JAX_DISABLE_JIT is set: nothing is compiled, and an image takes about a second"
        warnings.warn(message, SlowWarning, stacklevel=3)
    data = load_data(config, data, execution)
    prepared = config.prepare(data)
    size = len(prepared.train["label"])
    if config.batch > size:
        raise InputError(f"batch must be at most the number of training images, {size}; got {config.batch}")
    return prepared, data_fingerprint(data), config.validation_split(data)


def load_data(config: TrainingConfig, data: Data | None, execution: ExecutionConfig) -> Data:
    """The data that are given or, without any, those that the configuration names, with the scanpaths that it names."""
    data = data or main_first(lambda: config.load(data_dir=execution.data_dir, download=execution.download))
    return config.follow_scanpaths(data)


def check_size(
    graph: Graph, learner: Learner, config: TrainingConfig, execution: ExecutionConfig, *, members: int = 1
) -> None:
    """Refuses a training of which a batch is too small to credit an agent's actions, or too large for the memory.

    Counted are state, gradients, a batch's values at all glimpses, and the numbers of a dispatch's images. On an
    accelerator, whose memory is its own, XLA says so.
    """
    if graph.agents and graph.length > 1:
        check_compared(config.batch, graph.length - 1, config.learning.normalize)
    if jax.default_backend() != "cpu":
        return
    state = jax.eval_shape(learner.init, jax.random.key(0))
    values = config.batch * (_bytes(graph.inputs) + graph.length * _bytes(graph.wiring.outputs))
    order = 8 * config.batch * execution.dispatch
    needed = _bytes(state) + _bytes(state.params) + values + order
    check_memory("a training's state, a batch and a dispatch", members * needed)


def _bytes(tree: Any) -> int:
    """Of all arrays in a tree, or of their shapes; a key counts as nothing."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def describe_pipeline(pipeline: Pipeline, graph: Graph) -> dict:
    """A pipeline as ``config.json`` holds it: its name, arguments, hyper-parameters, and its graph's fingerprint."""
    return {
        "function": pipeline.function,
        "arguments": pipeline.arguments,
        "hyperparameters": {name: float(value) for name, value in graph.hyperparameters.items()},
        "graph": graph_fingerprint(graph),
    }
