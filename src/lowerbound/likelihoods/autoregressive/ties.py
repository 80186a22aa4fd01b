r"""Columns of numbers that equal another column in some rows.

.. math:: p(x_j \mid z, x_{known}) = \pi_0\, h(x_j) + \sum_s \pi_s\, \delta(x_j - x_s)

where h is the histogram of column j, s are the known columns that it may equal, and the shares pi
are a softmax of numbers of the network. A value that equals x_s has probability, of which the
density is taken over the width of one step of the column.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.errors import DataError
from lowerbound.likelihoods.columns.windows import in_units

STEPS = 1_000.0  # in a cell, of a column without steps
ROUNDED = 1e-6  # relative error of values in units of the table that were float32
NEVER = -1e4  # log of the share of what is not equal


class Ties:
    """The columns that others may equal.

    Args:
        columns: of the table.
        pairs: places of two columns of numbers, of which each may equal the other.

    Raises:
        DataError: a column of a pair has levels.
    """

    def __init__(self, columns: Sequence[Column], pairs: Sequence[tuple[int, int]]) -> None:
        self.columns, self.pairs = columns, tuple(pairs)
        self.sources: dict[int, tuple[int, ...]] = {}
        for place in sorted({place for pair in pairs for place in pair}):
            if columns[place].levels:
                raise DataError(f"column {columns[place].name!r} has levels, and ties are numbers")
            others = {a if b == place else b for a, b in pairs if place in (a, b)}
            self.sources[place] = tuple(sorted(others))

    def count(self, place: int) -> int:
        """How many columns a column may equal."""
        return len(self.sources.get(place, ()))

    def open(self, place: int, values: Array, known: Tensor) -> Array:
        """Whether each column that this one may equal has a known value, (rows, sources).

        Args:
            place: of the column.
            values: as ``in_units`` gives them.
            known: the columns that are known, (rows, columns).
        """
        sources = list(self.sources[place])
        there = known.cpu().numpy()[:, sources] & ~np.isnan(values[:, sources])
        lattice = self.columns[place].rules.lattice
        if not lattice.step:
            return np.asarray(there)
        copied = np.where(there, values[:, sources], lattice.offset)
        slack = np.maximum(lattice.step / 4, ROUNDED * np.abs(copied))
        return np.asarray(there & (np.abs(lattice.nearest(copied) - copied) <= slack))

    def equal(self, place: int, values: Array) -> Array:
        """Whether the column equals each of those that it may equal, (rows, sources)."""
        sources = list(self.sources[place])
        own, others = values[:, place, None], values[:, sources]
        steps = [self.columns[each].rules.lattice.step for each in sources]
        step = np.minimum(steps, self.columns[place].rules.lattice.step)
        spread = self.columns[place].decode(np.array([-0.5, 0.5])) * [-1, 1]
        rounding = ROUNDED * (np.abs(own) + np.abs(others) + max(0.0, spread.sum()))
        return np.asarray(np.abs(own - others) <= np.maximum(step / 4, rounding))

    def log_shares(self, numbers: Tensor, open_: Array) -> Tensor:
        """log pi_0 and log pi_s, (rows, 1 + sources); -inf for columns that are not open.

        Args:
            numbers: of the network, (rows, sources).
            open_: as ``open`` gives it.
        """
        shut = torch.from_numpy(~open_).to(numbers.device)
        logits = torch.cat(
            [torch.zeros_like(numbers[:, :1]), numbers.masked_fill(shut, -np.inf)], 1
        )
        return torch.log_softmax(logits, 1)

    def log_steps(self, place: int, ends: Tensor) -> Tensor:
        """log of the number of values of the column in each of its cells, (cells,).

        Args:
            place: of the column.
            ends: smallest and largest value of each cell, (2, cells), model units.
        """
        column = self.columns[place]
        low, high = np.asarray(column.decode(ends.double().cpu().numpy()), dtype=np.float64)
        step = column.rules.lattice.step
        steps = (high - low) / step if step else np.full(len(low), STEPS)
        steps = np.where(ends[1].cpu() > ends[0].cpu(), np.maximum(steps, 1.0), 1.0)
        return torch.from_numpy(np.log(steps)).to(ends)

    def log_density(self, log_shares: Tensor, free: Tensor, one: Tensor, equal: Array) -> Tensor:
        """log p(x_j | z, known columns), (rows,).

        Args:
            log_shares: as ``log_shares`` gives them.
            free: log h(x_j), (rows,).
            one: log of the density of one step that has all the probability, (rows,).
            equal: as ``equal`` gives it.
        """
        apart = torch.from_numpy(~equal).to(free.device)
        tied = torch.logsumexp(log_shares[:, 1:].masked_fill(apart, NEVER), 1)
        return torch.logaddexp(log_shares[:, 0] + free, tied + one.to(free))

    def first_numbers(self, place: int, x: Tensor) -> Tensor:
        """The numbers of the network at which the shares are those of rows, (sources,).

        Args:
            place: of the column.
            x: rows, (rows, columns), model units.
        """
        values = in_units(self.columns, [place, *self.sources[place]], x)
        known = torch.ones(x.shape, dtype=torch.bool)
        equal = self.equal(place, values) & self.open(place, values, known)
        none = len(x) - equal.any(1).sum()
        return torch.from_numpy(np.log((equal.sum(0) + 0.5) / (none + 0.5))).to(x)

    def copied(self, place: int, values: Array) -> Tensor:
        """The values of the columns that this one may equal, (rows, sources), in its model units;
        0 where there is none.

        Args:
            place: of the column.
            values: as ``in_units`` gives them.
        """
        given = values[:, list(self.sources[place])]
        there = ~np.isnan(given)
        units = np.zeros(given.shape)
        units[there] = self.columns[place].encode(given[there])
        return torch.from_numpy(units)
