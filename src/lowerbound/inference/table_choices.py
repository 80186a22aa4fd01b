"""Draws of the values of a row, column by column, that fulfill every restriction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.mixed import is_atom
from lowerbound.data.dependencies.lookups import Lookup
from lowerbound.data.synthetic.constraints import Combination
from lowerbound.inference.restrictions import Restrictions
from lowerbound.likelihoods.columns.group import RelatedValues, cells_inside

NOTHING = 1e-12  # probability below which a restriction leaves nothing to draw from


class RowChooser:
    """Draws values from the cells of their columns, restricted by the known columns of the row.

    A value that may not occur has no probability, and the others share it: the draw is from the
    model given the restriction, without rejection. Values are kept in original units, float64, with
    the resolution of their column. If the model gives a restriction no probability, the value is
    the end of its window, and where that has none, any value of the column.

    Args:
        restrictions: of the table.
        values: given cells in original units, (rows, columns); NaN where unknown.
        known: which cells are given, (rows, columns).

    Attributes:
        values: all cells drawn so far; NaN where missing.
        known: which cells are given or drawn.
        given: which cells are given.
    """

    def __init__(self, restrictions: Restrictions, values: Array, known: Array) -> None:
        self.restrictions = restrictions
        self.values = np.where(known, values, np.nan)
        self.known, self.given = known.copy(), known

    def choose(
        self,
        place: int,
        rows: Tensor,
        shares: Tensor,
        cells: Tensor,
        related: RelatedValues | None = None,
    ) -> Tensor:
        """A value for each row, (rows,), model units; NaN is a missing cell."""
        index = rows.cpu().numpy()
        count = cells.shape[1]
        gone = shares[:, count:].sum(1).double().cpu().numpy() * (not self.restrictions.complete)
        weights = np.asarray(shares[:, :count].double().cpu().numpy())
        fixed = [
            (places, each) for places, each in self.restrictions.combinations if place in places
        ]
        if fixed:
            values = self._combined(place, index, weights, gone, cells, fixed)
        else:
            values = self._windowed(place, index, weights, gone, cells)
            if related is not None:
                values = self._related(place, index, values, related)
            for places, each in self.restrictions.lookups:
                if place in places:
                    values = self._looked_up(place, index, values, weights, cells, places, each)
        self.values[index, place], self.known[index, place] = values, True
        return self._units(place, values)

    def finished(self) -> tuple[Array, Array]:
        """(all rows, after every column is drawn, with the columns that formulas give; which rows
        fulfill the formulas)."""
        return self.restrictions.computed(self.values, self.given)

    def settle(self, place: int, units: Tensor) -> None:
        """Take the values of a column that were drawn without restrictions, model units."""
        open_ = ~self.known[:, place]
        drawn = units.double().cpu().numpy()[open_]
        gone = np.isnan(drawn)
        column = self.restrictions.columns[place]
        values = column.decode(np.where(gone, 0.0, drawn))
        values = column.rules.rounded(np.asarray(values, dtype=np.float64))
        values = self.restrictions.forms[place].settled(values)
        self.values[open_, place] = np.where(gone, np.nan, values)
        self.known[:, place] = True

    def _units(self, place: int, values: Array) -> Tensor:
        column = self.restrictions.columns[place]
        gone = np.isnan(values)
        anything = values[~gone][0] if not gone.all() else self._anything(place)
        units = np.asarray(column.encode(np.where(gone, anything, values)), dtype=np.float64)
        return torch.from_numpy(np.where(gone, np.nan, units))

    def _anything(self, place: int) -> float:
        column, form = self.restrictions.columns[place], self.restrictions.forms[place]
        return 0.0 if column.levels or form.low is None else form.low

    # numbers in a window --------------------------------------------------------------------------

    def _windowed(
        self, place: int, rows: Array, weights: Array, gone: Array, cells: Tensor
    ) -> Array:
        low, high = self.restrictions.window(place, self.values[rows], self.known[rows])
        ends = np.asarray(cells.double().cpu().numpy())
        first = np.broadcast_to(ends[0], weights.shape)
        last = np.broadcast_to(ends[1], weights.shape)
        beside_atom = is_atom(ends[0]) & (ends[1] > ends[0]) & ~is_atom(ends[1])
        weights = np.where(beside_atom, 0.0, weights)
        weights[:, list(self.restrictions.forms[place].unused)] = 0.0
        if self.restrictions.narrows(place):
            weights, first, last = self._inside(place, weights, ends, low, high)
        code, missing = _drawn(weights, gone)
        missing |= (low > high) & self.restrictions.may_miss(place)
        each = np.arange(len(rows))
        start, end = first[each, code], last[each, code]
        units = start + (end - start) * torch.rand(len(rows), dtype=torch.float64).numpy()
        values = self._repeated(place, self._values(place, units, low, high), start, end)
        impossible = weights.sum(1) <= NOTHING
        end = np.where(np.isfinite(low), low, high)
        values = np.where(impossible & np.isfinite(end), end, values)
        return np.where(missing, np.nan, values)

    def _inside(
        self, place: int, weights: Array, ends: Array, low: Array, high: Array
    ) -> tuple[Array, Array, Array]:
        """Weights and ends of the parts of the cells that lie in each row's window."""
        column, lattice = self.restrictions.columns[place], self.restrictions.lattice(place)
        share, first, last = cells_inside(column, lattice, ends, low, high)
        return weights * share, first, last

    def _repeated(self, place: int, values: Array, start: Array, end: Array) -> Array:
        """Drawn values, of which some are those that several fitted rows share.

        Args:
            place: of the column.
            values: of the column's resolution, (rows,), units of the table.
            start, end: of the part of the cell that each is from, (rows,), model units.
        """
        repeated = self.restrictions.forms[place].repeated
        if repeated is None:
            return values
        column = self.restrictions.columns[place]
        low, high = (
            np.asarray(column.decode(each.copy()), dtype=np.float64) for each in (start, end)
        )
        level = torch.rand(len(values), dtype=torch.float64).numpy()
        return repeated.drawn(values, low, high, level)

    def _values(self, place: int, units: Array, low: Array, high: Array) -> Array:
        """Values in original units, of the column's resolution, inside the window."""
        column = self.restrictions.columns[place]
        values = column.rules.rounded(np.asarray(column.decode(units), dtype=np.float64))
        if column.levels:
            return values
        return np.asarray(np.clip(self.restrictions.lattice(place).nearest(values), low, high))

    def _related(self, place: int, rows: Array, values: Array, related: RelatedValues) -> Array:
        """The values of a column, some of which are replaced by those that follow from others."""
        drawn = related.draw(self.values[rows])
        there = np.isfinite(drawn)
        rounded = self.restrictions.columns[place].rules.rounded(np.where(there, drawn, 0.0))
        drawn = self.restrictions.lattice(place).nearest(rounded)
        low, high = self.restrictions.window(place, self.values[rows], self.known[rows])
        there &= (drawn >= low[:, None]) & (drawn <= high[:, None])
        likely = related.shares.double().cpu().numpy()
        free = np.maximum(1 - likely.sum(1, keepdims=True), NOTHING)
        choice, _ = _drawn(np.concatenate([free, likely * there], 1), np.zeros(len(rows)))
        found = np.concatenate([values[:, None], drawn], 1)[np.arange(len(rows)), choice]
        return np.where(np.isnan(values), values, found)

    # columns that another determines --------------------------------------------------------------

    def _looked_up(
        self,
        place: int,
        rows: Array,
        values: Array,
        weights: Array,
        cells: Tensor,
        places: Sequence[int],
        lookup: Lookup,
    ) -> Array:
        """The values, of which those that a lookup excludes are drawn again from the others.

        A value that the lookup does not list may be with any of the others.
        """
        at, others = places.index(place), [each for each in places if each != place]
        listed = lookup.values[:, at]
        agree = np.ones((len(rows), len(listed)), dtype=bool)
        for other, each in enumerate(places):
            if other != at:  # what is unknown is NaN, which agrees with all
                agree &= lookup.agree(other, self.values[rows, each])
        alike = lookup.agree(at, values)
        if at == 0:
            free = ~alike.any(1)
        else:
            unknown = ~self.known[rows, places[0]]
            level = torch.rand(len(rows), dtype=torch.float64).numpy()
            free = unknown & (level < lookup.unlisted)
            free |= ~unknown & (np.isnan(self.values[rows, places[0]]) | ~agree.any(1))
        started = np.asarray(np.isfinite(self.values[rows][:, others]).any(1))
        if self.given.any():  # the rows are not the population
            started[:] = False
        again = np.flatnonzero(~free & ~np.isnan(values) & (started | ~(agree & alike).any(1)))
        if not len(again):
            return values
        low, high = self.restrictions.window(place, self.values[rows], self.known[rows])
        with np.errstate(invalid="ignore"):
            inside = (listed >= low[again, None]) & (listed <= high[again, None])
        likely = self._listed(place, listed, weights[again], cells, np.array(lookup.rows))
        likely = _by_rows(likely, agree[again], np.array(lookup.rows), started[again])
        likely = likely * (agree[again] & inside)
        choice, _ = _drawn(likely, np.zeros(len(again)))
        usable = likely.sum(1) > 0
        values = values.copy()
        values[again[usable]] = listed[choice[usable]]
        return values

    def _listed(
        self, place: int, listed: Array, weights: Array, cells: Tensor, rows: Array
    ) -> Array:
        """The probability of each listed value by its cell, in which it has the share of its rows;
        small where the cell has none, 0 where it is missing."""
        present = ~np.isnan(listed)
        code = _cell_of(self.restrictions.columns[place], listed[present], cells)
        in_cell = np.bincount(code, rows[present], minlength=weights.shape[1])
        likely = np.zeros((len(weights), len(listed)))
        share = rows[present] / in_cell[code]
        likely[:, present] = (weights[:, code] + NOTHING) * share
        return likely

    # fixed combinations ---------------------------------------------------------------------------

    def _combined(
        self,
        place: int,
        rows: Array,
        weights: Array,
        gone: Array,
        cells: Tensor,
        fixed: Sequence[tuple[Sequence[int], Combination]],
    ) -> Array:
        """Values of a column that occur with the known columns of each combination."""
        options, allowed = self._options(place, rows, fixed)
        present = ~np.isnan(options)
        code = _cell_of(self.restrictions.columns[place], options[present], cells)
        alike = np.bincount(code, minlength=weights.shape[1])
        likely = np.zeros((len(rows), len(options)))
        gone = gone * allowed[:, ~present].any(1)
        likely[:, present] = weights[:, code] / alike[code] * (1 - gone[:, None])
        likely[:, ~present] = gone[:, None]
        low, high = self.restrictions.window(place, self.values[rows], self.known[rows])
        with np.errstate(invalid="ignore"):
            outside = (options < low[:, None]) | (options > high[:, None])
        likely = np.where(allowed & ~outside, likely, 0.0)
        none = likely.sum(1) <= NOTHING
        likely[none] = (allowed & ~outside)[none] + NOTHING * allowed[none]
        choice, _ = _drawn(likely, np.zeros(len(rows)))
        return np.asarray(options[choice])

    def _options(
        self, place: int, rows: Array, fixed: Sequence[tuple[Sequence[int], Combination]]
    ) -> tuple[Array, Array]:
        """Distinct values of the column in the combinations, (options,), and which of them each row
        may have, (rows, options)."""
        from scipy.sparse import csr_array

        tables = [self.restrictions.tables[each.columns] for _, each in fixed]
        columns = [
            table[:, list(p).index(place)] for (p, _), table in zip(fixed, tables, strict=True)
        ]
        options = np.unique(np.concatenate(columns))
        allowed = np.ones((len(rows), len(options)), dtype=bool)
        for (places, each), column in zip(fixed, columns, strict=True):
            agree = self.restrictions.matches(each, places, self.values[rows], self.known[rows])
            same = np.searchsorted(options, column)  # NaN is last in both
            shape = (len(column), len(options))
            member = csr_array((np.ones(len(column)), (np.arange(len(column)), same)), shape=shape)
            allowed &= np.asarray(agree @ member > 0)
        return options, allowed


