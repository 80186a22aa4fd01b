"""Workbooks of spreadsheets: a sheet is read in a process of its own, with limits.

::

    x.xlsx ──> its members unpacked, counted ──> workbook_rows.py ──> lines of JSON ──> frame
                                                 (limits of memory and time)
"""

from __future__ import annotations

import importlib.util
import json
import warnings
import zipfile
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

from lowerbound import untrusted
from lowerbound.data.arrays import listed
from lowerbound.data.columns.durations import of_workbook
from lowerbound.data.tables import workbook_rows
from lowerbound.data.tables.dialect import BYTES_OF_TEXT
from lowerbound.data.tables.markers import Kept, emptied, texts_kept
from lowerbound.errors import DataError, MissingExtraError
from lowerbound.untrusted import child
from lowerbound.untrusted.unpacking import check_members, open_zip

WORKBOOKS = (".xlsx", ".xls", ".ods")
BYTES_OF_XML = 4.0  # of memory, for a byte of a workbook
BYTES_OF_OBJECT = 96.0  # of memory, for a cell: an object, and what is made of it
LEAST_SECONDS, SECONDS_OF_BYTE = 20.0, 1e-6  # of the processor, in which a workbook is read
ROWS = Path(workbook_rows.__file__)


def read_workbook(path: Path, sheet: str | None = None, kept: Kept | None = None) -> Any:
    """A sheet of a workbook as a frame; a warning names the others, and markers that are emptied.

    Raises:
        DataError: there is no such sheet, or the file is no workbook.
        MissingExtraError: the library that reads workbooks is not installed.
    """
    import pandas as pd
    from pandas.io.parsers import TextParser

    untrusted.check_regular(path, DataError)
    sheets, rows = _sheet(path, sheet)
    if sheet is not None and sheet not in sheets:
        raise DataError(f"{path} has no sheet {sheet!r}; it has {listed(sheets)}")
    if sheet is None and len(sheets) > 1:
        warnings.warn(
            f"{path} has sheets {listed(sheets)}: the first is read (--sheet names another)",
            UserWarning,
            stacklevel=4,
        )
    if not rows:
        return pd.DataFrame()
    with untrusted.guarded(str(path), DataError):
        # as objects: otherwise text such as 02139 becomes a number
        words: Any = {"dtype": object, "keep_default_na": False, "na_values": [""]}
        frame = TextParser(rows, header=0, skip_blank_lines=False, **words).read()
        frame = emptied(frame, texts_kept(kept or {}), {})
        for place in range(frame.shape[1]):
            frame.isetitem(place, of_workbook(frame.iloc[:, place]))
        return frame.infer_objects()


def _sheet(path: Path, sheet: str | None) -> tuple[list[str], list[list[Any]]]:
    """The names of a workbook's sheets, and the rows of one: ``sheet``, or else the first.

    The library that reads workbooks takes memory for cells that are not there, and aborts.

    Raises:
        DataError: the file is no workbook, or takes more memory or time than the limits.
        MissingExtraError: the library is not installed.
    """
    library = importlib.util.find_spec("python_calamine")
    if library is None or library.origin is None:
        raise MissingExtraError("python-calamine", "excel")
    size = _workbook_bytes(path)
    arguments = [
        str(Path(library.origin).parents[1]),
        str(path),
        *([] if sheet is None else [sheet]),
    ]
    sheets: list[str] = []
    rows, taken = [], 0.0
    seconds = LEAST_SECONDS + SECONDS_OF_BYTE * size
    with closing(child.lines(ROWS, arguments, str(path), DataError, seconds)) as lines:
        for number, line in enumerate(lines):
            found = json.loads(line)
            if isinstance(found, dict):
                raise DataError(f"{path} cannot be read as a workbook: {found['error']}")
            taken += BYTES_OF_TEXT * len(line) + BYTES_OF_OBJECT * len(found)
            untrusted.check_memory(taken, str(path), DataError)
            if number:
                rows.append([cell if isinstance(cell, str) else _cell(cell) for cell in found])
            else:
                sheets = found
    return sheets, rows


def _cell(value: Any) -> Any:
    """A cell of a workbook from JSON, as pandas gives it."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list):
        value = workbook_rows.cell_of(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day)
    return value


def _workbook_bytes(path: Path) -> float:
    """The unpacked bytes of a workbook, which most often is a zip file.

    Raises:
        DataError: they take more memory than the limit, or the file is damaged.
    """
    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    with open_zip(path, DataError, "a workbook") as archive:
        return check_members(archive, str(path), DataError, BYTES_OF_XML)
