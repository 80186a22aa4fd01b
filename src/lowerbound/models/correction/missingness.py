r"""Which cells of a drawn row are missing, column after column.

.. math:: p(m \mid x) = \prod_j \sigma(w_j f_j + b_j)

m_j is whether cell j is missing. f_j are features of the cells that are present among the columns
before j, and which of these are missing. Columns without missing cells come first, then the others
by their share. So f_j has a value in every training row, nothing is imputed, and what missing cells
depend on may itself have missing cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lowerbound.classical.logistic_regression import fit_logistic
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.features import Feature
from lowerbound.data.dataset import spread_rows

MOST_LEVELS = 32  # of a column with an indicator for each level; missing cells ignore larger ones
FARTHEST = 8.0  # model units; larger numbers count as this one
MOST_NUMBERS, FEWEST_ROWS = 2 * 10**8, 500  # that all regressions read, some seconds; their rows
STEEPEST = 40.0  # limit of an intercept
HALVINGS = 60  # of the interval of an intercept


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
