"""Fine-tuning: a training that begins with the parameters of another run, or of a file, as far as they fit its own."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from foveax._types import InputError, Params
from foveax.graph.ports import describe
from foveax.runs.checkpoint import Checkpoints
from foveax.runs.directory import is_run, read_single_run
from foveax.runtime.digests import leaf_digests
from foveax.runtime.machine import import_extra
from foveax.runtime.processes import any_process


def initial_point(path: Path | None, source: Path | None, params: dict[str, Params]) -> dict[str, Any] | None:
    """Where the first parameters are from: the other run, its identity, a digest of its parameters, and which are new.

    A file of safetensors holds parameters under the names that `foveax export` gives them. A run that is in `path`
    already has recorded all but the first. Raises `InputError` if `source` is no run, has no whole checkpoint, is no
    such file, or none of its parameters fits.
    """
    if source is None:
        return None
    if path is not None and any_process(is_run(path)):
        return {"run": str(source)}
    identity, theirs = _read(source)
    _, new = fitting_params(params, theirs)
    if len(new) == len(jax.tree.leaves(params)):
        raise InputError(f"parameters of {source} must fit in name and shape to begin from; none does: {new[0]}")
    return {"run": str(source), "identity": identity, "params": _digest(theirs), "new": new}


def initial_params(source: Path | None, params: dict[str, Params], point: dict[str, Any]) -> dict[str, Params]:
    """The first parameters: those of the other run that fit, and of `params` the rest."""
    if source is None:
        raise InputError(f"a run without a checkpoint must be given its origin again: --init-from {point['run']}")
    identity, theirs = _read(source)
    if (identity, _digest(theirs)) != (point["identity"], point["params"]):
        raise InputError(f"a run must begin with the parameters it began with; those of {source} are others now")
    return fitting_params(params, theirs)[0]


def fitting_params(params: dict[str, Params], others: dict[str, Params]) -> tuple[dict[str, Params], list[str]]:
    """`params` with the values of `others` where name, shape and dtype are the same, and a line on each that is new.

    Example:
      >>> ours = {"eye": {"w": np.zeros(2, np.float32), "b": np.zeros(3, np.float32)}}
      >>> theirs = {"eye": {"w": np.ones(2, np.float32), "b": np.ones(4, np.float32)}}
      >>> fitting_params(ours, theirs)[1]
      ['eye.b is new: float32[3], float32[4] there']
    """
    named = {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(others)}
    new = []

    def take(path: Any, leaf: Any) -> Any:
        name = _name(path)
        here, there = describe(leaf), describe(named[name]) if name in named else "absent"
        if here == there:
            return jax.device_put(np.asarray(named[name]), getattr(leaf, "sharding", None))
        new.append(f"{name} is new: {here}, {there} there")
        return leaf

    return jax.tree_util.tree_map_with_path(take, params), new


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _read(source: Path) -> tuple[str, dict[str, Params]]:
    """The identity of a run, and the parameters that it is judged by, whatever they are; of a file, those it holds."""
    if source.suffix == ".safetensors":
        return "", _read_file(source)
    record = read_single_run(source)
    with Checkpoints(source / "checkpoints", record.identity) as checkpoints:
        return record.identity, checkpoints.restore_params(None, keep=record.config.keep)


def _read_file(file: Path) -> dict[str, Params]:
    safetensors = import_extra("safetensors.numpy", "export", "safetensors")
    try:
        return safetensors.load(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file} must be readable: {error.strerror}") from None
    except Exception as error:  # noqa: BLE001 - of a class of the library's own
        raise InputError(f"{file} must be a file of safetensors: {error}") from None


def _digest(params: dict[str, Params]) -> str:
    return hashlib.sha256(json.dumps(leaf_digests(params), sort_keys=True).encode()).hexdigest()
