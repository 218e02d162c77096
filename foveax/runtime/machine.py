"""The machine and the software: with what, on what and by which command figures are made."""

import importlib
import importlib.metadata
import math
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

from foveax._types import InputError

PACKAGES = ("jax", "jaxlib", "flax", "optax", "distrax", "numpy")


def versions() -> dict[str, str]:
    """Of the packages that decide numbers."""
    return {"foveax": own_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def own_version() -> str:
    """Of foveax, as it is installed."""
    try:
        return importlib.metadata.version("foveax")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def import_extra(name: str, extra: str, purpose: str) -> Any:
    """Imports a library that only an extra of foveax installs; without it, an `InputError` says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"{purpose} needs {name}, which is not installed: pip install 'foveax[{extra}]'") from None


def machine() -> dict[str, Any]:
    """Where and with what figures are measured: ``device`` (its kind), ``processor``, ``cores`` and ``versions``."""
    return {
        "device": jax.devices()[0].device_kind,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version(), **versions()},
    }


def _processor() -> str:
    """The processor's name where Linux tells it, else its architecture."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def check_memory(what: str, needed: int) -> None:
    """Refuses, with an `InputError`, what needs more bytes of memory than are free."""
    free = free_memory()
    if needed > free:
        sizes = f"of which {free / 2**30:,.1f} GB are free; it needs {needed / 2**30:,.1f} GB"
        raise InputError(f"{what} must fit into memory, {sizes}")


def free_memory() -> float:
    """Bytes that can be taken, where Linux tells; infinity elsewhere."""
    file = Path("/proc/meminfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), math.inf)


def provenance() -> dict[str, Any]:
    """What this process is: JSON types.

    Next to what `machine` gives, ``platform``, ``devices`` (how many), ``git`` (``commit`` and whether it is ``dirty``,
    of the checkout in which foveax lies; None outside of one) and ``command``.
    """
    process = {"platform": platform.platform(), "devices": jax.device_count(), "git": _git(), "command": list(sys.argv)}
    return {**machine(), **process}


def _git() -> dict[str, Any] | None:
    file = Path(__file__)

    def ask(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(file.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        ask("ls-files", "--error-unmatch", file.name)  # an installed copy may lie below another checkout
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
