r"""Columns that another determines, as a city its country: each value has one value of the others.

A column x determines y if y is the same in all rows with one value of x, and this is no chance: its
probability would be at most

.. math:: \prod_x \sum_y p_y^{n_x} \qquad \text{and} \qquad
    |Y|^{|X|} \prod_y m_y! \,/\, n!

if the n rows had drawn their y independently, and if the y of all rows had been shuffled. The first
is small where x has many values, the second also where nearly all rows have the same y. Here n_x
rows have one of the |X| values x, and m_y rows, a share p_y, one of the |Y| values y. Only values
that several rows have are kept, since others would identify a row.

Columns of numbers that no row has in the other order: a start and an end, a part and a whole.

An order counts as found if every row has it, and many rows would not have it by chance: if the
values of one column were shuffled, at least ``EXPECTED`` rows would break it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.protection.record import People
from lowerbound.errors import OptionError

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


FEWEST_ROWS = 3  # of a value that is kept
LEAST_SHARE = 0.8  # of the rows with such values
CHANCE = -20.0  # log of the probability that it is by chance
MOST_VALUES = 5_000
ROUNDED = 1e-9  # relative error of numbers that were in other units
RARE = 0.01  # share of the rows with a value that is not kept
AT_ONCE = 1 << 23  # comparisons
FIRST_ROWS = 1_000  # in which all columns are compared first


@dataclass(frozen=True)
class Lookup:
    """The values of columns that another determines.

    Attributes:
        columns: the name of the column that determines, and those of the others.
        cells: for each value of the first that at least ``FEWEST_ROWS`` rows have, this value and
            those of the others, units of the table or codes of levels; None: they were missing.
        rows: how many rows have each.
        others: rows with another value.
        missing: rows where it is missing.

    Raises:
        OptionError: the sizes differ, or there are no values.
    """

    columns: tuple[str, ...]
    cells: tuple[tuple[float | None, ...], ...]
    rows: tuple[int, ...]
    others: int = 0
    missing: int = 0

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.cells}
        if not self.cells or widths != {len(self.columns)} or len(self.rows) != len(self.cells):
            raise OptionError("a lookup needs rows, each with a value of every column and a count")

    @classmethod
    def of(
        cls, columns: Sequence[str], values: Array, people: People | None = None
    ) -> Lookup | None:
        """The lookup of rows, (rows, columns), units as ``cells``; NaN where missing; None: too few
        of the ``people`` have a value."""
        distinct, which, rows = np.unique(
            values[:, 0], return_inverse=True, return_counts=True, equal_nan=True
        )
        several = (rows >= FEWEST_ROWS) & np.isfinite(distinct)
        if people is not None:
            several &= people.enough(which, np.ones(len(values), dtype=bool), len(distinct))
        kept = np.flatnonzero(several)
        if not len(kept):
            return None
        cells = np.full((len(distinct), values.shape[1]), np.nan)
        cells[:, 0] = distinct
        for place in range(1, values.shape[1]):
            there = np.isfinite(values[:, place])
            cells[which[there], place] = values[there, place]
        listed = tuple(
            tuple(None if np.isnan(v) else float(v) for v in cells[each]) for each in kept
        )
        counts = tuple(int(rows[each]) for each in kept)
        missing = int(np.isnan(values[:, 0]).sum())
        return cls(tuple(columns), listed, counts, len(values) - missing - sum(counts), missing)

    @property
    def summary(self) -> str:
        """Which column determines which."""
        return f"{self.columns[0]} determines {', '.join(self.columns[1:])}"

    @cached_property
    def values(self) -> Array:
        """``cells``, NaN where missing."""
        return np.array(self.cells, dtype=np.float64)

    @property
    def share_of_others(self) -> float:
        """The share of the rows that are in ``others``, of those where the first is not missing."""
        return self.others / max(1, self.others + sum(self.rows))

    @property
    def unlisted(self) -> float:
        """The share of the rows that are in ``others`` or ``missing``."""
        rest = self.others + self.missing
        return rest / max(1, rest + sum(self.rows))

    def agree(self, at: int, cells: Array) -> Array:
        """Whether cells of a column agree with each of the ``values``, (rows, values); what is
        missing agrees with all."""
        listed = self.values[None, :, at]
        given = cells[:, None]
        with np.errstate(invalid="ignore"):
            same = np.abs(given - listed) <= ROUNDED * np.abs(listed)
        return np.asarray(same | np.isnan(listed) | np.isnan(given))

    def determined(self, cells: Array) -> Array:
        """The value of each cell that follows from the others of its row; NaN where none does.

        A value follows if all of ``values`` that agree with the row have it. Where the first column
        is missing, hardly any row may have other values of it.

        Args:
            cells: (rows, columns), NaN where missing.
        """
        known = np.isfinite(cells[:, 0])
        found = np.full(cells.shape, np.nan)
        found[known] = self._by_first(cells[known])
        if self.share_of_others <= RARE and not known.all():
            rest, rows = np.unique(cells[~known], axis=0, return_inverse=True)
            found[~known] = self._by_others(rest)[rows]
        return found

    def broken(self, cells: Array) -> Array:
        """Whether rows have other values than the listed ones beside a listed value of the first
        column, (rows,); what is missing is no other value."""
        return np.asarray(_apart(cells, self.listed(cells)).any(1))

    def _by_first(self, cells: Array) -> Array:
        """``determined`` of rows with the first column."""
        listed = self.listed(cells)
        return np.where(_apart(cells, listed).any(1, keepdims=True), np.nan, listed)

    def listed(self, cells: Array) -> Array:
        """The values that are listed beside that of the first column, (rows, columns); NaN if it
        is none of them."""
        place = places_of(cells[:, 0], self.values[:, 0])
        return np.concatenate([self.values, np.full_like(self.values[:1], np.nan)])[place]

    def _by_others(self, cells: Array) -> Array:
        """``determined`` of rows without the first column."""
        found = np.full(cells.shape, np.nan)
        size = max(1, AT_ONCE // max(1, len(self.values)))
        for start in range(0, len(cells), size):
            part = slice(start, start + size)
            agree = np.ones((len(cells[part]), len(self.values)), dtype=bool)
            for at, column in enumerate(cells[part].T):
                agree &= self.agree(at, column)
            for at, listed in enumerate(self.values.T):
                lowest = np.where(agree, listed, np.inf).min(1)  # NaN stays
                highest = np.where(agree, listed, -np.inf).max(1)
                found[part, at] = np.where(lowest == highest, lowest, np.nan)
        return found


def _apart(cells: Array, listed: Array) -> Array:
    """Which cells differ from the listed ones; a missing one does not."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(cells - listed) > ROUNDED * np.abs(listed))


