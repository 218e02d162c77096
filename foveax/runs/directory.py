"""The run directory: what lies in it, and how it is written so that nothing is left half-written."""

import datetime
import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from foveax._types import InputError
from foveax.data.dataset import as_array
from foveax.data.names import check_names
from foveax.runs.config import TrainingConfig
from foveax.runtime.files import DamageWarning, check_inside, read_json, write_atomically, write_json, writing
from foveax.runtime.machine import own_version, provenance
from foveax.runtime.ownership import LOCK

FORMAT = 3
"""Of the run directory; written into ``config.json``."""
SOURCE = "pipeline.py.txt"
"""A copy of the file that defines the pipeline, for the record: it is never executed."""
LATER = (
    "validate", "validate_every", "keep", "early_stopping", "class_weights", "first", "saccader_sees", "spread", "fit",
    "side", "test_share", "glance", "kernel_size", "kernel_stride", "blocks", "mirror", "rescale", "colour", "cutout",
    "zoom", "freeze", "mix", "fixations", "efference", "map_size", "pool", "weight_decay",
    "adversary", "adversary_norm", "adversary_steps", "adversary_rise", "saturation", "saccade", "glimpse_reward",
)  # fmt: skip
"""Fields of a configuration that are no part of a run's identity as long as they are default: runs that were begun
before there were these keep theirs."""
PARTS = {
    "data": {"classes": int, "names": list, "train": dict, "test": dict},
    "pipeline": {"function": str, "arguments": dict, "hyperparameters": dict, "graph": dict},
    "fork": {"run": str, "step": int, "identity": str},
    "init_from": {"run": str, "identity": str, "params": str, "new": list},
}
"""What parts of ``config.json`` hold, by name and type; data need no names."""


class RunRecord(NamedTuple):
    """What ``config.json`` says of a run: all that decides its outcome.

    Attributes:
      data: the fingerprint of the data, before they are prepared (`foveax.data.fingerprint`).
      pipeline: ``function``, ``arguments``, the values of the graph's ``hyperparameters``, and the fingerprint of the
        ``graph``.
      fork: where it began, if not at the beginning: ``run``, ``step`` and ``identity``.
      population: ``seeds`` and ``vary`` of a population.
      init_from: of a run that was fine-tuned, where its first parameters are from: ``run``, its ``identity``, a digest
        of its ``params``, and a line on each that is ``new``.
    """

    config: TrainingConfig
    data: dict[str, Any]
    pipeline: dict[str, Any]
    fork: dict[str, Any] | None = None
    population: dict[str, Any] | None = None
    init_from: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """As ``config.json`` holds it, without the versions."""
        parts = {**self._asdict(), "config": self.config.to_json()}
        return json.loads(json.dumps({name: part for name, part in parts.items() if part is not None}))

    @property
    def identity(self) -> str:
        """A digest by which a run knows its own files."""
        stored, default = self.to_json(), TrainingConfig().to_json()
        parts = (
            (stored["config"], default),
            *((stored["config"][name], default[name]) for name in ("pipeline", "learning")),
        )
        for part, defaults in parts:
            for name in [name for name in LATER if name in part and part[name] == defaults[name]]:
                del part[name]
        return hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()


def write_run(path: Path, record: RunRecord, source: str = "") -> RunRecord:
    """Makes a run directory with its ``config.json``, or checks that the one that is there is of the same run.

    Raises `InputError` if it cannot be written, is a folder of something else, or of another run.
    """
    with writing("run directory", path):
        check_run(path, record)
        if not is_run(path):
            path.mkdir(parents=True, exist_ok=True)
            versions = {"format": FORMAT, "foveax": own_version()}
            write_json(path / "config.json", {**versions, **record.to_json()})
        if source and not (path / SOURCE).exists():
            write_atomically(path / SOURCE, lambda file: file.write(source.encode()))
    return read_run(path)


def check_run(path: Path, record: RunRecord) -> None:
    """Refuses a directory in which something is that is not this run."""
    if is_run(path):
        _check_same(path, read_run(path), record)


