"""The options of reading data, each stated once.

``Reading`` (the keywords of ``load``), ``Dialect`` and the flags of the commands
(``reading_flags``) are these records and what only one of them can say: Python takes arrays and
objects, a command line takes words. This module imports no library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lowerbound.config import option

Binarize = Literal["none", "dynamic", "threshold"]
Missing = Literal["error", "model"]
OnError = Literal["raise", "skip"]
Resize = Literal["pad", "crop", "stretch", "tiles"]
Tokens = Literal["characters", "words", "smiles", "selfies"]

LEAST_PEOPLE = 10  # entities that a value needs to stay, where values are protected
SPACES = r"\s+"  # the delimiter of cells between which are any spaces


@dataclass(frozen=True, kw_only=True)
class PlainReading:
    """The options of reading that are plain values, in Python as on a command line."""

    label: str | None = option(
        None,
        "the table's column that holds the class, or the number to predict",
        metavar="COLUMN",
        common=True,
    )
    binarize: Binarize | None = option(
        None,
        "turn grey values into bits: dynamic draws new ones at each visit, threshold "
        "sets those above one half",
    )
    levels: int | None = option(
        None, "number of levels of whole-number values (default: from the data)"
    )
    image_size: int | tuple[int, int] | None = option(
        None,
        "height and width of pictures after resizing (default: the most common size)",
        common=True,
    )
    resize: Resize | None = option(
        None,
        "how a picture is brought to that size (default: pad); tiles are cut from the picture "
        "and overlap by half",
    )
    on_error: OnError = option("raise", "what to do with pictures and texts that cannot be read")
    missing: Missing | None = option(
        None,
        "missing cells: error rejects them, model models them (default: model for tables)",
    )
    standardize: bool = option(True, "leave real columns in their own units")
    entity: str | None = option(
        None,
        "rows are events, and a history is modeled: the column of their entities, such as a "
        "customer",
        metavar="COLUMN",
    )
    time: str | None = option(
        None, "the column with the time of each event, for --entity", metavar="COLUMN"
    )
    least_people: int = option(
        1,
        "of a table of events (--entity): values that fewer entities have are not modeled; of "
        "--public-schema data: levels and ends of ranges that fewer rows have are not copied; 1: "
        "all are",
        metavar="K",
    )
    formula: str | None = option(
        None, "rows are chemical compositions: the column with their formulas", metavar="COLUMN"
    )
    tokens: Tokens | None = option(
        None,
        "rows are texts: what a token is; of selfies the texts are SMILES (default of .smi files: "
        "selfies)",
    )
    text: str | None = option(
        None, "the table's column with the texts, for --tokens", metavar="COLUMN"
    )
    longest: int | None = option(
        None, "leave out texts with more tokens, for --tokens", metavar="TOKENS"
    )
    predict: tuple[str, ...] = option(
        (),
        "the code of a row predicts these: columns of numbers beside --text or --formula, or "
        "properties of molecules (logp, sa, qed, ...)",
        metavar="NAME",
    )
    spectrograms: bool = option(False, "read clips of sound as spectrograms; folders are classes")


@dataclass(frozen=True)
class PlainDialect:
    """How a table is written in a file, as far as Python and a command line say it alike."""

    delimiter: str | None = option(
        None, "what is between the cells of a table of text, or tab, or space", metavar="CHARACTER"
    )
    decimal: str | None = option(None, "decimal mark of a table of text", choices=(".", ","))
    thousands: str | None = option(None, "mark between groups of three digits", metavar="CHARACTER")
    encoding: str | None = option(
        None, "encoding of a table of text, such as latin-1 or utf-16", metavar="NAME"
    )
    comment: str | None = option(
        None, "from this character on, a line of a table of text is a comment", metavar="CHARACTER"
    )
    sheet: str | None = option(None, "sheet of a workbook (default: the first)", metavar="NAME")
