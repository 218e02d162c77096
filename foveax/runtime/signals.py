"""Signals: a request to end a training is kept until the running dispatch is done and saved."""

import contextlib
import signal
import threading
from collections.abc import Iterator
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

    Example:
      >>> import signal
      >>> with held_signals() as came:
      ...     signal.raise_signal(signal.SIGTERM)
      ...     [signal.Signals(number).name for number in came]
      ['SIGTERM']
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.getsignal(number) for number in ENDING}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def hold(number: int, frame: FrameType | None) -> None:
        came.append(number)
        put_back()

    try:
        for number in ENDING:
            signal.signal(number, hold)
        yield came
    finally:
        put_back()


@contextlib.contextmanager
def raising_signals() -> Iterator[None]:
    """Raises `Interrupted` where SIGTERM comes, as Python raises KeyboardInterrupt where SIGINT comes."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
