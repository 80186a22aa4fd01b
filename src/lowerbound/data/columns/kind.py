"""The base class of kinds of columns: how a column is recognized, read, encoded and written.

A kind is a class, registered under the name that users type. The distribution of its values is a
family in ``lowerbound.likelihoods.columns``; a kind has the key of its family.

A kind also has the features of its column, the numeric inputs of a linear-Gaussian model. A feature
is computed from model units and standardized over the training data to mean 0 and standard
deviation 1. The decoder's initial weights are those of a factor analysis of the features. Each
feature defines the initial slope of one output of the decoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.columns.values import (
    are_texts,
    finite_numbers,
    level_name,
    missing,
    numbers,
    refuse,
    value_quantiles,
)
from lowerbound.registry import Registry

if TYPE_CHECKING:
    from lowerbound.data.columns.column import Column
    from lowerbound.data.columns.inference import Sample

LEAST_NOISE = 1e-3  # smallest noise variance of a real feature
STEEPEST = 3.0  # largest slope of a rare level's logit per standard deviation of its indicator


@dataclass(frozen=True)
class Feature:
    """One number computed from a column; by default the model unit divided by ``parameter``.

    Class attributes:
        stage: order of the features in an encoder; features of one stage that share ``values`` are
            computed together for all columns.
        measured: whether it is a real number with noise, whose mean the decoder returns.
        explains_missing: whether the probability that a cell is missing may depend on it.

    Attributes:
        parameter: of ``values``.
        number: index of the decoder's output for the column that starts with this slope.
        owed: number of outputs that the column must have for this; None: any.
        least_noise: lower limit of the standardized noise variance psi in factor analysis. An
            indicator with slope w in z has the Fisher information w^2 / psi about z as a Gaussian,
            and w^2 as a Bernoulli variable whose logit has the slope w / s. With a smaller limit,
            a few columns of many levels would dominate the correlated columns.
    """

    stage: ClassVar[int] = 0
    measured: ClassVar[bool] = False
    explains_missing: ClassVar[bool] = False
    parameter: float = 1.0
    number: int = 0
    owed: int | None = None
    least_noise: float = 1.0

    @staticmethod
    def values(x: Tensor, parameter: Tensor) -> Tensor:
        """The features, of model units (rows, features) and parameters (features,)."""
        return x / parameter

    @staticmethod
    def present(x: Tensor) -> Tensor:
        """Whether the feature has a value, from model units."""
        return torch.ones_like(x, dtype=torch.bool)

    def slope(self, weight: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """The slope in z of the decoder's output.

        Args:
            weight: (latent,), the slope of the standardized feature.
            shift, scale: of the standardization.
        """
        return scale * weight


@dataclass(frozen=True)
class Value(Feature):
    """A continuous value, unchanged."""

    measured = True
    explains_missing = True
    least_noise: float = LEAST_NOISE


@dataclass(frozen=True)
class Indicator(Feature):
    """0 or 1; the decoder returns its logit."""

    def slope(self, weight: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return weight * (1 / scale).clamp_max(STEEPEST)


class ColumnKind:
    """The rules of one column; by default, its model units are the numbers themselves.

    Class attributes:
        rank: kinds of lower rank are tried first if the kind is inferred. "real" recognizes all
            numbers, so kinds after it apply only if a hint names them.
        family: key in ``COLUMN_FAMILIES``; "" if the column is not modeled.
        table_family: the family with a probability for each level, or for each cell of numbers.
        modeled: whether it is part of the event.
        kept: whether the schema contains it; identifiers of rows are not kept.
        straight: whether the map without a spline is u = (v - shift) / scale.
        any_number: whether it accepts every number, so that such columns are read as a matrix.
        metric: whether every model unit is a real number with a meaningful distance.
        ordered: whether its values have an order, and therefore quantiles.
        always_whole: whether its values are integers or codes for every dtype.
        has_deviation: whether a standard deviation of its values is meaningful.
        has_format: whether its values are text of one format.
        leveled: whether its model units are codes of levels.
        embedded: whether each of its levels has a learned vector.
        support: description of its values, a template with the column's fields.
        least: the smallest value that any column of the kind can have.

    Args:
        column: the column.
    """

    rank: ClassVar[int] = 1000
    family: ClassVar[str] = ""
    table_family: ClassVar[str] = "histogram"
    modeled: ClassVar[bool] = True
    kept: ClassVar[bool] = True
    straight: ClassVar[bool] = False
    any_number: ClassVar[bool] = False
    metric: ClassVar[bool] = False
    ordered: ClassVar[bool] = True
    always_whole: ClassVar[bool] = False
    has_deviation: ClassVar[bool] = True
    has_format: ClassVar[bool] = False
    leveled: ClassVar[bool] = False
    embedded: ClassVar[bool] = False
    support: ClassVar[str] = "numbers"
    least: ClassVar[float] = -math.inf

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
        """The column with the fields that the hint omits.

        Raises:
            DataError: the values do not determine a required field.
        """
        return self.column

    def fitted(self, series: Any, standardize: bool, normal_scores: bool) -> Column:
        """The column with the map to model units fitted to its values.

        Args:
            series: its cells.
            standardize: whether to scale to mean 0 and standard deviation 1.
            normal_scores: whether the map may bend the values towards normal scores.

        Raises:
            DataError: some rows do not fit the kind; the message names them.
        """
        return self.column

    def settled(self, series: Any) -> Column:
        """The fitted column with its share of missing cells, and the resolution and the range of
        its values; levels have none."""
        gone = self.missing(series)
        column = replace(self.column, missing_share=float(gone.mean()))
        if column.levels or gone.all():
            return column
        present = self.read(series)[~gone]
        lattice = Lattice.found(present, column.dtype)
        return replace(
            column, lattice=lattice, observed=(present.min().item(), present.max().item())
        )

    def missing(self, series: Any) -> Array:
        """Mask of the missing cells, (rows,); "NA" may be a level, but no number or date."""
        levels = self.column.levels
        return missing(series, are_texts(levels), [*map(level_name, levels)], self.column.markers)

    # Conversion to model units and back

    def read(self, series: Any, *, fitting: bool = False) -> Array:
        """The column's values in original units, or its codes; float64, NaN if missing.

        Args:
            series: its cells.
            fitting: raise an error for values that would be clipped after the fit.

        Raises:
            DataError: some rows do not fit the kind; the message names the first.
        """
        values = finite_numbers(series)
        words = f"column {self.column.name!r} holds {self.supported}, but not"
        refuse(self.outside(values), series, words)
        return values

    def unseen(self, series: Any) -> Array:
        """Cells with a value that the fit did not see, as ``Dataset.unseen`` has them, (rows,);
        kinds without levels have none, except constants."""
        return np.zeros(len(series), dtype=bool)

    def localized(self, series: Any) -> Any:
        """Values that a person gives as the column means them; dates may lack their time zone."""
        return series

    @property
    def supported(self) -> str:
        """A description of the column's values."""
        return self.support.format_map(vars(self.column))

    def outside(self, values: Array) -> Array:
        """Mask of the values that do not fit the kind; NaN fits."""
        return np.zeros(values.shape, dtype=bool)

    def encode(self, values: Array) -> Array:
        """Convert values or codes to model units, float64."""
        return values

    def decode(self, units: Array) -> Array:
        """The inverse of ``encode``."""
        return units

    def log_slope(self, units: Array) -> Array:
        """log T'(v) in nats at each value, given in model units; 0 for mass."""
        return np.zeros(units.shape)

    def log_unit(self, units: Array) -> Array:
        """Log of the unit, nats, of each value that has a density in a column where others have a
        mass; 0 for other columns, in which a unit changes the log-density of all values alike."""
        return np.zeros(units.shape)

    # Features

    def features(self) -> Sequence[Feature]:
        """The column's features for a linear-Gaussian model."""
        return ()

    @property
    def bent(self) -> bool:
        """Whether the column's only feature is another function than a line of its values. Where
        some values lie far out it is not, as a line through them says nothing about the others."""
        return False

    def unbent(self, feature: Tensor) -> Tensor:
        """The values up to a shift and a scale, from the feature before its spline, (rows,)."""
        return feature

    # Answers

    @property
    def width(self) -> int:
        """Numbers per cell that are averaged over draws: a probability per level, else one."""
        return max(1, len(self.column.levels))

    def averaged(self, values: Array) -> Array:
        """What is averaged over draws of the values; its inverse is ``decided``."""
        return values

    def decided(self, averaged: Array) -> Array:
        """The values or codes, (rows,), that averages (rows, width) over draws imply."""
        return np.asarray(averaged[:, 0])

    @property
    def whole(self) -> bool:
        """Whether the column contains only integers or codes."""
        dtype = self.column.dtype
        return self.always_whole or (dtype != "str" and np.dtype(dtype).kind in "biu")

    @property
    def lattice(self) -> Lattice:
        """The values that it can have; all numbers if its resolution is unknown."""
        if self.column.lattice is not None:
            return self.column.lattice
        return Lattice(1.0) if self.whole else Lattice()

    def quantiles(self, draws: Array, shares: Sequence[float] | Array) -> Array:
        """Quantiles (shares, rows) of draws (draws, rows); on a lattice, each is a draw."""
        return value_quantiles(draws, shares, self.lattice.step > 0)

    def coordinates(self, values: Array) -> Array:
        """Coordinates (rows, numbers) with a meaningful distance, of values (rows,)."""
        return values[:, None]

    def rounded(self, values: Array) -> Array:
        """The nearest values of the column's lattice that its type can represent."""
        nearest = self.lattice.nearest(values)
        if not self.whole:
            return nearest
        return np.asarray(nearest.clip(*self.type_range))

    @property
    def type_range(self) -> tuple[float, float]:
        """The smallest and the largest number of the column's type; infinite for float64, text and
        dates."""
        dtype = np.dtype(self.column.dtype if self.column.dtype != "str" else "float64")
        if dtype.kind == "b":
            return 0.0, 1.0
        if dtype.kind not in "iu" and dtype not in (np.float16, np.float32):
            return -math.inf, math.inf
        limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
        highest = float(limits.max)
        if highest > limits.max:  # 2**63, which is the nearest float, is too large
            highest = float(np.nextafter(highest, 0))
        return float(limits.min), highest

    # Frames

    def typed(self, values: Array, rounded: bool = True) -> Any:
        """Values or codes in the column's type, those beyond its range at the nearer end;
        unrounded values stay floats."""
        dtype = self.column.dtype
        if not rounded or dtype == "str":
            return values
        return values.clip(*self.type_range).astype(dtype)

    def with_room(self, series: Any, exact: bool) -> Any:
        """A copy of the cells with a type that can represent the answers.

        Args:
            series: the cells, some of them missing.
            exact: whether the answers are possible values of the data, not expectations.
        """
        import pandas as pd

        if not pd.api.types.is_numeric_dtype(series.dtype):
            return pd.Series(numbers(series), index=series.index, name=series.name)
        if not pd.api.types.is_integer_dtype(series.dtype):
            return series.copy()
        own = getattr(series.dtype, "numpy_dtype", series.dtype)
        fractions = not exact or self.column.dtype == "str"
        wide = np.promote_types(own, "float64" if fractions else self.column.dtype)
        if wide == own:
            return series.copy()
        name = "Float64" if wide.kind == "f" else wide.name.replace("i", "I").replace("u", "U")
        return series.astype(name)

    def filling(self, answers: Array, like: Any, exact: bool) -> Any:
        """Values or codes in the type of the cells ``like``, which they fill."""
        import pandas as pd

        return pd.Series(self.typed(answers, exact)).astype(like.dtype).array


COLUMN_KINDS: Registry[type[ColumnKind]] = Registry(
    "kind of column",
    "lowerbound.data.columns",
    {
        "real": "continuous",
        "positive": "continuous",
        "bounded": "continuous",
        "count": "continuous",
        "datetime": "datetime",
        "binary": "levels",
        "ordinal": "levels",
        "categorical": "levels",
        "mixed": "mixed",
        "identifier": "unmodeled",
        "constant": "unmodeled",
    },
)
