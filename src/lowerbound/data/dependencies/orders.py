"""Columns of numbers that no row has in the other order: a start and an end, a part and a whole.

An order counts as found if every row has it, and many rows would not have it by chance: if the
values of one column were shuffled, at least ``EXPECTED`` rows would break it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column

EXPECTED = 20.0  # rows that would break an order by chance
MOST_ROWS = 5_000  # that chance is computed from
MOST_ORDERS = 32  # of a table, since each makes every update slower


@dataclass(frozen=True)
class Inequality:
    """lower <= upper in every row, or lower < upper; the names of two columns."""

    lower: str
    upper: str
    strict: bool = False

    @property
    def columns(self) -> tuple[str, str]:
        """Names of its columns."""
        return self.lower, self.upper

    @property
    def summary(self) -> str:
        """As a sentence that declares it."""
        return f"{self.lower} {'<' if self.strict else '<='} {self.upper}"

    def broken(self, lower: Array, upper: Array) -> Array:
        """Whether values of the two columns do not fulfill it; a missing one does."""
        with np.errstate(invalid="ignore"):
            return np.asarray(lower >= upper if self.strict else lower > upper)


def found_orders(
    columns: Sequence[Column],
    values: Array,
    taken: Collection[str] = (),
    alike: Sequence[Collection[str]] = (),
) -> tuple[Inequality, ...]:
    """The orders of columns of numbers or dates; those that follow from others are left out.

    Args:
        columns: of the table.
        values: (rows, columns) in units of the table; NaN where missing.
        taken: names of columns that have other constraints.
        alike: sets of columns whose values determine each other, and need no order.
    """
    usable = [
        place
        for place, each in enumerate(columns)
        if not each.levels and each.name not in taken and not np.isnan(values[:, place]).all()
    ]
    if len(usable) < 2:
        return ()
    some = values[:: max(1, len(values) // MOST_ROWS)]
    ordered = [np.sort(column[np.isfinite(column)]) for column in some.T]
    found: dict[tuple[int, int], tuple[float, bool]] = {}
    for lower in usable:
        with np.errstate(invalid="ignore"):
            broken_before = np.asarray((some[:, [lower]] > some).any(0))
        for upper in usable:
            names = {columns[lower].name, columns[upper].name}
            apart = len(names) == 2 and not any(names <= set(each) for each in alike)
            if broken_before[upper] or not apart:
                continue
            broken, equal = _by_chance(values, ordered, lower, upper)
            if broken >= EXPECTED and _hold(values, lower, upper):
                strict = bool(equal >= EXPECTED and (values[:, lower] != values[:, upper]).all())
                found[lower, upper] = _gap(values, lower, upper), strict
    whole = {place for place in usable if not np.isnan(values[:, place]).any()}
    best = sorted(_reduced(found, whole), key=lambda pair: found[pair])[:MOST_ORDERS]
    return tuple(
        Inequality(columns[lower].name, columns[upper].name, found[lower, upper][1])
        for lower, upper in sorted(best)
    )


def _hold(values: Array, lower: int, upper: int) -> bool:
    with np.errstate(invalid="ignore"):
        return not (values[:, lower] > values[:, upper]).any()


def _by_chance(
    values: Array, ordered: Sequence[Array], lower: int, upper: int
) -> tuple[float, float]:
    """Rows that would break the order, and rows that would be equal, if one were shuffled."""
    rows = float(np.isfinite(values[:, lower] + values[:, upper]).sum())
    first, second = ordered[lower], ordered[upper]
    if not len(first) or not len(second):
        return 0.0, 0.0
    below = np.searchsorted(second, first, side="left").mean() / len(second)
    at_most = np.searchsorted(second, first, side="right").mean() / len(second)
    return rows * below, rows * (at_most - below)


def _gap(values: Array, lower: int, upper: int) -> float:
    """How far apart the columns are in a row, in parts of the range of the narrower one."""
    both = values[np.isfinite(values[:, lower] + values[:, upper])]
    both = both[:: max(1, len(both) // MOST_ROWS)]
    spreads = [np.subtract(*np.quantile(both[:, each], [0.95, 0.05])) for each in (lower, upper)]
    apart = float(np.median(both[:, upper] - both[:, lower]))
    return apart / max(float(min(spreads)), float(np.finfo(float).tiny))


def _reduced(pairs: Collection[tuple[int, int]], whole: Collection[int]) -> list[tuple[int, int]]:
    """Pairs that do not follow from two others by a column without missing cells."""
    return [
        (lower, upper)
        for lower, upper in pairs
        if not any((lower, each) in pairs and (each, upper) in pairs for each in whole)
    ]