def is_run(path: Path) -> bool:
    """Whether something is in a directory already, but for what a start leaves that was killed at once."""
    return path.is_dir() and any(not entry.name.startswith((".config.json.", LOCK)) for entry in path.iterdir())


def read_run(path: Path) -> RunRecord:
    """What ``config.json`` says of a run.

    Raises `InputError` if it is no run directory, holds links, or another version of foveax wrote it.
    """
    check_inside(path)
    file = path / "config.json"
    if not file.exists():
        raise InputError(f"run directory must hold a config.json; {path} does not")
    stored = read_json(file)
    if not isinstance(stored, dict) or type(stored.get("format")) is not int or stored["format"] != FORMAT:
        wrote = f"; foveax {stored['foveax']!s:.40} wrote it" if isinstance(stored, dict) and "foveax" in stored else ""
        raise InputError(f"{file} must be of format {FORMAT}, which this version of foveax reads{wrote}")
    parts = {name: stored[name] for name in RunRecord._fields if name in stored}
    for name in dict.fromkeys(("config", "data", "pipeline", *parts)):
        if not isinstance(parts.get(name), dict):
            raise InputError(f"{file} must hold {name}, a JSON object; got {parts.get(name)!r:.40}")
    for name, kinds in PARTS.items():
        held = {key: type(value) for key, value in parts.get(name, kinds).items()}
        if name in parts and held not in (kinds, {key: kind for key, kind in kinds.items() if key != "names"}):
            fields = ", ".join(f"{key} ({kind.__name__})" for key, kind in kinds.items())
            raise InputError(f"{name} in {file} must hold {fields}, and nothing else")
    if not all(_is_array(entry) for split in ("train", "test") for entry in parts["data"][split].values()):
        raise InputError(f"data in {file} must hold dtype, shape and SHA-256 of each array of train and test")
    title = f"names in {file}"
    names = check_names(title, as_array(title, parts["data"].get("names", [])))
    if len(names) not in (0, parts["data"]["classes"]):
        raise InputError(f"{title} must be one for each of its classes; got {len(names)}")
    return RunRecord(**{**parts, "config": TrainingConfig.from_json(parts["config"])})


def read_single_run(path: Path) -> RunRecord:
    """As `read_run`; refuses a population's as well."""
    record = read_run(path)
    if record.population is not None:
        raise InputError(f"run must be that of a single training; {path} is a population's")
    return record


def run_path(out: str | Path | None, config: TrainingConfig) -> Path | None:
    """The run directory, if there is one.

    Raises `InputError` if a run of another configuration is there: before data are loaded or a graph is built.
    """
    path = None if out is None else Path(out).expanduser()
    if path is not None and is_run(path):
        _check_config(path, read_run(path).config, config)
    return path


def _check_same(path: Path, stored: RunRecord, record: RunRecord) -> None:
    """Refuses to resume a run under another configuration, with other data or another pipeline."""
    _check_config(path, stored.config, record.config)
    check_data(path, stored.data, record.data)
    check_pipeline(path, stored.pipeline, record.pipeline)
    sides = {"of the same population": (stored.population, record.population)}
    if record.fork is not None:  # a fork is resumed with or without being given its origin again
        sides["a fork of the same run"] = (stored.fork and stored.fork["run"], record.fork["run"])
    if record.init_from is not None:
        sides["begun from the same run"] = (stored.init_from and stored.init_from["run"], record.init_from["run"])
    for kind, (theirs, ours) in sides.items():
        if theirs != ours:
            raise InputError(f"run {path} must be {kind} to be resumed: {theirs} there, {ours} here")


