"""The rows of a request, all at once or chunk by chunk, after a check of memory and disk."""

from __future__ import annotations

import csv
import difflib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound import untrusted
from lowerbound.applications.common.form import OnError
from lowerbound.applications.common.sources import conditioned, open_clips, open_data
from lowerbound.data.arrays import Array, listed
from lowerbound.data.dataset import Dataset
from lowerbound.data.loading import load
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.series import has_windows
from lowerbound.data.sequences.windows import Reduction, Windows
from lowerbound.data.tables.chunks import placed, read_chunks
from lowerbound.data.tables.files import is_table, read_for
from lowerbound.data.tables.numbers import other_notations, with_numbers, with_points
from lowerbound.errors import DataError, OptionError, unknown
from lowerbound.fitting.fitted import Fitted

BYTES_OF_NUMBER = 16  # of memory for a number of a row: z, parameters, the draw, a copy
SHOWN = 20  # names of rows in an error


def check_rows(fitted: Fitted, rows: int, asked: str, schema: Schema | None = None) -> None:
    """Check that rows of a model, with their latents, fit into the limit of memory.

    Args:
        fitted: the model.
        rows: their number.
        asked: the option that asks for them, as the message names it.
        schema: of a row; default: the model's.

    Raises:
        OptionError: they do not fit; the message says how to raise the limit.
    """
    numbers = (schema or fitted.schema).dimension + (fitted.options.model.latent_dim or 0)
    needed = BYTES_OF_NUMBER * numbers * rows
    untrusted.check_memory(needed, asked, OptionError, ", or ask for fewer")


def check_disk(path: Path, rows: int, schema: Schema, asked: str) -> None:
    """Check that rows of a table, which are written part by part, fit on the disk.

    Args:
        path: the file to write; its folder, or the nearest one above it, need exist.
        rows: their number.
        schema: of a row.
        asked: the option that asks for them, as the message names it.

    Raises:
        OptionError: they do not fit even if a cell takes one byte.
    """
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    free, needed = shutil.disk_usage(folder).free, rows * max(1, len(schema.columns))
    if needed > free:
        raise OptionError(
            f"{asked} takes at least {needed / 1e9:,.0f} GB of disk, and {folder} has "
            f"{free / 1e9:,.0f} GB free: ask for fewer rows, or choose another place"
        )


@dataclass(frozen=True, eq=False)
class RequestedRows:
    """A chunk of the rows of a request.

    Attributes:
        rows: rows for the model; windows if the rows are points in time.
        points: number of rows; for a series the number of points, not of windows.
        first: number of the first row among all rows, from 0.
        total: number of all rows; an estimate if it is unknown before the end.
        apart: values of the requested column, a pandas series; None if none is requested.
        windows: windows of a series; None for other rows.
        cells: the rows, or windows, as a pandas frame; None if they are not requested or no table.
        text: the cells as the file writes them; None if they are not requested, or the table is not
            a file of text.
    """

    rows: Dataset
    points: int
    first: int = 0
    total: int = 0
    apart: Any = None
    windows: Windows | None = None
    cells: Any = None
    text: Any = None

    def __len__(self) -> int:
        return self.points

    def sent(self) -> RequestedRows:
        """The rows for the model, without what is only written."""
        return replace(self, cells=None, text=None, apart=None)

    def of_points(self, scores: Array, reduce: Reduction) -> Array:
        """Scores of points from scores of windows; scores of rows are unchanged."""
        return scores if self.windows is None else self.windows.points(scores, self.points, reduce)

    def place(self, done: int, of: int) -> tuple[int, int]:
        """(rows done, all rows) when ``done`` of the ``of`` parts of this chunk are done."""
        return self.first + done * self.points // max(of, 1), self.total

    @property
    def names(self) -> Array:
        """The name of each row or point in a file."""
        if self.rows.ids is not None and self.windows is None:
            return np.array(self.rows.ids)
        return np.arange(self.first, self.first + self.points)

    def name(self, row: int) -> str:
        """The name of a row in a message."""
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
    cells: bool = False,
    texts: bool = False,
    copies: int = 1,
    clips_apart: bool = False,
) -> Iterator[RequestedRows]:
    """The rows of ``source`` in order, at least one chunk.

    A table is read in small chunks, so that it never has to fit into memory, unless it is cut into
    windows. Other data is one chunk.

    Args:
        source: a path or the name of a set.
        fitted: the model.
        column: a column of a table that is separated from the rows; "": none.
        windows: windows of a table whose rows are points in time; None: the windows of the fit.
        on_error: what to do with pictures that cannot be read.
        cells: whether chunks of a table also have the cells as given.
        texts: whether chunks of a table also have the cells as the file writes them.
        copies: of the cells that are in memory at once, which makes the chunks shorter.
        clips_apart: whether each clip of sound is cut into rows on its own, so that a row is of one
            clip; some rows then overlap. Otherwise clips are joined end to end.

    Raises:
        DataError: the data is of another kind than the model's, or has no such column.
        OptionError: a column or windows are requested, and the data is not a table.
    """
    if not _of_columns(source, fitted):
        if column or windows is not None:
            raise OptionError(f"{source} is not a table, so it has neither columns nor windows")
        opened = open_clips if clips_apart else open_data
        rows = opened(source, fitted, on_error=on_error)
        yield RequestedRows(rows, len(rows), total=len(rows))
        return
    remembered = fitted.schema.windows
    if windows is not None or remembered is not None:
        frame, apart = _apart(read_for(fitted.schema, source)[0], column, source)
        if windows is None and has_windows(frame, fitted.schema):
            given = frame if cells else None
            rows = _opened(frame, fitted)
            yield RequestedRows(rows, len(frame), 0, len(frame), apart, None, given)
            return
        windows = windows or remembered
        assert windows is not None
        cut = windows.frame(frame)
        rows, given = _opened(cut, fitted), cut if cells else None
        yield RequestedRows(rows, len(frame), 0, len(frame), apart, windows, given)
        return
    notes: set[str] = set()
    for chunk in read_chunks(source, fitted.schema, copies=copies, texts=texts):
        with placed(source, chunk.first, notes):
            others = other_notations(chunk.frame, chunk.dialect, fitted.schema)
            frame, apart = _apart(with_numbers(chunk.frame, others), column, source)
            rows = _opened(frame, fitted)
        text = None if chunk.text is None else with_points(chunk.text, others, fitted.schema)
        given = frame if cells else None
        yield RequestedRows(rows, len(rows), chunk.first, chunk.total, apart, None, given, text)


