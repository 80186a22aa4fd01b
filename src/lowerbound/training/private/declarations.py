"""Declarations of columns, public or measured with noise, and rows that fit them.

A cell is read by the public type of its column: levels, numbers, or dates as days since 1970.
Nothing here raises or warns because of a single cell: cells that cannot be read are missing. A
record says what the measured part of a schema has spent of the privacy budget.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lowerbound import durable, untrusted
from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.dates import (
    DAY,
    ISO,
    as_dates,
    as_text,
    closest_format,
    seconds,
    since_1970,
)
from lowerbound.data.columns.levels import Leveled
from lowerbound.data.columns.values import (
    distinct_values,
    factorized,
    level_name,
    missing,
    numbers,
    parsed_numbers,
)
from lowerbound.data.protection.record import Protection
from lowerbound.errors import DataError, LowerboundError, OptionError, counted

CellType = Literal["levels", "numbers", "dates"]
GUESSES = 10  # cells that a format of dates is guessed from
DATE = r"^\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}"
MORE = 1 + 1e-6  # times what a schema has spent: less than that is rounding
NEIGHBORS = "two tables are neighbors if one has one row more than the other (add or remove)"
Columns = Mapping[str, Mapping[str, Any]]


def cell_type(series: Any, said: Mapping[str, Any] | None = None) -> CellType:
    """The type of a column, which counts as public: of its dtype, or of most of its text.

    Args:
        series: its cells.
        said: a declaration whose ``kind`` decides instead.

    Raises:
        OptionError: the kind is unknown.
    """
    import pandas as pd

    if said and said.get("kind") is not None:
        return declared_type(said)
    types, dtype = pd.api.types, series.dtype
    if types.is_bool_dtype(dtype) or isinstance(dtype, pd.CategoricalDtype):
        return "levels"
    if types.is_datetime64_any_dtype(dtype):
        return "dates"
    if types.is_numeric_dtype(dtype):
        return "numbers"
    present = series[~missing(series)].astype(str)
    if 2 * (~np.isnan(parsed_numbers(present)[0])).sum() > len(present):
        return "numbers"
    return "dates" if 2 * present.str.match(DATE).sum() > len(present) else "levels"


def declared_type(said: Mapping[str, Any]) -> CellType:
    """The type that a declaration says, by its kind or else by its levels and its range.

    Raises:
        OptionError: the kind is unknown.
    """
    rules = Column("", said.get("kind") or "real").rules
    if "levels" in said or isinstance(rules, Leveled):
        return "levels"
    return "dates" if rules.has_format or isinstance(said.get("low"), str) else "numbers"


def date_format(series: Any) -> str:
    """The format that most dates of a column are written in, which counts as public."""
    import pandas as pd

    if pd.api.types.infer_dtype(series, skipna=True) in ("datetime64", "datetime", "date"):
        return ISO
    cells = [level_name(value) for value in distinct_values(series)]
    # a format is guessed from one cell, which may be wrong
    guesses = [closest_format([cell, *cells]) for cell in cells[:: max(1, len(cells) // GUESSES)]]
    unread = {form: np.isnan(seconds(cells, form)).sum() for form in (*guesses, ISO)}
    return min(unread, key=lambda form: int(unread[form]))


def level_cells(series: Any) -> Any:
    """The cells with levels of one type: names, unless the dtype has numbers or bits.

    In a column of objects, 3 and "3" are one level, whose type would be that of some row.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series.dtype):
        return series
    codes, distinct = factorized(series)
    names = np.array([*map(level_name, distinct), None], dtype=object)
    return pd.Series(names[codes], index=series.index, name=series.name, dtype=object)


def cell_numbers(series: Any) -> Array:
    """Numbers, float64; NaN if missing or not a number."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series.dtype):
        return numbers(series)
    return np.asarray(np.where(missing(series), np.nan, parsed_numbers(series)[0]))


def cell_days(series: Any, format: str) -> Array:
    """Days since 1970, float64; NaN if missing or not a date of this format."""
    import pandas as pd

    gone = missing(series)
    if format == ISO or pd.api.types.is_datetime64_any_dtype(series.dtype):
        found = since_1970(pd.to_datetime(series.mask(gone), errors="coerce", utc=True, format=ISO))
    else:
        codes, distinct = factorized(series)
        # pandas gives missing values the code -1, which selects the last entry
        found = np.append(seconds([level_name(value) for value in distinct], format), np.nan)[codes]
    return np.asarray(np.where(gone, np.nan, found) / DAY)


def written_dates(days: Array, format: str, whole: bool) -> Any:
    """Dates as they are written in a column: text, or pandas' type if the format is ISO."""
    steps = DAY if whole else 1
    if format == ISO:
        return as_dates(days * DAY, steps).to_numpy()
    return as_text(days * DAY, format, steps)


