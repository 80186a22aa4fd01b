"""Signals: Ctrl-C (SIGINT), SIGTERM and SIGHUP end training after the current update, with a
checkpoint."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lowerbound.processes import signals
from lowerbound.training.progress.history import History


class Interrupted(KeyboardInterrupt):
    """A signal stopped training; the message explains what was saved and how to continue.

    Attributes:
        history: the records until then.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


class Interruption:
    """Whether a signal to stop has arrived."""

    def __init__(self) -> None:
        self.requested = False

    def request(self, number: int, frame: FrameType | None) -> None:
        """The signal handler; a second signal stops at once, without waiting for the update."""
        signals.note(number)
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def listening() -> Iterator[Interruption]:
    """Context that converts signals to a flag, and restores their handlers afterwards.

    Only the main thread can handle signals; in another thread the flag stays False.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in signals.heeded()}
    for number in before:
        signal.signal(number, interruption.request)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            # None: a handler that was not set from Python, and cannot be restored from it
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
