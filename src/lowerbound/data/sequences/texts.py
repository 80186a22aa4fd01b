"""Reading texts: a line of a file, or a cell of a table's column, is a text.

Tokenizers: a text as a list of tokens, and back.

In SELFIES every text of known symbols is a molecule (Krenn et al. 2020). SMILES become SELFIES and
back; whether the molecule is the same is decided by canonical isomeric SMILES, because the
notations order atoms differently.
"""

from __future__ import annotations

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound.data.arrays import listed
from lowerbound.data.sciences.smiles import canonical_smiles, selfies_library
from lowerbound.data.tables.dialect import UTF8, Dialect, open_text
from lowerbound.data.tables.files import (
    BROKEN_CSV,
    is_table,
    read_frame,
    read_text,
    table_suffix,
)
from lowerbound.errors import DataError, OptionError, counted
from lowerbound.registry import Registry

# an atom in brackets, an atom of the organic subset, a bond, a branch, a ring
SMILES = re.compile(r"\[[^\]]+\]|Br|Cl|[BCNOPSFI]|[bcnops]|%\d{2}|\d|[()=#$:/\\.~@*+\-]")
END = 0  # the code that ends a row; those of tokens follow
WORD = re.compile(r"\s*\S+|\s+$")


def to_selfies(smiles: str) -> str:
    """The SELFIES of a molecule, which is canonicalized first.

    Raises:
        DataError: the text is not a molecule, or SELFIES cannot write it.
        MissingExtraError: RDKit or selfies is not installed.
    """
    return _encoded(canonical_smiles(smiles))


def _encoded(canonical: str) -> str:
    library = selfies_library()
    try:
        found: str = library.encoder(canonical)
    except library.EncoderError as error:
        raise DataError(
            f"{canonical!r:.60} cannot be written as SELFIES: {_line(error)}"
        ) from error
    return found


def from_selfies(text: str) -> str:
    """The canonical isomeric SMILES of a text of SELFIES symbols.

    Raises:
        DataError: a symbol is unknown, or the molecule is empty or has several fragments.
        MissingExtraError: RDKit or selfies is not installed.
    """
    library = selfies_library()
    try:
        smiles = library.decoder(text)
    except library.DecoderError as error:
        raise DataError(f"{text!r:.60} is not SELFIES: {_line(error)}") from error
    if not smiles:
        raise DataError(f"{text!r:.60} has no atoms")
    return canonical_smiles(smiles)


def changed_by_selfies(smiles: Sequence[str]) -> dict[int, str]:
    """The molecules that SELFIES does not keep: their rows, each with what becomes of it.

    Raises:
        DataError: a text is not a molecule.
        MissingExtraError: RDKit or selfies is not installed.
    """
    changed = {}
    for row, text in enumerate(smiles):
        canonical = canonical_smiles(text)
        try:
            back = from_selfies(_encoded(canonical))
        except DataError as error:
            changed[row] = str(error)
            continue
        if back != canonical:
            changed[row] = f"{canonical} becomes {back}"
    return changed


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


class Tokenizer(ABC):
    """Splits a text into tokens and joins them again.

    Attributes:
        rows: name of the texts, in messages.
        unit: name of a token, in reports.
        molecular: whether the texts are SMILES.
    """

    rows = "texts"
    molecular = False
    unit = "token"

    @abstractmethod
    def split(self, text: str) -> list[str]:
        """The tokens of a text.

        Raises:
            DataError: it is not a text of this kind; the message gives the reason.
        """

    def join(self, tokens: Sequence[str]) -> str:
        """The text of tokens."""
        return "".join(tokens)


TOKENIZERS: Registry[type[Tokenizer]] = Registry("tokenizer")


@TOKENIZERS.register("characters")
class Characters(Tokenizer):
    """Each character is a token."""

    unit = "character"

    def split(self, text: str) -> list[str]:
        return list(text)


@TOKENIZERS.register("words")
class Words(Tokenizer):
    """Each word is a token, with the space before it."""

    unit = "word"

    def split(self, text: str) -> list[str]:
        return WORD.findall(text)


@TOKENIZERS.register("smiles")
class Smiles(Tokenizer):
    """SMILES of a molecule: an atom, a bond, a branch or a number of a ring is a token.

    Source: Weininger 1988.
    """

    rows = "molecules"
    molecular = True

    def split(self, text: str) -> list[str]:
        tokens = SMILES.findall(text)
        if "".join(tokens) != text:
            raise DataError(f"{text!r} is not SMILES")
        return tokens


@TOKENIZERS.register("selfies")
class Selfies(Tokenizer):
    """SMILES of a molecule, modeled as SELFIES, of which every sequence is a valid molecule.

    ``join`` returns SMILES, so texts are SMILES on both sides. Source: Krenn et al. 2020.
    """

    rows = "molecules"
    molecular = True

    def split(self, text: str) -> list[str]:
        return list(selfies_library().split_selfies(to_selfies(text)))

    def join(self, tokens: Sequence[str]) -> str:
        return str(selfies_library().decoder("".join(tokens)))