def _of_columns(source: str, fitted: Fitted) -> bool:
    """Whether ``source`` is a table whose rows are rows of the model, or points in time."""
    kind = fitted.schema.data_kind
    return is_table(source) and not (kind.grouped or kind.symbolic)


def in_chunks(source: str, fitted: Fitted) -> bool:
    """Whether ``requested_rows`` reads ``source`` in chunks, each row for itself."""
    return _of_columns(source, fitted) and fitted.schema.windows is None


def rows_of_model(
    source: str, fitted: Fitted, on_error: OnError = "raise"
) -> Iterator[RequestedRows]:
    """As ``requested_rows``, but a series is the windows of the fit, which are rows of their own.

    Raises:
        DataError: as ``requested_rows``.
    """
    if in_chunks(source, fitted):
        yield from requested_rows(source, fitted, on_error=on_error)
        return
    rows = open_data(source, fitted, on_error=on_error)
    yield RequestedRows(rows, len(rows), total=len(rows))


def _opened(frame: Any, fitted: Fitted) -> Dataset:
    return conditioned(load(frame, schema=replace(fitted.schema, condition=None)), fitted)


def _apart(frame: Any, column: str, source: str) -> tuple[Any, Any]:
    """(the frame without a column, the column); None if no column is requested."""
    if not column:
        return frame, None
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if column not in frame.columns:
        close = difflib.get_close_matches(column, list(frame.columns), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {listed(list(frame.columns))}"
        raise DataError(f"{source} has no column {column!r}; {hint}")
    return frame.drop(columns=[column]), frame[column]


def picked_rows(text: str, dataset: Dataset, flag: str = "--rows") -> list[int]:
    """Row numbers from "3,17" or from "a.png,b.png"; a name with a comma in quotes, as in csv.

    Raises:
        OptionError: a word is neither a row number of the data nor a row's name.
    """
    if text in (dataset.ids or ()):
        return [picked_row(text, dataset, flag)]
    cells = next(csv.reader([text], skipinitialspace=True), [])
    words = [word.strip() for word in cells if word.strip()]
    if not words:
        raise OptionError(f"{flag} takes row numbers such as 3,17, not {text!r}")
    return [picked_row(word, dataset, flag) for word in words]


def picked_row(word: str, dataset: Dataset, flag: str = "--rows") -> int:
    """One row number.

    Raises:
        OptionError: ``word`` is neither a row number of the data nor a row's name.
    """
    names = dataset.ids or ()
    if word in names:
        return names.index(word)
    if word.isdecimal():
        if int(word) < len(dataset):
            return int(word)
        raise OptionError(
            f"{flag}: there is no row {word}; the data has rows 0 to {len(dataset) - 1:,}"
        )
    if names:
        close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
        raise unknown("row", word, {*close, *names[:SHOWN]})
    raise OptionError(f"{flag} takes row numbers from 0 to {len(dataset) - 1:,}, not {word!r}")
