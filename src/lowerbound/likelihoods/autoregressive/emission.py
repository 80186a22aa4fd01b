r"""Columns of numbers that follow others, by histogram and residuals, or are bounded by them.

If one is at most another, p(x_j | z, x_known) is zero outside of a window:

.. math:: \log p(x_j \mid z, x_{known}, l \le x_j \le h)
    = \log p(x_j \mid z, x_{known}) - \log P(l \le x_j \le h \mid z, x_{known})

The distribution of a table's row whose columns depend on the columns known so far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.likelihoods.autoregressive.relations import STEPS, Relations
from lowerbound.likelihoods.columns.group import (
    ChoosesValues,
    DiscreteEmission,
    RelatedValues,
    cells_inside,
    in_units,
)
from lowerbound.likelihoods.columns.histogram import HistogramColumns
from lowerbound.likelihoods.mixed import MixedEmission
from lowerbound.trace import Emission

if TYPE_CHECKING:
    from lowerbound.likelihoods.autoregressive.columns import AutoregressiveColumns


class AutoregressiveColumnsEmission(Emission):
    r"""log p(x | z) = sum_j log p(x_j | z, x_{<j}), the columns j in the order of the table.

    The parameters of a column are the decoder's, plus a function of the decoder's features and of
    any subset of other columns. So every conditional p(x_j | z, some columns) is at hand: ``given``
    returns it, and ``complete`` draws hidden columns one after another.

    In training, ``terms`` is an unbiased estimate of the average of log p(x | z) over orders of the
    columns: log p(x | z) in one order, that of the table for a share of the rows, else a random
    one.

    A hidden column is neither seen nor scored. A missing one is scored by its probability to be
    missing, and the others see that it is missing, if the likelihood models this. ``mean`` and
    ``variance`` are those of each column if all other columns are hidden.

    Args:
        likelihood: the network, and the distribution of each column.
        parameters: of columns without others, (samples, batch, likelihood.owned).
        features: (samples, batch, features).
        missing: cells that are known to be missing, (batch, columns); None: none is.

    Source: Uria et al. 2014.
    """

    def __init__(
        self,
        likelihood: AutoregressiveColumns,
        parameters: Tensor,
        features: Tensor,
        missing: Tensor | None = None,
    ) -> None:
        self.likelihood, self.parameters, self.features = likelihood, parameters, features
        self.missing = missing
        shape = torch.Size(likelihood.event_shape)
        super().__init__(parameters.shape[:2], shape, validate_args=False)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        rows = torch.broadcast_shapes(self.batch_shape, x.shape[:-1])
        shape = (*rows, x.shape[-1])
        seen = torch.ones_like(x, dtype=torch.bool) if observed is None else observed
        values = torch.where(seen, x, 0.0)
        if self.missing is not None:
            values, seen = values.masked_fill(self.missing, math.nan), seen | self.missing
        values, seen = values.expand(shape).flatten(0, 1), seen.expand(shape).flatten(0, 1)
        score = self.likelihood.estimate if self.likelihood.training else self.likelihood.in_order
        return score(values, seen, *self._rows(rows)).view(shape)

    def knowing(self, missing: Tensor | None) -> AutoregressiveColumnsEmission:
        if missing is None or not self.likelihood.gaps:
            return self
        return AutoregressiveColumnsEmission(
            self.likelihood, self.parameters, self.features, missing
        )

    def given(self, x: Tensor, observed: Tensor) -> MixedEmission:
        """p(x_j | z, observed columns) of each column j."""
        return self._knowing(torch.where(observed, x, 0.0), observed)

    @property
    def mean(self) -> Tensor:
        return self._alone().mean

    @property
    def variance(self) -> Tensor:
        return self._alone().variance

    def complete(
        self, x: Tensor, observed: Tensor, sample_shape: torch.Size | Sequence[int] = ()
    ) -> Tensor:
        with torch.no_grad():
            return self._draw(x, observed, sample_shape, gaps=False)

    def chosen(self, x: Tensor, observed: Tensor, chooser: ChoosesValues) -> Tensor:
        """As ``complete`` for one draw, but ``chooser`` draws each value from the distribution of
        its column given the columns before it; drawn cells may be missing if ``gaps``."""
        gaps = self.likelihood.gaps
        with torch.no_grad():
            return self._draw(x, observed, (), gaps=gaps, chooser=chooser)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        x = self.parameters.new_zeros(self.batch_shape[1], *self.event_shape)
        nothing = torch.zeros_like(x, dtype=torch.bool)
        return self._draw(x, nothing, sample_shape, gaps=self.likelihood.gaps)

    def _draw(
        self,
        x: Tensor,
        observed: Tensor,
        sample_shape: torch.Size | Sequence[int],
        gaps: bool,
        chooser: ChoosesValues | None = None,
    ) -> Tensor:
        """As ``complete``; with ``gaps``, drawn cells may be missing, which is NaN."""
        shape = (*sample_shape, *self.batch_shape)
        event = (*shape, x.shape[-1])
        values = torch.where(observed, x, 0.0).expand(event).reshape(-1, x.shape[-1])
        known = observed.expand(event).reshape(-1, x.shape[-1])
        rows = self._rows(shape)
        drawn = self.likelihood.draw(values, known, *rows, gaps=gaps, chooser=chooser)
        return drawn.view(event)

    def _alone(self) -> MixedEmission:
        x = self.parameters.new_zeros(1, *self.event_shape)
        return self._knowing(x, torch.zeros_like(x, dtype=torch.bool))

    def _knowing(self, x: Tensor, known: Tensor) -> MixedEmission:
        rows = torch.broadcast_shapes(self.batch_shape, x.shape[:-1])
        shape = (*rows, x.shape[-1])
        values, mask = x.expand(shape).flatten(0, 1), known.expand(shape).flatten(0, 1)
        parameters = self.likelihood.given(values, mask, *self._rows(rows))
        return self.likelihood.emission(parameters.view(*rows, -1))

    def _rows(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Parameters and features of each row, (rows, numbers)."""
        own, features = self.parameters, self.features
        return (
            own.expand(*rows, own.shape[-1]).reshape(-1, own.shape[-1]),
            features.expand(*rows, features.shape[-1]).reshape(-1, features.shape[-1]),
        )


