"""A column of many levels without order: p(k | z) = softmax(E h(z) + b)_k."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.data.columns.column import Column
from lowerbound.likelihoods.columns.categorical import (
    CategoricalColumnsEmission,
    log_frequencies,
)
from lowerbound.likelihoods.columns.group import ColumnGroup, whole_numbers

SPREAD = 0.1  # of the first E: not 0, where neither E nor h would have a gradient


class EmbeddedColumn(ColumnGroup):
    """One column of the kind "categorical"; as many numbers owed as an embedding has, h.

    The decoder grows with the embedding and not with the levels, 100,000 of which then fit: E and b
    belong to the likelihood.

    Args:
        column: of that kind.
        embedding: the width of h.
    """

    mass = True

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
        # logits belong to the probability: bf16 ends before them
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
        """h = 0: b says the marginal."""
        return torch.zeros(self.embedding, dtype=x.dtype, device=x.device)
