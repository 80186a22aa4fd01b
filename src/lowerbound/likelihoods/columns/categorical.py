"""Columns of a few levels without order: p(k | z) = softmax(l)_k."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lowerbound.data.columns.column import Column
from lowerbound.likelihoods.columns.group import (
    ColumnGroup,
    DiscreteEmission,
    level_counts,
    whole_numbers,
)
from lowerbound.trace import masked_terms


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

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        return masked_terms(self._terms, x, observed)

    def _terms(self, x: Tensor) -> Tensor:
        shape = self.logits.shape[:3]
        if x.shape != shape[1:]:
            shape = torch.broadcast_shapes(x.shape, shape)
        code = x.long().clamp(0, self.levels - 1).expand(shape).unsqueeze(-1)
        # one kernel each way: half the time of l_k - logsumexp(l), be the levels few or many
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
        # the draws of a row share its table, which Gumbel noise would repeat for each of them
        rows = torch.softmax(self.logits, -1).flatten(0, 2)
        code = torch.multinomial(rows, max(1, math.prod(sample_shape)), replacement=True)
        code = code[:, : math.prod(sample_shape)].mT  # torch draws no fewer than one
        return code.reshape(sample_shape + self.logits.shape[:3]).to(self.logits.dtype)


class CategoricalColumns(ColumnGroup):
    """Columns of the kind "categorical" with equally many levels; one logit owed per level.

    Args:
        columns: of that kind.
        levels: of each of them.
    """

    mass = True

    def __init__(self, columns: Sequence[Column], levels: int) -> None:
        super().__init__(columns)
        self.levels = levels
        self.support = f"the codes 0 .. {levels - 1}"

    @property
    def numbers(self) -> int:
        return self.levels

    def forward(self, parameters: Tensor) -> CategoricalColumnsEmission:
        return CategoricalColumnsEmission(self.by_column(parameters))

    def inside(self, x: Tensor) -> Tensor:
        return whole_numbers(x, self.levels - 1)

    def initial_bias(self, x: Tensor) -> Tensor:
        return log_frequencies(x, self.levels).flatten()


def log_frequencies(x: Tensor, levels: int) -> Tensor:
    """Log share of each level, counted once more than seen, (columns, levels), float64."""
    return torch.log((level_counts(x, levels) + 1) / (len(x) + levels))
