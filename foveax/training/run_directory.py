"""The run directory: what lies in it, and how it is written so that nothing is left half-written."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from foveax._types import InputError
from foveax.training.config import Config

FORMAT = 1
"""Of the run directory; written into ``config.json``."""


def open_run(directory: str | Path, config: Config) -> Path:
    """Makes a run directory with its ``config.json``, or finds that of the same configuration.

    Where TFDS sets lie (`data_dir`) is left out of the comparison: a run may be continued on another machine.

    Raises:
      InputError: if it cannot be written, is a folder of something else, or a run of another configuration; the
        message lists the fields that differ.
    """
    path = Path(directory)
    try:
        if path.is_dir() and any(path.iterdir()):
            _check_same(path, read_config(path), config)
        else:
            path.mkdir(parents=True, exist_ok=True)
            write_json(path / "config.json", {"format": FORMAT, **config.to_json()})
    except OSError as error:
        raise InputError(f"run directory must be writable; {path} is not: {error.strerror}") from error
    return path


def read_config(path: Path) -> Config:
    """The configuration of a run directory.

    Raises:
      InputError: if it is no run directory, or another version of foveax wrote it.
    """
    file = path / "config.json"
    try:
        stored = json.loads(file.read_text())
    except OSError:
        raise InputError(f"run directory must hold a config.json; {path} does not") from None
    except ValueError as error:
        raise InputError(f"{file} must be JSON: {error}") from None
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise InputError(f"{file} must be of format {FORMAT}, which this version of foveax reads")
    return Config.from_json({name: value for name, value in stored.items() if name != "format"})


def keep_metrics_until(path: Path, step: int) -> None:
    """Drops the lines of a metrics file after a step, and a torn last line: they will be written again."""
    if not path.exists():
        return
    whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    kept = "".join(line for line in whole if json.loads(line)["step"] <= step)
    write_atomically(path, lambda file: file.write(kept.encode()))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes JSON, whole or not at all."""
    write_atomically(path, lambda file: file.write((json.dumps(values, indent=2) + "\n").encode()))


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays, whole or not at all.

    Raises:
      InputError: if the file cannot be written.
    """
    try:
        write_atomically(path, lambda file: np.savez(file, **arrays))  # pyright: ignore[reportArgumentType]
    except OSError as error:
        raise InputError(f"file must be writable; {path} is not: {error.strerror}") from error


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Writes a file beside its place and moves it there when it is whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            write(file)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _check_same(path: Path, stored: Config, config: Config) -> None:
    theirs, ours = _leaves(stored.to_json()), _leaves(config.to_json())
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
