"""The metrics file: a line of JSON for each dispatch, appended, and repaired where a run is resumed."""

import errno
import hashlib
import json
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from foveax._types import InputError
from foveax.runtime.files import DamageWarning, null_for_nan, write_atomically, writing

TIMED = ("images_per_second",)
"""Reported to listeners, not written: the file is the same whenever and however often a training is interrupted."""


class MetricsFile:
    """The open metrics file of a run; closes when left as a context.

    Args:
      path: of the file.
      step: at which the training is resumed: later lines are dropped, they will be written again.
      seal: of `seal`, when the state of that step was saved; what does not agree with it is named in a warning.
    """

    def __init__(self, path: Path, *, step: int, seal: Mapping[str, Any] | None = None):
        self._path = path
        with writing("file", path):
            lines = _lines_to_resume(path, step, seal)
            write_atomically(path, lambda file: file.write(lines))
            self._file = path.open("ab", buffering=0)  # what could not be written is not tried again
        self._digest = hashlib.sha256(lines)
        self._bytes = len(lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Adds a line, in which a number that is not finite is null."""
        values = null_for_nan({name: value for name, value in metrics.items() if name not in TIMED})
        line = json.dumps(values, allow_nan=False).encode() + b"\n"
        with writing("file", self._path):
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._digest.update(line)
        self._bytes += len(line)

    def seal(self) -> dict[str, Any]:
        """Moves what was written to the disk, and gives its size and SHA-256."""
        with writing("file", self._path):
            os.fsync(self._file.fileno())
        return {"bytes": self._bytes, "sha256": self._digest.hexdigest()}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file, but for a torn last one; null is read as NaN.

    Raises `InputError` if it cannot be read, or a line is not a JSON object with a number ``step``.
    """
    try:
        lines = _parsed_lines(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} must be readable: {error.strerror}") from None
    for number, (_, metrics) in enumerate(lines, start=1):
        if not metrics:
            raise InputError(f"{path} must hold a JSON object with a step in each line; line {number} does not")
    return [{name: _nan_for_null(value) for name, value in metrics.items()} for _, metrics in lines]


def _nan_for_null(value: Any) -> Any:
    """A metric, or those of the members of a population."""
    if isinstance(value, list):
        return [_nan_for_null(item) for item in value]
    return math.nan if value is None else value


def _parsed_lines(content: bytes) -> list[tuple[bytes, dict[str, Any]]]:
    """The lines but for a torn last one, each with its metrics, which are empty if it is damaged."""
    lines = [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]
    return [(line, _parsed(line)) for line in lines]


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        metrics = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return metrics if isinstance(metrics, dict) and isinstance(metrics.get("step"), int) else {}


def _lines_to_resume(path: Path, step: int, seal: Mapping[str, Any] | None) -> bytes:
    content = path.read_bytes() if path.exists() else b""
    if seal and hashlib.sha256(content[: seal["bytes"]]).hexdigest() == seal["sha256"]:
        return content[: seal["bytes"]]
    if seal:
        message = f"{path} is damaged: up to step {step} it is not as it was written; its readable lines are kept"
        warnings.warn(message, DamageWarning, stacklevel=4)
    return b"".join(line for line, metrics in _parsed_lines(content) if metrics and metrics["step"] <= step)
