"""Columns of levels: two, several without order, or ordered.

::

    binary       p(1 | z) = sigmoid(logit)
    categorical  p(k | z) = softmax(l)_k; with many levels, l = E h(z) + b
    ordinal      P(x <= k | z) = sigmoid(c_k - l(z)), the cumulative logit, with increasing c_k
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.data.columns.column import Column
from lowerbound.likelihoods.base import positive_scale, raw_scale
from lowerbound.likelihoods.columns.group import (
    COLUMN_FAMILIES,
    DiscreteEmission,
    LeveledColumns,
    level_counts,
    whole_numbers,
)

LEAST_GAP = 1e-6  # between two cut points, so that every level has mass
SPREAD = 0.1  # of the initial E; with 0, E and h would have no gradient


class BinaryColumnsEmission(DiscreteEmission):
    """Codes 0 and 1. ``mean`` is the more probable code; ``variance`` is p (1 - p).

    Args:
        logits: (samples, batch, columns).
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:2], logits.shape[2:], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        logits, target = torch.broadcast_tensors(self.logits, x)
        return -F.binary_cross_entropy_with_logits(logits, target, reduction="none")

    @property
    def mean(self) -> Tensor:
        return (self.logits > 0).to(self.logits.dtype)

    @property
    def variance(self) -> Tensor:
        return torch.sigmoid(self.logits) * torch.sigmoid(-self.logits)

    def probabilities(self, column: int) -> Tensor:
        logit = self.logits[..., column]
        return torch.sigmoid(torch.stack([-logit, logit], -1))

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        return torch.bernoulli(torch.sigmoid(self.logits).expand(sample_shape + self.logits.shape))


@COLUMN_FAMILIES.register("binary")
class BinaryColumns(LeveledColumns):
    """Columns of the kind "binary"; one logit each."""

    support = "the codes 0 and 1"

    def forward(self, parameters: Tensor) -> BinaryColumnsEmission:
        return BinaryColumnsEmission(parameters)

    def inside(self, x: Tensor) -> Tensor:
        return whole_numbers(x, 1)

    def initial_bias(self, x: Tensor) -> Tensor:
        """Log-odds, with one added to both counts."""
        zeros, ones = torch.log(level_counts(x, 2) + 1).unbind(1)
        return ones - zeros


@dataclass(frozen=True)
class CutPoints:
    r"""c_0 < c_1 < ... of each column, with P(x <= k | l) = sigmoid(c_k - l).

    A logistic with location l is below c_0 for the lowest level, and above the last cut point for
    the highest. With a = c_k - l and b = c_{k-1} - l, the mass between two cut points is a
    difference of numbers near 0 or 1. Its logarithm is computed as

    .. math:: \log(\sigma(a) - \sigma(b))
        = \log\sigma(a) + \log\sigma(-b) + \log(-\mathrm{expm1}(b - a))

    Attributes:
        first: c_0, (columns,).
        gaps: c_{k+1} - c_k, (columns, K - 1), positive; padded to the most levels, K + 1.
        levels: of each column, (columns,).
    """

    first: Tensor
    gaps: Tensor
    levels: Tensor

    @property
    def points(self) -> Tensor:
        """c, (columns, K)."""
        first = self.first.unsqueeze(1)
        return torch.cat([first, first + self.gaps.cumsum(1)], 1)

    def of(self, columns: slice) -> CutPoints:
        """The cut points of some columns."""
        return CutPoints(self.first[columns], self.gaps[columns], self.levels[columns])

    def log_mass(self, code: Tensor, location: Tensor) -> Tensor:
        """log P(code | l) in nats, finite for every l.

        Args:
            code: integers, (..., columns); a code beyond the last level is treated as the last.
            location: l, broadcastable with the code.
        """
        code = code.clamp_min(0).minimum(self.levels - 1)
        each, most = torch.arange(len(self.first), device=code.device), self.gaps.shape[1]
        points, log_between = self.points, torch.log(-torch.expm1(-self.gaps))
        below = F.logsigmoid(points[each, code.clamp_max(most)] - location)
        above = F.logsigmoid(location - points[each, (code - 1).clamp_min(0)])
        between = log_between[each, (code - 1).clamp(0, most - 1)]
        # the lowest level has no lower edge and the highest no upper one; every logarithm is finite
        has_lower = (code > 0).to(location.dtype)
        has_upper = (code < self.levels - 1).to(location.dtype)
        return has_upper * below + has_lower * (above + has_upper * between)

    def table(self, location: Tensor) -> Tensor:
        """P(k | l) of every level, (*location.shape, most levels); 0 beyond the last level."""
        levels = torch.arange(self.gaps.shape[1] + 2, device=location.device)
        code = levels.reshape(-1, *[1] * location.dim()).expand(-1, *location.shape)
        mass = self.log_mass(code, location).exp()
        return torch.where(code < self.levels, mass, 0.0).movedim(0, -1)

    def code(self, value: Tensor) -> Tensor:
        """The number of cut points below each value, (..., columns)."""
        points = self.points
        exists = torch.arange(points.shape[1], device=value.device) < self.levels.unsqueeze(1) - 1
        return ((value.unsqueeze(-1) > points) & exists).sum(-1)


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


