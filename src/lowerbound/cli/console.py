"""Output of the command line: results on standard output, everything else on standard error.

A terminal shows progress as a bar that redraws itself. A pipe or a log receives occasional plain
lines without control characters.

The exit code of a command is one of these, and an error is one sentence.

===== =======================================================================================
code  meaning
===== =======================================================================================
0     done
1     done, and a requested check failed; or training diverged
2     bad input: the message states what is wrong, where, and what to do
130   interrupted by Ctrl-C (SIGINT); the work done so far is saved
129   the same by a closed terminal (SIGHUP)
143   the same by ``kill`` (SIGTERM)
===== =======================================================================================
"""

from __future__ import annotations

import errno
import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lowerbound.errors import LowerboundError, TrainingError
from lowerbound.untrusted import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from lowerbound.training.reporter import Progress as State, TrainingReporter

DONE, CHECK_FAILED, BAD_INPUT = 0, 1, 2

_WHAT_TO_DO = {
    errno.ENOSPC: "free some space and run the command again",
    errno.EFBIG: "the file is larger than you may write here: choose another place",
    errno.EDQUOT: "your quota is used up: free some space and run the command again",
    errno.EACCES: "choose a place that you may use",
    errno.EPERM: "choose a place that you may use",
    errno.EROFS: "choose a place that can be written to",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of the path is a file: check the path",
    errno.EISDIR: "that is a folder, and a file is needed",
    errno.EEXIST: "a part of the path is a file: choose another",
}
LINE_EVERY = 10.0  # seconds between two plain lines of one task


def code(error: BaseException) -> int:
    """The exit code of an error that has a ``sentence``."""
    return CHECK_FAILED if isinstance(error, TrainingError) else BAD_INPUT


def sentence(error: BaseException) -> str | None:
    """The error as one sentence; None for a defect of the package, which keeps its traceback."""
    if isinstance(error, LowerboundError):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        reason = (error.strerror or "cannot be read or written").lower()
        advice = _WHAT_TO_DO.get(error.errno or 0, "check the disk and the path")
        return f"{where}{reason}; {advice}"
    if isinstance(error, MemoryError) or _torch_is_out_of_memory(error):
        return "the memory is full: give less data, or a smaller --batch-size or --samples"
    return None


def _torch_is_out_of_memory(error: BaseException) -> bool:
    full = ("can't allocate memory", "out of memory")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in full)


@dataclass
class Pace:
    """How fast a task is, from its first report on.

    Attributes:
        start, first: seconds of the clock, and what was done, at the first report.
        spoken: seconds of the clock at the last line.
    """

    start: float
    first: int
    spoken: float = 0.0

    def __post_init__(self) -> None:
        self.spoken = self.start

    def per_second(self, now: float, done: int) -> float:
        """What is done in a second; 0 if it is not known yet."""
        passed = now - self.start
        return (done - self.first) / passed if passed > 0 else 0.0

    def text(self, now: float, done: int) -> str:
        """The speed, such as "8,210 per second"; empty if it is not known."""
        speed = self.per_second(now, done)
        words = f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"
        return f"{words} per second" if speed > 0 else ""

    def left(self, now: float, done: int, total: int) -> str:
        """The time left, such as "0:41 left"; empty if it is not known, or nothing is left."""
        from lowerbound.training.reporter import clock

        speed = self.per_second(now, done)
        return f"{clock((total - done) / speed)} left" if speed > 0 and done < total else ""


@dataclass
class _WordedReporter:
    """A training reporter whose messages are in the words of the command line."""

    reporter: TrainingReporter
    wording: Callable[[str], str]

    def start(self) -> None:
        self.reporter.start()

    def stop(self) -> None:
        self.reporter.stop()

    def update(self, progress: State) -> None:
        self.reporter.update(progress)

    def message(self, text: str) -> None:
        self.reporter.message(self.wording(text))


class Console:
    """Prints messages, progress and results of a command.

    Args:
        as_json: print the result as one JSON object instead of text.
        verbose: also print details.
        quiet: print nothing.

    Attributes:
        wording: maps a note to the words of the command line.
    """

    def __init__(self, as_json: bool = False, verbose: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.verbose = verbose
        self.quiet = quiet
        self.wording: Callable[[str], str] = str
        self._open = ExitStack()
        self._progress: Progress | None = None
        self._bars: dict[str, TaskID] = {}
        self._spoken: dict[str, Pace] = {}

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def say(self, sentence: str) -> None:
        """Print one line on standard error."""
        if self.quiet:
            return
        sentence = printable(self.wording(sentence))
        if self._progress is not None:
            self._progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        else:
            print(sentence, file=sys.stderr, flush=True)

    def detail(self, sentence: str) -> None:
        """Print one line if the command was run with -v."""
        if self.verbose:
            self.say(sentence)

    def training(self) -> TrainingReporter:
        """The reporter of a training run: a bar on a terminal, else lines."""
        from lowerbound.training.reporter import SilentReporter, reporter_for

        if self.quiet:
            return SilentReporter()
        return _WordedReporter(reporter_for(sys.stderr), self.wording)

    def advance(self, task: str, done: int, total: int, remark: str = "") -> None:
        """Report ``done`` of ``total``: redraw the task's bar, or print a line when one is due.

        Both say how many are done per second, and the time left.
        """
        if self.quiet:
            return
        now = time.monotonic()
        pace = self._spoken.setdefault(task, Pace(now, done))
        if self.interactive:
            self._move_bar(task, done, total, pace.text(now, done), remark)
        elif done >= total or now - pace.spoken >= LINE_EVERY:
            pace.spoken = now
            parts = [f"{task}: {done:,} of {total:,}", pace.text(now, done)]
            parts += [pace.left(now, done, total), remark]
            self.say("  ".join(part for part in parts if part))
        if done >= total:
            del self._spoken[task]

    @property
    def interactive(self) -> bool:
        """Whether standard error is a terminal, which can redraw a line."""
        return sys.stderr.isatty()

    def result(self, text: str, mapping: Mapping[str, Any]) -> None:
        """Print the command's result on standard output, as one JSON object or as text."""
        self._open.close()
        if self.quiet:
            return
        found = json.dumps(mapping, allow_nan=False) if self.as_json else printable(text)
        print(found, flush=True)

    def _move_bar(self, task: str, done: int, total: int, pace: str, remark: str) -> None:
        progress = self._progress or self._start()
        if task not in self._bars:
            self._bars[task] = progress.add_task(task, total=total, pace="", remark="")
        progress.update(self._bars[task], completed=done, total=total, pace=pace, remark=remark)

    def _start(self) -> Progress:
        from rich.console import Console as Terminal
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[remark]}", markup=False),
        )
        self._progress = Progress(*columns, console=Terminal(file=sys.stderr))
        self._open.callback(self._stop)
        self._progress.start()
        return self._progress

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._progress, self._bars = None, {}
