"""Verification: the first steps of a run, trained again and compared with what it recorded."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax

from foveax._types import InputError
from foveax.data.dataset import Data
from foveax.data.load import load
from foveax.training.config import Config
from foveax.training.fit import fit
from foveax.training.learner import make_learner
from foveax.training.metrics_file import TIMED, read_metrics
from foveax.training.progress import metrics_as_numbers
from foveax.training.provenance import provenance, read_starts
from foveax.training.run_directory import read_config, read_run

COMPARED = ("versions", "platform", "device", "processor", "cores", "devices", "git")
"""Of the provenance: what may be why numbers differ."""


class Verified(NamedTuple):
    """What became of a verification.

    Attributes:
      same: whether all records agree to the last digit.
      steps: how many were trained again.
      differences: by metric, the first record in which it differs, as ``(step, recorded, now)``.
      elsewhere: by name, what was otherwise when the run began, as ``(then, now)``.
    """

    same: bool
    steps: int
    differences: dict[str, tuple[int, Any, Any]]
    elsewhere: dict[str, tuple[Any, Any]]

    @property
    def told(self) -> str:
        """The outcome in sentences."""
        lines = [f"same: the first {self.steps} steps give the metrics that were recorded, to the last digit"]
        if not self.same:
            lines = [f"differs: the first {self.steps} steps do not give the metrics that were recorded"]
            lines += [
                f"  {name}, by step {step}: {then} recorded, {now} now"
                for name, (step, then, now) in self.differences.items()
            ]
        lines += [f"  {name} was {then}, is {now}" for name, (then, now) in self.elsewhere.items()]
        return "\n".join(lines)


def verify(run: str | Path, *, steps: int = 300, data: Data | None = None) -> Verified:
    """Trains the first steps of a run again, in memory, and compares their metrics with those it recorded.

    Args:
      run: the run directory.
      steps: how many; they end at the last record among them, and reach at least the first.
      data: as `foveax.train` was given them; by default those that the configuration names.

    Raises:
      InputError: if it is no run directory of foveax's own trainer, a fork, or has recorded nothing yet.

    Example:
      >>> import foveax as fx, tempfile
      >>> config = fx.Config(images=128, dispatch=2, model=fx.Model(hidden=8, features=8))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     result = fx.train(config, out=f"{folder}/run")
      ...     verified = verify(f"{folder}/run", steps=2)
      >>> verified.same, verified.steps
      (True, 2)
    """
    path = Path(run)
    config = read_config(path)
    if read_run(path).fork is not None or config.trainer != "foveax":
        raise InputError(f"run must have begun at its own first step, by foveax, to be verified; {path} did not")
    recorded = read_metrics(path / "metrics.jsonl")
    if not recorded:
        raise InputError(f"run must have recorded metrics to be verified; {path / 'metrics.jsonl'} is empty")
    recorded = [line for line in recorded if line["step"] <= max(steps, recorded[0]["step"])]
    again = _first_metrics(config, data, recorded[-1]["step"])
    differences: dict[str, tuple[int, Any, Any]] = {}
    for then, now in zip(recorded, again, strict=False):
        for name in (then | now).keys() - set(TIMED):
            if _text(then.get(name)) != _text(now.get(name)):
                differences.setdefault(name, (then["step"], then.get(name), now.get(name)))
    same = not differences and len(recorded) == len(again)
    return Verified(same, recorded[-1]["step"], differences, _elsewhere(path))


def _first_metrics(config: Config, data: Data | None, steps: int) -> list[dict[str, Any]]:
    data = config.prepare(data or load(config.data, data_dir=config.data_dir or None))
    learner = make_learner(config.pipeline(data), config.learning, steps=config.steps)
    dispatches = fit(
        learner,
        data,
        learner.init(jax.random.key(config.seed)),
        steps=min(steps, config.steps),
        batch=config.batch,
        dispatch=config.dispatch,
        resident_bytes=config.resident_megabytes * 2**20,
    )
    return [metrics_as_numbers(metrics, config.batch) for _, metrics in dispatches]


def _elsewhere(path: Path) -> dict[str, tuple[Any, Any]]:
    """What was otherwise when the run was first started; nothing if it did not say."""
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
