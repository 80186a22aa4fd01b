"""One column of a table, as stored in schema.json: its kind and the parameters of its map."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Annotated

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.dates import check_format
from lowerbound.data.columns.kind import COLUMN_KINDS, ColumnKind
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.columns.notation import Notation
from lowerbound.data.columns.quantile_normal import QuantileNormal
from lowerbound.data.columns.values import Level
from lowerbound.errors import OptionError, unknown


def numpy_type(name: str) -> None:
    """Check that numpy has a type of this name; "str" is text."""
    np.dtype(name)


def _frame_type(name: str) -> None:
    """Check that pandas has a type of this name; dates of Python and ordered categories have names
    of our own."""
    if name not in ("", "category", "ordered category", "date"):
        import pandas as pd

        pd.api.types.pandas_dtype(name)


PLAIN = re.compile(r"[+-]?\d+(\.\d*)?")  # a number as files have it, without any notation


@dataclass(frozen=True)
class Column:
    """One column of a table or of an array.

    Attributes:
        name: its name; ``x0, x1, ...`` if the data has no names.
        kind: a name in ``COLUMN_KINDS``; ``rules`` is the object of that kind.
        shift: subtracted from h(g(v)); the value itself for a constant.
        scale: divisor of h(g(v)) - shift; positive.
        dtype: numpy's name of the original type; "str" for text.
        frame_dtype: pandas' name of a type that ``dtype`` does not tell, such as "Int64",
            "category" or "datetime64[ns, Europe/Vienna]"; "": it has none.
        arrow_type: Arrow's name of a type of text or decimals, which pandas does not tell, such as
            "decimal128(12, 2)"; "": unknown.
        bulk: median and spread of g of the values beside the far ones, for h; None: the identity.
        spline: Q; None: the identity.
        levels: of a leveled column, in the order of their codes 0, 1, ...
        low, high: of a bounded column.
        atom: of a mixed column.
        resolution: the smallest step between two values, in model units; 0 if unknown.
        format: the ``strptime`` format of a datetime column; "ISO8601" for ISO text of several
            lengths and for dates that are not text; None: an older schema without a format, whose
            text is parsed cell by cell.
        round_to: every date is a multiple of these seconds, 86,400 for days; 0: unknown.
        level_type: pandas' name of the type of levels that are kept as text, such as
            "interval[int64, right]"; "": they are what ``levels`` has.
        notation: how numbers are written as text; None: they are plain, or no text.
        lattice: the numbers or dates that drawn values are rounded to; None: unknown.
        observed: smallest and largest fitted value, in original units, dates in seconds; None:
            unknown, or levels.
        missing_share: share of the fitted rows that have no value.
        markers: texts of missing cells of the fit, such as "?", of a column of levels.

    Raises:
        OptionError: the kind is unknown, or the format or the range is invalid.
    """

    name: str
    kind: str = "real"
    shift: float = 0.0
    scale: float = 1.0
    dtype: Annotated[str, numpy_type] = "float64"
    spline: QuantileNormal | None = None
    levels: tuple[Level, ...] = ()
    low: float | None = None
    high: float | None = None
    atom: float | None = None
    resolution: float = 0.0
    format: str | None = None
    round_to: int = 0
    notation: Notation | None = None
    frame_dtype: Annotated[str, _frame_type] = ""
    level_type: Annotated[str, _frame_type] = ""
    lattice: Lattice | None = None
    observed: tuple[float, float] | None = None
    missing_share: float = 0.0
    markers: tuple[str, ...] = ()
    bulk: tuple[float, float] | None = None
    arrow_type: str = ""

    def __post_init__(self) -> None:
        if self.kind not in COLUMN_KINDS:
            raise unknown(f"kind of column {self.name!r}:", self.kind, COLUMN_KINDS)
        if self.format is not None:
            check_format(self.format)
        if self.bulk is not None and not (abs(self.bulk[0]) < inf and 0 < self.bulk[1] < inf):
            raise OptionError(f"column {self.name!r}: {self.bulk} is not a median and a spread")
        if self.observed is not None and not -inf < self.observed[0] <= self.observed[1] < inf:
            raise OptionError(f"column {self.name!r}: {self.observed} is not a range of numbers")

    def check_levels(self) -> None:
        """Check that only a kind of levels has levels, that these differ, and that text is no
        level of a column of numbers, unless it is a number as a file has it, such as "1978".

        Raises:
            OptionError: another kind has levels, two are equal, or one is text.
        """
        if self.levels and not self.rules.leveled:
            raise OptionError(f"column {self.name!r} is {self.kind}, which has no levels")
        if len(set(map(repr, self.levels))) < len(self.levels):
            raise OptionError(f"column {self.name!r} has a level twice")
        plain = not (self.level_type or self.notation or self.frame_dtype or self.dtype == "str")
        text = any(isinstance(level, str) and not PLAIN.fullmatch(level) for level in self.levels)
        if plain and text and np.dtype(self.dtype).kind in "biuf":
            raise OptionError(f"column {self.name!r} of {self.dtype} has text among its levels")

    @cached_property
    def rules(self) -> ColumnKind:
        """The object of the column's kind that reads, encodes and decodes it."""
        return COLUMN_KINDS[self.kind].of(self)

    @property
    def modeled(self) -> bool:
        """Whether the column is part of the event."""
        return self.rules.modeled

    @property
    def blank(self) -> bool:
        """Whether no fitted row has a value."""
        return not self.modeled and self.missing_share == 1.0

    @property
    def affine(self) -> bool:
        """Whether the map to model units is exactly u = (v - shift) / scale."""
        return self.rules.straight and self.spline is None and self.bulk is None

    @property
    def plain(self) -> bool:
        """Whether the column accepts every number and its map is affine."""
        return self.affine and self.rules.any_number

    def encode(self, values: Array) -> Array:
        """Convert values or codes to model units, float64."""
        return self.rules.encode(values)

    def decode(self, units: Array) -> Array:
        """The inverse of ``encode``; codes stay codes."""
        return self.rules.decode(units)

    def log_slope(self, units: Array) -> Array:
        """log T'(v) in nats at each value, given in model units; 0 for mass."""
        return self.rules.log_slope(units)