class CategoricalColumnsEmission(DiscreteEmission):
    """log p(k) = l_k - log sum_j exp(l_j) per column.

    ``mean`` is the most probable code. Codes have no distances, so ``variance`` is the Gini
    impurity 1 - sum_k p_k^2, the probability that two draws differ.

    Args:
        logits: (samples, batch, columns, levels).
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self.levels = logits.shape[3]
        super().__init__(logits.shape[:2], logits.shape[2:3], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        shape = self.logits.shape[:3]
        if x.shape != shape[1:]:
            shape = torch.broadcast_shapes(x.shape, shape)
        code = x.long().clamp(0, self.levels - 1).expand(shape).unsqueeze(-1)
        # one kernel forward and backward, in half the time of l_k - logsumexp(l)
        log_shares = torch.log_softmax(self.logits, -1).expand(*shape, self.levels)
        return log_shares.gather(-1, code).squeeze(-1)

    @property
    def mean(self) -> Tensor:
        return self.logits.argmax(-1).to(self.logits.dtype)

    @property
    def variance(self) -> Tensor:
        return 1 - torch.softmax(self.logits, -1).square().sum(-1)

    def probabilities(self, column: int) -> Tensor:
        return torch.softmax(self.logits[..., column, :], -1)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        # the draws of a row share its table; Gumbel noise would need a table for each
        rows = torch.softmax(self.logits, -1).flatten(0, 2)
        code = torch.multinomial(rows, max(1, math.prod(sample_shape)), replacement=True)
        code = code[:, : math.prod(sample_shape)].mT  # torch draws at least one
        return code.reshape(sample_shape + self.logits.shape[:3]).to(self.logits.dtype)


@COLUMN_FAMILIES.register("categorical")
class CategoricalColumns(LeveledColumns):
    """Columns of the kind "categorical" with equally many levels; one logit per level.

    Args:
        columns: of that kind.
        levels: of each of them.
    """

    def __init__(self, columns: Sequence[Column], levels: int) -> None:
        super().__init__(columns)
        self.levels = levels
        self.support = f"the codes 0 .. {levels - 1}"

    @classmethod
    def of(cls, columns: Sequence[Column], floor: float, embedding: int) -> LeveledColumns:
        levels = len(columns[0].levels)
        return (
            cls(columns, levels) if levels <= embedding else EmbeddedColumn(columns[0], embedding)
        )

    @classmethod
    def key(cls, column: Column, place: int, embedding: int) -> Hashable:
        levels = len(column.levels)
        return levels if levels <= embedding else ("embedded", place)

    @property
    def numbers(self) -> int:
        return self.levels

    def forward(self, parameters: Tensor) -> CategoricalColumnsEmission:
        return CategoricalColumnsEmission(self.by_column(parameters))

    def inside(self, x: Tensor) -> Tensor:
        return whole_numbers(x, self.levels - 1)

    def initial_bias(self, x: Tensor) -> Tensor:
        return log_frequencies(x, self.levels).flatten()


class EmbeddedColumn(LeveledColumns):
    """One column of the kind "categorical", whose parameters are an embedding h.

    The size of the decoder grows with the embedding and not with the levels, so 100,000 levels are
    possible. E and b belong to the likelihood.

    Args:
        column: of that kind.
        embedding: the width of h.
    """

    def __init__(self, column: Column, embedding: int) -> None:
        super().__init__([column])
        self.levels, self.embedding = len(column.levels), embedding
        self.support = f"the codes 0 .. {self.levels - 1}"
        self.table = nn.Parameter(SPREAD * torch.randn(self.levels, embedding))
        self.bias = nn.Parameter(torch.zeros(self.levels))

    @property
    def numbers(self) -> int:
        return self.embedding

    def forward(self, parameters: Tensor) -> CategoricalColumnsEmission:
        h = self.by_column(parameters)
        # not in bf16, because probabilities need the precision of float32
        with torch.autocast(h.device.type, enabled=False):
            logits = F.linear(h, self.table.to(h.dtype), self.bias.to(h.dtype))
        return CategoricalColumnsEmission(logits)

    def inside(self, x: Tensor) -> Tensor:
        return whole_numbers(x, self.levels - 1)

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """b from the log frequencies."""
        self.bias.copy_(log_frequencies(x, self.levels)[0])

    def initial_bias(self, x: Tensor) -> Tensor:
        """h = 0, so that b defines the marginal."""
        return torch.zeros(self.embedding, dtype=x.dtype, device=x.device)


def log_frequencies(x: Tensor, levels: int) -> Tensor:
    """Log fraction of each level, with one added to each count, (columns, levels), float64."""
    return torch.log((level_counts(x, levels) + 1) / (len(x) + levels))