def _drawn(weights: Array, gone: Array) -> tuple[Array, Array]:
    """(code of each row, drawn by its weights; whether the row is missing instead).

    Args:
        weights: (rows, codes); all codes are equally likely where they are zero.
        gone: probability that the row is missing.
    """
    total = weights.sum(1, keepdims=True)
    cumulative = np.where(total > NOTHING, weights, 1.0).cumsum(1)
    level = torch.rand(len(weights), dtype=torch.float64).numpy()
    missing = level < gone
    again = torch.rand(len(weights), dtype=torch.float64).numpy() * cumulative[:, -1]
    return (cumulative <= again[:, None]).sum(1), missing  # again < the last, also after rounding


def _cell_of(column: Column, options: Array, cells: Tensor) -> Array:
    """The cell of each value in original units."""
    units = np.asarray(column.encode(options.copy()), dtype=np.float64)
    starts = cells[0].double().cpu().numpy()
    order = np.argsort(starts, kind="stable")
    found = np.searchsorted(starts[order], units + 1e-9, side="right") - 1
    return np.asarray(order[np.clip(found, 0, len(starts) - 1)])


def _by_rows(likely: Array, agree: Array, counts: Array, started: Array) -> Array:
    r"""The probability of each listed value, (rows, values), from that by the model.

    Where columns of the lookup are known, the model only says how the others change it:

    .. math:: p(v) \propto n_v \frac{p_i(v)}{\bar p(v)}

    with the fitted rows n_v of a value, and the mean of p over the drawn rows in which the same
    values agree. The model's own probability would raise rare values, since it is smooth.

    Args:
        likely: p, (rows, values).
        agree: whether a value agrees with the known columns, (rows, values).
        counts: n, (values,).
        started: whether columns of the lookup are known, (rows,).
    """
    _, group = np.unique(np.packbits(agree, axis=1), axis=0, return_inverse=True)
    group = group.reshape(-1)
    rows = np.bincount(group)
    sums = np.add.reduceat(likely[np.argsort(group)], np.cumsum(rows) - rows)
    mean = (sums / rows[:, None])[group]
    return np.where(started[:, None], counts * (likely + NOTHING) / (mean + NOTHING), likely)
