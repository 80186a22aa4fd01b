"""Declarations of columns, public or measured with noise, and rows that fit them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound import durable, untrusted
from lowerbound.config import to_mapping
from lowerbound.data.arrays import Array
from lowerbound.data.columns.text.date_formats import ISO, seconds
from lowerbound.data.columns.text.moments import DAY, as_dates
from lowerbound.data.columns.values import factorized, name as level_name
from lowerbound.data.protection.record import Protection
from lowerbound.errors import DataError, counted
from lowerbound.training.private.marginals.cells import cell_days, cell_numbers, declared_type
from lowerbound.training.private.schema_record import SchemaRecord, read_record

Columns = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Declarations:
    """Ranges and categories of columns.

    Attributes:
        columns: for each column its declaration; see ``lowerbound.data.tables.declared``.
        measured: what the measured ones have spent; None: all are public.
        copied: what was not copied from the rows; None: the declarations are from elsewhere.
    """

    columns: Columns
    measured: SchemaRecord | None = None
    copied: Protection | None = None

    @classmethod
    def of(cls, given: Columns | Declarations) -> Declarations:
        """The declarations as an object."""
        return given if isinstance(given, Declarations) else cls(given)

    @classmethod
    def read(cls, path: str | Path) -> Declarations:
        """Read a JSON file of declarations.

        Raises:
            DataError: it is not such a file.
        """
        if not Path(path).exists():
            raise DataError(f"there is no file {path} of public columns: check the name")
        try:
            found = untrusted.read_mapping(Path(path), DataError)
            with untrusted.guarded(str(path), DataError):
                columns = {str(name): dict(said) for name, said in found["columns"].items()}
        except (OSError, DataError) as error:
            raise DataError(f"{path} is not a file of public columns: {error}") from error
        measured = found.get("measured")
        if measured is None:
            return cls(columns)
        record = read_record(measured, str(path))
        # a column that was added by hand is declared
        declared = tuple(name for name in columns if name not in record.columns)
        return cls(columns, replace(record, declared=declared))

    @property
    def other_than_numbers(self) -> tuple[str, ...]:
        """Names of the columns that are declared as levels or dates."""
        return tuple(n for n, said in self.columns.items() if declared_type(said) != "numbers")

    def write(self, path: str | Path) -> None:
        """Write the file that ``read`` reads."""
        durable.write_text(
            durable.linked(Path(path)), json.dumps(self.to_mapping(), indent=1) + "\n"
        )

    def to_mapping(self) -> dict[str, Any]:
        """JSON values."""
        columns = {name: dict(said) for name, said in self.columns.items()}
        if self.measured is None:
            return {"columns": columns}
        return {"columns": columns, "measured": to_mapping(self.measured)}

    def admitted(self, frame: Any) -> Any:
        """The rows with measured and copied columns as declared; public columns stay as they are.

        A level that was not released is missing, as is a cell that cannot be read. Where nothing is
        declared missing it is the first level, or the atom, or the lowest number. Numbers and dates
        outside their range become its ends, and fractions whole where whole is declared. Each cell
        depends on its own row and on the declarations alone, and no cell raises an error: an error
        would reveal a row without noise.

        Raises:
            DataError: a declared column is not in the table.
        """
        absent = [name for name in self.columns if name not in frame.columns]
        if absent:
            raise DataError(f"the table has no column {absent[0]!r}, which is declared")
        if self.copied is not None:
            names = [*self.columns]
        elif self.measured is not None:
            names = [name for name in self.measured.columns if name in self.columns]
        else:
            return frame
        return frame.assign(**{name: _admitted(frame[name], self.columns[name]) for name in names})


def described(said: Mapping[str, Any], most: int | None = None) -> str:
    """A declaration in words, with at most so many of its levels; None: all."""
    if "levels" in said:
        levels = ", ".join(map(str, said["levels"][:most]))
        more = len(said["levels"]) - len(said["levels"][:most])
        levels += f" and {more:,} more" if more else ""
        words = [f"{counted(len(said['levels']), 'level')}: {levels}"]
    else:
        ends = (said["low"], said["high"])
        words = [" to ".join(end if isinstance(end, str) else f"{end:.12g}" for end in ends)]
    words += [name for name in ("whole", "log", "missing") if said.get(name)]
    words += [f"atom {said['atom']}"] if said.get("atom") is not None else []
    return ", ".join(words)


def recorded_in(given: str) -> SchemaRecord | None:
    """The record in the file that ``public_schema`` names; None if it is no file, or has none."""
    if not given or not Path(given).is_file():
        return None
    try:
        measured = untrusted.read_mapping(Path(given), DataError).get("measured")
    except (OSError, DataError):
        return None
    return None if measured is None else read_record(measured, given)


def _admitted(series: Any, said: Mapping[str, Any]) -> Any:
    lacking = bool(said.get("missing", False))
    if "levels" in said:
        return _levels(series, said["levels"], lacking)
    if isinstance(said["low"], str):
        return _dates(series, said, lacking)
    found = np.clip(cell_numbers(series), said["low"], said["high"])
    found = np.rint(found) if said.get("whole") else found
    default = said["low"] if said.get("atom") is None else said["atom"]
    return _typed(found if lacking else np.where(np.isnan(found), default, found), said)


def _typed(values: Array, said: Mapping[str, Any]) -> Any:
    """Numbers of the type that the declaration says."""
    if not said.get("whole"):
        return values
    import pandas as pd

    return pd.array(values, dtype="Int64") if said.get("missing") else values.astype(np.int64)


def _levels(series: Any, levels: Any, lacking: bool) -> Any:
    import pandas as pd

    index = {level_name(level): code for code, level in enumerate(levels)}
    codes, distinct = factorized(series)
    other = len(levels) if lacking else 0
    # pandas gives missing values the code -1, which selects the last entry
    table = np.array([*(index.get(level_name(value), other) for value in distinct), other])
    cells = np.empty(len(levels) + 1, dtype=object)
    cells[:] = [*levels, None]
    return pd.Series(cells[table[codes]], index=series.index).infer_objects()


def _dates(series: Any, said: Mapping[str, Any], lacking: bool) -> Any:
    low, high = seconds([said["low"], said["high"]], ISO) / DAY
    days = np.clip(cell_days(series, said.get("format") or ISO), low, high)
    days = days if lacking else np.where(np.isnan(days), low, days)
    return as_dates(days * DAY, 1).to_numpy()
