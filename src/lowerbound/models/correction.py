r"""What drawn rows of a table lack: first the shares of the values of a column, then missing cells.

Quantile mapping gives draws of a column the distribution that the column has in training rows:

.. math:: v = F^{-1}_{\mathrm{rows}}(F_{\mathrm{draws}}(u))

The map of a column increases, so the order of the draws, and with it their dependence on other
columns, is that of the model.

Which cells of a drawn row are missing is decided column after column:

.. math:: p(m \mid x) = \prod_j \sigma(w_j f_j + b_j)

m_j is whether cell j is missing. f_j are features of the cells that are present among the columns
before j, and which of these are missing. Columns without missing cells come first, then the others
by their share. So f_j has a value in every training row, nothing is imputed, and what missing cells
depend on may itself have missing cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lowerbound.classical.linear_regression import fit_logistic
from lowerbound.config import construct
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.kind import Feature
from lowerbound.data.dataset import spread_rows
from lowerbound.likelihoods.columns.histogram import HistogramColumns

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema

MOST_LEVELS = 32  # of a column with an indicator for each level; missing cells ignore larger ones
FARTHEST = 8.0  # model units; larger numbers count as this one
MOST_NUMBERS, FEWEST_ROWS = 2 * 10**8, 500  # that all regressions read, some seconds; their rows
STEEPEST = 40.0  # limit of an intercept
HALVINGS = 60  # of the interval of an intercept
WIDTH = 1e-2  # model units; largest width of the cell of a frequent value


class MissingnessModel(nn.Module):
    """p(m | x) by logistic regressions, with intercepts that keep the share of each column.

    Args:
        columns: the modeled columns, in the order of x.

    Attributes:
        order: places of the columns with missing cells, in the order of the draws.
        weight, bias: w and b of each column in ``order``.
        share: of the training rows whose cell is missing, for each column in ``order``.
    """

    owner: Tensor
    weight: Tensor
    bias: Tensor
    share: Tensor

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        gaps = [place for place, column in enumerate(columns) if column.missing_share]
        self.order = sorted(gaps, key=lambda place: (columns[place].missing_share, place))
        self.features: list[tuple[int, Feature]] = [
            (place, feature)
            for place, column in enumerate(columns)
            if column.rules.ordered or len(column.levels) <= MOST_LEVELS
            for feature in column.rules.features()
        ]
        owner = torch.tensor([place for place, _ in self.features], dtype=torch.long)
        self.register_buffer("owner", owner, persistent=False)
        numbers = len(self.features) + len(columns)
        self.register_buffer("weight", torch.zeros(len(self.order), numbers, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(len(self.order), dtype=torch.float64))
        self.register_buffer("share", torch.zeros(len(self.order), dtype=torch.float64))

    @torch.no_grad()
    def learn(self, x: Tensor, observed: Tensor) -> None:
        """Fit the regressions to training rows, (rows, columns).

        Tables with very many columns of missing cells keep the shares only.
        """
        self.share.copy_((~observed).double().mean(0)[self.order])
        most = MOST_NUMBERS // max(1, self.weight.numel())
        if most < FEWEST_ROWS:
            return
        few = spread_rows(len(x), most)
        missing = ~observed[few]
        seen = self._nothing_seen(x[few])
        for index, place in enumerate(self.order):
            weights, bias = fit_logistic(seen.values.numpy(), missing[:, place].numpy())
            self.weight[index], self.bias[index] = torch.from_numpy(weights), bias
            seen.add(place, missing[:, place])

    @torch.no_grad()
    def match(self, x: Tensor) -> None:
        """Choose the intercepts by which draws of the model, (rows, columns), have the shares."""
        seen = self._nothing_seen(x) if self.weight.any() else _Unseen(len(x))
        for index, place in enumerate(self.order):
            slope = seen.slope(self.weight[index])
            self.bias[index] = _intercept(slope, float(self.share[index]))
            seen.add(place, self._gone(slope, index))

    @torch.no_grad()
    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """Draw which cells of complete rows are missing, (rows, columns).

        Args:
            x: the rows.
            kept: cells that are not missing, of the shape of x; None: every cell may be.
        """
        seen = self._nothing_seen(x) if self.weight.any() else _Unseen(len(x))
        missing = torch.zeros_like(x, dtype=torch.bool)
        for index, place in enumerate(self.order):
            gone = self._gone(seen.slope(self.weight[index]), index)
            missing[:, place] = gone if kept is None else gone & ~kept[:, place]
            seen.add(place, missing[:, place])
        return missing

    def _gone(self, slope: Tensor, index: int) -> Tensor:
        """Draw which cells of one column are missing, (rows,)."""
        chance = torch.sigmoid(slope + self.bias[index])
        return torch.rand_like(chance) < chance

    def _nothing_seen(self, x: Tensor) -> _Seen:
        """What the first column in ``order`` depends on: features of the complete columns."""
        x = x.double().nan_to_num()
        found = []
        for place, each in self.features:
            values = each.values(x[:, place], x.new_tensor(each.parameter))
            values = torch.where(each.present(x[:, place]), values, 0.0)
            found.append(values.clamp(-FARTHEST, FARTHEST))
        features = torch.stack(found, 1) if found else x[:, :0]
        later = torch.isin(self.owner, self.owner.new_tensor(self.order))
        values = torch.cat([features.masked_fill(later, 0.0), torch.zeros_like(x)], 1)
        return _Seen(values, features, self.owner)


@dataclass(frozen=True)
class _Seen:
    """What a column depends on; one more column after each draw.

    Attributes:
        values: features, and which cells are missing; 0 for columns that are not drawn yet.
        features: of all cells, (rows, features).
        owner: the place of each feature's column.
    """

    values: Tensor
    features: Tensor
    owner: Tensor

    def slope(self, weight: Tensor) -> Tensor:
        """w f of each row."""
        return self.values @ weight

    def add(self, place: int, missing: Tensor) -> None:
        """Show the cells of one more column, of which some are missing, (rows,)."""
        own = (self.owner == place).nonzero()[:, 0]
        self.values[:, own] = self.features[:, own].masked_fill(missing[:, None], 0.0)
        self.values[:, len(self.owner) + place] = missing.double()


@dataclass(frozen=True)
class _Unseen:
    """What columns depend on if all weights are 0: nothing, whatever the number of columns."""

    rows: int

    def slope(self, weight: Tensor) -> Tensor:
        return weight.new_zeros(self.rows)

    def add(self, place: int, missing: Tensor) -> None:
        pass


def _intercept(slope: Tensor, share: float) -> float:
    """b for which the mean of sigmoid(slope + b) is the share, by halving an interval."""
    if not 0 < share < 1:
        return math.copysign(math.inf, share - 0.5)
    low, high = -STEEPEST - float(slope.max()), STEEPEST - float(slope.min())
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        small = float(torch.sigmoid(slope + middle).mean()) < share
        low, high = (middle, high) if small else (low, middle)
    return (low + high) / 2


class QuantileMap(nn.Module):
    """Quantile mapping of the columns with an order; other columns stay as they were drawn.

    The distribution of the rows is a histogram: a frequent value has a cell of its own, and the
    other cells have about as many rows each, so that single rows are not stored.

    Args:
        columns: the modeled columns, in the order of x.
        cells: most cells of a column.
        quantiles: how many of the draws.

    Attributes:
        places: of the mapped columns in x.
        shares: probability of each cell, (mapped columns, cells); zeros: the column stays.
        drawn: quantiles of the draws, (mapped columns, quantiles), model units.
    """

    shares: Tensor
    drawn: Tensor

    def __init__(self, columns: Sequence[Column], cells: int, quantiles: int) -> None:
        super().__init__()
        self.places = [place for place, column in enumerate(columns) if column.rules.ordered]
        self.cells = nn.ModuleList(
            HistogramColumns([columns[place]], cells, WIDTH) for place in self.places
        )
        count = len(self.places)
        self.register_buffer("shares", torch.zeros(count, cells, dtype=torch.float64))
        self.register_buffer("drawn", torch.zeros(count, quantiles, dtype=torch.float64))

    @torch.no_grad()
    def learn(self, x: Tensor, observed: Tensor) -> None:
        """Take the distributions of the observed cells of training rows, (rows, columns)."""
        for index, place in enumerate(self.places):
            values = x[observed[:, place], place : place + 1].double()
            if not len(values):
                continue
            cells = self._cells(index)
            cells.initialize(values)
            counts = torch.bincount(cells.codes(values).flatten(), minlength=self.shares.shape[1])
            self.shares[index] = counts / len(values)

    @torch.no_grad()
    def match(self, x: Tensor) -> None:
        """Take the quantiles of draws of the model, (rows, columns), NaN where missing."""
        count = self.drawn.shape[1]
        level = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        for index, place in enumerate(self.places):
            values = x[:, place].double()
            values = values[~values.isnan()].sort().values
            if len(values):
                self.drawn[index] = values[(level * len(values)).long()]

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """The mapped draws, (rows, columns), float64; NaN stays."""
        mapped = x.double().clone()
        for index, place in enumerate(self.places):
            if bool(self.shares[index].any()):
                values = mapped[:, place]
                level = self._level(index, values.nan_to_num())
                mapped[:, place] = torch.where(values.isnan(), values, self._value(index, level))
        return mapped

    def _level(self, index: int, values: Tensor) -> Tensor:
        """F of the draws in (0, 1); uniform between its limits where draws repeat."""
        drawn = self.drawn[index]
        below = torch.searchsorted(drawn, values)
        above = torch.searchsorted(drawn, values, right=True)
        place = below - 0.5 + torch.rand_like(values) * (above - below + 1)
        return (place / len(drawn)).clamp(0.0, 1.0)

    def _value(self, index: int, level: Tensor) -> Tensor:
        """The quantile of the rows at each level."""
        ends = self._cells(index).ends()
        share = self.shares[index, : ends.shape[1]]
        upto = share.cumsum(0)
        upto = upto / upto[-1]
        code = torch.searchsorted(upto, level).clamp_max(int(share.nonzero().max()))
        inside = (level - (upto - share)[code]) / share[code].clamp_min(1e-12)
        low, high = ends[0][code], ends[1][code]
        value = low + (high - low) * inside.clamp(0.0, 1.0)
        return value.round() if self._cells(index).mass else value

    def _cells(self, index: int) -> HistogramColumns:
        cells = self.cells[index]
        assert isinstance(cells, HistogramColumns)
        return cells


class RowCorrection(nn.Module):
    """Missing cells and the shares of values, which the likelihood of a table does not draw.

    It holds no weights of the model: scores, codes and imputations do not depend on it. It stays on
    the processor in float64, because rows are decoded there.

    Args:
        columns: the modeled columns, in the order of x.
        cells: most cells of the histogram of a column.
        quantiles: of each column's draws.
    """

    def __init__(
        self, columns: Sequence[Column], *, cells: int = 256, quantiles: int = 512
    ) -> None:
        super().__init__()
        self.options = {"cells": cells, "quantiles": quantiles}
        self.missing = MissingnessModel(columns)
        self.numbers = QuantileMap(columns, cells, quantiles)

    def learn(self, x: Tensor, observed: Tensor) -> None:
        """Take missing cells and the shares of values from training rows, (rows, columns)."""
        self.missing.learn(x, observed)
        self.numbers.learn(x, observed)

    def match(self, x: Tensor) -> None:
        """Adjust to a model by rows that it draws, (rows, columns).

        Cells that stay have the distribution of the observed cells. Which cells these are depends
        on mapped values, so the first map, of all cells, is a step to the second.
        """
        self.numbers.match(x)
        mapped = self.numbers(x)
        self.missing.match(mapped)
        self.numbers.match(x.double().masked_fill(self.missing(mapped), torch.nan))
        self.missing.match(self.numbers(x))

    def forward(
        self,
        x: Tensor,
        given: Tensor | None = None,
        *,
        complete: bool = False,
        mapped: bool = True,
    ) -> Tensor:
        """Correct drawn rows with random numbers of torch's global state.

        Args:
            x: (rows, columns), model units.
            given: cells that are not drawn and stay, of the same shape.
            complete: whether no cell is missing.
            mapped: whether values are mapped to those of training rows.

        Returns:
            (rows, columns), float64, NaN where missing.
        """
        x = x.cpu().double()
        values = self.numbers(x)
        values = values if given is None else torch.where(given, x, values)
        gone = torch.zeros_like(x, dtype=torch.bool) if complete else self.missing(values, given)
        return (values if mapped else x).masked_fill(gone, torch.nan)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RowCorrection:
        """Stay where it is when the model moves or changes its precision."""
        return self


def correction_for(schema: Schema, options: Mapping[str, Any]) -> RowCorrection:
    """The correction of the rows of a table.

    Raises:
        OptionError: an option is unknown.
    """
    correction: RowCorrection = construct(RowCorrection, schema.modeled, options=options)
    return correction
