"""Mixed columns: real numbers and an atom, one value with its own mass, such as 0 in expenses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import LOWEST, Continuous
from lowerbound.data.columns.inference import Sample
from lowerbound.data.columns.kind import COLUMN_KINDS, Feature, Indicator, Value

ATOM = -64.0
"""Model units of the atom, below ``LOWEST``, so that no continuous value equals it."""

SHARE, LEAD = 0.1, 3.0  # of an atom: smallest fraction of rows, and ratio to the next value


def is_atom(units: Any) -> Any:
    """Whether model units of a mixed column, an array or a tensor, are its atom."""
    return units <= 0.5 * (ATOM + LOWEST)


@dataclass(frozen=True)
class AtAtom(Indicator):
    """Whether the value is the atom."""

    stage = 2

    @staticmethod
    def values(x: Tensor, parameter: Tensor) -> Tensor:
        at_atom: Tensor = is_atom(x).to(x.dtype)
        return at_atom


@dataclass(frozen=True)
class BesideAtom(Value):
    """The value if it is not the atom."""

    stage = 3
    explains_missing = False

    @staticmethod
    def values(x: Tensor, parameter: Tensor) -> Tensor:
        return x

    @staticmethod
    def present(x: Tensor) -> Tensor:
        beside: Tensor = ~is_atom(x)
        return beside


@COLUMN_KINDS.register("mixed")
class MixedKind(Continuous):
    """Real numbers and an atom, recognized if one value is in more than a tenth of the rows."""

    rank = 50
    family = "mixed"
    metric = False
    has_deviation = False

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        if not sample.numeric:
            return None
        atom, share, lead = _most_common(sample.numbers)
        if share > SHARE and lead > LEAD:
            return replace(sample.column, kind="mixed", atom=atom)
        return None

    def completed(self, series: Any) -> Column:
        if self.column.atom is not None:
            return self.column
        values = self.read(series)
        return replace(self.column, atom=_most_common(values[~np.isnan(values)])[0])

    def encode(self, values: Array) -> Array:
        units = super().encode(values)
        units[values == self.column.atom] = ATOM
        return units

    def decode(self, units: Array) -> Array:
        values = super().decode(units)
        values[is_atom(units)] = self.column.atom
        return values

    def log_slope(self, units: Array) -> Array:
        slope = super().log_slope(units)
        slope[is_atom(units)] = 0.0
        return slope

    def log_unit(self, units: Array) -> Array:
        spread = 1.0 if self.column.bulk is None else self.column.bulk[1]
        return np.where(is_atom(units), 0.0, np.log(self.column.scale) + np.log(spread))

    def unscaled(self, values: Array) -> Array:
        return np.asarray(values[values != self.column.atom])

    def features(self) -> Sequence[Feature]:
        return AtAtom(), BesideAtom(number=1)


def _most_common(values: Array) -> tuple[float, float, float]:
    """(the most common value, its fraction, its count over that of the next)."""
    distinct, counts = np.unique(values, return_counts=True)
    order = np.argsort(counts)
    first, second = counts[order[-1]], counts[order[-2]] if len(order) > 1 else 1
    return float(distinct[order[-1]]), float(first / len(values)), float(first / second)
