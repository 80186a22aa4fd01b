"""What a kind of column knows: how it is found, read, encoded, averaged and written again.

A kind is one class, registered under the name that a person types. The probability of its values is
a family of ``lowerbound.likelihoods.columns``, which a kind names by its key there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.values import finite_numbers, numbers, refuse, value_quantiles
from lowerbound.registry import Registry

if TYPE_CHECKING:  # names for annotations: every column holds its kind
    from lowerbound.data.columns.column import Column
    from lowerbound.data.columns.features import Feature
    from lowerbound.data.columns.inference import Sample


class ColumnKind:
    """The rules of one column; unless a kind says otherwise, it holds numbers that are their units.

    Class attributes:
        rank: kinds of a lower rank see values of an unknown kind first; those that come after
            "real", which takes all numbers, are only said by the person.
        family: key of ``COLUMN_FAMILIES``; "" where the column is not modeled.
        modeled: whether it is part of the event.
        kept: whether it stands in a schema; what only names rows does not.
        straight: whether the way in is u = (v - shift) / scale where it has no spline.
        any_number: whether it takes every number, so that such columns are read as a matrix.
        metric: whether every model unit is a real number, so that distances mean something.
        ordered: whether its values have an order, and so quantiles.
        always_whole: whether they are whole numbers or codes, whatever the column's type.
        has_deviation: whether a standard deviation of its values means something.
        has_format: whether they are text of one format.
        embedded: whether each of its levels has a learned vector.
        support: what the column holds, in words with the column's fields.

    Args:
        column: the column.
    """

    rank: ClassVar[int] = 1000
    family: ClassVar[str] = ""
    modeled: ClassVar[bool] = True
    kept: ClassVar[bool] = True
    straight: ClassVar[bool] = False
    any_number: ClassVar[bool] = False
    metric: ClassVar[bool] = False
    ordered: ClassVar[bool] = True
    always_whole: ClassVar[bool] = False
    has_deviation: ClassVar[bool] = True
    has_format: ClassVar[bool] = False
    embedded: ClassVar[bool] = False
    support: ClassVar[str] = "numbers"

    def __init__(self, column: Column) -> None:
        self.column = column

    @classmethod
    def of(cls, column: Column) -> ColumnKind:
        """The rules of one column."""
        return cls(column)

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        """The column if its values fit this kind, else None."""
        return None

    def completed(self, series: Any) -> Column:
        """The column with what the person left unsaid.

        Raises:
            DataError: what is needed cannot be found from the values.
        """
        return self.column

    def fitted(self, series: Any, standardize: bool, normal_scores: bool) -> Column:
        """The column with the way into model units that its values give it.

        Args:
            series: its cells.
            standardize: whether units are brought to mean 0 and standard deviation 1.
            normal_scores: whether the map may be a spline to normal scores.

        Raises:
            DataError: some rows do not fit the kind; they are named.
        """
        return self.column

    # The way in and out

    def read(self, series: Any, *, fitting: bool = False) -> Array:
        """The column's values in the person's units, or its codes; float64, NaN where missing.

        Args:
            series: its cells.
            fitting: refuse values that are only taken for others afterwards.

        Raises:
            DataError: some rows do not fit the kind; the first are named.
        """
        values = finite_numbers(series)
        words = f"column {self.column.name!r} holds {self.supported}, but not"
        refuse(self.outside(values), series, words)
        return values

    @property
    def supported(self) -> str:
        """What the column holds, in words."""
        return self.support.format_map(vars(self.column))

    def outside(self, values: Array) -> Array:
        """Where a value is not of the kind; NaN is."""
        return np.zeros(values.shape, dtype=bool)

    def encode(self, values: Array) -> Array:
        """Values or codes in model units, float64."""
        return values

    def decode(self, units: Array) -> Array:
        """The inverse of ``encode``."""
        return units

    def log_slope(self, units: Array) -> Array:
        """log T'(v) in nats at each value, given in model units; 0 for mass."""
        return np.zeros(units.shape)

    # What an encoder is given

    def features(self) -> Sequence[Feature]:
        """What a linear-Gaussian model is given of the column."""
        return ()

    # Answers

    @property
    def width(self) -> int:
        """How many numbers per cell are averaged over draws; for a level its probability."""
        return max(1, len(self.column.levels))

    def decided(self, averaged: Array) -> Array:
        """The answer that averaged numbers, (rows, width), come to: values or codes, (rows,)."""
        return np.asarray(averaged[:, 0])

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers or codes only."""
        dtype = self.column.dtype
        return self.always_whole or (dtype != "str" and np.dtype(dtype).kind in "biu")

    def quantiles(self, draws: Array, shares: Sequence[float]) -> Array:
        """Of draws, (draws, rows), to (shares, rows): among the values where those are whole."""
        return value_quantiles(draws, shares, self.whole)

    def coordinates(self, values: Array) -> Array:
        """Numbers between which a distance means something, (rows, numbers), of values (rows,)."""
        return values[:, None]

    def rounded(self, values: Array) -> Array:
        """The nearest values that the column's type can hold."""
        if not self.whole:
            return values
        dtype = np.dtype(self.column.dtype if self.column.dtype != "str" else "float64")
        if dtype.kind in "iu":
            least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
            return np.asarray(np.rint(values).clip(least, most))
        return np.asarray(np.rint(values).clip(0, 1) if dtype.kind == "b" else np.rint(values))

    # Frames

    def typed(self, values: Array, rounded: bool = True) -> Any:
        """Values or codes in the column's own type; whole ones stay fractions if not rounded."""
        dtype = self.column.dtype
        return values.astype(dtype) if rounded and dtype != "str" else values

    def with_room(self, series: Any, exact: bool) -> Any:
        """A copy of the cells of a type that can hold answers.

        Args:
            series: the cells, some of which are missing.
            exact: whether answers are such as the data could hold, rather than expectations.
        """
        import pandas as pd

        if not pd.api.types.is_numeric_dtype(series.dtype):
            return pd.Series(numbers(series), index=series.index, name=series.name)
        if pd.api.types.is_integer_dtype(series.dtype) and not exact:
            return series.astype("Float64")
        return series.copy()

    def filling(self, answers: Array, like: Any, exact: bool) -> Any:
        """Values or codes in the type of the cells ``like`` that take them."""
        import pandas as pd

        return pd.Series(self.typed(answers, exact)).astype(like.dtype).array


COLUMN_KINDS: Registry[type[ColumnKind]] = Registry("kind of column")
