r"""Quantile mapping: draws of a column get the distribution that the column has in training rows.

.. math:: v = F^{-1}_{\mathrm{rows}}(F_{\mathrm{draws}}(u))

The map of a column increases, so the order of the draws, and with it their dependence on other
columns, is that of the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lowerbound.data.columns.column import Column
from lowerbound.likelihoods.columns.histogram import HistogramColumns

WIDTH = 1e-2  # model units; largest width of the cell of a frequent value


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