NOTHING = 1e-9  # least probability of a cell, or of the window of a column
MOST_ROWS = 5_000  # for the first shares of residuals


class Inequalities:
    """The windows that the known columns of a row leave to the others.

    Args:
        columns: of the table.
        pairs: places of a column and of another that it is at most, in every row.
    """

    def __init__(self, columns: Sequence[Column], pairs: Sequence[tuple[int, int]]) -> None:
        self.columns, self.pairs = columns, pairs
        self.places = sorted({place for pair in pairs for place in pair})

    def values(self, x: Tensor) -> Array:
        """The values of the columns in ``pairs``, units of the table; NaN: missing, or of others.

        Args:
            x: (rows, columns), model units.
        """
        return in_units(self.columns, self.places, x)

    def inside(self, place: int, ends: Tensor, values: Array, known: Tensor) -> Tensor:
        """The share of each cell of column j that lies in its window, (rows, cells), float64.

        Args:
            place: of column j.
            ends: smallest and largest value of each cell, (2, cells), model units.
            values: as ``values`` gives them.
            known: the columns that are known, (rows, columns).
        """
        column = self.columns[place]
        low, high = self._window(place, values, known)
        cells = ends.double().cpu().numpy()
        share, _, _ = cells_inside(column, column.rules.lattice, cells, low, high)
        return torch.from_numpy(share).to(ends.device)

    def limited(self, place: int, drawn: Array, x: Tensor, known: Tensor) -> Array:
        """Values of a column in units of the table, (rows, values); NaN outside of its window.

        Args:
            place: of the column.
            drawn: the values.
            x: rows, model units.
            known: the columns that are known, (rows, columns).
        """
        if place not in self.places:
            return drawn
        low, high = self._window(place, self.values(x), known)
        with np.errstate(invalid="ignore"):
            return np.where((drawn >= low[:, None]) & (drawn <= high[:, None]), drawn, np.nan)

    def _window(self, place: int, values: Array, known: Tensor) -> tuple[Array, Array]:
        seen = np.where(known.cpu().numpy(), values, np.nan)
        low, high = np.full(len(values), -np.inf), np.full(len(values), np.inf)
        for lower, upper in self.pairs:
            if upper == place:
                low = np.fmax(low, seen[:, lower])
            if lower == place:
                high = np.fmin(high, seen[:, upper])
        return low, high


