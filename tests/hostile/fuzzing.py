"""Inputs of a kind, one after another, under limits of time and memory, and what became of each.

They are read in a child process. One that dies, or that no signal stops, is a failure of the input
that it was at, and another child goes on with the next.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import multiprocessing
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
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

import numpy as np

from lowerbound.errors import LowerboundError
from lowerbound.untrusted import memory
from tests.hostile import data_targets, fitted_targets
from tests.hostile.targets import TARGETS

assert data_targets, fitted_targets  # which register theirs

SECONDS = 10.0  # of the processor, for one input
WAITING = 60.0  # seconds in all: a reader that waits takes no processor
MEGABYTES = 512.0  # that the peak of memory may rise by one input
LIMIT = 0.4  # gigabytes that content may declare (--memory)
ADDRESSES = 8 * 2**30  # bytes of a child: a library that asks for more ends it, not the machine
PATIENCE = WAITING + 10.0  # seconds after which a child is ended
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

    def add(self, kind: str, number: int, outcome: str, place: str, seconds: float) -> None:
        """Count one input."""
        self.counts[outcome] += 1
        self.slowest = max(self.slowest, seconds)
        if outcome.startswith("failed") and len(self.failures) < KEPT:
            self.failures.append(f"{kind} {number}: {outcome} {place}")


def fuzz(kind: str, inputs: range) -> Found:
    """Read inputs of a kind; input number i is the same in each run."""
    found, start = Found(), inputs.start
    with tempfile.TemporaryDirectory(prefix="fuzz") as place:
        (first := Path(place) / "first").mkdir()
        TARGETS[kind](first, np.random.default_rng(0))  # makes what all inputs are changed from
        while start < inputs.stop:
            start = _read_in_child(kind, range(start, inputs.stop), Path(place), found)
    return found


def _read_in_child(kind: str, inputs: range, place: Path, found: Found) -> int:
    """Read inputs in a child until it ends; the number of the first that was not read."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(kind, inputs, place, theirs))
    with warnings.catch_warnings():  # of forks beside threads, which pools of libraries have
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    theirs.close()
    done = inputs.start
    try:
        while ours.poll(PATIENCE):
            found.add(kind, done, *ours.recv())
            done += 1
        found.add(kind, done, "failed: no end", "", PATIENCE)
        done += 1
    except EOFError:
        child.join()
        if done < inputs.stop:
            found.add(kind, done, f"failed: process ended, {child.exitcode}", "", 0.0)
            done += 1
    finally:
        child.kill()
        child.join()
        ours.close()
    return done


def _child(kind: str, inputs: range, place: Path, answers: Connection) -> None:
    with contextlib.suppress(ValueError, OSError):  # not every system limits addresses
        resource.setrlimit(resource.RLIMIT_AS, (_addresses() + ADDRESSES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.disable()  # the end of a process is counted, and not described at length
    for number in inputs:
        answers.send(one(kind, number, place))
    answers.close()


def _addresses() -> int:
    """Bytes of the addresses of this process; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def one(kind: str, number: int, place: Path | None = None) -> tuple[str, str, float]:
    """Outcome of one input, the place where it failed, and its seconds."""
    rng = np.random.default_rng([number, *kind.encode()])
    folder = Path(tempfile.mkdtemp(prefix="fuzz", dir=place))
    try:
        read = TARGETS[kind](folder, rng)
        before, began = _peak(), time.process_time()
        found, where = outcome(read)
        seconds = time.process_time() - began
        if _peak() - before > MEGABYTES and not found.startswith("failed"):
            found, where = f"failed: {_peak() - before:,.0f} MB", ""
        return found, where, seconds
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
