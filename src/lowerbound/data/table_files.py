"""Table files: csv, plain or compressed, with or without a header; parquet."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from lowerbound.errors import DataError

CSV_SUFFIXES = (".csv", ".tsv", ".txt", ".data")
PARQUET_SUFFIXES = (".parquet", ".pq")
_OPENERS: dict[str, Callable[..., IO[str]]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


def read_frame(path: Path) -> Any:
    """The pandas frame in a csv or parquet file.

    The delimiter is found from the first line, and a first line of numbers means that there is no
    header: columns are then named x0, x1, ...

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
            float_precision="round_trip",
            low_memory=False,
        )
    except (ValueError, OSError, EOFError) as error:  # pandas' parser errors are ValueErrors
        _check_widths(path, delimiter)
        raise DataError(f"{path} cannot be read as csv: {error}") from error
    # pandas fills short lines and takes the first field of long ones for row names, silently
    if len(frame) and (
        frame.iloc[:, -1].isna().any() or not isinstance(frame.index, pd.RangeIndex)
    ):
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
            line = next((line for line in file if line.strip()), "")
    except (UnicodeDecodeError, OSError, EOFError, lzma.LZMAError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    if not line:
        raise DataError(f"{path} is empty")
    delimiter = max(",;\t|", key=line.count)
    if not line.count(delimiter) and len(line.split()) > 1:
        delimiter = r"\s+"
    fields = line.split() if delimiter == r"\s+" else line.split(delimiter)
    return delimiter, not all(_is_number(field) for field in fields)


def _is_number(field: str) -> bool:
    try:
        float(field.strip().strip('"'))
    except ValueError:
        return False
    return True


def _check_widths(path: Path, delimiter: str) -> None:
    """Raise a DataError that names the first line with another number of fields than the first."""
    if len(delimiter) > 1:
        return
    expected = 0
    with _open(path, errors="replace") as file:
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        for row in reader:
            expected = expected or len(row)
            if row and len(row) != expected:
                raise DataError(
                    f"{path} is ragged: line {reader.line_num} has {len(row)} fields, the first "
                    f"line has {expected}"
                )
