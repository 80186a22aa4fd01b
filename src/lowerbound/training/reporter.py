"""Reporters, which show the progress of training; on a terminal as a bar.

::

    ━━━━━━━━━━━━━━━━━━━━  25 %  epoch 12.3  update 6,642/27,000  0:41 left
    bound -98.21  rate 24.10  distortion 74.11  validation -99.00

The training history: one record per validation, and the reason of the end.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lowerbound import untrusted
from lowerbound.config import from_mapping
from lowerbound.errors import OptionError

Ended = Literal["", "running", "finished", "early stop", "interrupted"]


@dataclass(frozen=True)
class Record:
    """Measurements since the previous record; bounds in nats per row, in original units.

    Attributes:
        epoch: passes over the data so far, fractions included.
        updates: updates so far, skipped ones included.
        seconds: training time so far.
        bound: mean of the objective's bound over the training rows; NaN if every update was
            skipped.
        distortion: mean of -log p(x | z) over the same rows.
        rates: mean KL of each latent, top down.
        validation: the bound on the held-out rows with the weights that would be kept; None if no
            rows are held out.
        learning_rate: the learning rate of the last update.
        skipped: updates skipped so far, because the loss or gradient was not finite.
        readings: additional measurements of model, objective and latents, by name; "active units"
            has the number of active ones and of all.
    """

    epoch: float
    updates: int
    seconds: float
    bound: float
    distortion: float
    rates: tuple[float, ...]
    validation: float | None
    learning_rate: float
    skipped: int
    readings: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def to_mapping(self) -> dict[str, Any]:
        """JSON values, with null for NaN."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["readings"] = {name: list(numbers) for name, numbers in self.readings.items()}
        if not self.readings:
            del values["readings"]
        values["rates"] = [_null_if_nan(rate) for rate in self.rates]
        for name in ("bound", "distortion"):
            values[name] = _null_if_nan(values[name])
        return values

    @classmethod
    def from_mapping(cls, mapping: dict[str, Any]) -> Record:
        """Read a record from the values of ``to_mapping``.

        Raises:
            OptionError: a key is missing or unknown, or a value has the wrong type.
        """
        values = dict(mapping)
        try:
            values["rates"] = [_nan_if_null(rate) for rate in values["rates"]]
            for name in ("bound", "distortion"):
                values[name] = _nan_if_null(values[name])
            readings = values.get("readings", {})
            values["readings"] = {name: tuple(numbers) for name, numbers in readings.items()}
            return from_mapping(cls, values)
        except (AttributeError, KeyError, TypeError) as error:
            raise OptionError(f"a record of training is incomplete: {error}") from error


@dataclass(frozen=True)
class History:
    """The records of a run, oldest first.

    Attributes:
        records: at least one if the run made an update.
        ended: "finished" (the budget is used up), "early stop", "interrupted", "running" (or
            killed), or "" if nothing was trained.
        best: the update whose weights were kept, if rows were held out; 0: none exceeded the start.
        start: the bound on the held-out rows of the linear model that training started with; None:
            there are no such rows, or the start is no fitted model.
    """

    records: tuple[Record, ...] = ()
    ended: Ended = ""
    best: int | None = None
    start: float | None = None

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    @property
    def last(self) -> Record | None:
        """The newest record."""
        return self.records[-1] if self.records else None

    @property
    def validation(self) -> float | None:
        """The held-out bound of the weights that were kept, nats per row."""
        if self.best == 0:
            return self.start
        seen = [record.validation for record in self.records if record.updates == self.best]
        return seen[-1] if seen else None

    def to_mapping(self) -> dict[str, Any]:
        """JSON values."""
        records = [record.to_mapping() for record in self.records]
        ends = {"ended": self.ended, "best": self.best, "start": self.start}
        return {**ends, "records": records}

    @classmethod
    def from_mapping(cls, mapping: dict[str, Any]) -> History:
        """Read a history from the values of ``to_mapping``."""
        records = tuple(Record.from_mapping(record) for record in mapping["records"])
        return cls(records, mapping["ended"], mapping["best"], mapping.get("start"))

    def to_lines(self) -> str:
        """JSON Lines: one line per record, then one with the other attributes."""
        mapping = self.to_mapping()
        lines = [*mapping.pop("records"), mapping]
        return "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)

    @classmethod
    def from_lines(cls, text: str) -> History:
        """Read a history from the lines of ``to_lines``.

        Raises:
            OptionError: a line is invalid.
        """
        try:
            lines = text.splitlines()
            *records, end = (
                untrusted.parsed_mapping(line, "a line", OptionError) for line in lines
            )
            with untrusted.guarded("a record", OptionError):
                return cls.from_mapping({**end, "records": records})
        except ValueError as error:
            raise OptionError(f"this is not a training history: {error}") from error


