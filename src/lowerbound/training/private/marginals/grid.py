"""The values of a column as codes, from a declaration of its range or categories, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.config import from_mapping
from lowerbound.data.arrays import Array
from lowerbound.data.columns.text.date_formats import ISO, check_format, seconds
from lowerbound.data.columns.text.moments import DAY
from lowerbound.data.columns.values import (
    EXACT,
    finite_numbers,
    is_range,
    level_codes,
    name as level_name,
)
from lowerbound.data.tables.declared import check_declaration
from lowerbound.errors import DataError
from lowerbound.training.private.marginals.cells import cell_days, written_dates

MOST_WHOLE = 128  # whole numbers in a range up to which each has its own bin
BINS = 64
LINEAR_PART = 1 / 2_000  # of a logarithmic range: how far its bins are evenly spaced
SKEWED = 0.05  # of the range: a median below it makes bins logarithmic
DISTINCT = 1_000  # numbers that are drawn from a bin, at least
ATOM_WIDTH = 1e-9  # below this width a bin is a single number
FIELDS = ("kind", "levels", "low", "high", "atom", "whole", "missing", "log", "format")


@dataclass(frozen=True, eq=False)
class Grid:
    """The codes of one column: its levels or its bins, and "missing" where cells may lack.

    Attributes:
        name: of the column.
        levels: the categories; empty for numbers.
        edges: of the bins, increasing; a bin contains its lower edge; days since 1970 of dates.
        dates: the format of dates; "" for others.
        whole: whether values are whole numbers.
        missing: whether the last code is "missing".
    """

    name: str
    levels: tuple[Any, ...] = ()
    edges: tuple[float, ...] = ()
    whole: bool = False
    missing: bool = False
    dates: str = ""

    @classmethod
    def of(cls, name: str, said: Mapping[str, Any]) -> Grid:
        """The grid of a declared column; see ``lowerbound.data.tables.declared``.

        Raises:
            DataError: the declaration lacks a field, or has an unknown one, or a wrong value.
        """
        unknown = [field for field in said if field not in FIELDS]
        if unknown:
            raise DataError(
                f"the declaration of column {name!r} has an unknown field: {unknown[0]!r}"
            )
        check_declaration(name, said)
        lacking = bool(said.get("missing", False))
        if "levels" in said:
            return cls(name, tuple(said["levels"]), missing=lacking)
        low, high, dates = said.get("low"), said.get("high"), ""
        if isinstance(low, str) and isinstance(high, str):
            dates = said.get("format") or ISO
            low, high = seconds([low, high], ISO) / DAY
        if low is None or high is None or not is_range(low, high):
            raise DataError(f"declare column {name!r} with levels, or with numbers low < high")
        whole = bool(said.get("whole", bool(dates) or said.get("kind") == "count"))
        if whole and said.get("kind") == "count":
            low, high = math.ceil(low), math.floor(high)
            if low > high:
                raise DataError(f"no whole number lies in the declared range of {name!r}")
        edges = bin_edges(float(low), float(high), whole, bool(said.get("log", False)))
        atom = said.get("atom")
        if atom is not None:
            edges = np.union1d(edges, [atom, atom + 1 if whole else np.nextafter(atom, np.inf)])
        return cls(name, edges=tuple(edges.tolist()), whole=whole, missing=lacking, dates=dates)

    @property
    def size(self) -> int:
        """Number of codes."""
        return (len(self.levels) or len(self.edges) - 1) + self.missing

    @property
    def ordered(self) -> bool:
        """Whether neighboring codes are similar."""
        return not self.levels

    def encode(self, series: Any) -> Array:
        """The code of each cell, (rows,); numbers outside the range count as its ends, unknown
        levels as missing.

        Raises:
            DataError: a cell is missing, and the declaration does not say that cells may be.
        """
        if self.levels:
            values = level_codes(series, self.name, self.levels)
        else:
            values = self._numbers(series)
            inside = np.clip(values, self.edges[0], self.edges[-2])
            bins = np.searchsorted(self.edges, inside, side="right") - 1
            values = np.where(np.isnan(values), np.nan, bins)
        gone = np.isnan(values)
        if gone.any() and not self.missing:
            row = int(np.flatnonzero(gone)[0])
            raise DataError(
                f"column {self.name!r} has no declared value in {int(gone.sum()):,} rows (first in "
                f'row {row}, counted from 0): add "missing": true, or the level'
            )
        return np.where(gone, self.size - 1, np.where(gone, 0, values)).astype(np.int64)

    def check_known(self, series: Any) -> None:
        """Check that values given as conditions are possible.

        Raises:
            DataError: a level was not declared, or a number is outside the range.
        """
        if self.levels:
            known = {level_name(level) for level in self.levels}
            odd = [value for value in series.unique() if level_name(value) not in known]
        else:
            values = self._numbers(series)
            odd = values[(values < self.edges[0]) | (values >= self.edges[-1])].tolist()
        if odd:
            raise DataError(f"column {self.name!r} cannot be {odd[0]!r}: this was not declared")

    def decode(self, codes: Array, uniform: Array) -> Any:
        """A value of each code, a pandas series: a level, or a number evenly drawn from its bin."""
        import pandas as pd

        gone = np.full(len(codes), self.missing) & (codes == self.size - 1)
        if self.levels:
            found = np.array([*self.levels, None], dtype=object)[np.where(gone, -1, codes)]
            return pd.Series(found, name=self.name).infer_objects()
        values = self._inside(np.where(gone, 0, codes), uniform)
        if self.dates:
            written = written_dates(values, self.dates, self.whole)
            return pd.Series(written, name=self.name).mask(gone)
        if self.whole and not self.missing:
            return pd.Series(values.astype(np.int64), name=self.name)
        series = pd.Series(np.where(gone, np.nan, values), name=self.name)
        return series.astype("Int64") if self.whole else series

    def _inside(self, code: Array, uniform: Array) -> Array:
        """Numbers evenly drawn from bins; a bin says nothing of further digits."""
        edges = np.array(self.edges)
        low, width = edges[:-1], np.diff(edges)
        width = np.where(width < ATOM_WIDTH, 0.0, width)
        if self.whole:
            return np.asarray(np.floor(low[code] + uniform * width[code]))
        with np.errstate(divide="ignore"):
            unit = 10.0 ** np.ceil(np.log10(DISTINCT / width))
        unit = np.where(width > 0, unit, 1.0)
        first, last = np.ceil(low * unit), np.ceil(edges[1:] * unit)
        short = (width > 0) & (np.maximum(abs(first), abs(last)) < EXACT)
        number = first[code] + np.floor(uniform * (last - first)[code])
        values = np.where(short[code], number / unit[code], low[code] + uniform * width[code])
        return np.asarray(np.clip(values, low[code], np.nextafter(edges[1:], -np.inf)[code]))

    def _numbers(self, series: Any) -> Array:
        return cell_days(series, self.dates) if self.dates else finite_numbers(series)

    def log_widths(self) -> Array:
        """Logarithm of the width of each code's bin, (codes,): log p of a number is log p of its
        bin less this; 0 for levels, for whole numbers in unit bins, and for missing cells."""
        if self.levels:
            return np.zeros(self.size)
        widths = np.diff(self.edges)
        # an atom's bin is a single number, whose probability is a mass
        widths = np.where(widths < ATOM_WIDTH, 1.0, widths)
        return np.append(np.log(widths), [0.0] * self.missing)

    def to_mapping(self) -> dict[str, Any]:
        """JSON values."""
        return {**vars(self), "levels": list(self.levels), "edges": list(self.edges)}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Grid:
        """Read the values of ``to_mapping``.

        Raises:
            DataError: its edges do not increase, it has neither levels nor edges, or a level is a
                list.
            OptionError: a field is unknown or of another type, or the format of dates is wrong.
        """
        found = from_mapping(cls, mapping)
        increasing = bool((np.diff(found.edges) > 0).all()) and len(found.edges) > 1
        if found.levels == () and not increasing:
            raise DataError(f"the edges of column {found.name!r} do not increase")
        if any(isinstance(level, list | tuple | dict) for level in found.levels):
            raise DataError(f"a level of column {found.name!r} is neither text nor a number")
        if found.dates:
            check_format(found.dates)
        return found


def bin_edges(low: float, high: float, whole: bool, logarithmic: bool) -> Array:
    """Bins from low to high, both included."""
    end = high + 1 if whole else np.nextafter(high, np.inf)
    if whole and high - low < MOST_WHOLE:
        return np.arange(low, high + 2)
    if not logarithmic:
        edges = np.linspace(low, end, BINS + 1)
    else:
        width = (high - low) * LINEAR_PART
        steps = np.expm1(np.linspace(0, np.log1p((end - low) / width), BINS + 1))
        edges = low + width * steps
        edges[-1] = end
    return np.unique(np.rint(edges)) if whole else np.unique(edges)
