"""A training from beginning to end: data, loop, controls, and the directory that keeps it all."""

import dataclasses
import importlib.metadata
import json
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from foveax._types import InputError, Metrics, Params
from foveax.data.dataset import Data
from foveax.data.load import load
from foveax.graph.graph import Graph
from foveax.plot.scanpath import fixation_sheet
from foveax.training.checkpoint import Checkpoints
from foveax.training.config import Config
from foveax.training.controls import evaluate_with_controls
from foveax.training.diagnosis import COLLAPSE_SHARE, diagnose
from foveax.training.evaluate import Evaluation, evaluate, scores
from foveax.training.fit import fit
from foveax.training.learner import Learner, TrainState, make_learner
from foveax.training.mesh import check_divides, local_copy, place, training_mesh
from foveax.training.processes import any_process, check_alike, lead_first, leads
from foveax.training.run_directory import keep_metrics_until, open_run, read_config, write_atomically, write_json
from foveax.training.watchdog import watchdog

SAVE_SECONDS = 30.0
SHEET_TRIALS = 16
TRAIN_SAMPLE = 5000
"""Training images, as they are shown, on which the accuracy is given beside that of the test."""
TIMING = ("images_per_second", "compile_seconds", "train_seconds", "wall_seconds")
"""Of the training itself; a run that is already finished keeps those it had."""
PACKAGES = ("foveax", "jax", "jaxlib", "flax", "optax", "distrax", "numpy")

Listener = Callable[[dict[str, float]], None]
"""Called after each dispatch with the metrics as numbers: ``step``, ``images``, ``images_per_second``, and the rest."""


class CollapseWarning(UserWarning):
    """The eye settles on one spot, or on the border, while it trains."""


class Result(NamedTuple):
    """A finished training.

    Attributes:
      graph: the pipeline.
      params: by module.
      evaluations: of the test split under the pipeline's own policy and under the controls, by policy.
      summary: as in ``summary.json``.
    """

    graph: Graph
    params: dict[str, Params]
    evaluations: dict[str, Evaluation]
    summary: dict[str, Any]


