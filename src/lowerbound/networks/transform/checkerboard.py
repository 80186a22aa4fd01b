r"""Predict some coefficients of each block from the coefficients that are already known.

::

    known coefficients of a block and its neighbors ─> location and log scale of a group's

Groups are in order of strength, and each has two turns: first the blocks of one color of a
checkerboard, then the others, which see all four neighbors. A picture therefore needs a few passes
of a small network instead of one per block (He et al. 2021, 2022).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lowerbound.networks.initialization import convolution

TURNS = 2
WIDE = 24  # groups within the first 1 / 24 of all coefficients see blocks at distance 2
LINEAR = 8  # groups within the first 1 / 8 have a linear path, which predicts values, not sizes
SEEN = 256  # number of strongest coefficients that the network sees
FIRST_SHARES = (1 / 256, 1 / 64, 1 / 24, 5 / 48, 1 / 4, 1)


class CoefficientGroup(NamedTuple):
    """Coefficients ``start`` to before ``stop``."""

    start: int
    stop: int


def groups_of(coefficients: int) -> list[CoefficientGroup]:
    """All coefficients in groups, the strongest first and in the smallest groups."""
    stops = sorted({max(1, round(share * coefficients)) for share in FIRST_SHARES})
    return [CoefficientGroup(*pair) for pair in zip([0, *stops[:-1]], stops, strict=True)]


def places(height: int, width: int, turn: int) -> Tensor:
    """Indices of the blocks of a turn, row by row, int64."""
    row, column = torch.arange(height)[:, None], torch.arange(width)[None]
    return ((row + column) % TURNS == turn).flatten().nonzero().flatten()


def blocks_at(x: Tensor, at: Tensor) -> Tensor:
    """Some blocks of a map (rows, channels, height, width), (rows, channels, blocks)."""
    return x.flatten(2).index_select(2, at.to(x.device))


class GroupContext(nn.Module):
    """Locations and log scales of one group's coefficients, in units that depend on the step.

    Args:
        group: the coefficients to predict.
        coefficients: number of all coefficients.
        width: channels of the hidden layers.
    """

    def __init__(self, group: CoefficientGroup, coefficients: int, width: int) -> None:
        super().__init__()
        self.group, self.seen = group, min(group.stop, SEEN)
        count, inputs = group.stop - group.start, self.seen + 2
        far = group.stop * WIDE <= coefficients
        taps = (5, 5) if far else (3, 3)
        self.look = convolution(inputs, width, taps)
        self.inner = convolution(width, width, (1, 1), gain=2**0.5)
        self.heads = convolution(width, 2 * count, (1, 1), gain=0.0)
        linear = group.stop * LINEAR <= coefficients
        self.linear = convolution(inputs, count, taps, gain=0.0) if linear else None

    def forward(self, known: Tensor, hints: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """(locations, log scales), (rows, group, blocks) each.

        Args:
            known: all coefficients, zero if not yet known.
            hints: step size and mask of the known blocks, (rows, 2, height, width).
            at: the blocks to predict, as ``places`` gives them.
        """
        if not len(at):  # a picture of one block has none in the second turn
            nothing = known.new_zeros(len(known), self.group.stop - self.group.start, 0)
            return nothing, nothing
        features = torch.cat([known[:, : self.seen], hints], 1)
        inside = blocks_at(torch.relu(self.look(features)), at).unsqueeze(-1)
        location, log_scale = self.heads(torch.relu(self.inner(inside))).squeeze(-1).chunk(2, 1)
        if self.linear is not None:
            location = location + blocks_at(self.linear(features), at)
        return location, log_scale
