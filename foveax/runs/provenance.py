"""Provenance: an entry for each time that a run was started."""

import datetime
import warnings
from pathlib import Path
from typing import Any

from foveax._types import InputError
from foveax.runtime.files import DamageWarning, read_json, write_json
from foveax.runtime.machine import provenance


def record_start(path: Path, step: int) -> None:
    """Adds to ``provenance.json`` where and by what a run begins or continues; of a damaged file it warns."""
    try:
        starts = read_starts(path)
    except InputError as error:
        warnings.warn(f"{error}; a new one is begun", DamageWarning, stacklevel=2)
        starts = []
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    try:
        write_json(path / "provenance.json", {"starts": [*starts, {"step": step, "time": now, **provenance()}]})
    except OSError as error:
        raise InputError(f"run directory must be writable; {path} is not: {error.strerror}") from error


def read_starts(path: Path) -> list[dict[str, Any]]:
    """The entries of a run's ``provenance.json``, one for each time it was started.

    Raises:
      InputError: if it is not such a file; none gives no entries.
    """
    file = path / "provenance.json"
    if not file.exists():
        return []
    stored = read_json(file)
    starts = stored.get("starts") if isinstance(stored, dict) else None
    if not isinstance(starts, list) or not all(isinstance(start, dict) for start in starts):
        raise InputError(f"{file} must hold a list of starts, each a JSON object")
    return starts