def _null_if_nan(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _nan_if_null(value: float | None) -> float:
    return math.nan if value is None else float(value)


MOST_LEVELS = 8  # largest number of levels whose rates fit on a line
WIDTH = 20


@dataclass(frozen=True)
class Progress:
    """The state of a run; bounds in nats per row, in original units.

    Attributes:
        epoch: passes over the data so far.
        updates: updates so far.
        total: updates of the whole run; None if only time limits it.
        share: fraction of the run that is done, 0 to 1.
        bound: mean over the recent training rows; NaN before the first.
        rates: mean KL of each latent over the same rows, top down.
        distortion: mean of -log p(x | z) over the same rows.
        validation: the newest held-out bound.
        seconds: training time so far.
        seconds_left: estimated; None if unknown.
        skipped: updates skipped because the loss or gradient was not finite.
        readings: additional measurements of model, objective and latents, by name.
    """

    epoch: float
    updates: int
    total: int | None
    share: float
    bound: float
    rates: tuple[float, ...]
    distortion: float
    validation: float | None
    seconds: float
    seconds_left: float | None
    skipped: int
    readings: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def numbers(self) -> str:
        """The bound, and its parts if the model has a rate: "bound -98.21  rate 24.10 ...".

        Without a bound, as in a private fit, which measures nothing, neither is shown.
        """
        known = not math.isnan(self.bound)
        words = [f"bound {self.bound:.2f}"] if known else []
        if self.rates and known:
            words += [f"rate {self._rate()}", f"distortion {self.distortion:.2f}"]
        if self.validation is not None:
            words.append(f"validation {self.validation:.2f}")
        if self.skipped:
            words.append(f"skipped {self.skipped:,}")
        return "  ".join(words)

    def _rate(self) -> str:
        """The total rate, and the rate of each level if there are a few, the coarsest first."""
        if not 2 <= len(self.rates) <= MOST_LEVELS:
            return f"{sum(self.rates):.2f}"
        return f"{sum(self.rates):.2f} ({' + '.join(f'{rate:.1f}' for rate in self.rates)})"

    def beside(self) -> str:
        """The readings, with a slash between numbers: "perplexity 61.2/40"."""
        words = [
            f"{name} {'/'.join(f'{n:,.0f}' if n >= 100 else f'{n:.3g}' for n in each)}"
            for name, each in self.readings.items()
        ]
        return "  ".join(words)

    def position(self) -> str:
        """Epoch and update: "epoch 12.3  update 6,642/27,000"."""
        of = "" if self.total is None else f"/{self.total:,}"
        return f"epoch {self.epoch:.1f}  update {self.updates:,}{of}"

    def time_left(self) -> str:
        """Time left as minutes and seconds; empty if unknown."""
        return "" if self.seconds_left is None else f"{clock(self.seconds_left)} left"


class TrainingReporter(Protocol):
    """Shows a run. The loop calls ``update`` at most about four times per second."""

    def start(self) -> None:
        """Called when training begins."""

    def message(self, text: str) -> None:
        """Show a message that stays visible."""

    def update(self, progress: Progress) -> None:
        """Show the newest state."""

    def stop(self) -> None:
        """Called when training ends, also after an error."""


class SilentReporter:
    """Shows nothing."""

    def start(self) -> None:
        pass

    def message(self, text: str) -> None:
        pass

    def update(self, progress: Progress) -> None:
        pass

    def stop(self) -> None:
        pass


class LineReporter:
    """Plain lines, for a pipe or a log file.

    Args:
        stream: output stream; None: standard error.
        seconds: least time between two lines; the last state is always written.
        clock: seconds, increasing.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._seconds = seconds
        self._clock = clock
        self._next = 0.0
        self._unwritten: Progress | None = None

    def start(self) -> None:
        self._next = self._clock() + self._seconds
        self._unwritten = None

    def message(self, text: str) -> None:
        print(text, file=self._stream or sys.stderr, flush=True)

    def update(self, progress: Progress) -> None:
        self._unwritten = progress
        if self._clock() >= self._next:
            self._write(progress)

    def stop(self) -> None:
        if self._unwritten is not None:
            self._write(self._unwritten)

    def _write(self, progress: Progress) -> None:
        numbers = [progress.numbers(), progress.beside()]
        parts = [progress.position(), *numbers, progress.time_left()]
        self.message("  ".join(part for part in parts if part))
        self._next = self._clock() + self._seconds
        self._unwritten = None


def reporter_for(stream: TextIO | None = None) -> TrainingReporter:
    """A progress bar if ``stream`` (None: standard error) is a terminal, else lines."""
    if (stream or sys.stderr).isatty():
        return BarReporter(stream)
    return LineReporter(stream)


def clock(seconds: float) -> str:
    """Format as minutes and seconds, with hours if needed: 0:41, 12:05, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class BarReporter:
    """Two lines that stay in place: the progress of the run, and its measurements.

    Args:
        stream: the terminal; standard error unless given.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        console = Console(file=stream, stderr=stream is None, highlight=False)
        # without a thread that redraws, because the loop calls ``update``
        self._live = Live(console=console, auto_refresh=False)

    def start(self) -> None:
        self._live.start()

    def message(self, text: str) -> None:
        self._live.console.print(text, markup=False, soft_wrap=True)

    def update(self, progress: Progress) -> None:
        self._live.update(picture(progress), refresh=True)

    def stop(self) -> None:
        self._live.stop()


def picture(progress: Progress) -> Group:
    """The two lines, at most 80 columns wide; a third line if the model has readings."""
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_row(
        ProgressBar(total=1.0, completed=progress.share, width=WIDTH),
        Text(f"{progress.share:4.0%}".replace("%", " %")),
        Text(progress.position()),
        Text(progress.time_left()),
    )
    lines = [line for line in (progress.numbers(), progress.beside()) if line]
    return Group(row, *map(Text, lines))
