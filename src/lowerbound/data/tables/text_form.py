"""How a table is written: the dialect of a text, the notation of its numbers, types of Arrow."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lowerbound.data.columns.notation import Notation
from lowerbound.data.schema import Schema
from lowerbound.data.tables.arrow import ArrowTypes, arrow_types, fitted_arrow_types
from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.files import read_table
from lowerbound.data.tables.numbers import found_notations, notations_of, with_numbers


@dataclass(frozen=True)
class TextForm:
    """How a table is written.

    Attributes:
        dialect: of its file; None: the usual one.
        notations: of the columns of numbers that are not plain, by name.
        types: of Arrow, of columns of a Parquet file, by name.
    """

    dialect: Dialect | None = None
    notations: Mapping[str, Notation] = field(default_factory=dict)
    types: ArrowTypes = field(default_factory=dict)

    @classmethod
    def of(cls, schema: Schema) -> TextForm:
        """The form of the table that a model was fitted to."""
        return cls(schema.dialect, notations_of(schema), fitted_arrow_types(schema))

    def like(self, frame: Any) -> TextForm:
        """The form of a table with the types of the one that the frame was read from."""
        return replace(self, types={**self.types, **arrow_types(frame)})

    @property
    def usual(self) -> bool:
        """Whether the table is written as most are."""
        return self.dialect is None and not self.notations

    def written(self, columns: Mapping[str, Any], rounded: bool) -> dict[str, Any]:
        """Columns with the numbers of each notation and truth values as text; others stay.

        Args:
            columns: values by name.
            rounded: whether numbers have as many digits as the table's; otherwise all are written.
        """
        texts = {
            name: notation.texts(columns[name], rounded)
            for name, notation in self.notations.items()
            if name in columns
        }
        found = {**columns, **texts}
        if self.dialect is None or self.dialect.truth is None:
            return found
        return {name: _truths(values, self.dialect.truth) for name, values in found.items()}


def _truths(values: Any, words: tuple[str, str]) -> Any:
    """Truth values as text; missing ones and other values stay."""
    import pandas as pd

    series = pd.Series(values)
    if pd.api.types.infer_dtype(series, skipna=True) != "boolean":
        return values
    return series.astype(object).map(dict(zip((True, False), words, strict=True)))


def read_numbers(
    source: str | Path, asked: Dialect | None = None, skipped: Collection[str] = ()
) -> tuple[Any, TextForm]:
    """Read a table whose numbers may be written in notations of their own.

    Args:
        source: as for ``read_table``.
        asked: how the file is written, as far as it is given.
        skipped: columns that are no numbers.

    Returns:
        A pandas frame in which these columns are numbers, and how the file writes the table.

    Raises:
        DataError, MissingExtraError: as ``read_table``.
    """
    frame, dialect = read_table(source, asked)
    notations = found_notations(frame, dialect, skipped)
    return with_numbers(frame, notations), TextForm(dialect, notations)
