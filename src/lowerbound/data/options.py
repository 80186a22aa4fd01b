"""The options of reading data, each stated once.

``Reading`` (the keywords of ``load``), ``Dialect`` and the flags of the commands are these records
and what only one of them can say: Python takes arrays and objects, a command line takes words. This
module imports no library, so that a command knows its flags at once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lowerbound import untrusted
from lowerbound.config import option, option_of
from lowerbound.errors import DataError, OptionError

if TYPE_CHECKING:
    from lowerbound.data.columns.inference import Hint
    from lowerbound.data.raw import Kinds
    from lowerbound.data.reading import Reading
    from lowerbound.data.sequences.windows import Windows
    from lowerbound.data.tables.dialect import Dialect

Binarize = Literal["none", "dynamic", "threshold"]
Missing = Literal["error", "model"]
OnError = Literal["raise", "skip"]
Resize = Literal["pad", "crop", "stretch", "tiles"]
Tokens = Literal["characters", "words", "smiles", "selfies"]

LEAST_PEOPLE = 10  # entities that a value needs to stay, where values are protected
SPACES = r"\s+"  # the delimiter of cells between which are any spaces
DELIMITER_NAMES = {"tab": "\t", "\\t": "\t", "space": SPACES}


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


@dataclass(frozen=True)
class DialectOptions(PlainDialect):
    """Flags that say how a table is written in a file; what is not given is inferred."""

    missing_value: tuple[str, ...] = option(
        (),
        "cells of a table with this value are missing, such as -999; repeatable",
        metavar="VALUE",
    )

    @property
    def dialect(self) -> Dialect:
        """How the table is written as text, as far as it is given.

        Raises:
            OptionError: a value is no delimiter, mark or encoding.
        """
        from lowerbound.data.tables.dialect import Dialect

        given = {field.name: getattr(self, field.name) for field in fields(PlainDialect)}
        return Dialect.asked(
            **{**given, "delimiter": DELIMITER_NAMES.get(self.delimiter or "", self.delimiter)},
            missing=tuple(value.strip() for value in self.missing_value),
        )


@dataclass(frozen=True, kw_only=True)
class KindOptions:
    """Flags that correct the inferred kinds of a table's columns."""

    kind: tuple[str, ...] = option(
        (),
        "kind of a table's column, if the inferred kind is wrong, such as zip=categorical or "
        "visit=datetime:%d/%m/%Y; repeatable",
        metavar="COLUMN=KIND",
    )
    columns: str | None = option(
        None,
        "a JSON file written by lowerbound schema, with your corrections",
        metavar="FILE",
        reads="data",
    )

    @property
    def kinds(self) -> dict[str, Hint]:
        """The requested kinds; a flag overrides the file.

        Raises:
            DataError: the file is none that ``lowerbound schema`` wrote.
            OptionError: a flag is not of the form COLUMN=KIND.
        """
        hints = {} if self.columns is None else read_hints(Path(self.columns))
        for word in self.kind:
            name, equals, kind = word.rpartition("=")
            if not equals:
                raise OptionError(f"--kind takes COLUMN=KIND, not {word!r}")
            hints[name] = kind
        return hints


def read_hints(path: Path) -> dict[str, Hint]:
    """Read the kinds of columns in a file that ``lowerbound schema`` wrote.

    Raises:
        DataError: it is not such a file.
    """
    if not path.exists():
        raise DataError(f"there is no file {path} of columns: check the name")
    try:
        found = untrusted.read_mapping(path, DataError)
        with untrusted.guarded(str(path), DataError):
            return {str(name): hint for name, hint in found["columns"].items()}
    except (OSError, DataError) as error:
        raise DataError(
            f"{path} is not a file of columns as lowerbound schema writes it: {error}"
        ) from error


@dataclass(frozen=True, kw_only=True)
class ReadingOptions(PlainReading, KindOptions, DialectOptions):
    """Flags that control how the data of a fit is read."""

    binarize: Binarize = option_of(PlainReading, "binarize", default="none")
    least_people: int = option_of(PlainReading, "least_people", default=LEAST_PEOPLE)
    window: int | None = option(None, "rows are points in time: model windows of N points")
    stride: int = option(
        1, "points from the start of one window to that of the next; of a table, on average"
    )

    @property
    def windows(self) -> Windows | None:
        """The windows of a series; None: the rows are not a series.

        Raises:
            OptionError: the window has no points, or the stride is longer than the window, or there
                is a stride and no window.
        """
        from lowerbound.data.sequences.windows import Windows

        if self.window is not None:
            return Windows(self.window, self.stride, varied=self.stride > 1)
        if self.stride != 1:
            raise OptionError(
                f"--stride {self.stride} is for windows of a series, and their length is missing: "
                "give --window N too, or leave --stride out"
            )
        return None

    def reading(self, kinds: Kinds, **others: Any) -> Reading:
        """The options as ``load`` takes them, with ``kinds`` and ``others`` of its keywords."""
        from lowerbound.data.reading import Reading

        plain = {field.name: getattr(self, field.name) for field in fields(PlainReading)}
        return Reading(**plain, kinds=kinds, windows=self.windows, dialect=self.dialect, **others)
