"""Reading tables: csv, plain or compressed, with or without a header; parquet; databases."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from lowerbound.data.tables.arrow import frame_of
from lowerbound.data.tables.duckdb import is_address, read_address
from lowerbound.errors import DataError

CSV_SUFFIXES = (".csv", ".tsv", ".txt", ".data")
PARQUET_SUFFIXES = (".parquet", ".pq")
_MARKERS = ("", "?", "-", "na", "n/a", "nan", "null", "none")  # of missing values
OPENERS: dict[str, Callable[..., IO[Any]]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_BROKEN = (OSError, EOFError, lzma.LZMAError, zlib.error)  # errors of reading a damaged file
BROKEN_CSV = (ValueError, *_BROKEN)  # pandas' parser errors are ValueErrors


def table_suffix(path: Path) -> str:
    """The suffix without a compression suffix, in lower case: ".csv" of people.csv.gz."""
    return (Path(path.stem) if path.suffix.lower() in OPENERS else path).suffix.lower()


def read_frame(source: str | Path) -> Any:
    """Read a csv or parquet file, or the database table at an address, as a pandas frame.

    The first line determines the delimiter. If that line contains data and not names, the columns
    are named x0, x1, ...

    Raises:
        DataError: the file is empty, ragged (the message names the line), or of another type.
    """
    import pandas as pd

    if isinstance(source, str) and is_address(source):
        return read_address(source)
    path = Path(source).expanduser()
    if path.suffix.lower() in PARQUET_SUFFIXES:
        with parquet(path) as file:
            return frame_of(file.read(), str(path))
    layout = sniffed(path)
    try:
        frame = pd.read_csv(path, low_memory=False, **layout.keywords)
    except BROKEN_CSV as error:
        raise unreadable(path, layout, error) from error
    if _may_be_ragged(frame):
        check_widths(path, layout)
    return layout.named(frame)


def read_text(source: str | Path) -> Any:
    """The unparsed cells of a csv file, a frame of text; None: it is not a csv file."""
    import pandas as pd

    path = Path(source).expanduser()
    if is_address(source) or path.suffix.lower() in PARQUET_SUFFIXES:
        return None
    layout = sniffed(path)
    return layout.named(pd.read_csv(path, dtype=str, na_filter=False, **layout.keywords))


def with_leading_zeros(frame: Any, source: str | Path) -> Any:
    """The frame of a csv file, with text such as 00017 in columns of which some cells begin so."""
    is_csv = not is_address(source) and table_suffix(Path(source)) in CSV_SUFFIXES
    names = [name for name in frame.columns if frame[name].dtype.kind in "iuf"]
    text = read_text(source) if is_csv and names else None
    if text is None:
        return frame
    words = {name: text[name].str.strip() for name in names}
    zeros = {name: each for name, each in words.items() if each.str.match(r"0\d+$").any()}
    kept = {name: each.where(frame[name].notna()) for name, each in zeros.items()}
    return frame.assign(**kept) if kept else frame


@contextmanager
def parquet(path: Path) -> Iterator[Any]:
    """Open a parquet file.

    Raises:
        DataError: the file is not parquet, or is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # with a buffer, the whole file would be in memory at the end
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as parquet: {error}") from error


def is_table(source: str | Path) -> bool:
    """Whether ``source`` is the path of an existing table file, or the address of a table."""
    if is_address(source):
        return True
    path = Path(source).expanduser()
    return table_suffix(path) in (*CSV_SUFFIXES, *PARQUET_SUFFIXES) and path.is_file()


@dataclass(frozen=True)
class Layout:
    """The layout of a csv file.

    Attributes:
        delimiter: between fields, in pandas' notation.
        header: whether the first line names the columns.
    """

    delimiter: str
    header: bool

    @property
    def keywords(self) -> dict[str, Any]:
        """The arguments of ``pandas.read_csv``."""
        header = "infer" if self.header else None
        return {"sep": self.delimiter, "header": header, "skipinitialspace": True}

    def named(self, frame: Any) -> Any:
        """The frame, with generated column names if the file has no header."""
        if not self.header:
            frame.columns = [f"x{i}" for i in range(frame.shape[1])]
        return frame


def _may_be_ragged(frame: Any) -> bool:
    """Whether lines may differ in width. pandas gives no error: it fills short lines, and uses the
    first field of long lines as row names instead of counting."""
    import pandas as pd

    named_rows = not frame.index.equals(pd.RangeIndex(len(frame)))
    return bool(len(frame)) and (named_rows or bool(frame.iloc[:, -1].isna().any()))


def unreadable(path: Path, layout: Layout, error: Exception) -> DataError:
    """The error of a csv file that pandas cannot read.

    Raises:
        DataError: its lines differ in width; the message names the first such line.
    """
    check_widths(path, layout)
    return DataError(f"{path} cannot be read as csv: {error}")


def _open(path: Path, errors: str = "strict") -> IO[str]:
    opener: Callable[..., IO[str]] = OPENERS.get(path.suffix.lower(), open)
    return opener(path, "rt", encoding="utf-8-sig", errors=errors, newline="")


def sniffed(path: Path) -> Layout:
    """Infer the layout from the first two lines.

    Raises:
        DataError: the file is empty or not text.
    """
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
            f"the first line of {path} contains numbers and is read as data; the columns are named "
            "x0, x1, ... (if it is a line of names, add one without numbers)",
            UserWarning,
            stacklevel=4,
        )
    return Layout(delimiter, header)


def _has_header(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether the first line is a header: no field is a number, or a name is above a number."""
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


def check_widths(path: Path, layout: Layout) -> None:
    """Raise an error if lines differ in their number of fields.

    Raises:
        DataError: the message names the first line that differs.
    """
    expected = 0
    for number, width in _widths(path, layout.delimiter):
        expected = expected or width
        if width not in (0, expected):
            raise DataError(
                f"{path} is ragged: line {number} has {width} fields, the first line has {expected}"
            )


def _widths(path: Path, delimiter: str) -> Iterator[tuple[int, int]]:
    """Yield (line number, number of fields) up to the first unreadable line."""
    try:
        with _open(path, errors="replace") as file:
            if delimiter == r"\s+":
                yield from ((i, len(line.split())) for i, line in enumerate(file, 1))
                return
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            blank = [""]  # a line of spaces, which pandas skips
            yield from ((reader.line_num, 0 if row == blank else len(row)) for row in reader)
    except (csv.Error, *_BROKEN):
        return