def train(
    config: Config,
    data: Data | None = None,
    *,
    out: str | Path | None = None,
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
      out: the run directory. It gets ``config.json``, ``metrics.jsonl``, ``checkpoints/``, ``summary.json`` and
        ``fixations.png``; a run of the same configuration that is there already is continued. None writes nothing.
      download: whether to download a TFDS set that is not there.
      progress: called after each dispatch.
      devices: of each process, among which every batch is divided; 0 takes all.
      patience: seconds without a finished dispatch after which the process is ended (`watchdog`); 0 waits for ever.

    Raises:
      InputError: for data, devices or a run directory that do not fit the configuration, before anything is written.

    Example:
      >>> import foveax as fx
      >>> result = fx.train(fx.Config(images=640, model=fx.Model(hidden=16, features=16)))
      >>> list(result.evaluations), len(result.summary["test"]["learned"]["accuracy"])
      (['learned', 'best sequence', 'another image', 'random', 'centre'], 6)
    """
    if config.trainer != "foveax":
        raise InputError(f"trainer must be foveax here; got {config.trainer!r}: use foveax.environments.train_with")
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
    with watchdog(patience) as alive:
        if out is None:
            state, timing = _optimise(config, data, learner, initial, [progress, alive], mesh)
        else:
            path = lead_first(lambda: open_run(out, config))
            state, timing = _optimise_in(path, config, data, learner, initial, [progress, alive], mesh)
    return conclude(config, data, local_copy(state), timing, Path(out) if out is not None and leads() else None)


def conclude(config: Config, data: Data, state: TrainState, timing: dict[str, float], path: Path | None) -> Result:
    """Evaluates a trained pipeline beside its controls, and writes ``summary.json`` and ``fixations.png``.

    Args:
      config: of the run.
      data: prepared.
      state: at the end of training.
      timing: of it.
      path: the run directory; None writes nothing.
    """
    graph = config.pipeline(data)
    key = jax.random.key(config.seed)
    evaluations = evaluate_with_controls(graph, state.params, data, policy=config.model.policy, key=key)
    trained = evaluate(graph, state.params, data.sample(key, TRAIN_SAMPLE), key=key)
    summary = _summary(config, data, state.params, evaluations, trained) | timing
    if path is not None:
        write_json(path / "summary.json", summary)
        _write_sheet(path / "fixations.png", data, evaluations[config.model.policy], config.model.crop)
    return Result(graph, state.params, evaluations, summary)


def load_run(directory: str | Path) -> tuple[Config, Data, Graph, dict[str, Params]]:
    """The configuration, prepared data, pipeline and newest parameters of a run directory.

    Raises:
      InputError: if it is no run directory, holds no checkpoint, or its data are not there.
    """
    config = read_config(Path(directory))
    data = config.prepare(load(config.data, data_dir=config.data_dir or None))
    graph = config.pipeline(data)
    learner = make_learner(graph, config.learning, steps=config.steps)
    with Checkpoints(Path(directory) / "checkpoints") as checkpoints:
        state = checkpoints.restore(jax.eval_shape(learner.init, jax.random.key(0)))
    return config, data, graph, state.params


def _optimise_in(
    path: Path,
    config: Config,
    data: Data,
    learner: Learner,
    initial: TrainState,
    listeners: list[Listener | None],
    mesh: Mesh | None,
) -> tuple[TrainState, dict[str, float]]:
    """Trains with a run directory: from its newest checkpoint if there is one, adding to its metrics."""
    with Checkpoints(path / "checkpoints") as checkpoints:
        state = initial if checkpoints.latest_step() is None else checkpoints.restore(initial)
        if int(state.step) == config.steps and (path / "summary.json").exists():
            summary = json.loads((path / "summary.json").read_text())
            return state, {name: summary[name] for name in TIMING}
        if not leads():
            return _optimise(config, data, learner, state, listeners, mesh, checkpoints)
        keep_metrics_until(path / "metrics.jsonl", int(state.step))
        with (path / "metrics.jsonl").open("a") as lines:

            def write(metrics: dict[str, float]) -> None:
                print(json.dumps(metrics), file=lines, flush=True)

            return _optimise(config, data, learner, state, [write, *listeners], mesh, checkpoints)


def _optimise(
    config: Config,
    data: Data,
    learner: Learner,
    state: TrainState,
    listeners: list[Listener | None],
    mesh: Mesh | None = None,
    checkpoints: Checkpoints | None = None,
) -> tuple[TrainState, dict[str, float]]:
    """The loop: a dispatch is under way before the metrics of the one before it are read."""
    first, waiting, warned = int(state.step), None, False
    started = saved = compiled = time.perf_counter()
    dispatches = fit(
        learner,
        data,
        state,
        steps=config.steps,
        batch=config.batch,
        dispatch=config.dispatch,
        resident_bytes=config.resident_megabytes * 2**20,
        mesh=mesh,
    )
    for state, metrics in dispatches:
        if waiting is None:
            compiled = time.perf_counter()
        else:
            numbers = _tell(listeners, waiting, config.batch, compiled, first)
            warned = warned or (leads() and _warn_of_collapse(numbers, config))
        waiting = metrics
        if checkpoints and any_process(time.perf_counter() - saved > SAVE_SECONDS):
            checkpoints.save(state)
            saved = time.perf_counter()
    if waiting is not None:
        _tell(listeners, waiting, config.batch, compiled, first)
    seconds = time.perf_counter() - compiled
    if checkpoints:
        checkpoints.save(state)
    rate = (config.steps - first) * config.batch / seconds
    figures = (rate, compiled - started, seconds, time.perf_counter() - started)
    return state, dict(zip(TIMING, figures, strict=True))


def _tell(
    listeners: list[Listener | None], metrics: Metrics, batch: int, compiled: float, first: int
) -> dict[str, float]:
    """Tells each listener the metrics as numbers, and returns them."""
    numbers = {name: float(value) for name, value in metrics.items()}
    step = int(numbers.pop("step"))
    rate = (step - first) * batch / (time.perf_counter() - compiled)
    numbers = {"step": step, "images": step * batch, "images_per_second": rate, **numbers}
    for listener in listeners:
        if listener:
            listener(numbers)
    return numbers


def _warn_of_collapse(metrics: dict[str, float], config: Config) -> bool:
    """Warns, once the first fifth of a training is done, when most of the eye's late aims return or hug the border."""
    signs = {"return to an earlier one": "saccader/refixation", "lie on the border": "saccader/border"}
    found = {said: metrics.get(sign, 0.0) for said, sign in signs.items() if metrics.get(sign, 0.0) > COLLAPSE_SHARE}
    if not found or metrics["step"] < config.steps / 5:
        return False
    shares = " and ".join(f"{share:.0%} {said}" for said, share in found.items())
    warnings.warn(
        f"at step {metrics['step']:.0f} the eye shows signs of collapse: of its late fixations {shares}; "
        "foveax diagnose tells more",
        CollapseWarning,
        stacklevel=2,
    )
    return True


def _summary(
    config: Config, data: Data, params: dict[str, Params], evaluations: dict[str, Evaluation], trained: Evaluation
) -> dict[str, Any]:
    height, width = data.test["image"].shape[1:3]
    return {
        "test": {name: scores(run, height=height, width=width) for name, run in evaluations.items()},
        "train": [float(share) for share in trained.accuracy],
        "diagnosis": diagnose(evaluations, policy=config.model.policy, config=config, data=data),
        "images": config.steps * config.batch,
        "parameters": {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in params.items()},
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
        "config": config.to_json(),
    }


def _write_sheet(path: Path, data: Data, evaluation: Evaluation, size: int) -> None:
    """Draws the first test images with their scanpaths and crops."""
    rows = slice(0, SHEET_TRIALS)
    decided = zip(evaluation.label[rows], evaluation.predicted[rows, -1], strict=True)
    titles = [f"{label}, taken for {decision}" if label != decision else f"{label}" for label, decision in decided]
    figure = fixation_sheet(data.test["image"][rows], evaluation.fixations[rows], titles=titles, size=size)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110))
