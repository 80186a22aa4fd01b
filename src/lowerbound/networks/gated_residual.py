"""A linear map plus a gated network, for regression from few or many labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowerbound.networks.base import Encoder


class GatedResidual(Encoder):
    r"""Rows to two heads of a number, mean and raw log-variance:

    .. math:: (w^T x + b,\; s) + g\, f(x)

    ``start`` sets w, b and s, which then stay fixed. g starts at 0 and is learned with the network
    f, unless ``start`` switches the network off.

    Args:
        network: f, rows (rows, features) to (rows, 2).
        linear: number of features of the line, the first ones.
    """

    weight: Tensor
    heads: Tensor

    def __init__(self, network: Encoder, linear: int) -> None:
        super().__init__()
        self.network = network
        self.linear = linear
        self.condition_dim = network.condition_dim
        self.gate = nn.Parameter(torch.zeros(()))
        self.register_buffer("weight", torch.zeros(linear))
        self.register_buffer("heads", torch.zeros(2))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        straight = self.features(x) @ self.weight
        of_line = torch.stack((straight, torch.zeros_like(straight)), 1) + self.heads
        bent: Tensor = self.gate * self.network(x, condition)
        return of_line + bent

    def features(self, x: Tensor) -> Tensor:
        """The features of the line, (rows, linear)."""
        return x.flatten(1)[:, : self.linear]

    @torch.no_grad()
    def start(self, weight: Tensor, heads: Tensor, *, alone: bool) -> None:
        """Set the line.

        Args:
            weight: w, (linear,).
            heads: b and s.
            alone: whether the network adds nothing to the line.
        """
        self.weight.copy_(weight)
        self.heads.copy_(heads)
        self.gate.requires_grad_(not alone)
