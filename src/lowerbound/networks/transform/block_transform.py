r"""The best linear code of square blocks: their principal components (Karhunen-Loeve).

.. math:: y = U^T b, \quad b = U y, \quad U^T U = 1

With all components the map loses no information. The squared error of a picture is that of its
coefficients, so these can be rounded independently.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST_DEVIATION = 1e-2
SHIFTS = 2  # grids of blocks per side that the components are learned from


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
