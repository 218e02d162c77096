"""Verification: the first steps of a run, trained again and compared with what it recorded."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax

from foveax._types import InputError
from foveax.data.dataset import Data
from foveax.pipelines.named import Build, Pipeline
from foveax.runs.directory import check_pipeline, read_single_run
from foveax.runs.load import run_data, run_pipeline
from foveax.runs.pipeline import build_graph
from foveax.runs.provenance import read_starts
from foveax.runs.run import metrics_as_numbers
from foveax.runs.train import describe_pipeline
from foveax.runtime.machine import provenance
from foveax.runtime.metrics_file import TIMED, read_metrics
from foveax.training.fit import fit
from foveax.training.learner import make_learner

COMPARED = ("versions", "platform", "device", "processor", "cores", "devices", "git")
"""Of the provenance: possible reasons why numbers differ."""


class Verification(NamedTuple):
    """The outcome of a verification.

    Attributes:
      same: whether all records agree to the last digit.
      steps: the number that were trained again.
      differences: by metric, the first record in which it differs, as ``(step, recorded, now)``.
      circumstances: by name, what was different when the run began, as ``(then, now)``.
    """

    same: bool
    steps: int
    differences: dict[str, tuple[int, Any, Any]]
    circumstances: dict[str, tuple[Any, Any]]

    def __str__(self) -> str:
        lines = [f"same: the first {self.steps} steps give the metrics that were recorded, to the last digit"]
        if not self.same:
            lines = [f"differs: the first {self.steps} steps do not give the metrics that were recorded"]
            lines += [
                f"  {name}, by step {step}: {then} recorded, {now} now"
                for name, (step, then, now) in self.differences.items()
            ]
        lines += [f"  {name} was {then}, is {now}" for name, (then, now) in self.circumstances.items()]
        return "\n".join(lines)


def verify(
    run: str | Path,
    *,
    steps: int = 300,
    data: Data | None = None,
    pipeline: Build | Pipeline | None = None,
    data_dir: str | Path | None = None,
) -> Verification:
    """Trains the first steps of a run again, in memory, and compares their metrics with those it recorded.

    Args:
      run: the run directory.
      steps: how many; they end at the last record among them, and reach at least the first.
      data: as in `foveax.load_run`.
      pipeline: likewise.
      data_dir: likewise.

    Raises:
      InputError: if it is no run directory, a fork, has recorded nothing yet, or its data or pipeline have changed.

    Example:
      >>> import foveax as fx, tempfile
      >>> config = fx.TrainingConfig(images=128, pipeline=fx.PipelineConfig(hidden=8, features=8))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     result = fx.train(config, out=f"{folder}/run", evaluate=False)
      ...     verification = verify(f"{folder}/run")
      >>> verification.same, verification.steps
      (True, 4)
    """
    path = Path(run).expanduser()
    record = read_single_run(path)
    config = record.config
    if record.fork is not None:
        raise InputError(f"run must have begun at its own first step to be verified; {path} did not")
    recorded = read_metrics(path / "metrics.jsonl")
    if not recorded:
        raise InputError(f"run must have recorded metrics to be verified; {path / 'metrics.jsonl'} is empty")
    dispatch = recorded[0]["step"]
    recorded = [line for line in recorded if line["step"] <= max(steps, dispatch)]
    found = run_pipeline(path, record, pipeline)
    prepared = config.prepare(run_data(path, record, data, data_dir))
    graph = build_graph(config, prepared, found)
    check_pipeline(path, record.pipeline, describe_pipeline(found, graph))
    learner = make_learner(graph, config.learning, steps=config.steps)
    state = learner.init(jax.random.key(config.seed))
    until = min(recorded[-1]["step"], config.steps)
    dispatches = fit(learner, prepared, state, steps=until, batch=config.batch, dispatch=dispatch)
    again = [metrics_as_numbers(metrics, config.batch) for _, metrics in dispatches]
    differences: dict[str, tuple[int, Any, Any]] = {}
    for then, now in zip(recorded, again, strict=False):
        for name in (then | now).keys() - set(TIMED):
            if _text(then.get(name)) != _text(now.get(name)):
                differences.setdefault(name, (then["step"], then.get(name), now.get(name)))
    same = not differences and len(recorded) == len(again)
    return Verification(same, recorded[-1]["step"], differences, _circumstances(path))


def _circumstances(path: Path) -> dict[str, tuple[Any, Any]]:
    """What was different when the run was first started; nothing if it was not recorded."""
    starts, now = read_starts(path), provenance()
    flat_then, flat_now = (
        _flat({name: part.get(name) for name in COMPARED}) for part in (starts[0] if starts else now, now)
    )
    return {name: (flat_then.get(name), flat_now[name]) for name in flat_now if flat_then.get(name) != flat_now[name]}


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    packages = values.pop("versions")
    return {**values, **(packages if isinstance(packages, dict) else {})}


def _text(value: Any) -> str:
    """As JSON, in which NaN is equal to itself."""
    return json.dumps(value)