LINES = (".txt", ".smi", ".smiles")
MOLECULES = (".smi", ".smiles")
HEADERS = ("smiles", "text")
BYTES_OF_LETTER, BYTES_OF_LINE = 8.0, 128.0  # of memory, as text and as tokens


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts in memory, or in a file.

    Attributes:
        values: texts; a frame or the path of a file.
        tokenizer: name of the tokenizer.
        column: of the texts in a table; None: its only column.
    """

    values: Any
    tokenizer: str = "characters"
    column: str | None = None


@dataclass(frozen=True, eq=False)
class FoundTexts:
    """Texts that were read.

    Attributes:
        texts: of the rows; None: a cell of the table is empty.
        names: of the rows; None: they have none.
        numbers: of the rows in messages, counted from 0; None: their places in ``texts``.
        frame: the table of the texts; None: it was no table.
        source: path of the file; "" for texts in memory.
    """

    texts: Sequence[str | None]
    names: tuple[str, ...] | None = None
    numbers: Sequence[int] | None = None
    frame: Any = None
    source: str = ""


def read_texts(source: Any, column: str | None, dialect: Dialect | None = None) -> FoundTexts:
    """The texts of a file of lines, of a table's column, or of a sequence in memory.

    A line of a .smi file may have a name after its SMILES. Empty lines are left out.

    Raises:
        DataError: the file cannot be read, or has no texts.
        OptionError: a column is not given, or is given for a file of lines.
    """
    if isinstance(source, (str, Path)) and not is_lines(source):
        if not is_table(source):
            raise DataError(f"{source} has no texts: give a table or a file of {listed(LINES)}")
        return _of_frame(read_frame(source, dialect), column, str(source), dialect)
    if hasattr(source, "columns"):
        return _of_frame(source, column, "", None)
    if column is not None:
        raise OptionError(f"--text names the column of a table, and {source!s:.60} is not a table")
    if isinstance(source, (str, Path)):
        return _of_lines(Path(source).expanduser())
    texts = [str(text) for text in source]
    if not texts:
        raise DataError("there is no text")
    return FoundTexts(texts)


def is_lines(source: str | Path) -> bool:
    """Whether a path is that of a file with a text in each line."""
    return table_suffix(Path(source)) in LINES


def _of_frame(frame: Any, column: str | None, source: str, dialect: Dialect | None) -> FoundTexts:
    names = [str(name) for name in frame.columns]
    frame = frame.set_axis(names, axis=1)
    if column is None:
        if len(names) > 1:
            raise OptionError(
                f"{source or 'the table'} has the columns {listed(names)}: name that of the texts, "
                "--text COLUMN"
            )
        column = names[0]
    if column not in names:
        raise DataError(f"{source or 'the table'} has no column {column!r}; it has {listed(names)}")
    gone = frame[column].isna().to_numpy()
    if source and frame[column].dtype.kind in "biuf":  # 007 is not 7
        frame = frame.assign(**{column: read_text(source, dialect)[column]})
    cells = zip(frame[column], gone, strict=True)
    texts = [None if empty else str(cell) for cell, empty in cells]
    return FoundTexts(texts, frame=frame, source=source)


def _cost(block: bytes) -> float:
    """Bytes of memory that a block of a file takes as lines, and as tokens."""
    return BYTES_OF_LETTER * len(block) + BYTES_OF_LINE * block.count(b"\n")


def _of_lines(path: Path) -> FoundTexts:
    if not path.exists():
        raise DataError(f"there is no file {str(path)!r}")
    try:
        with open_text(path, UTF8, newline=None, cost=_cost) as file:
            lines = [line.rstrip("\n\r") for line in file]
    except DataError:
        raise
    except (*BROKEN_CSV, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    filled = [place for place, line in enumerate(lines) if line.strip()]
    found = [lines[place] for place in filled]
    numbers = None
    if filled and (empty := filled[-1] + 1 - len(filled)):
        numbers = filled
        warnings.warn(
            f"{path} has {counted(empty, 'empty line')}, left out here: the number of a row is "
            "that of its line, counted from 0",
            UserWarning,
            stacklevel=3,
        )
    if table_suffix(path) in MOLECULES:
        return _molecules(path, found, numbers)
    if not found:
        raise DataError(f"{path} has no text")
    return FoundTexts(found, _as_names(numbers), numbers, source=str(path))


def _as_names(numbers: Sequence[int] | None) -> tuple[str, ...] | None:
    return None if numbers is None else tuple(map(str, numbers))


def _molecules(path: Path, lines: list[str], numbers: Sequence[int] | None) -> FoundTexts:
    """The first word of each line, and the rest, or else the number of the line, as its name."""
    parts = [line.split(maxsplit=1) for line in lines]
    if parts and parts[0][0].lower() in HEADERS:
        parts, numbers = parts[1:], numbers and numbers[1:]
    if not parts:
        raise DataError(f"{path} has no molecule")
    named = all(len(part) == 2 for part in parts)
    names = tuple(part[1].strip() for part in parts) if named else _as_names(numbers)
    return FoundTexts([part[0] for part in parts], names, numbers, source=str(path))
