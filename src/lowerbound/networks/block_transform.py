r"""The best linear code of square blocks: their principal components (Karhunen-Loeve).

.. math:: y = U^T b, \quad b = U y, \quad U^T U = 1

With all components the map loses no information. The squared error of a picture is that of its
coefficients, so these can be rounded independently.

Some coefficients of each block are predicted from the coefficients that are already known:

::

    known coefficients of a block and its neighbors ─> location and log scale of a group's

Groups are in order of strength, and each has two turns: first the blocks of one color of a
checkerboard, then the others, which see all four neighbors. A picture therefore needs a few passes
of a small network instead of one per block (He et al. 2021, 2022).

The mean of a coefficient within its step follows from the rounded number.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.networks.initialization import convolution

TURNS = 2  # colors of the checkerboard
WIDE = 24  # groups within the first 1 / 24 of all coefficients see blocks at distance 2
LINEAR = 8  # groups within the first 1 / 8 have a linear path, which predicts values, not sizes
SEEN = 256  # number of strongest coefficients that the network sees
FIRST_SHARES = (1 / 256, 1 / 64, 1 / 24, 5 / 48, 1 / 4, 1)
WIDTH = 8  # hidden units of the mean within a step
FAR = 4.0  # steps from the mean, beyond which all is the same
AT_ONCE = 1 << 15  # numbers, which the cache holds
LEAST_DEVIATION = 1e-2
SHIFTS = 2  # grids of blocks per side that the components are learned from


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


class Recentering(nn.Module):
    """Moves rounded numbers by up to half a step; at the start of training it moves none.

    The input of a small network is the number's distance from its predicted location, the predicted
    scale, and whether the number is zero. The shift is symmetric about the predicted location.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, WIDTH)
        self.outer = nn.Linear(WIDTH, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, whole: Tensor, location: Tensor, log_scale: Tensor) -> Tensor:
        """Like ``whole``."""
        off = whole - location
        known = (off.abs().clamp_max(FAR), log_scale, (whole == 0).to(whole.dtype))
        parts = zip(*(x.flatten().split(AT_ONCE) for x in known), strict=True)
        change = torch.cat([self._change(torch.stack(part)) for part in parts])
        return whole - torch.sign(off) * 0.5 * torch.tanh(change.view(whole.shape))

    def _change(self, known: Tensor) -> Tensor:
        """What the network says of some numbers, (numbers,); ``known`` is (3, numbers)."""
        inside = torch.addmm(self.inner.bias[:, None], self.inner.weight, known)
        found: Tensor = torch.relu(inside).T @ self.outer.weight[0]
        return found + self.outer.bias


class BlockTransform(nn.Module):
    """Blocks of pictures to coefficients and back.

    Args:
        channels: channels of the pictures.
        block: side of a block in pixels.
        kept: number of strongest components that are kept; at most ``channels * block ** 2``.

    Attributes:
        basis: the components as small pictures, (kept, channels, block, block).
        deviation: standard deviation of each coefficient, (kept,).
    """

    basis: Tensor
    deviation: Tensor

    def __init__(self, channels: int, block: int, kept: int) -> None:
        super().__init__()
        self.block = block
        flat = torch.eye(kept, channels * block * block)
        self.register_buffer("basis", flat.reshape(kept, channels, block, block))
        self.register_buffer("deviation", torch.ones(kept))

    @torch.no_grad()
    def start_from(self, pictures: Tensor) -> None:
        """Find the components of (rows, channels, height, width) around zero."""
        size = self.basis[0].numel()
        moments, blocks = torch.zeros(size, size, dtype=torch.float64), 0
        for shift in range(SHIFTS):
            offset = shift * self.block // SHIFTS
            for part in pictures[:, :, offset:, offset:].split(64):
                if min(part.shape[2:]) < self.block:
                    continue
                found = F.unfold(part, self.block, stride=self.block)
                rows = found.transpose(1, 2).reshape(-1, size)
                moments += (rows.T @ rows).double()
                blocks += len(rows)
        variance, components = torch.linalg.eigh(moments / max(blocks, 1))
        kept = len(self.basis)
        self.basis.copy_(components.flip(1)[:, :kept].T.reshape(self.basis.shape))
        self.deviation.copy_(variance.flip(0)[:kept].clamp_min(LEAST_DEVIATION**2).sqrt())

    def forward(self, pictures: Tensor) -> Tensor:
        """(rows, channels, height, width), multiples of the block, to (rows, kept, h, w)."""
        return F.conv2d(pictures, self.basis, stride=self.block)

    def inverse(self, coefficients: Tensor) -> Tensor:
        """The pictures of coefficients; a matrix product, because a transposed convolution with
        strides is slow."""
        pixels = self.basis.flatten(1).T[:, :, None, None]
        return F.pixel_shuffle(F.conv2d(coefficients, pixels), self.block)
