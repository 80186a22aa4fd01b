"""The training history: one record per validation, and the reason of the end."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

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
