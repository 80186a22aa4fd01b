"""Flags of reading: the plain options, and what only a command line says in its own words.

This module imports no library, so that a command knows its flags at once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowerbound import untrusted
from lowerbound.config import option, option_of
from lowerbound.data.options import LEAST_PEOPLE, SPACES, Binarize, PlainDialect, PlainReading
from lowerbound.errors import DataError, OptionError

if TYPE_CHECKING:
    from lowerbound.data.columns.inference import Hint
    from lowerbound.data.raw import Kinds
    from lowerbound.data.reading import Reading
    from lowerbound.data.sequences.windows import Windows
    from lowerbound.data.tables.dialect import Dialect

DELIMITER_NAMES = {"tab": "\t", "\\t": "\t", "space": SPACES}


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
