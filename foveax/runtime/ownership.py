"""A directory that one process at a time writes."""

import contextlib
import datetime
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from foveax._types import InputError
from foveax.runtime.files import writing

LOCK = ".lock"
"""The file whose lock a process holds, which it names; the system lets go of it however the process ends."""


@contextlib.contextmanager
def owned(directory: Path) -> Iterator[None]:
    """Makes a directory, and holds it for this process; removes what killed ones left half-written.

    Others may read it. Where the file system knows no locks, nothing is held.

    Raises:
      InputError: if another process holds it, named by its number, machine and start; or it cannot be written.
    """
    with contextlib.ExitStack() as held:
        with writing("run directory", directory):
            directory.mkdir(parents=True, exist_ok=True)
            opened = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            file = held.enter_context(os.fdopen(opened, "r+"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read(200).strip() or "another process"
                raise InputError(f"{directory} must be written by one process at a time; {holder} holds it") from None
            except OSError:  # of a file system without locks
                pass
            file.truncate(0)
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            file.write(f"process {os.getpid()} on {socket.gethostname()}, since {now},")
            file.flush()
            for path in directory.iterdir():
                if re.fullmatch(r"\..+\.\d+", path.name) and not path.is_dir():
                    path.unlink()
        yield
