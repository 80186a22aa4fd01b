"""Signals that end a run: it saves what it has, says how to go on, and exits with their code."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from lowerbound import processes

ALL = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""The signals after which a run saves what it has and ends: Ctrl-C, ``kill``, a closed terminal."""

_newest = signal.SIGINT  # of those that this process has got
_program = 0  # the process whose signals are handled, because a copy of it inherits its handlers


def heeded() -> list[signal.Signals]:
    """Those of ``ALL`` that nobody ignores, so ``nohup`` keeps a run from ending.

    SIGINT is heeded although it alone is ignored: a shell without job control does that to what it
    starts with "&", and whoever sends it means it.
    """
    ignored = [number for number in ALL if signal.getsignal(number) is signal.SIG_IGN]
    if ignored == [signal.SIGINT]:
        return list(ALL)
    return [number for number in ALL if number not in ignored]


def leave_when_interrupted() -> None:
    """Let a signal end this process at once, with one line, until ``interruptible``.

    It is for the time in which modules are imported: nothing has begun that must be kept, and an
    exception in the middle of an import may come out as another one. A signal that a caller handles
    stays so.
    """
    global _program
    if threading.current_thread() is not threading.main_thread():
        return
    _program = os.getpid()
    usual = (signal.default_int_handler, signal.SIG_DFL, signal.SIG_IGN)
    for number in heeded():
        if signal.getsignal(number) in usual:
            signal.signal(number, _leave)


def interruptible() -> None:
    """Let the signals raise KeyboardInterrupt, which saves what a command has."""
    for number in ALL:
        if signal.getsignal(number) is _leave:
            signal.signal(number, _interrupt)


@contextmanager
def kept() -> Iterator[None]:
    """Context of a call that sets handlers of its own, such as the start of Ray: ours stay."""
    before = {number: signal.getsignal(number) for number in ALL}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)


def note(number: int) -> None:
    """Remember a signal, for ``exit_code``; after that of a closed terminal, write nothing to it.

    A terminal that is closed fails each line that is written to it, and work is yet to be saved.
    """
    global _newest
    _newest = signal.Signals(number)
    if _newest.name != "SIGHUP":
        return
    for stream in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream):
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, stream)
                os.close(nothing)


def exit_code() -> int:
    """Of an interrupted command: 128 and the number of the signal, as shells have it."""
    global _newest
    code, _newest = 128 + _newest, signal.SIGINT  # an exception without a signal counts as Ctrl-C
    return code


def _leave(number: int, frame: FrameType | None) -> None:
    _leave_copies(number)
    if processes.speaks(machine=True):
        os.write(2, b"lowerbound: interrupted\n")
    os._exit(128 + number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _leave_copies(number)
    note(number)
    raise KeyboardInterrupt


def _leave_copies(number: int) -> None:
    """End a copy of the process, such as a worker, as if the signal were not handled."""
    if os.getpid() != _program:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
