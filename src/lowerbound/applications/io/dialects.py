"""How a table is written in a file, as options of commands that read one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lowerbound.config import option
from lowerbound.data.tables.dialect import SPACES, Dialect

DELIMITER_NAMES = {"tab": "\t", "\\t": "\t", "space": SPACES}


@dataclass(frozen=True)
class DialectOptions:
    """Options that say how a table is written in a file; what is not given is inferred."""

    delimiter: str | None = option(
        None, "what is between the cells of a table of text, or tab, or space", metavar="CHARACTER"
    )
    decimal: Literal[".", ","] | None = option(None, "decimal mark of a table of text")
    thousands: str | None = option(None, "mark between groups of three digits", metavar="CHARACTER")
    encoding: str | None = option(
        None, "encoding of a table of text, such as latin-1 or utf-16", metavar="NAME"
    )
    comment: str | None = option(
        None, "from this character on, a line of a table of text is a comment", metavar="CHARACTER"
    )
    sheet: str | None = option(None, "sheet of a workbook (default: the first)", metavar="NAME")

    @property
    def dialect(self) -> Dialect:
        """How the table is written as text, as far as it is given.

        Raises:
            OptionError: a value is no delimiter, mark or encoding.
        """
        return Dialect.asked(
            delimiter=DELIMITER_NAMES.get(self.delimiter or "", self.delimiter),
            decimal=self.decimal,
            thousands=self.thousands,
            encoding=self.encoding,
            comment=self.comment,
            sheet=self.sheet,
        )
