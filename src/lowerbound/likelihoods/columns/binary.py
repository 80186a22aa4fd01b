"""Columns of two levels: p(1 | z) = sigmoid(logit)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.likelihoods.columns.group import (
    COLUMN_FAMILIES,
    DiscreteEmission,
    LeveledColumns,
    level_counts,
    whole_numbers,
)


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
