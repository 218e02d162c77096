"""The metrics file: a line of JSON for each dispatch, appended, and repaired where a run is resumed."""

import contextlib
import errno
import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from foveax._types import InputError
from foveax.runtime.files import DamageWarning, write_atomically

TIMED = ("images_per_second",)
"""Reported to listeners, not written: the file is the same whenever and however often a training is interrupted."""


class MetricsFile:
    """The open metrics file of a run; closes when left as a context.

    A class, since it is written to until the training ends.

    Args:
      path: of the file.
      step: at which the training is resumed: later lines are dropped, they will be written again.
      seal: of `seal`, when the state of that step was saved; what does not agree with it is named in a warning.
    """

    def __init__(self, path: Path, *, step: int, seal: Mapping[str, Any] | None = None):
        self._path = path
        with _writing(path):
            lines = _whole_lines(path, step, seal)
            write_atomically(path, lambda file: file.write(lines))
            self._file = path.open("ab", buffering=0)  # what could not be written is not tried again
        self._digest, self._bytes = hashlib.sha256(lines), len(lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Adds a line."""
        line = json.dumps({name: value for name, value in metrics.items() if name not in TIMED}).encode() + b"\n"
        with _writing(self._path):
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._digest.update(line)
        self._bytes += len(line)

    def seal(self) -> dict[str, Any]:
        """Moves what was written to the disk, and gives its size and SHA-256."""
        with _writing(self._path):
            os.fsync(self._file.fileno())
        return {"bytes": self._bytes, "sha256": self._digest.hexdigest()}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file, but for a torn last one.

    Raises:
      InputError: if it cannot be read, or a line is not a JSON object with a number ``step``.
    """
    try:
        whole = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    except OSError as error:
        raise InputError(f"{path} must be readable: {error.strerror}") from None
    lines = [_parsed(line) for line in whole]
    if None in lines:
        raise InputError(
            f"{path} must hold a JSON object with a step in each line; line {lines.index(None) + 1} does not"
        )
    return [line for line in lines if line is not None]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("step"), int) else None


def _whole_lines(path: Path, step: int, seal: Mapping[str, Any] | None) -> bytes:
    """The lines of a file that is resumed at a step."""
    found = path.read_bytes() if path.exists() else b""
    if seal and hashlib.sha256(found[: seal["bytes"]]).hexdigest() == seal["sha256"]:
        return found[: seal["bytes"]]
    if seal:
        message = f"{path} is damaged: up to step {step} it is not as it was written; its readable lines are kept"
        warnings.warn(message, DamageWarning, stacklevel=4)
    whole = [line for line in found.splitlines(keepends=True) if line.endswith(b"\n")]
    return b"".join(line for line in whole if (parsed := _parsed(line)) and parsed["step"] <= step)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Explains in one sentence why the file could not be written."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} must be writable: {error.strerror}") from error
