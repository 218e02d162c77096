"""The run directory: what lies in it, and how it is written so that nothing is left half-written."""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from foveax._types import InputError
from foveax.runs.config import TrainingConfig
from foveax.runtime.files import check_inside, read_json, write_atomically, write_json

FORMAT = 3
"""Of the run directory; written into ``config.json``."""
FORK = ("run", "step", "identity")
SOURCE = "pipeline.py.txt"
"""A copy of the file that defines the pipeline, for the record: it is never executed."""


class RunRecord(NamedTuple):
    """What ``config.json`` says of a run: all that decides its outcome.

    Attributes:
      config: of the training.
      data: the fingerprint of the data, before they are prepared (`foveax.data.fingerprint`).
      pipeline: ``function``, ``arguments``, the values of the graph's ``hyperparameters``, and the fingerprint of the
        ``graph``.
      fork: where it began, if not at the beginning: ``run``, ``step`` and ``identity``; or None.
      population: ``seeds`` and ``vary`` of a population; or None.
    """

    config: TrainingConfig
    data: dict[str, Any]
    pipeline: dict[str, Any]
    fork: dict[str, Any] | None = None
    population: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """As ``config.json`` holds it, without the versions."""
        parts = {**self._asdict(), "config": self.config.to_json()}
        return json.loads(json.dumps({name: part for name, part in parts.items() if part is not None}))

    @property
    def identity(self) -> str:
        """A digest by which a run knows its own files."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


def write_run(path: Path, record: RunRecord, source: str = "") -> None:
    """Makes a run directory with its ``config.json``, or checks that the one that is there is of the same run.

    Args:
      path: of the directory.
      record: of the run.
      source: of the pipeline.

    Raises:
      InputError: if it cannot be written, is a folder of something else, or of another run; the message says what
        differs, on both sides.
    """
    try:
        if is_run(path):
            check_same(path, read_run(path), record)
        else:
            path.mkdir(parents=True, exist_ok=True)
            versions = {"format": FORMAT, "foveax": importlib.metadata.version("foveax")}
            write_json(path / "config.json", {**versions, **record.to_json()})
        if source and not (path / SOURCE).exists():
            write_atomically(path / SOURCE, lambda file: file.write(source.encode()))
    except OSError as error:
        raise InputError(f"run directory must be writable; {path} is not: {error.strerror}") from error


def is_run(path: Path) -> bool:
    """Whether something is in a directory already, but for what a start that was killed left half-written."""
    return path.is_dir() and any(not entry.name.startswith(".config.json.") for entry in path.iterdir())


def read_run(path: Path) -> RunRecord:
    """What ``config.json`` says of a run.

    Raises:
      InputError: if it is no run directory, holds links, or another version of foveax wrote it.
    """
    check_inside(path)
    file = path / "config.json"
    if not file.exists():
        raise InputError(f"run directory must hold a config.json; {path} does not")
    stored = read_json(file)
    if not isinstance(stored, dict) or type(stored.get("format")) is not int or stored["format"] != FORMAT:
        wrote = f"; foveax {stored['foveax']!s:.40} wrote it" if isinstance(stored, dict) and "foveax" in stored else ""
        raise InputError(f"{file} must be of format {FORMAT}, which this version of foveax reads{wrote}")
    for name in ("config", "data", "pipeline", "fork", "population"):
        if not isinstance(stored.get(name, {}), dict):
            raise InputError(f"{name} in {file} must be a JSON object; got {type(stored[name]).__name__}")
    for name in ("config", "data", "pipeline"):
        if name not in stored:
            raise InputError(f"{file} must hold {name}; it does not")
    if not _is_data_fingerprint(stored["data"]):
        raise InputError(
            f"data in {file} must hold classes, and of each array of train and test dtype, shape and SHA-256"
        )
    point = stored.get("fork", dict.fromkeys(FORK))
    if set(point) != set(FORK) or ("fork" in stored and [type(point[name]) for name in FORK] != [str, int, str]):
        raise InputError(f"fork in {file} must hold run, step and identity, text, a whole number and text")
    pipeline = stored["pipeline"]
    kinds = {"function": str, "arguments": dict, "hyperparameters": dict, "graph": dict}
    if {name: type(part) for name, part in pipeline.items()} != kinds:
        raise InputError(f"pipeline in {file} must hold {', '.join(kinds)}: text and three JSON objects")
    config = TrainingConfig.from_json(stored["config"])
    return RunRecord(config, stored["data"], pipeline, stored.get("fork"), stored.get("population"))


def read_single_run(path: Path) -> RunRecord:
    """As `read_run`, of a single training.

    Raises:
      InputError: also if it is a population's.
    """
    record = read_run(path)
    if record.population is not None:
        raise InputError(f"run must be that of a single training; {path} is a population's")
    return record


def check_config(path: Path, config: TrainingConfig) -> None:
    """Refuses a directory whose run is of another configuration, before data are loaded or a graph is built."""
    if is_run(path):
        _check_config(path, read_run(path).config, config)


def check_same(path: Path, stored: RunRecord, record: RunRecord) -> None:
    """Refuses to resume a run under another configuration, with other data or another pipeline."""
    _check_config(path, stored.config, record.config)
    check_data(path, stored.data, record.data)
    check_pipeline(path, stored.pipeline, record.pipeline)
    if record.population != stored.population:
        raise InputError(
            f"run {path} must be of the same population to be resumed: {stored.population} there, "
            f"{record.population} here"
        )
    if record.fork is not None and record.fork["run"] != (stored.fork or {}).get("run"):
        # a fork is resumed with or without being given its origin again
        raise InputError(
            f"run {path} must be a fork of the same run to be resumed: {(stored.fork or {}).get('run')} there, "
            f"{record.fork['run']} here"
        )


def check_data(path: Path, stored: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuses data that are not those of a run.

    Raises:
      InputError: the message says what they are on both sides.
    """
    difference = _difference(stored, ours)
    if difference is None:
        return
    name, theirs, here = difference
    if _is_array(theirs) and _is_array(here) and theirs[:2] == here[:2]:
        said = f"{name} holds other values, SHA-256 {theirs[2]:.12} there and {here[2]:.12} here"
    else:
        said = f"{name} is {_array(theirs)} there, {_array(here)} here"
    raise InputError(f"data must be those that run {path} was trained on: {said}")