def check_data(path: Path, stored: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuses data that are not those of a run; the message says what they are on both sides."""
    difference = data_difference(stored, ours)
    if difference is not None:
        name, there, here = difference
        message = f"{name} is {_array(there)} there, {_array(here)} here"
        if _is_array(there) and _is_array(here) and there[:2] == here[:2]:
            message = f"{name} holds other values, SHA-256 {there[2]:.12} there and {here[2]:.12} here"
        raise InputError(f"data must be those that run {path} was trained on: {message}")


def data_difference(stored: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first place in which fingerprints differ; names of classes count only if the run was begun with some."""
    if "names" not in stored:
        ours = {name: part for name, part in ours.items() if name != "names"}
    return _difference(stored, ours)


def check_pipeline(path: Path, stored: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuses a pipeline whose graph, arguments or values of hyper-parameters are not those of a run."""
    theirs, here = (
        {"arguments": part["arguments"], "hyperparameter": part["hyperparameters"], **part["graph"]}
        for part in (stored, ours)
    )
    difference = _difference(theirs, here)
    if difference is not None:
        name, *sides = difference
        there, here = ("absent" if side in (None, "") else side for side in sides)
        message = f"{name} is {there} there, {here} here"
        raise InputError(f"pipeline must be the one that run {path} was trained with: {message}")


def record_start(path: Path, step: int) -> None:
    """Adds to ``provenance.json`` where and by what a run begins or is resumed; of a damaged file it warns."""
    try:
        starts = read_starts(path)
    except InputError as error:
        warnings.warn(f"{error}; a new one is begun", DamageWarning, stacklevel=2)
        starts = []
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(path / "provenance.json", {"starts": [*starts, {"step": step, "time": now, **provenance()}]})


def read_starts(path: Path) -> list[dict[str, Any]]:
    """The entries of a run's ``provenance.json``, one for each time it was started; none without the file."""
    file = path / "provenance.json"
    if not file.exists():
        return []
    stored = read_json(file)
    starts = stored.get("starts") if isinstance(stored, dict) else None
    if not isinstance(starts, list) or not all(isinstance(start, dict) for start in starts):
        raise InputError(f"{file} must hold a list of starts, each a JSON object")
    return starts


def _check_config(path: Path, stored: TrainingConfig, ours: TrainingConfig) -> None:
    theirs, here = (_leaves(config.to_json()) for config in (stored, ours))
    del here["data"]  # wherever they lie: their fingerprint tells whether they are the same
    names = [name for name in here if here[name] != theirs[name]]
    if names:
        differences = "; ".join(f"{name} is {theirs[name]!r} there, {here[name]!r} here" for name in names)
        longer = names == ["images"] and here["images"] > theirs["images"]
        hint = f"; --extend {path} and another --out go on from its end" if longer else ""
        raise InputError(f"run {path} must be of the same configuration to be resumed: {differences}{hint}")


def _leaves(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a configuration and of those inside it, whose names do not clash."""
    leaves: dict[str, Any] = {}
    for name, value in values.items():
        leaves |= _leaves(value) if isinstance(value, Mapping) else {name: value}
    return leaves


def _difference(theirs: Any, ours: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The first place in which two JSON values differ, and what stands there on either side."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        keys = dict.fromkeys((*theirs, *ours))
        differences = (_difference(theirs.get(key), ours.get(key), f"{name} {key}".strip()) for key in keys)
        return next(filter(None, differences), None)
    if isinstance(theirs, list) and isinstance(ours, list) and name == "names":
        return _difference(dict(enumerate(theirs)), dict(enumerate(ours)), "the name of class")
    if isinstance(theirs, list) and isinstance(ours, list) and name == "links":
        lost, more = ([link for link in part if link not in other] for part, other in ((theirs, ours), (ours, theirs)))
        return ("links", ", ".join(map(str, lost)), ", ".join(more)) if lost or more else None
    return None if theirs == ours else (name, theirs, ours)


def _array(entry: Any) -> str:
    """An array's dtype and shape as they are written in messages."""
    return f"{entry[0]}{entry[1]}" if _is_array(entry) else f"{'absent' if entry is None else entry!s:.60}"


def _is_array(entry: Any) -> bool:
    return isinstance(entry, list) and [type(part) for part in entry] == [str, list, str]
