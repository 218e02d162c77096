"""The compilation cache: compiled programs for the next start."""

import os
import stat
from pathlib import Path

import jax

from foveax._types import InputError
from foveax.runtime.files import writing


def keep_compilation_cache(folder: Path) -> None:
    """Keeps compiled programs in a folder that only its owner can open, since they are executable code.

    A second start with the same configuration, versions and device then takes its programs from there. Raises
    `InputError` if the folder is there, and is a link, another user's, or open to others; or cannot be made.
    """
    with writing("compilation cache", folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise InputError(f"compilation cache must be a folder of your own, closed to others; {folder} is not")
    jax.config.update("jax_compilation_cache_dir", str(folder.absolute()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)  # a shorter one is repeated instead
