"""Table files: csv, plain or compressed, with or without a header; parquet."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

from lowerbound.errors import DataError

CSV_SUFFIXES = (".csv", ".tsv", ".txt", ".data")
PARQUET_SUFFIXES = (".parquet", ".pq")
_MARKERS = ("", "?", "-", "na", "n/a", "nan", "null", "none")  # people write these for "missing"
_BROKEN = (OSError, EOFError, lzma.LZMAError, zlib.error)  # what a damaged file makes of reading it
_OPENERS: dict[str, Callable[..., IO[str]]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


def table_suffix(path: Path) -> str:
    """The suffix that says what a file holds, in small letters: ".csv" of people.csv.gz."""
    return (Path(path.stem) if path.suffix.lower() in _OPENERS else path).suffix.lower()


def read_frame(path: Path) -> Any:
    """The pandas frame in a csv or parquet file.

    The delimiter is found from the first line. Where that line looks like data rather than names,
    the columns are named x0, x1, ...

    Raises:
        DataError: empty, ragged (the line is named), or not such a file.
    """
    import pandas as pd

    if path.suffix.lower() in PARQUET_SUFFIXES:
        try:
            return pd.read_parquet(path)
        except (ValueError, OSError) as error:
            raise DataError(f"{path} cannot be read as parquet: {error}") from error
    delimiter, header = _sniff(path)
    try:
        frame = pd.read_csv(
            path,
            sep=delimiter,
            header="infer" if header else None,
            skipinitialspace=True,
            low_memory=False,
        )
    except (ValueError, *_BROKEN) as error:  # pandas' parser errors are ValueErrors
        _check_widths(path, delimiter)
        raise DataError(f"{path} cannot be read as csv: {error}") from error
    # pandas fills short lines and takes the first field of long ones for row names, silently
    named_rows = not frame.index.equals(pd.RangeIndex(len(frame)))
    if len(frame) and (named_rows or frame.iloc[:, -1].isna().any()):
        _check_widths(path, delimiter)
    if not header:
        frame.columns = [f"x{i}" for i in range(frame.shape[1])]
    return frame


def _open(path: Path, errors: str = "strict") -> IO[str]:
    opener: Callable[..., IO[str]] = _OPENERS.get(path.suffix.lower(), open)
    return opener(path, "rt", encoding="utf-8-sig", errors=errors, newline="")


def _sniff(path: Path) -> tuple[str, bool]:
    """(delimiter, whether the first line names the columns)."""
    try:
        with _open(path) as file:
            lines = list(islice((line for line in file if line.strip()), 2))
    except (UnicodeDecodeError, *_BROKEN) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    if not lines:
        raise DataError(f"{path} is empty")
    delimiter = max(",;\t|", key=lines[0].count)
    if not lines[0].count(delimiter) and len(lines[0].split()) > 1:
        delimiter = r"\s+"
    rows = [line.split(None if delimiter == r"\s+" else delimiter) for line in lines]
    header = _has_header(rows[0], rows[-1])
    if not header and not all(_is_number(field) for field in rows[0]):
        warnings.warn(
            f"the first line of {path} holds numbers and is taken for data; the columns are named "
            "x0, x1, ... (add a line of names if it was one)",
            UserWarning,
            stacklevel=4,
        )
    return delimiter, header


def _has_header(first: Sequence[str], second: Sequence[str]) -> bool:
    """Names hold no numbers; where some do (years, say), a name stands above a number."""
    names = [not _is_number(field) for field in first]
    return all(names) or any(
        name and field.strip().lower() not in _MARKERS and _is_number(below)
        for name, field, below in zip(names, first, second, strict=False)
    )


def _is_number(field: str) -> bool:
    try:
        float(field.strip().strip('"'))
    except ValueError:
        return False
    return True


def _check_widths(path: Path, delimiter: str) -> None:
    """Raise a DataError that names the first line with another number of fields than the first."""
    expected = 0
    for number, width in _widths(path, delimiter):
        expected = expected or width
        if width not in (0, expected):
            raise DataError(
                f"{path} is ragged: line {number} has {width} fields, the first line has {expected}"
            )


def _widths(path: Path, delimiter: str) -> Iterator[tuple[int, int]]:
    """(line, number of fields), as far as the file can be read."""
    try:
        with _open(path, errors="replace") as file:
            if delimiter == r"\s+":
                yield from ((i, len(line.split())) for i, line in enumerate(file, 1))
                return
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            yield from ((reader.line_num, len(row)) for row in reader)
    except (csv.Error, *_BROKEN):
        return
