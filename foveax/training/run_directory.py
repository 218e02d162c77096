"""The run directory: what lies in it, and how it is written so that nothing is left half-written."""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from foveax._types import InputError
from foveax.training.config import Config
from foveax.training.files import check_inside, read_json, write_json

FORMAT = 2
"""Of the run directory; written into ``config.json``. Since 2 metrics hold no timing and checkpoints have digests."""
READABLE = (1, 2)
"""Format 1 can be read and forked, not continued."""
BESIDES = ("format", "foveax", "fork", "population")
"""What ``config.json`` holds beside the configuration."""

FORK = ("run", "step", "identity")


class Stored(NamedTuple):
    """What ``config.json`` says of a run.

    Attributes:
      config: all that decides the outcome, but for the two that follow.
      fork: where it began, if not at the beginning: ``run``, ``step`` and ``identity``; or None.
      population: ``seeds`` and ``vary`` of a population; or None.
      format: of the run directory.
    """

    config: Config
    fork: dict[str, Any] | None = None
    population: dict[str, Any] | None = None
    format: int = FORMAT

    @property
    def identity(self) -> str:
        """A digest of all that decides the outcome, by which a run knows its own files."""
        decides = {**self.config.to_json(), "data_dir": "", "fork": self.fork, "population": self.population}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def open_run(directory: str | Path, run: Stored) -> Path:
    """Makes a run directory with its ``config.json``, or finds that of the same run.

    Where TFDS sets lie (`data_dir`) is left out of the comparison: a run may be continued on another machine.

    Args:
      directory: of the run.
      run: its configuration, and what else decides the outcome.

    Raises:
      InputError: if it cannot be written, is a folder of something else, or a run of another configuration; the
        message lists the fields that differ.
    """
    path = Path(directory)
    try:
        if path.is_dir() and any(path.iterdir()):
            _check_same(path, read_run(path), run)
        else:
            path.mkdir(parents=True, exist_ok=True)
            besides = {"fork": run.fork, "population": run.population}
            versions = {"format": FORMAT, "foveax": importlib.metadata.version("foveax")}
            kept = {name: value for name, value in besides.items() if value is not None}
            write_json(path / "config.json", {**versions, **kept, **run.config.to_json()})
    except OSError as error:
        raise InputError(f"run directory must be writable; {path} is not: {error.strerror}") from error
    return path


def read_run(path: Path) -> Stored:
    """What ``config.json`` says of a run.

    Raises:
      InputError: if it is no run directory, holds links, or another version of foveax wrote it.
    """
    check_inside(path)
    file = path / "config.json"
    if not file.exists():
        raise InputError(f"run directory must hold a config.json; {path} does not")
    stored = read_json(file)
    if not isinstance(stored, dict) or stored.get("format") not in READABLE or isinstance(stored["format"], bool):
        wrote = f"; foveax {stored['foveax']!s:.40} wrote it" if isinstance(stored, dict) and "foveax" in stored else ""
        raise InputError(f"{file} must be of format 1 or 2, which this version of foveax reads{wrote}")
    for name in ("fork", "population"):
        if not isinstance(stored.get(name, {}), dict):
            raise InputError(f"{name} in {file} must be a JSON object; got {type(stored[name]).__name__}")
    point = stored.get("fork", dict.fromkeys(FORK))
    if set(point) != set(FORK) or ("fork" in stored and [type(point[name]) for name in FORK] != [str, int, str]):
        raise InputError(f"fork in {file} must hold run, step and identity, text, a whole number and text")
    config = Config.from_json({name: value for name, value in stored.items() if name not in BESIDES})
    return Stored(config, stored.get("fork"), stored.get("population"), stored["format"])


def read_config(path: Path) -> Config:
    """The configuration of a run directory.

    Raises:
      InputError: if it is no run directory of a single training, or another version of foveax wrote it.
    """
    stored = read_run(path)
    if stored.population is not None:
        raise InputError(f"run must be that of a single training; {path} is a population's")
    return stored.config


def _check_same(path: Path, stored: Stored, run: Stored) -> None:
    if stored.format != FORMAT:
        raise InputError(
            f"run {path} must be of format {FORMAT} to be continued; foveax 0.1.0 wrote it in format {stored.format}: "
            "it can be read, and a new run can begin from it with --fork"
        )
    theirs, ours = (_leaves(part.config.to_json()) for part in (stored, run))
    theirs["population"], ours["population"] = stored.population, run.population
    if run.fork is not None:  # a fork is continued with or without being told so
        theirs["fork"], ours["fork"] = (stored.fork or {}).get("run"), run.fork["run"]
    names = [name for name in ours if name != "data_dir" and ours[name] != theirs[name]]
    if names:
        differences = "; ".join(f"{name} is {theirs[name]!r} there, {ours[name]!r} here" for name in names)
        raise InputError(f"run {path} must be of the same configuration to be continued: {differences}")


def _leaves(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a configuration and of those inside it, whose names do not clash."""
    leaves: dict[str, Any] = {}
    for name, value in values.items():
        leaves |= _leaves(value) if isinstance(value, Mapping) else {name: value}
    return leaves
