"""Reading tables: csv, plain or compressed, with or without a header; parquet; databases."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.columns.notation import COMMA, Notation, is_number
from lowerbound.data.columns.values import (
    EXACT,
    are_whole,
    exact_whole,
    missing,
    parsed_numbers,
    with_own_gaps,
)
from lowerbound.data.schema import Schema
from lowerbound.data.tables.arrow import frame_of, with_arrow_types
from lowerbound.data.tables.dialect import (
    DELIMITERS,
    SAMPLE,
    Dialect,
    Layout,
    sniffed,
    widths,
)
from lowerbound.data.tables.duckdb import is_address, read_address
from lowerbound.data.tables.markers import Kept, emptied, is_text, levels_of, na_values, texts_kept
from lowerbound.data.tables.numbers import Notations, notations_of, other_notations, with_numbers
from lowerbound.data.tables.parquet import PARQUET_SUFFIXES, ParquetTable, is_parquet
from lowerbound.data.tables.workbooks import WORKBOOKS, read_workbook
from lowerbound.errors import DataError
from lowerbound.untrusted.unpacking import BROKEN, OPENERS, Counted, unpacked

TEXTS = "; if each line is a text, give --tokens words or --tokens characters"
CSV_SUFFIXES = (".csv", ".tsv", ".txt", ".data")
SCANNED = 1 << 22  # bytes at once
PADDED = r"\s*0\d+\s*$"  # a whole number that begins with 0, such as 02139
_LEADING_ZERO = re.compile(rb"[^0-9.:/-]0[0-9]")
_IN_BYTES = re.compile(r"(?i)utf-?8|ascii|latin|iso|cp|windows")  # one byte for each digit
BROKEN_CSV = (ValueError, *BROKEN)  # pandas' parser errors are ValueErrors
STREAMED = ", or fit it with --rows-in disk, which reads it part by part"


def table_suffix(path: Path) -> str:
    """The suffix without a compression suffix, in lower case: ".csv" of people.csv.gz."""
    return (Path(path.stem) if path.suffix.lower() in OPENERS else path).suffix.lower()


def read_table(
    source: str | Path,
    asked: Dialect | None = None,
    known: Notations | None = None,
    kept: Kept | None = None,
) -> tuple[Any, Dialect | None]:
    """Read a file of text, a parquet table, a sheet of a workbook, or a table of a database.

    The dialect of a text is inferred, except for what is asked. If its first line contains data and
    not names, the columns are named x0, x1, ... A column with codes such as 02139 stays text.

    Args:
        source: a path, or the address of a database's table.
        asked: how the table is written, as far as a user said.
        known: the notations of a model's columns. In a text that is written so, these columns stay
            text, so that 1.234 may be a thousand.
        kept: levels that are no markers of missing values in a text, such as "NA" of Namibia.

    Returns:
        A pandas frame, and the dialect of a text; None for a usual one, and for other files.

    Raises:
        DataError: the file is missing, empty, ragged (the message names the line), or of another
            type.
        MissingExtraError: the library that reads workbooks is not installed.
    """
    given = asked or Dialect()
    if isinstance(source, str) and is_address(source):
        return given.emptied(with_own_gaps(read_address(source))), None
    path = Path(source).expanduser()
    if not path.exists():
        raise DataError(f"there is no file {path}")
    if is_parquet(path):
        table = ParquetTable.open(path).read()
        frame = with_arrow_types(frame_of(table, str(path)), table.schema)
        return given.emptied(with_own_gaps(frame)), None
    if path.suffix.lower() in WORKBOOKS:
        return given.emptied(read_workbook(path, given.sheet, kept)), None
    layout = sniffed(path, asked)
    types = layout.text_types(written_as_known(path, layout, known or {}))
    levels = texts_kept(kept or {})
    words = {"dtype": types, **layout.keywords, **kept_words(path, layout, levels)}
    frame = _parsed(path, layout, low_memory=False, **words)
    if _may_be_ragged(frame):
        check_widths(path, layout)
    layout.note(path)
    if known is None and path.suffix.lower() == ".txt":
        _note_of_text(frame, path)
    frame = _with_all_digits(layout.named(frame), path, layout)
    check_delimiter(frame, layout, path)
    frame = emptied(frame, levels, _cells_with_gaps(frame, path, layout, levels))
    return frame, None if layout.dialect.usual else layout.dialect


def kept_words(path: Path, layout: Layout, kept: Kept) -> dict[str, Any]:
    """The arguments of ``pandas.read_csv`` that keep the markers in columns of known levels."""
    if not kept:
        return {}
    names = list(_parsed(path, layout, nrows=1, **layout.keywords).columns)
    return na_values(names, layout, kept)


def _cells_with_gaps(frame: Any, path: Path, layout: Layout, kept: Kept) -> dict[str, Any]:
    """The unparsed cells of the columns of text in which some are missing, by name."""
    places = [
        place
        for place in range(frame.shape[1])
        if is_text(frame.iloc[:, place]) and frame.iloc[:, place].isna().any()
    ]
    places = [place for place in places if str(frame.columns[place]) not in kept]
    if not places:
        return {}
    words = {**layout.keywords, "dtype": str, "na_filter": False}
    text = _parsed(path, layout, usecols=places, **words)
    return {str(frame.columns[place]): text.iloc[:, at] for at, place in enumerate(places)}


def read_frame(
    source: str | Path, asked: Dialect | None = None, known: Notations | None = None
) -> Any:
    """The frame of ``read_table``."""
    return read_table(source, asked, known)[0]


def read_for(schema: Schema, source: str | Path) -> tuple[Any, Notations]:
    """A table in the notation of a schema, whose plain numbers may have decimal commas in a file of
    text.

    Returns:
        The frame of ``read_table``, in which such numbers are read, and their notations.

    Raises:
        DataError, MissingExtraError: as for ``read_table``.
    """
    frame, dialect = read_table(
        source, schema.text_dialect, notations_of(schema), levels_of(schema)
    )
    others = other_notations(frame, dialect, schema)
    return with_numbers(frame, others), others


def written_as_known(path: Path, layout: Layout, known: Notations) -> set[str]:
    """The columns with a known notation, if the first rows of a text are all written so.

    Otherwise the file has plain numbers, of which some cannot be in these notations, such as 0.5.

    Raises:
        DataError: the file is ragged or damaged.
    """
    if not known or layout.dialect.decimal == COMMA:  # whose columns are all read as text
        return set()
    words = {**layout.keywords, "dtype": str, "nrows": SAMPLE}
    rows = layout.named(_parsed(path, layout, **words))
    found = {name: rows[name] for name in rows.columns if name in known}
    others = (_is_other(cells, known[name]) for name, cells in found.items())
    return set() if any(others) else set(found)


def _is_other(cells: Any, notation: Notation) -> bool:
    """Whether some cells are plain numbers that are not in a notation."""
    _, words = parsed_numbers(cells)
    return bool((np.isnan(notation.numbers(cells)) & ~missing(cells, words=False) & ~words).any())


def read_text(source: str | Path, asked: Dialect | None = None) -> Any:
    """The unparsed cells of a file of text, a frame of text; None: it is another file."""
    path = Path(source).expanduser()
    if is_address(source) or table_suffix(path) not in CSV_SUFFIXES:
        return None
    layout = sniffed(path, asked)
    words = {**layout.keywords, "dtype": str, "na_filter": False}
    return layout.named(_parsed(path, layout, **words))


def _parsed(path: Path, layout: Layout, **words: Any) -> Any:
    """The frame that pandas makes of a file of text, or of columns or first rows of it.

    Raises:
        DataError: the file is ragged or damaged, or takes more memory than the limit.
    """
    import pandas as pd

    with parsing(path, layout, STREAMED) as file:
        return pd.read_csv(file, **words)


@contextmanager
def parsing(path: Path, layout: Layout, instead: str = "") -> Iterator[Counted]:
    """Context with the unpacked bytes of a file of text; what pandas finds there is said in words.

    Raises:
        DataError: the file is ragged or damaged, or takes more memory than the limit.
    """
    try:
        with layout.opened(path, instead) as file:
            yield file
    except DataError:
        raise
    except BROKEN_CSV as error:
        raise unreadable(path, layout, error) from error


def _note_of_text(frame: Any, path: Path) -> None:
    """Warn if a .txt file, which may have a text in each line, has no numbers as a table."""
    if all(dtype.kind not in "iufb" for dtype in frame.dtypes):
        warnings.warn(
            f"{path} is read as a table of {frame.shape[1]} columns of text{TEXTS}",
            UserWarning,
            stacklevel=4,
        )


def check_delimiter(frame: Any, layout: Layout, path: Path) -> None:
    """Raise an error if a file of several columns does not have the delimiter that was given.

    Raises:
        DataError: the only column, and its first cell, have as many marks that delimit cells.
    """
    dialect = layout.dialect
    if "delimiter" not in dialect.given or frame.shape != (len(frame), 1):
        return
    name, cell = str(frame.columns[0]), str(frame.iloc[0, 0]) if len(frame) else ""
    marks = [mark for mark in DELIMITERS if mark in name and name.count(mark) == cell.count(mark)]
    if marks and not is_number(cell):
        raise DataError(
            f"{path} has no {dialect.delimiter!r}, which --delimiter says, but it has "
            f"{marks[0]!r}: each line is one cell ({name!r}); leave --delimiter out, or give "
            f"{marks[0]!r}"
        )


def _with_all_digits(frame: Any, path: Path, layout: Layout) -> Any:
    """The frame with text in columns of whole numbers of which some begin with 0, and with exact
    numbers where a missing cell made pandas round them."""
    whole = [place for place in range(frame.shape[1]) if _is_whole(frame.iloc[:, place])]
    if whole and not may_have_leading_zeros(path, layout):
        whole = [place for place in whole if _is_rounded(frame.iloc[:, place])]
    if not whole:
        return frame
    words = {**layout.keywords, "dtype": str, "na_filter": False}
    text = _parsed(path, layout, usecols=whole, **words)
    columns = {place: text.iloc[:, index].str.strip() for index, place in enumerate(whole)}
    made = frame.copy(deep=False)
    for place, each in columns.items():
        cells = each.where(frame.iloc[:, place].notna())
        if is_padded(each):
            made.isetitem(place, cells)
        elif _is_rounded(frame.iloc[:, place]) and are_whole(cells):
            made.isetitem(place, exact_whole(cells))
    return made


def _is_rounded(series: Any) -> bool:
    """Whether some numbers are so large that a float rounds whole numbers."""
    return series.dtype.kind == "f" and bool((series.abs() >= EXACT).any())


def is_padded(text: Any) -> bool:
    """Whether a column of text has whole numbers that begin with 0."""
    return bool(text.str.match(PADDED).any())


def _is_whole(series: Any) -> bool:
    if series.dtype.kind != "f":
        return series.dtype.kind in "iu"
    present = series.dropna()
    return bool((present == present.round()).all())


def may_have_leading_zeros(path: Path, layout: Layout) -> bool:
    """Whether a 0 that begins a cell stands before a digit somewhere; quicker than parsing."""
    if not _IN_BYTES.match(layout.dialect.encoding or "utf-8"):
        return True
    before = b"\n"
    with unpacked(path, DataError) as file:
        while block := file.read(SCANNED):
            if _LEADING_ZERO.search(before + block):
                return True
            before = block[-2:]
    return False


def is_table(source: str | Path) -> bool:
    """Whether ``source`` is the path of an existing table, or the address of one in a database."""
    if is_address(source):
        return True
    path = Path(source).expanduser()
    if path.is_dir():
        return is_parquet(path)
    return table_suffix(path) in (*CSV_SUFFIXES, *PARQUET_SUFFIXES, *WORKBOOKS) and path.is_file()


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
    hint = " (--encoding, such as cp1252, if it is not UTF-8)"
    return DataError(
        f"{path} cannot be read as csv: {error}{hint * isinstance(error, UnicodeDecodeError)}"
    )


def check_widths(path: Path, layout: Layout) -> None:
    """Raise an error if lines differ in their number of fields.

    Raises:
        DataError: the message names the first line that differs.
    """
    expected = 0
    with closing(widths(path, layout)) as lines:
        for number, width in lines:
            expected = expected or width
            if width not in (0, expected):
                raise DataError(
                    f"{path} is ragged: line {number} has {width} fields, the first line has "
                    f"{expected}{TEXTS * (path.suffix.lower() == '.txt')}"
                )
