"""Files of a run directory: written whole or not at all, read without trust."""

import contextlib
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from foveax._types import InputError

TEXT_BYTES = 16 * 2**20
"""Files of text that are read whole are at most this large."""


class DamageWarning(UserWarning):
    """A file of a run is not as it was written."""


def cache_home() -> Path:
    """Where decoded data are kept from one start to the next."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "foveax"


def check_inside(directory: Path) -> None:
    """Refuses a directory that holds links or devices, through which reading or writing would leave it."""
    for path in directory.rglob("*"):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(f"run directory must hold plain files and folders alone; {path} is not")


def read_json(path: Path) -> Any:
    """Reads JSON that anyone may have written.

    Raises `InputError` if it is no plain file, too large, or not JSON in which every name occurs once.
    """
    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} must be JSON: {error}") from None


def read_text(path: Path) -> bytes:
    """Reads text that anyone may have written; raises `InputError` if it is no plain file, or too large."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise InputError(f"{path} must be a plain file")
        with path.open("rb") as file:
            text = file.read(TEXT_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} must be readable: {error.strerror}") from None
    if len(text) > TEXT_BYTES:
        raise InputError(f"{path} must be at most {TEXT_BYTES} bytes of text")
    return text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError(f"the name {Counter(name for name, _ in pairs).most_common(1)[0][0]!r} occurs twice")
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes JSON, whole or not at all; a number that is not finite is null."""
    text = json.dumps(null_for_nan(values), indent=2, allow_nan=False)
    write_atomically(path, lambda file: file.write((text + "\n").encode()))


def null_for_nan(values: Any) -> Any:
    """Values of JSON types, with None in the place of numbers that are not finite, for which JSON has no word.

    Example:
      >>> null_for_nan({"loss": float("inf"), "of each": [0.5, float("nan")]})
      {'loss': None, 'of each': [0.5, None]}
    """
    if isinstance(values, Mapping):
        return {name: null_for_nan(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [null_for_nan(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays, whole or not at all."""
    write_atomically(path, lambda file: np.savez(file, **arrays))  # pyright: ignore[reportArgumentType]


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Writes a file next to its place and moves it there when it is whole; a link there is replaced, not followed.

    Raises `InputError` if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with writing("file", path):
        try:
            temporary.unlink(missing_ok=True)
            with temporary.open("xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def writing(name: str, path: Path) -> Iterator[None]:
    """Explains in one sentence, an `InputError`, why a file or a folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{name} must be writable; {path} is not: {error.strerror}") from error
