"""Signals: a request to end a training is kept until the running dispatch is done and saved."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal ended a training, which was saved.

    Attributes:
      signal: its number; a command ends with the exit code 128 + signal.
    """

    def __init__(self, number: int, message: str = ""):
        super().__init__(message)
        self.signal = number


@contextlib.contextmanager
def held_signals() -> Iterator[list[int]]:
    """Holds back SIGINT and SIGTERM, and lists the first that came; a second one acts at once, as it did before.

    Outside the main thread, where Python allows no handlers, nothing is held back.
    """
    came: list[int] = []
    with contextlib.ExitStack() as handlers:

        def hold(number: int, frame: FrameType | None) -> None:
            came.append(number)
            handlers.close()

        for number in ENDING:
            handlers.enter_context(_handled(number, hold))
        yield came


def raising_signals() -> AbstractContextManager[None]:
    """Raises `Interrupted` where SIGTERM comes, as Python raises KeyboardInterrupt where SIGINT comes."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    return _handled(signal.SIGTERM, end)


@contextlib.contextmanager
def _handled(number: int, handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
