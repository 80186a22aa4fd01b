"""Inputs of a kind, one after another, under limits of time and memory, and what became of each."""

from __future__ import annotations

import contextlib
import io
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np

from lowerbound.errors import LowerboundError
from lowerbound.untrusted import memory
from tests.hostile.targets import TARGETS

SECONDS = 10.0  # of the processor, for one input
WAITING = 60.0  # seconds in all: a reader that waits takes no processor
MEGABYTES = 512.0  # that the peak of memory may rise by one input
LIMIT = 0.4  # gigabytes that content may declare (--memory)
KEPT = 20  # failures that are described


class TooSlow(BaseException):
    """An input took longer than ``SECONDS``; no reader catches it."""


@dataclass
class Found:
    """What became of inputs.

    Attributes:
        counts: by outcome: "read", "refused", or "failed: " and how.
        failures: input number and the place of failures.
        slowest: seconds of the slowest input.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0

    @property
    def failed(self) -> int:
        """Number of failures."""
        return sum(n for outcome, n in self.counts.items() if outcome.startswith("failed"))


def fuzz(kind: str, inputs: range) -> Found:
    """Read inputs of a kind; input number i is the same in each run."""
    found = Found()
    for number in inputs:
        outcome, place, seconds = one(kind, number)
        found.counts[outcome] += 1
        found.slowest = max(found.slowest, seconds)
        if outcome.startswith("failed") and len(found.failures) < KEPT:
            found.failures.append(f"{kind} {number}: {outcome} {place}")
    return found


def one(kind: str, number: int) -> tuple[str, str, float]:
    """Outcome of one input, the place where it failed, and its seconds."""
    rng = np.random.default_rng([number, *kind.encode()])
    folder = Path(tempfile.mkdtemp(prefix="fuzz"))
    try:
        read = TARGETS[kind](folder, rng)
        before, began = _peak(), time.process_time()
        found, place = outcome(read)
        seconds = time.process_time() - began
        if _peak() - before > MEGABYTES and not found.startswith("failed"):
            found, place = f"failed: {_peak() - before:,.0f} MB", ""
        return found, place, seconds
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def outcome(read: Callable[[], object]) -> tuple[str, str]:
    """What became of an input, and the place where it failed."""
    quiet = contextlib.redirect_stdout(io.StringIO())
    with _limited(), memory(LIMIT), quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read()
        except LowerboundError:
            return "refused", ""
        except TooSlow:
            return f"failed: more than {SECONDS:g} s", _place()
        except BaseException as error:
            return f"failed: {type(error).__name__}", f"{error} {_place()}"[:400]
    return "read", ""


def _place() -> str:
    """The last lines of the traceback in this project."""
    import sys

    frames = traceback.extract_tb(sys.exc_info()[2])
    own = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "lowerbound" in f.filename]
    return " < ".join(reversed(own[-4:]))


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Context that ends by ``TooSlow`` after ``SECONDS`` of the processor, or after ``WAITING``."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise TooSlow

    previous = [signal.signal(number, stop) for number in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITING)
    try:
        yield
    finally:
        for timer, number, handler in zip(
            (signal.ITIMER_PROF, signal.ITIMER_REAL),
            (signal.SIGPROF, signal.SIGALRM),
            previous,
            strict=True,
        ):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def _peak() -> float:
    """Peak of memory so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
