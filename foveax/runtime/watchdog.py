"""The watchdog: ends a process that makes no progress."""

import contextlib
import faulthandler
import sys
from collections.abc import Callable, Iterator

from foveax._types import InputError


@contextlib.contextmanager
def watchdog(seconds: float) -> Iterator[Callable[[object], None]]:
    """Ends this process, with exit code 1, once so many seconds have passed without a sign of life; 0 waits for ever.

    The stack of every thread is then written to standard error. It is Python's own `faulthandler`, which keeps time in
    a thread of its own and needs no lock of the interpreter, so that a call stuck in a library is found as well. What
    is yielded is to be called, with anything, at each sign of life.

    Raises:
      InputError: if the time is negative.

    Example:
      >>> with watchdog(60.0) as alive:
      ...     alive("a step is done")
    """
    if not seconds >= 0:
        raise InputError(f"patience must be at least 0; got {seconds}")

    def alive(sign: object = None) -> None:
        if seconds:
            faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)

    alive()
    try:
        yield alive
    finally:
        if seconds:
            faulthandler.cancel_dump_traceback_later()
