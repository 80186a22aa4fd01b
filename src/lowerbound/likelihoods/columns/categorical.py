"""Columns of unordered levels: p(k | z) = softmax(l)_k; with many levels, l = E h(z) + b."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.data.columns.column import Column
from lowerbound.likelihoods.columns.group import (
    COLUMN_FAMILIES,
    DiscreteEmission,
    LeveledColumns,
    level_counts,
    whole_numbers,
)

SPREAD = 0.1  # of the initial E; with 0, E and h would have no gradient


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