def places_of(cells: Array, values: Array) -> Array:
    """The place of each cell among increasing values, and their number for other cells, (rows,)."""
    place = np.searchsorted(values, cells - ROUNDED * np.abs(cells))
    near = values[place.clip(0, len(values) - 1)]
    with np.errstate(invalid="ignore"):
        same = np.abs(cells - near) <= ROUNDED * np.abs(near)
    return np.where(same, place, len(values))


def found_lookups(
    columns: Sequence[Column],
    values: Array,
    taken: Collection[str] = (),
    people: People | None = None,
) -> tuple[Lookup, ...]:
    """The columns that determine others; each column is in one lookup at most.

    Args:
        columns: of the table.
        values: (rows, columns), units of the table or codes of levels; NaN where missing.
        taken: names of columns that have other constraints.
        people: of whom enough must have a value that is kept; None: ``FEWEST_ROWS`` rows.
    """
    names = [each.name for each in columns]
    there = np.asarray(np.isfinite(values).any(0))
    free = [place for place, name in enumerate(names) if name not in taken and there[place]]
    if len(free) < 2:
        return ()
    codes = {place: _codes(values[:, place]) for place in free}
    counts = np.array([int(codes[place].max()) + 1 for place in free])
    some = np.stack([codes[place][:FIRST_ROWS] for place in free], 1)
    by = {
        place: [
            free[other]
            for other in np.flatnonzero(
                (counts > 1) & (counts <= counts[at]) & _may_follow(some, at)
            ).tolist()
            if other != at and _determines(codes[place], codes[free[other]])
        ]
        for at, place in enumerate(free)
        if _repeats(codes[place])
    }
    sizes = dict(zip(free, counts.tolist(), strict=True))
    found: list[Lookup] = []
    used: set[int] = set()
    for place in sorted(by, key=lambda each: (-len(by[each]), sizes[each], each)):
        others = [other for other in by[place] if other not in used]
        if place not in used and others:
            places = [place, *others]
            lookup = Lookup.of([names[each] for each in places], values[:, places], people)
            if lookup is not None:
                used |= {place, *others}
                found.append(lookup)
    return tuple(found)


def _codes(column: Array) -> Array:
    """The number of each row's value, -1 where missing."""
    there = np.isfinite(column)
    found = np.full(len(column), -1)
    found[there] = np.unique(column[there], return_inverse=True)[1]
    return found


def _repeats(codes: Array) -> bool:
    """Whether most rows have a value that several rows have."""
    counts = np.bincount(codes[codes >= 0])
    if not 1 < len(counts) <= MOST_VALUES:
        return False
    return bool(counts[counts >= FEWEST_ROWS].sum() >= LEAST_SHARE * counts.sum())


def _may_follow(codes: Array, at: int) -> Array:
    """Whether each column of some rows has one value where that at ``at`` has one, as far as
    neighbors show after sorting by it, (columns,)."""
    ordered = codes[np.argsort(codes[:, at], kind="stable")]
    first, second = ordered[:-1], ordered[1:]
    same = (first[:, at] == second[:, at]) & (first[:, at] >= 0)
    first, second = first[same], second[same]
    return np.asarray(~((first != second) & (first >= 0) & (second >= 0)).any(0))


def _determines(codes: Array, others: Array) -> bool:
    """Whether each value has one value of the other column, and not by chance."""
    return _agree(codes, others) and _log_chance(codes, others) < CHANCE


def _log_chance(codes: Array, others: Array) -> float:
    """Log of the probability, at most, that unrelated columns agree."""
    from scipy.special import gammaln

    there = (codes >= 0) & (others >= 0)
    counts, shares = (np.bincount(each[there]) for each in (codes, others))
    counts, shares = counts[counts > 0], shares[shares > 0]
    sizes, repeats = np.unique(counts, return_counts=True)
    alike = np.logaddexp.reduce(sizes[:, None] * np.log(shares / max(1, shares.sum())), 1)
    arrangements = gammaln(shares.sum() + 1) - gammaln(shares + 1).sum()
    shuffled = len(counts) * np.log(max(1, len(shares))) - arrangements
    return float(min((repeats * alike).sum(), shuffled))


def _agree(codes: Array, others: Array) -> bool:
    """Whether each value has one value of the other column."""
    there = (codes >= 0) & (others >= 0)
    own, other = codes[there], others[there]
    first = np.full(int(codes.max(initial=0)) + 1, -1)
    first[own] = other
    return bool((first[own] == other).all())
