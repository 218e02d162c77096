"""Digests, by which a checkpoint is known to be whole, file by file and array by array."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from foveax._types import InputError
from foveax.runtime.files import read_json, write_json

FILES = "files.json"
"""Next to the folders whose files it lists."""


def write_file_digests(folder: Path) -> None:
    """Lists the files in the folders of a checkpoint with their sizes and SHA-256."""
    write_json(folder / FILES, _file_digests(folder))


def check_files(folder: Path) -> None:
    """Refuses a checkpoint with a file that is gone, or not as it was written."""
    listed, present = read_json(folder / FILES), _file_digests(folder)
    if not isinstance(listed, dict):
        raise InputError(f"{FILES} is not as it was written")
    for name in listed:
        if present.get(name) != listed[name]:
            raise InputError(f"{name} is {'not as it was written' if name in present else 'gone'}")


def _file_digests(folder: Path) -> dict[str, list]:
    digests = {}
    for path in sorted(folder.glob("*/**/*")):
        if path.is_file():
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            digests[str(path.relative_to(folder))] = [path.stat().st_size, sha256]
    return digests


def leaf_digests(leaves: Any) -> dict[str, list]:
    """Dtype, shape, and SHA-256 over both and the bytes, of each leaf by its path."""
    return {jax.tree_util.keystr(path): _digest(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(leaves)}


def _digest(leaf: Any) -> list:
    array = np.asarray(leaf)
    kind = _kind(array)
    return [*kind, hashlib.sha256(repr(kind).encode() + array.tobytes()).hexdigest()]


def _kind(leaf: Any) -> list:
    return [str(leaf.dtype), list(leaf.shape)]


def check_fits(folder: Path, leaves: Mapping[str, Any], wanted: Any) -> None:
    """Refuses a checkpoint whose leaves are not those of the model."""
    theirs = {name: list(leaf[:2]) for name, leaf in leaves.items()}
    ours = {jax.tree_util.keystr(path): _kind(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(wanted)}
    names = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
    if names:
        kinds = [f"{kind[0]}{kind[1]}" if (kind := part.get(names[0])) else "absent" for part in (theirs, ours)]
        raise InputError(
            f"checkpoint {folder} must be of the same model; {len(names)} of its arrays differ, "
            f"first {names[0]}, {kinds[0]} there and {kinds[1]} here"
        )