class FollowingColumns:
    """Columns whose distribution mixes a histogram with residuals on known columns.

    The equation is that of ``lowerbound.likelihoods.autoregressive.relations``, which has the
    residuals; the histogram of a column is in ``groups``. A column's parameters are those of its
    histogram, then the numbers of its residuals.

    Args:
        columns: of the table.
        groups: the distribution of each column.
        relations: the residuals.
    """

    def __init__(self, columns: Sequence[Column], groups: nn.ModuleList, relations: Relations):
        self.columns, self.groups, self.relations = columns, groups, relations
        self._kept_steps: dict[int, tuple[Any, Tensor, Array]] = {}

    def terms(
        self, x: Tensor, known: Tensor, parameters: Sequence[Tensor], terms: Tensor, scored: Tensor
    ) -> Tensor:
        """log p of each column, (rows, columns), from ``terms``, those of its histogram.

        Args:
            x: rows, model units.
            known: the columns i that are known to column j, (rows, columns j, columns i).
            parameters: of each column, (rows, numbers) each.
            terms: log p by the histograms, (rows, columns).
            scored: cells that have a value, (rows, columns); the others have 0.
        """
        needed = {place: self.relations.needed(place) for place in self.relations.of_place}
        values = self.relations.values(x, {*needed, *chain.from_iterable(needed.values())})
        columns = list(terms.unbind(1))
        for place in needed:
            log_shares, log_cells = self._related(place, parameters[place], values, known[:, place])
            log_within, log_n, step = self._in_cell(place, x[:, place : place + 1])
            by = self.relations.log_steps(place, log_cells, values, step)
            inside = (log_within + log_n).to(terms).unsqueeze(1)
            parts = torch.cat([terms[:, place : place + 1], by + inside], 1)
            found = torch.logsumexp(log_shares + parts, 1)
            columns[place] = torch.where(scored[:, place], found, 0.0)
        return torch.stack(columns, 1)

    def as_histogram(self, place: int, parameters: Tensor, x: Tensor, known: Tensor) -> Tensor:
        """Parameters of a column whose cells have the probability of its residuals in them.

        Args:
            place: of the column.
            parameters: its own, (rows, numbers).
            x: rows, model units.
            known: the columns that are known, (rows, columns).
        """
        if not self.relations.count(place):
            return parameters
        values = self.relations.values(x, set(self.relations.needed(place)))
        log_shares, log_cells = self._related(place, parameters, values, known)
        group, column = self._group(place), self.columns[place]
        emission = group(parameters[None, :, : group.parameter_shape[0]])
        assert isinstance(emission, DiscreteEmission)
        cells = emission.probabilities(0)[0] * log_shares[:, :1].exp()
        parts = self.relations.spread(place, values)
        each = zip(parts, log_cells.unbind(1), log_shares[:, 1:].unbind(1), strict=True)
        for spread, by_cell, share in each:
            units = np.zeros(spread.shape)
            there = np.isfinite(spread)
            units[there] = column.encode(spread[there])
            flat = torch.from_numpy(units).to(x).reshape(-1, 1)
            codes = group.codes(flat).view(len(x), -1)
            weights = (share.unsqueeze(1) + by_cell[:, : spread.shape[1]]).exp() / spread.shape[2]
            cells = cells.scatter_add(1, codes, weights.repeat_interleave(spread.shape[2], 1))
        rest = parameters[:, cells.shape[1] :]
        return torch.cat([cells.clamp_min(NOTHING).log(), rest], 1)

    def candidates(
        self, place: int, parameters: Tensor, x: Tensor, known: Tensor
    ) -> RelatedValues | None:
        """Values of a column by its residuals, with their shares; arguments as ``as_histogram``."""
        if not self.relations.count(place):
            return None
        values = self.relations.values(x, set(self.relations.needed(place)))
        log_shares, log_cells = self._related(place, parameters, values, known)
        draw = partial(self.relations.drawn, place, log_cells)
        return RelatedValues(log_shares[:, 1:].exp(), draw)

    def first_numbers(self, place: int, x: Tensor, bias: Tensor) -> Tensor:
        """The numbers of a column's residuals at which they are as frequent as in rows.

        Args:
            place: of the column.
            x: rows, model units.
            bias: parameters of its histogram, (numbers,).
        """
        rows = x[:: max(1, len(x) // MOST_ROWS)].double()
        _, log_n, step = self._in_cell(place, rows[:, place : place + 1])
        codes = self._group(place).codes(rows[:, place : place + 1])[:, 0]
        used = self._group(place).ends().shape[1]
        log_free = torch.log_softmax(bias[:used].double(), 0)[codes]
        return self.relations.first_numbers(place, rows, log_free, step, log_n).double()

    def _related(
        self, place: int, parameters: Tensor, values: Array, known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """log of the shares of the histogram of a column and of its residuals, (rows, 1 +
        residuals), and log of the probabilities of the residuals' cells.

        Args:
            place: of the column.
            parameters: its own, (rows, numbers).
            values: in units of the table.
            known: the columns that are known, (rows, columns).
        """
        first = self._group(place).parameter_shape[0]
        numbers = parameters[:, first : first + self.relations.count(place)]
        shares = self.relations.log_shares(place, numbers, values, known)
        return shares, self.relations.log_cells(place, numbers)

    def _in_cell(self, place: int, x: Tensor) -> tuple[Tensor, Tensor, Array]:
        """Of each value of a column, (rows,): log of the density in its cell of the histogram, log
        of the number of steps in the cell, and the size of a step in units of the table."""
        filled = torch.where(x.isnan(), 0.0, x)
        codes = self._group(place).codes(filled)
        log_n, step = self._steps(place)
        within = self._group(place).table().log_within(filled, codes)[:, 0]
        return within, log_n[codes[:, 0]], step[codes[:, 0].cpu().numpy()]

    def _steps(self, place: int) -> tuple[Tensor, Array]:
        """log of the number of steps in each cell of a column, and their size, (cells,) each."""
        table = self._group(place).table()
        kept = self._kept_steps.get(place)
        if kept is not None and kept[0] is table:
            return kept[1], kept[2]
        column, ends = self.columns[place], self._group(place).ends().double()
        low, high = np.asarray(column.decode(ends.cpu().numpy()), dtype=np.float64)
        one = (ends[1] <= ends[0]).cpu().numpy()
        step = column.rules.lattice.step
        count = np.where(one, 1.0, np.maximum((high - low) / step, 1.0) if step else STEPS)
        size = np.full(len(low), step) if step else np.where(one, 0.0, (high - low) / STEPS)
        found = torch.from_numpy(np.log(count)).to(ends.device), size
        self._kept_steps[place] = (table, *found)
        return found

    def _group(self, place: int) -> HistogramColumns:
        group = self.groups[place]
        assert isinstance(group, HistogramColumns)
        return group
