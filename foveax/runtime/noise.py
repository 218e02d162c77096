"""Noise: what orbax prints, besides what it raises, when it fails to read or write."""

import functools
import logging
import sys
from pathlib import Path


@functools.cache
def drop_noise() -> None:
    """Drops the log of orbax, and the complaints of its threads that what they report to has ended; nothing else.

    For good, since after a failed write they go on until the process ends.
    """
    uncaught, unraisable = sys.excepthook, sys.unraisablehook
    sys.excepthook = lambda kind, error, trace: None if _is_noise(error) else uncaught(kind, error, trace)
    sys.unraisablehook = lambda left: None if _is_noise(left.exc_value) else unraisable(left)
    logging.getLogger("absl").addFilter(lambda entry: "orbax" not in Path(entry.pathname).parts)
    logging.getLogger("asyncio").addFilter(lambda entry: "exception was never retrieved" not in entry.getMessage())


def _is_noise(error: BaseException | None) -> bool:
    return isinstance(error, RuntimeError) and str(error) == "Event loop is closed"
