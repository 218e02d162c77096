"""Noise: what orbax prints, besides what it raises, when it fails to read or write."""

import functools
import logging
import sys
from pathlib import Path
from types import TracebackType
from typing import Any


@functools.cache
def drop_noise() -> None:
    """Drops the log of orbax, and the complaints of its threads that what they report to has ended; nothing else.

    For good, since after a failed write they go on until the process ends.
    """
    uncaught, unraisable = sys.excepthook, sys.unraisablehook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not _is_noise(error):
            uncaught(kind, error, trace)

    def unraisable_hook(left: Any) -> None:
        if not _is_noise(left.exc_value):
            unraisable(left)

    logging.getLogger("absl").addFilter(lambda entry: "orbax" not in Path(entry.pathname).parts)
    logging.getLogger("asyncio").addFilter(lambda entry: "exception was never retrieved" not in entry.getMessage())
    sys.excepthook, sys.unraisablehook = hook, unraisable_hook


def _is_noise(error: BaseException | None) -> bool:
    return isinstance(error, RuntimeError) and str(error) == "Event loop is closed"
