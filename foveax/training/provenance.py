"""Provenance: with what, on what and by which command a run was made."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import jax

from foveax._types import InputError
from foveax.training.checkpoint import DamageWarning
from foveax.training.files import read_json, write_json

PACKAGES = ("foveax", "jax", "jaxlib", "flax", "optax", "distrax", "numpy")
GIT_SECONDS = 10


def versions() -> dict[str, str]:
    """Of the packages that decide numbers."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def machine() -> dict[str, Any]:
    """Where and with what figures are measured: JSON types; ``device`` is its kind.

    Example:
      >>> list(machine())
      ['device', 'processor', 'cores', 'versions']
    """
    return {
        "device": jax.devices()[0].device_kind,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version(), **versions()},
    }


def _processor() -> str:
    """The processor's name where Linux tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def provenance() -> dict[str, Any]:
    """What this process is: JSON types.

    Returns:
      what `machine` gives, ``platform``, ``devices`` (how many), ``git`` (``commit`` and whether it is ``dirty``, of
      the checkout in which foveax lies; None outside of one) and ``command``.

    Example:
      >>> sorted(provenance())
      ['command', 'cores', 'device', 'devices', 'git', 'platform', 'processor', 'versions']
    """
    return {
        **machine(),
        "platform": platform.platform(),
        "devices": jax.device_count(),
        "git": _git(Path(__file__).parent),
        "command": list(sys.argv),
    }


def record(path: Path, step: int) -> None:
    """Adds to ``provenance.json`` where and by what a run begins or continues; of a damaged file it warns."""
    try:
        starts = read_starts(path)
    except InputError as error:
        warnings.warn(f"{error}; it is begun anew", DamageWarning, stacklevel=2)
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


def _git(folder: Path) -> dict[str, Any] | None:
    def ask(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=True)
        return done.stdout.strip()

    try:
        ask("ls-files", "--error-unmatch", Path(__file__).name)  # an installed copy may lie below another checkout
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
