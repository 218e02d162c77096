"""Verification: the first steps of a run, trained again and compared with what it recorded."""

from pathlib import Path
from typing import Any, NamedTuple

import jax

from foveax._types import InputError
from foveax.data.dataset import Data
from foveax.pipelines.named import Build, Pipeline
from foveax.runs.directory import read_single_run, read_starts
from foveax.runs.load import run_data, run_graph, run_pipeline
from foveax.runs.run import metrics_as_numbers
from foveax.runs.validation import make_validation
from foveax.runtime.files import null_for_nan
from foveax.runtime.machine import provenance
from foveax.runtime.metrics_file import TIMED, read_metrics
from foveax.training.adversary import learner_of
from foveax.training.fit import fit

COMPARED = ("platform", "device", "processor", "cores", "devices", "git")
"""Of the provenance, next to the versions: possible reasons why numbers differ."""


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
        lines = [f"differs: the first {self.steps} steps do not give the metrics that were recorded"]
        if self.same:
            lines = [f"same: the first {self.steps} steps give the metrics that were recorded, to the last digit"]
        for name, (step, then, now) in self.differences.items():
            lines.append(f"  {name}, by step {step}: {then} recorded, {now} now")
        lines += [f"  {name} was {then}, is {now}" for name, (then, now) in self.circumstances.items()]
        return "\n".join(lines)


def verify(
    run: str | Path,
    *,
    steps: int = 300,
    data: Data | str | None = None,
    pipeline: Build | Pipeline | None = None,
    data_dir: str | Path | None = None,
) -> Verification:
    """Trains the first steps of a run again, in memory, and compares their metrics with those it recorded.

    Args:
      run: the run directory.
      steps: how many; they end at the last record among them, and reach at least the first.
      data: as in `foveax.load_run`, or the name of where they are now, as `foveax.load` takes it.
      pipeline: likewise.
      data_dir: likewise.

    Raises:
      InputError: if it is no run directory, began from another run, has recorded nothing yet, or its data or pipeline
        have changed.

    Example:
      >>> import foveax as fx, tempfile
      >>> config = fx.TrainingConfig(images=128, pipeline=fx.PipelineConfig(glimpses=2, hidden=8, features=8))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     result = fx.train(config, out=f"{folder}/run", evaluate=False)
      ...     verification = verify(f"{folder}/run")
      >>> verification.same, verification.steps
      (True, 4)
    """
    path = Path(run).expanduser()
    record = read_single_run(path)
    config = record.config
    if record.fork is not None or record.init_from is not None:
        raise InputError(f"run must have begun with parameters of its own to be verified; {path} did not")
    recorded = read_metrics(path / "metrics.jsonl")
    if not recorded:
        raise InputError(f"run must have recorded metrics to be verified; {path / 'metrics.jsonl'} is empty")
    dispatch = recorded[0]["step"]
    recorded = [line for line in recorded if line["step"] <= max(steps, dispatch)]
    found = run_pipeline(path, record, pipeline)
    data = config.load(data, data_dir=data_dir) if isinstance(data, str) else data
    own = run_data(path, record, data, data_dir)
    prepared = config.prepare(own)
    graph = run_graph(path, record, found, prepared)
    learner = learner_of(graph, config.learning, steps=config.steps)
    state = learner.init(jax.random.key(config.seed))
    until = min(recorded[-1]["step"], config.steps)
    options = {"steps": until, "batch": config.batch, "dispatch": dispatch, "period": config.validation_steps}
    validate = make_validation(graph, config.validation_split(own), config)
    dispatches = (validate(state, metrics) for state, metrics in fit(learner, prepared, state, **options))
    again = [metrics_as_numbers(metrics, config.batch) for metrics in dispatches]
    differences: dict[str, tuple[int, Any, Any]] = {}
    for then, now in zip(recorded, again, strict=False):
        for name in (then | now).keys() - set(TIMED):
            if null_for_nan(then.get(name)) != null_for_nan(now.get(name)):  # as NaN is not equal to itself
                differences.setdefault(name, (then["step"], then.get(name), now.get(name)))
    same = not differences and len(recorded) == len(again)
    return Verification(same, recorded[-1]["step"], differences, _circumstances(path))


def _circumstances(path: Path) -> dict[str, tuple[Any, Any]]:
    """What was different when the run was first started; nothing if it was not recorded."""
    starts = read_starts(path)
    now = _flat(provenance())
    then = _flat(starts[0]) if starts else now
    return {name: (then.get(name), value) for name, value in now.items() if then.get(name) != value}


def _flat(start: dict[str, Any]) -> dict[str, Any]:
    versions = start.get("versions")
    return {name: start.get(name) for name in COMPARED} | (versions if isinstance(versions, dict) else {})
