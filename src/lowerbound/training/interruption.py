"""Ctrl-C and the request to terminate end training after the current update, its work saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lowerbound.training.progress.history import History


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal; the message says what was saved and how to go on.

    Attributes:
        history: how training went until then.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


class Interruption:
    """Whether the person, or the system, has sent a signal to stop."""

    def __init__(self) -> None:
        self.requested = False

    def request(self, number: int, frame: FrameType | None) -> None:
        """The signal handler; a second signal does not wait for the update to end."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def listening() -> Iterator[Interruption]:
    """Turn SIGINT and SIGTERM into a flag inside; the handlers before are put back after.

    Only the main thread can handle signals: in another one the flag stays down.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, interruption.request)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            # None: a handler that was not set from Python, and cannot be put back from it
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