def check_pipeline(path: Path, stored: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuses a pipeline whose graph, arguments or values of hyper-parameters are not those of a run.

    Raises:
      InputError: the message says what differs, on both sides.
    """
    theirs, here = (
        {"arguments": part["arguments"], "hyperparameter": part["hyperparameters"], **part["graph"]}
        for part in (stored, ours)
    )
    difference = _difference(theirs, here)
    if difference is not None:
        name, *sides = difference
        theirs, here = ("absent" if side in (None, "") else side for side in sides)
        raise InputError(
            f"pipeline must be the one that run {path} was trained with: {name} is {theirs} there, {here} here"
        )


def _check_config(path: Path, stored: TrainingConfig, ours: TrainingConfig) -> None:
    theirs, here = (_leaves(config.to_json()) for config in (stored, ours))
    names = [name for name in here if here[name] != theirs[name]]
    if names:
        differences = "; ".join(f"{name} is {theirs[name]!r} there, {here[name]!r} here" for name in names)
        raise InputError(f"run {path} must be of the same configuration to be resumed: {differences}")


def _leaves(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a configuration and of those inside it, whose names do not clash."""
    leaves: dict[str, Any] = {}
    for name, value in values.items():
        leaves |= _leaves(value) if isinstance(value, Mapping) else {name: value}
    return leaves


def _difference(theirs: Any, ours: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The first place in which two JSON values differ, and what stands there on either side."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for key in dict.fromkeys((*theirs, *ours)):
            found = _difference(theirs.get(key), ours.get(key), f"{name} {key}".strip())
            if found:
                return found
        return None
    if isinstance(theirs, list) and isinstance(ours, list) and name == "links":
        lost, more = ([link for link in part if link not in other] for part, other in ((theirs, ours), (ours, theirs)))
        return ("links", ", ".join(map(str, lost)), ", ".join(more)) if lost or more else None
    return None if theirs == ours else (name, theirs, ours)


def _array(entry: Any) -> str:
    """An array's dtype and shape as they are written in messages."""
    return f"{entry[0]}{entry[1]}" if _is_array(entry) else str("absent" if entry is None else entry)


def _is_array(entry: Any) -> bool:
    return isinstance(entry, list) and [type(part) for part in entry] == [str, list, str]


def _is_data_fingerprint(data: Mapping[str, Any]) -> bool:
    splits = [data.get("train"), data.get("test")]
    if type(data.get("classes")) is not int or not all(isinstance(split, dict) for split in splits):
        return False
    return all(_is_array(entry) for split in splits if split for entry in split.values())
