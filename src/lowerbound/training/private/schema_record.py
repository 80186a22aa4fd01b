"""What the measured part of a schema has spent of the privacy budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lowerbound.config import from_mapping
from lowerbound.errors import DataError, LowerboundError, OptionError

MORE = 1 + 1e-6  # times what a schema has spent: less than that is rounding
NEIGHBORS = "two tables are neighbors if one has one row more than the other (add or remove)"


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
