"""Drawn rows, part by part: computed here or by workers, kept until the command ends, written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from lowerbound.applications.common.application import Reporter
from lowerbound.applications.common.columnar_files import columnar
from lowerbound.applications.common.engines import Compute, Progress, computed, engine_of
from lowerbound.applications.common.form import DrawnRequest
from lowerbound.applications.common.parts import Arrays, finished_parts
from lowerbound.data.tables.text_form import TextForm
from lowerbound.inference.table_draws import BLOCK
from lowerbound.inference.tables import TableDraws

PART = 16 * BLOCK  # rows of a table that are kept together


@dataclass(frozen=True)
class NumberedRows:
    """Rows to draw.

    Attributes:
        first: number of the first row, from 0.
        count: number of rows.
        total: number of all rows.
    """

    first: int
    count: int
    total: int

    def __len__(self) -> int:
        return self.count

    def sent(self) -> Self:
        """The same."""
        return self

    def place(self, done: int, of: int) -> tuple[int, int]:
        """(rows done, all rows) when ``done`` of ``of`` rows of this part are done."""
        return self.first + done * self.count // max(of, 1), self.total


@contextmanager
def drawing(
    command: str,
    request: DrawnRequest,
    reporter: Reporter,
    rows: Iterable[slice],
    total: int,
    compute: Compute[NumberedRows],
) -> Iterator[Iterator[tuple[NumberedRows, Arrays]]]:
    """Context with each part and its arrays.

    Args:
        command: its name.
        request: its options.
        reporter: shows the progress.
        rows: of each part.
        total: number of all rows.
        compute: the arrays of a part.
    """

    def progress_of(part: NumberedRows) -> Progress:
        return lambda done, of: reporter.advance("drawing", *part.place(done, of))

    parts = (NumberedRows(one.start, one.stop - one.start, total) for one in rows)
    with (
        finished_parts(command, request, reporter) as finished,
        engine_of(request, compute) as engine,
    ):
        yield computed(parts, lambda part: part, engine, finished, progress_of)


def write_table(
    command: str, request: Any, reporter: Reporter, draws: TableDraws, total: int
) -> bool:
    """Write drawn rows of a table; whether a cell of a modeled column is missing.

    Args:
        command: its name.
        request: its options, among them ``output``.
        reporter: shows the progress.
        draws: of the rows.
        total: number of rows.
    """
    path, missing = Path(request.output), False
    rows = (slice(first, min(first + PART, total)) for first in range(0, total, PART))
    with (
        drawing(command, request, reporter, rows, total, partial(_values, draws)) as made,
        columnar(path, TextForm.of(draws.source.fitted.schema)) as file,
    ):
        for frame, gaps in _frames(draws, made, total):
            cells = draws.source.form.spelled(frame) if path.suffix.lower() == ".csv" else frame
            file.add({name: cells[name] for name in cells.columns})
            missing |= gaps
    return missing


def _frames(
    draws: TableDraws, made: Iterable[tuple[NumberedRows, Arrays]], total: int
) -> Iterator[tuple[Any, bool]]:
    """(rows in the form of the table, whether one lacks a value), block by block; of none, one
    frame without rows."""
    if not total:
        yield from ((frame, False) for frame in draws.frames(0))
    for part, found in made:
        for start in range(0, len(part), BLOCK):
            # text may write a missing value as a marker, such as "?"
            values = found["values"][start : start + BLOCK]
            yield draws.frame(values, part.first + start), bool(np.isnan(values).any())


def _values(draws: TableDraws, part: NumberedRows, progress: Progress) -> Arrays:
    found = draws.values(part.first, len(part))
    progress(1, 1)
    return {"values": found}
