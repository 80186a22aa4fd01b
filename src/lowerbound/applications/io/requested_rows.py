"""The rows of a request: all at once, or a table chunk by chunk, however long it is."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lowerbound.applications.form import OnError
from lowerbound.applications.io.sources import conditioned, open_data
from lowerbound.data import Dataset, load
from lowerbound.data.arrays import Array, listed
from lowerbound.data.sequences.series import has_windows
from lowerbound.data.sequences.windows import Reduction, Windows
from lowerbound.data.tables.chunks import read_chunks
from lowerbound.data.tables.files import is_table, read_frame
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting import Fitted


@dataclass(frozen=True, eq=False)
class RequestedRows:
    """Some of the rows of a request.

    Attributes:
        rows: as the model takes them; windows where the rows are points in time.
        points: how many there are; of a series its points, not its windows.
        first: number of the first among all, from 0.
        total: of all; a guess where it is unknown before the end.
        apart: values of the column that was named, a pandas series; None where none was.
        windows: how a series was cut; None where it was not.
    """

    rows: Dataset
    points: int
    first: int = 0
    total: int = 0
    apart: Any = None
    windows: Windows | None = None

    def of_points(self, scores: Array, reduce: Reduction) -> Array:
        """Scores of windows as those of points; of rows as they are."""
        return scores if self.windows is None else self.windows.points(scores, self.points, reduce)

    @property
    def names(self) -> Array:
        """What a file calls each row or point."""
        if self.rows.ids is not None and self.windows is None:
            return np.array(self.rows.ids)
        return np.arange(self.first, self.first + self.points)

    def name(self, row: int) -> str:
        """What a message calls a row."""
        if self.windows is not None:
            start = int(self.windows.starts(self.points)[row])
            return f"{start}-{start + self.windows.length - 1}"
        return str(self.first + row) if self.rows.ids is None else self.rows.ids[row]


def requested_rows(
    source: str,
    fitted: Fitted,
    *,
    column: str = "",
    windows: Windows | None = None,
    on_error: OnError = "raise",
) -> Iterator[RequestedRows]:
    """The rows of ``source`` in order, at least one chunk.

    A table comes in chunks that are small whatever its length, and is never held as a whole, unless
    it is cut in windows; everything else comes in one.

    Args:
        source: a path or the name of a set.
        fitted: the model.
        column: of a table, that is no part of the rows.
        windows: how to cut a table whose rows are points in time; None: as the model remembers.
        on_error: pictures that cannot be read.

    Raises:
        DataError: the data is of another kind than the model's, or has no such column.
        OptionError: a column or windows of what is no table.
    """
    if not is_table(source):
        if column or windows is not None:
            raise OptionError(f"{source} is no table, so it has neither columns nor windows")
        rows = open_data(source, fitted, on_error=on_error)
        yield RequestedRows(rows, len(rows), total=len(rows))
        return
    remembered = fitted.schema.windows
    if windows is not None or remembered is not None:
        frame, apart = _apart(read_frame(source), column, source)
        if windows is None and has_windows(frame, fitted.schema):
            yield RequestedRows(_opened(frame, fitted), len(frame), 0, len(frame), apart)
            return
        windows = windows or remembered
        assert windows is not None
        rows = _opened(windows.frame(frame), fitted)
        yield RequestedRows(rows, len(frame), 0, len(frame), apart, windows)
        return
    notes: set[str] = set()
    for chunk in read_chunks(source, fitted.schema):
        with _placed(source, chunk.first, notes):
            frame, apart = _apart(chunk.frame, column, source)
            rows = _opened(frame, fitted)
        yield RequestedRows(rows, len(rows), chunk.first, chunk.total, apart)


def _opened(frame: Any, fitted: Fitted) -> Dataset:
    return conditioned(load(frame, schema=replace(fitted.schema, condition=None)), fitted)


def _apart(frame: Any, column: str, source: str) -> tuple[Any, Any]:
    """(the frame without a column, the column); None where none is named."""
    if not column:
        return frame, None
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if column not in frame.columns:
        close = difflib.get_close_matches(column, list(frame.columns), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {listed(list(frame.columns))}"
        raise DataError(f"{source} has no column {column!r}; {hint}")
    return frame.drop(columns=[column]), frame[column]


@contextmanager
def _placed(source: str, first: int, notes: set[str]) -> Iterator[None]:
    """What is said of a chunk says where its count begins; notes of one kind are made once."""
    place = f" (0 is row {first:,} of {source})" if first else ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except DataError as error:
            raise DataError(f"{error}{place}") from error
    for warning in caught:
        kind = re.sub(r"\d[\d,]*", "", str(warning.message).split(":")[0])
        if kind not in notes:
            notes.add(kind)
            warnings.warn(f"{warning.message}{place}", warning.category, stacklevel=3)
