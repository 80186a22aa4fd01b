r"""Numbers of an encoder's input in the units of the table, up to a shift and a scale.

Models see a column of numbers as normal scores, a positive one by its logarithm, and a count by
log(1 + n). A sum of columns, or a difference, is linear in the units of the table only.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.quantile_normal import QuantileNormal


class OriginalUnits(nn.Module):
    """The features of columns that models see bent, unbent: (rows, F) to (rows, ``count``).

    Args:
        features: the column of each feature. The features are those before standardization.

    Attributes:
        count: features that are bent.
    """

    def __init__(self, features: Sequence[Column]) -> None:
        super().__init__()
        self.bent = nn.ModuleList(
            BentFeature(i, column) for i, column in enumerate(features) if column.rules.bent
        )
        self.count = len(self.bent)

    def forward(self, values: Tensor) -> Tensor:
        return torch.stack([feature(values) for feature in self.bent], 1)


class BentFeature(nn.Module):
    """One feature in the units of the table, up to a shift and a scale: (rows, F) to (rows,).

    Args:
        index: of the feature.
        column: its column.
    """

    def __init__(self, index: int, column: Column) -> None:
        super().__init__()
        self.index, self.column = index, column
        self.inverse = None if column.spline is None else InverseSpline(column.spline)

    def forward(self, values: Tensor) -> Tensor:
        own = values[:, self.index]
        return self.column.rules.unbent(own if self.inverse is None else self.inverse(own))


class InverseSpline(nn.Module):
    """``QuantileNormal.inverse`` of a tensor, (rows,).

    Args:
        spline: the map to normal scores.
    """

    knots: Tensor  # a, b and the slope at each knot, (3, knots)

    def __init__(self, spline: QuantileNormal) -> None:
        super().__init__()
        rows = list(spline.values), list(spline.scores), spline.slopes.tolist()
        knots = torch.tensor(rows, dtype=torch.float64)
        self.register_buffer("knots", knots, persistent=False)

    def forward(self, score: Tensor) -> Tensor:
        a, b, slope = self.knots.to(score)
        k = (torch.searchsorted(b, score.contiguous(), right=True) - 1).clamp(0, len(b) - 2)
        height = b[k + 1] - b[k]
        secant = height / (a[k + 1] - a[k])
        rise = torch.minimum((score - b[k]).clamp_min(0.0), height)
        bend = slope[k] + slope[k + 1] - 2 * secant
        p = height * (secant - slope[k]) + rise * bend
        q = height * slope[k] - rise * bend
        root = (q.square() + 4 * p * secant * rise).clamp_min(0.0).sqrt()
        t = torch.where(rise <= 0, 0.0, 2 * secant * rise / (q + root)).clamp(0.0, 1.0)
        inside = a[k] + t * (a[k + 1] - a[k])
        below, above = (a[end] + (score - b[end]) / slope[end] for end in (0, -1))
        return torch.where(score < b[0], below, torch.where(score > b[-1], above, inside))
