"""A mean over rows with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """The mean of a quantity over rows.

    Attributes:
        mean: the mean over rows.
        standard_error: standard deviation (divisor rows - 1) over the root of rows; None for one
            row.
    """

    mean: float
    standard_error: float | None

    @classmethod
    def of(cls, values: Tensor) -> Estimate:
        """The estimate from one value per row, (rows,)."""
        values = values.double()
        mean = float(values.mean())
        if len(values) < 2:
            return cls(mean, None)
        return cls(mean, float(values.std()) / math.sqrt(len(values)))

    def scaled(self, factor: float) -> Estimate:
        """The same estimate in another unit."""
        error = None if self.standard_error is None else abs(factor) * self.standard_error
        return Estimate(factor * self.mean, error)

    def __str__(self) -> str:
        if self.standard_error is None:
            return f"{self.mean:.2f}"
        return f"{self.mean:.2f} ± {self.standard_error:.2f}"


@dataclass(frozen=True)
class Skipped:
    """Placeholder for a measure that the data does not allow.

    Attributes:
        reason: one sentence.
    """

    reason: str
