"""Columns of ordered levels: P(x <= k | z) = sigmoid(c_k - l(z)), the cumulative logit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lowerbound.data.columns.column import Column
from lowerbound.likelihoods.base import positive_scale, raw_scale
from lowerbound.likelihoods.columns.cut_points import CutPoints
from lowerbound.likelihoods.columns.group import (
    COLUMN_FAMILIES,
    DiscreteEmission,
    LeveledColumns,
    level_counts,
    whole_numbers,
)

LEAST_GAP = 1e-6  # between two cut points, so that every level has mass


class OrdinalColumnsEmission(DiscreteEmission):
    """Codes with an order. ``mean`` is the most probable code; ``variance`` that of the code.

    Args:
        location: l, (samples, batch, columns).
        cuts: the columns' cut points.
    """

    def __init__(self, location: Tensor, cuts: CutPoints) -> None:
        self.location, self.cuts = location, cuts
        super().__init__(location.shape[:2], location.shape[2:], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        return self.cuts.log_mass(x.long(), self.location)

    @property
    def mean(self) -> Tensor:
        return self.cuts.table(self.location).argmax(-1).to(self.location.dtype)

    @property
    def variance(self) -> Tensor:
        mass = self.cuts.table(self.location)
        code = torch.arange(mass.shape[-1], dtype=mass.dtype, device=mass.device)
        # around the mean, because the difference of two raw moments may be negative
        distance = code - (mass * code).sum(-1, keepdim=True)
        return (mass * distance.square()).sum(-1)

    def probabilities(self, column: int) -> Tensor:
        one = slice(column, column + 1)
        mass = self.cuts.of(one).table(self.location[..., one]).squeeze(-2)
        return mass[..., : int(self.cuts.levels[column])]

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        location = self.location.expand(sample_shape + self.location.shape)
        uniform = torch.rand_like(location).clamp(1e-7, 1 - 1e-7)
        return self.cuts.code(location + torch.logit(uniform)).to(location.dtype)


@COLUMN_FAMILIES.register("ordinal")
class OrdinalColumns(LeveledColumns):
    """Columns of the kind "ordinal"; one parameter each, the location l.

    The cut points, one fewer than the levels, are learned: the first cut point, and the gaps after
    it as ``LEAST_GAP + softplus(raw)``, so that they increase. Columns with fewer levels than
    others are padded with unused cut points.

    Source: McCullagh 1980.
    """

    support = "codes of its levels, 0, 1 ..,"
    levels: Tensor

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__(columns)
        levels = torch.tensor([len(column.levels) for column in columns])
        self.register_buffer("levels", levels, persistent=False)
        self.most_levels = max(3, int(levels.max()))  # at least one gap, possibly padding
        self.first = nn.Parameter(torch.zeros(len(columns)))
        self.raw_gaps = nn.Parameter(torch.zeros(len(columns), self.most_levels - 2))
        self._set(torch.zeros(len(columns), self.most_levels))

    def cuts(self) -> CutPoints:
        """The current cut points."""
        return CutPoints(self.first, positive_scale(self.raw_gaps, LEAST_GAP), self.levels)

    def forward(self, parameters: Tensor) -> OrdinalColumnsEmission:
        return OrdinalColumnsEmission(parameters, self.cuts())

    def inside(self, x: Tensor) -> Tensor:
        return whole_numbers(x, self.levels - 1)

    def initialize(self, x: Tensor) -> None:
        """Set cut points so that l = 0 gives the frequencies, with one added to each count."""
        self._set(level_counts(x, self.most_levels))

    def initial_bias(self, x: Tensor) -> Tensor:
        """l = 0, so that the cut points define the marginal."""
        return torch.zeros(self.event_shape, dtype=x.dtype, device=x.device)

    @torch.no_grad()
    def _set(self, counts: Tensor) -> None:
        exists = torch.arange(self.most_levels, device=counts.device) < self.levels.unsqueeze(1)
        below = torch.where(exists, counts + 1, 0).cumsum(1)
        # the entries after a column's last level are padding
        above = (below[:, -1:] - below).clamp_min(0.5)
        cuts = (torch.log(below) - torch.log(above))[:, :-1]
        self.first.copy_(cuts[:, 0])
        self.raw_gaps.copy_(raw_scale(cuts.diff(dim=1), LEAST_GAP))