@dataclass(frozen=True)
class SchemaRecord:
    """The guarantee of ranges and categories that were measured with noise.

    Attributes:
        epsilon, delta: of these measurements alone.
        rho: their zero-concentrated privacy, which holds except with probability
            ``threshold_delta``.
        threshold_delta: the part of delta for categories that few rows have.
        columns: names of the columns that were measured.
        declared: names of the columns that were declared public.
        rows: number of rows, which counts as public.
        neighbors: the neighboring relation.
        mechanism: what was released, in words.
        lowerbound: version of the package.
    """

    epsilon: float
    delta: float
    rho: float
    threshold_delta: float
    columns: tuple[str, ...]
    declared: tuple[str, ...] = ()
    rows: int = 0
    neighbors: str = NEIGHBORS
    mechanism: str = ""
    lowerbound: str = ""

    @property
    def charged(self) -> str:
        """What was charged to the budget, in one line."""
        return (
            f"ranges and categories of {', '.join(self.columns)}: {self.mechanism}; epsilon "
            f"{self.epsilon:.4g} and delta {self.delta:.3g} by themselves (rho {self.rho:.4g})"
        )

    def public(self, source: str) -> tuple[str, ...]:
        """What remains declared public, in words.

        Args:
            source: the file of the declarations.
        """
        types = (
            "names and types (number, text, date) of the columns, which of them identify people, "
            "and how their numbers and dates are written"
        )
        if not self.declared:
            return (types,)
        return types, f"ranges and categories of {', '.join(self.declared)} ({source})"

    def rest(self, epsilon: float, delta: float) -> tuple[float, float]:
        """(epsilon, delta) that remain of a whole; those of two releases add (Dwork et al. 2006).

        Raises:
            OptionError: nothing remains.
        """
        if not (epsilon > MORE * self.epsilon and delta > self.delta):
            raise self.exhausted(epsilon, delta)
        return epsilon - self.epsilon, delta - self.delta

    def exhausted(self, epsilon: float, delta: float) -> OptionError:
        """The error for a whole of which this schema leaves nothing."""
        return OptionError(
            f"the public schema was measured with epsilon {self.epsilon:.4g} and delta "
            f"{self.delta:.3g}, which leaves nothing of epsilon {epsilon:.4g} and delta "
            f"{delta:.3g}: give a larger --epsilon or --delta, or measure the schema with less"
        )


def read_record(mapping: Mapping[str, Any], source: str) -> SchemaRecord:
    """Read the record of a file of declarations.

    Raises:
        DataError: a value is missing, of a wrong type or out of range.
    """
    try:
        found = from_mapping(SchemaRecord, mapping)
    except (LowerboundError, TypeError, AttributeError) as error:
        raise DataError(f'{source}: "measured" is not as it was written: {error}') from error
    numbers = (found.epsilon, found.delta, found.rho)
    possible = all(math.isfinite(value) and value > 0 for value in numbers)
    if not (possible and 0 <= found.threshold_delta < found.delta < 1 and found.columns):
        raise DataError(
            f'{source}: "measured" states no possible guarantee: write the file again with '
            "lowerbound private-schema"
        )
    return found


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
        low, high = seconds([said["low"], said["high"]], ISO) / DAY
        days = np.clip(cell_days(series, said.get("format") or ISO), low, high)
        days = days if lacking else np.where(np.isnan(days), low, days)
        return as_dates(days * DAY, 1).to_numpy()
    found = np.clip(cell_numbers(series), said["low"], said["high"])
    found = np.rint(found) if said.get("whole") else found
    default = said["low"] if said.get("atom") is None else said["atom"]
    # numbers of the type that the declaration says
    values = found if lacking else np.where(np.isnan(found), default, found)
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
