"""How a table is written in a file of text: its encoding, its delimiter, its decimal mark."""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import IO, Any

from lowerbound.data.arrays import listed
from lowerbound.data.columns.notation import COMMA, POINT, decimal_mark, is_number, without_beyond
from lowerbound.data.columns.values import marked_cells
from lowerbound.data.options import SPACES, PlainDialect
from lowerbound.data.tables.refused import refuse_sparse_lines
from lowerbound.errors import DataError, OptionError
from lowerbound.untrusted.unpacking import BROKEN, Cost, Counted, unpacked

BEGINNINGS, MARK = "=+-@\t\r", "'"  # of formulas in a spreadsheet; before them in .csv files
DELIMITERS = ",;\t|"
SAMPLE = 1_000  # lines from which the dialect is inferred
LONGEST_SAMPLE = 1 << 25  # characters of them, if they are long
BYTES_OF_CELL, BYTES_OF_TEXT = 32.0, 3.5  # of memory for a cell, and for a byte of text, measured
BYTES_OF_LIST = 64.0  # for a cell in a list
LOOKED_AT, MOST_BLOCKS = 1 << 20, 64  # bytes at once, of which the encoding is inferred
UTF8, WINDOWS = "utf-8-sig", "cp1252"
MARKS = {
    codecs.BOM_UTF8: UTF8,
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by the bytes that a file begins with; those of UTF-32 begin as one of UTF-16."""
TRUTHS = (("true", "false"), ("TRUE", "FALSE"))
"""Ways to write true and false, which pandas reads and writes as True and False."""
_MISSING = ("", "?", "-", "na", "n/a", "nan", "null", "none")
_YEAR = re.compile("[12][0-9]{3}")
_DATE = re.compile(r"\s*[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}(?![-/.0-9])")
FEWEST_COLUMNS = 3  # whose numbers are names; two may be data
MOST_TITLES = 5  # lines of titles
FEWEST_ROWS = 3  # lines that show that those above are titles
LONGEST_STEP = 10  # between years in a line of names
FEWEST_LETTERS = 1000  # of a text to each character that is in none
_NO_TEXT = bytes([*range(9), *range(14, 27), *range(28, 32)])


def plain_name(name: str) -> str:
    """The name of a column without the ' that .csv files have before one that begins a formula."""
    return name[1:] if name[:1] == MARK and name[1:2] and name[1:2] in BEGINNINGS else name


@dataclass(frozen=True)
class Dialect(PlainDialect):
    """How a table is written in a file; None: inferred from the file.

    Attributes:
        delimiter: between cells: a character, or ``\\s+`` for any spaces.
        decimal: the mark before a fraction, "." or ",".
        thousands: the mark between groups of three digits; None: any; "": none.
        encoding: of the text, by its name in Python.
        comment: the character from which on a line is a comment; None: only lines at the top that
            begin with # are.
        sheet: of a workbook; None: the first.
        truth: how true and false are written, one of ``TRUTHS``; None: True and False.
        missing: values that mark missing cells, such as -999, besides the usual markers.
        given: names of the fields that a user gave, which hold for later files too.

    Raises:
        OptionError: a value is none of these.
    """

    truth: tuple[str, str] | None = None
    missing: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.delimiter is not None and len(self.delimiter) != 1 and self.delimiter != SPACES:
            raise OptionError(f"--delimiter is one character, not {self.delimiter!r}")
        if self.decimal not in (None, POINT, COMMA):
            raise OptionError(f"--decimal is . or , and not {self.decimal!r}")
        if self.decimal is not None and self.decimal == self.thousands:
            raise OptionError(f"--decimal and --thousands are both {self.decimal!r}")
        if self.comment is not None and len(self.comment) != 1:
            raise OptionError(f"--comment is one character, not {self.comment!r}")
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError as error:
                raise OptionError(f"--encoding {self.encoding!r} is unknown to Python") from error

    @classmethod
    def asked(cls, **given: Any) -> Dialect:
        """The dialect of which a user gave some fields; the others are None or empty."""
        fields = {name: value for name, value in given.items() if value not in (None, ())}
        return cls(**fields, given=tuple(fields))

    def emptied(self, frame: Any) -> Any:
        """A frame whose cells that are one of ``missing``, or beyond all numbers, have no value."""
        if not self.missing:
            return without_beyond(frame)
        frame = frame.copy(deep=False)
        for place in range(frame.shape[1]):
            series = frame.iloc[:, place]
            marked = marked_cells(series, self.missing)
            if marked.any():
                frame.isetitem(place, series.mask(marked))
        return without_beyond(frame)

    @property
    def usual(self) -> bool:
        """Whether nothing was given, and nothing needs to be said or kept."""
        plain = self.encoding == UTF8 and self.decimal == POINT and not self.given
        return plain and self.truth is None and self.delimiter in (COMMA, "\t", SPACES)

    @property
    def separator(self) -> str:
        """The delimiter of a file that is written."""
        return COMMA if self.delimiter in (None, SPACES) else str(self.delimiter)

    @property
    def for_others(self) -> Dialect:
        """What holds for another file: the fields that the user gave."""
        return Dialect.asked(**{name: getattr(self, name) for name in self.given})


@dataclass(frozen=True)
class Layout:
    """A file as it is read.

    Attributes:
        dialect: of the file, without None in the fields that a text has.
        header: whether the first line names the columns.
        skipped: lines before it.
        doubtful: whether the first line, which is read as data, may be a header.
        title: the skipped lines that are titles.
        twice: names that several columns have.
    """

    dialect: Dialect
    header: bool
    skipped: int = 0
    doubtful: bool = False
    title: str = ""
    twice: tuple[str, ...] = ()

    @property
    def delimiter(self) -> str:
        """Between cells, in pandas' notation."""
        return self.dialect.delimiter or COMMA

    @property
    def keywords(self) -> dict[str, Any]:
        """The arguments of ``pandas.read_csv``."""
        words: dict[str, Any] = {
            "sep": self.delimiter,
            "header": "infer" if self.header else None,
            "skipinitialspace": True,
            "skiprows": self.skipped,
            "comment": self.dialect.comment,
            "encoding": "utf-8" if self.dialect.encoding == UTF8 else self.dialect.encoding,
        }
        if self.dialect.missing:
            words["na_values"] = list(self.dialect.missing)
        # pandas would take 1.234 for a fraction
        return {**words, "dtype": str} if self.dialect.decimal == COMMA else words

    def cost(self, block: bytes) -> float:
        """Bytes of memory that a block of the file takes in a frame, and in what is made of it."""
        mark = self.delimiter.encode()
        cells = len(block.split()) if self.delimiter == SPACES else block.count(mark)
        return BYTES_OF_TEXT * len(block) + BYTES_OF_CELL * (cells + block.count(b"\n"))

    def opened(self, path: Path, instead: str = "") -> Counted:
        """The unpacked bytes of a file, which are counted as cells of a frame.

        Raises:
            DataError: it is not a regular file; while it is read: the limit of memory is reached.
        """
        return unpacked(path, DataError, self.cost, instead)

    def text_types(self, text: Collection[str]) -> dict[str | int, type]:
        """pandas' types of columns of text; without a header, pandas names columns 0, 1, ..."""
        if self.header:
            quoted = [f"{MARK}{name}" for name in text if name[:1] in BEGINNINGS]
            return dict.fromkeys([*text, *quoted], str)
        return {int(name[1:]): str for name in text if name[1:].isdecimal()}

    def name_of(self, name: Any) -> str:
        """The name of a column that pandas names so."""
        return plain_name(str(name)) if self.header else f"x{name}"

    def named(self, frame: Any) -> Any:
        """The frame, with generated column names if the file has no header, and otherwise without
        the ' of names that a spreadsheet would compute."""
        if not self.header:
            frame.columns = [f"x{i}" for i in range(frame.shape[1])]
            return frame
        plain = [plain_name(name) if isinstance(name, str) else name for name in frame.columns]
        if plain != list(frame.columns) and len({*plain}) == len(plain):
            frame.columns = plain
        return frame

    def note(self, path: Path) -> None:
        """Warn of what was inferred and is not usual."""
        if self.title:
            warnings.warn(
                f"{path} is read from line {self.skipped + 1} on, below the title {self.title!r}",
                UserWarning,
                stacklevel=4,
            )
        if self.doubtful:
            warnings.warn(
                f"the first line of {path} contains numbers or dates and is read as data; the "
                "columns are named x0, x1, ... (if it is a line of names, add one without these)",
                UserWarning,
                stacklevel=4,
            )
        if self.twice:
            name = self.twice[0]
            warnings.warn(
                f"several columns of {path} are named {listed(self.twice)}: the later ones are "
                f"read as {name}.1 and so on",
                UserWarning,
                stacklevel=4,
            )
        found, given = self.dialect, self.dialect.given
        notes = {
            "encoding": f"as {found.encoding}" if found.encoding != UTF8 else "",
            "decimal": "with decimal commas" if found.decimal == COMMA else "",
        }
        said = {name: note for name, note in notes.items() if note and name not in given}
        if said:
            flags = ", ".join(f"--{name}" for name in said)
            warnings.warn(
                f"{path} is read {', '.join(said.values())} ({flags} if this is wrong)",
                UserWarning,
                stacklevel=4,
            )


def sniffed(path: Path, asked: Dialect | None = None) -> Layout:
    """Infer the layout of a file from its first lines.

    Args:
        path: a file of text, plain or compressed.
        asked: what the user gave, which is not inferred.

    Raises:
        DataError: the file is empty, not text, or a sparse matrix.
    """
    dialect = asked or Dialect()
    encoding = dialect.encoding or encoding_of(path)
    try:
        with open_text(path, encoding, cost=_cost_of_lines) as file:
            lines = list(_first_lines(file))
    except (UnicodeError, *BROKEN) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    refuse_sparse_lines(path, lines)
    skipped, named = _preamble(lines, dialect.comment)
    titled = _below_titles(lines[skipped:], dialect.delimiter or named, dialect.comment)
    title = " ".join(map(str.strip, lines[skipped : skipped + titled])).strip()
    skipped += titled
    marks = dialect.delimiter or named or DELIMITERS
    rest = [line for line in _uncommented(lines[skipped:], dialect.comment, marks) if line.strip()]
    if not rest:
        raise DataError(f"{path} is empty")
    delimiter = dialect.delimiter or named or _delimiter(rest)
    rows = _cells(rest, delimiter)
    header = _has_header(rows)
    doubtful = not header and not all(is_number(field) for field in rows[0])
    decimal = dialect.decimal or _decimal(rows[header:], delimiter)
    truth = _truth(rows[header:])
    found = replace(dialect, encoding=encoding, delimiter=delimiter, decimal=decimal, truth=truth)
    named_twice = [name for name, count in Counter(rows[0]).items() if name and count > 1]
    twice = tuple(named_twice) if header else ()
    return Layout(found, header, skipped, doubtful, title, twice)


def open_text(
    path: Path,
    encoding: str,
    errors: str = "strict",
    newline: str | None = "",
    cost: Cost | None = None,
) -> IO[str]:
    """Open a file of text, plain or compressed.

    Raises:
        DataError: it is not a regular file; while it is read: the limit of memory is reached.
    """
    file = unpacked(path, DataError, cost)
    return io.TextIOWrapper(file, encoding=encoding, errors=errors, newline=newline)  # type: ignore[type-var]


def _first_lines(file: IO[str]) -> Iterator[str]:
    """The lines from which the dialect is inferred; fewer if they are long."""
    length = 0
    for number, line in enumerate(islice(file, SAMPLE)):
        yield line
        length += len(line)
        if length > LONGEST_SAMPLE and number > FEWEST_ROWS:
            return


def _cost_of_lines(block: bytes) -> float:
    """Bytes of memory that a block takes as lists of cells, by whichever delimiter."""
    cells = sum(block.count(mark.encode()) for mark in DELIMITERS)
    return BYTES_OF_TEXT * len(block) + BYTES_OF_LIST * (cells + block.count(b"\n"))


def encoding_of(path: Path) -> str:
    """The encoding by the first 64 MB of a file: UTF-8, UTF-16 or 32, or else Windows-1252.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with unpacked(path, DataError) as file:
            start = file.read(LOOKED_AT)
            marked = _marked_encoding(start)
            if marked is None and _is_no_text(start):
                raise DataError(
                    f"{path} cannot be read as text: it has characters that no text has"
                )
            blocks = chain([start], iter(partial(file.read, LOOKED_AT), b""))
            return marked or _unmarked_encoding(islice(blocks, MOST_BLOCKS))
    except BROKEN as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error


def _is_no_text(start: bytes) -> bool:
    """Whether a file has characters that no text has: NUL, or more than a few others."""
    odd = len(start) - len(start.translate(None, _NO_TEXT))
    return b"\0" in start or odd * FEWEST_LETTERS > len(start)


def _marked_encoding(start: bytes) -> str | None:
    """The encoding of which a file begins with the mark, or whose letters have two bytes."""
    for mark, encoding in MARKS.items():
        if start.startswith(mark):
            return encoding
    if start[1:2] == b"\0" or start[:1] == b"\0":
        return "utf-16-le" if start[1:2] == b"\0" else "utf-16-be"
    return None


def _unmarked_encoding(blocks: Iterator[bytes]) -> str:
    """UTF-8, or else that in which all bytes have a meaning.

    After blocks with other letters in UTF-8, bytes that are not UTF-8 are damage.
    """
    decoder, ascii_only = codecs.getincrementaldecoder("utf-8")(), True
    for block in blocks:
        try:
            decoder.decode(block)
        except UnicodeDecodeError:
            if not ascii_only:
                return UTF8
            return "latin-1" if any(map(_undefined, chain([block], blocks))) else WINDOWS
        ascii_only = ascii_only and block.isascii()
    return UTF8


def widths(path: Path, layout: Layout) -> Generator[tuple[int, int]]:
    """Yield (line number, number of cells) up to the first unreadable line."""
    try:
        encoding = layout.dialect.encoding or UTF8
        with (
            layout.opened(path) as counted,
            io.TextIOWrapper(counted, encoding, "replace", "") as file,  # type: ignore[type-var]
        ):
            skipped = layout.skipped
            for _ in range(skipped):
                next(file, None)
            lines = _uncommented(file, layout.dialect.comment, layout.delimiter)
            if layout.delimiter == SPACES:
                for number, line in enumerate(lines, 1):
                    counted.release()
                    yield skipped + number, len(line.split())
                return
            reader = csv.reader(lines, delimiter=layout.delimiter, skipinitialspace=True)
            for row in reader:
                counted.release()
                blank = row == [""]  # a line of spaces or with a comment alone, which pandas skips
                yield skipped + reader.line_num, 0 if blank else len(row)
    except (csv.Error, *BROKEN):
        return


def _uncommented(lines: Iterable[str], comment: str | None, delimiters: str) -> Iterator[str]:
    """The lines up to the comment character; inside quotes it is text, as for pandas."""
    quoted = False
    for line in lines:
        if comment is None or (comment not in line and '"' not in line):
            yield line
        else:
            end, quoted = _comment_start(line, comment, delimiters, quoted)
            yield line[:end]


def _comment_start(line: str, comment: str, delimiters: str, quoted: bool) -> tuple[int, bool]:
    """(where the comment of a line begins, or else its length; whether a quote stays open)."""
    opens = True  # whether a quote here would open: a cell begins, or a quote has just closed
    for place, sign in enumerate(line):
        if quoted:
            quoted = sign != '"'
        elif sign == comment:
            return place, False
        elif sign == '"' and opens:
            quoted = True
        else:
            opens = sign in delimiters or (opens and sign.isspace())
    return len(line), quoted


def _undefined(content: bytes) -> bool:
    """Whether bytes have no meaning in Windows-1252."""
    try:
        content.decode(WINDOWS)
    except UnicodeDecodeError:
        return True
    return False


def _preamble(lines: Sequence[str], comment: str | None) -> tuple[int, str | None]:
    """(lines before the table: blank ones, comments, Excel's sep=; the delimiter after sep=)."""
    delimiter = None
    for number, line in enumerate(lines):
        text = line.strip()
        if text.lower().startswith("sep=") and len(line.rstrip("\r\n")) == len("sep=") + 1:
            delimiter = line.rstrip("\r\n")[-1]
        elif text and not text.startswith(comment or "#"):
            return number, delimiter
    return len(lines), delimiter


def _below_titles(lines: Sequence[str], given: str | None, comment: str | None) -> int:
    """Lines of titles, without a delimiter, above a table whose lines have as many cells; 0: none.

    A single word above two columns is no title: it may be the header of a file with row names, for
    which R writes no name.
    """
    for titles in range(1, MOST_TITLES + 1):
        first, rest = lines[:titles], [line for line in lines[titles:] if line.strip()]
        marked = any(mark in line for line in first for mark in (*DELIMITERS, comment or "#"))
        if len(rest) < FEWEST_ROWS or marked:
            return 0
        for delimiter in DELIMITERS if given is None else (given,):
            sizes = {len(cells) for cells in _cells(rest, delimiter)}
            words = max(len(line.split()) for line in first)
            if (
                len(sizes) == 1
                and max(sizes) > 1
                and words + max(sizes) > 3
                and lines[titles].strip()
            ):
                return titles
    return 0


def _delimiter(lines: Sequence[str]) -> str:
    """The delimiter by which all lines have as many cells, or else the most frequent one."""
    counts = {one: Counter(map(len, _cells(lines, one))) for one in DELIMITERS}
    even = {one: max(found) for one, found in counts.items() if len(found) == 1}
    if even and max(even.values()) > 1:
        return max(even, key=lambda one: even[one])
    most = max(DELIMITERS, key=lines[0].count)
    if lines[0].count(most):
        return most
    spaced = {len(line.split()) for line in lines}
    if len(spaced) == 1 and spaced != {1}:
        return SPACES
    return "\t" if any(COMMA in line for line in lines) else COMMA  # there is one column


def _cells(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """The cells of each line."""
    if delimiter == SPACES:
        return [line.split() for line in lines]
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if row]
    except csv.Error:
        return [line.split(delimiter) for line in lines]


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line is a header: no cell is a number, or a name is above a number.

    So is a line of years, and one of the numbers of the columns; a date above a date is data.
    """
    first, second = rows[0], rows[min(1, len(rows) - 1)]
    if _has_years(rows) or _has_column_numbers(rows):
        return True
    if len(rows) > 1 and any(
        _DATE.match(field) and _DATE.match(below)
        for field, below in zip(first, second, strict=False)
    ):
        return False
    names = [not is_number(field) for field in first]
    return all(names) or any(
        name and field.strip().lower() not in _MISSING and is_number(below)
        for name, field, below in zip(names, first, second, strict=False)
    )


def _has_column_numbers(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line has the numbers of the columns, which pandas writes where columns have
    no names, and no other line has the same cells in any order."""
    cells = [cell.strip() for cell in rows[0]]
    cells = cells[1:] if cells[0] == "" else cells  # above the numbers of the rows
    if len(cells) < FEWEST_COLUMNS:
        return False
    counted = any(cells == [str(first + place) for place in range(len(cells))] for first in (0, 1))
    same = sorted(cell.strip() for cell in rows[0])
    return counted and not any(sorted(map(str.strip, row)) == same for row in rows[1:])


def _has_years(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line names columns and years in order, as no other line has them."""
    numbers = [place for place, cell in enumerate(rows[0]) if is_number(cell)]
    if not 2 <= len(numbers) < len(rows[0]) or not _are_years(rows[0], numbers):
        return False
    years = [int(rows[0][place]) for place in numbers]
    steps = [later - year for year, later in pairwise(years)]
    ordered = min(steps) * max(steps) > 0 and max(map(abs, steps)) <= LONGEST_STEP
    return ordered and not any(_are_years(row, numbers) for row in rows[1:])


def _are_years(row: Sequence[str], places: Sequence[int]) -> bool:
    """Whether these cells are whole numbers from 1000 to 2999."""
    return len(row) > places[-1] and all(_YEAR.fullmatch(row[place].strip()) for place in places)


def _truth(rows: Sequence[Sequence[str]]) -> tuple[str, str] | None:
    words = {cell.strip() for row in rows for cell in row if cell.strip().lower() in TRUTHS[0]}
    return next((truth for truth in TRUTHS if words and words <= set(truth)), None)


def _decimal(rows: Sequence[Sequence[str]], delimiter: str) -> str:
    import pandas as pd

    columns = [pd.Series(cells, dtype=object) for cells in zip(*rows, strict=False)]
    return decimal_mark(columns, grouped=delimiter == COMMA)
