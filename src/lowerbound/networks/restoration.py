"""What a decoder adds to a picture of rounded coefficients: what rounding took, as far as known.

The picture is looked at four pixels by four at a time, with what changes within a few pixels, in
steps, and the place in the block, since errors are largest at its borders.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.networks.initialization import convolution
from lowerbound.networks.residual import residual_blocks

SMALLER = 4
NEAR = 7  # pixels that make up what is around
GREYS = 128.0
START = 0.1


class Restoration(nn.Module):
    """Adds to a picture; nothing at the start of training.

    Args:
        channels: of the picture.
        block: pixels of a block's side, a multiple of four or fewer than that.
        width: channels inside.
        depth: residual blocks.
    """

    def __init__(self, channels: int, block: int, width: int, depth: int) -> None:
        super().__init__()
        self.smaller = min(SMALLER, block)
        self.period = block // self.smaller
        pixels = channels * self.smaller**2
        self.look = convolution(2 * pixels + 1 + 2 * self.period, width, (3, 3))
        self.layers = nn.Sequential(*residual_blocks(depth, width, (3, 3), "relu", False, depth))
        self.out = convolution(width, pixels, (3, 3), gain=0.0)

    def forward(self, picture: Tensor, step: Tensor, told: Tensor) -> Tensor:
        """(rows, channels, height, width), multiples of the block.

        Args:
            picture: in grey values around zero.
            step: size of the coefficients' steps, (rows, 1, 1, 1).
            told: its logarithm in some unit, alike.
        """
        change = (picture - _around(picture)) / step
        parts = [F.pixel_unshuffle(x, self.smaller) for x in (picture / GREYS, change)]
        height, width = parts[0].shape[2:]
        rows = parts[0].shape[0]
        place = self._place(height, width).to(picture).expand(rows, -1, -1, -1)
        features = torch.cat([*parts, told.expand(rows, 1, height, width), place], 1)
        answer = self.out(torch.relu(self.layers(self.look(features))))
        restored: Tensor = picture + START * step * F.pixel_shuffle(answer, self.smaller)
        return restored

    def _place(self, height: int, width: int) -> Tensor:
        """Where in its block each pixel group lies, one-hot by row and by column."""
        row = F.one_hot(torch.arange(height) % self.period, self.period).T[:, :, None]
        column = F.one_hot(torch.arange(width) % self.period, self.period).T[:, None]
        shape = (self.period, height, width)
        return torch.cat([row.expand(shape), column.expand(shape)])[None]


def _around(picture: Tensor) -> Tensor:
    """The mean of the pixels near each."""
    near = min(NEAR, 2 * min(picture.shape[2:]) - 1)
    padded = F.pad(picture, (near // 2,) * 4, mode="reflect" if near > 1 else "constant")
    return F.avg_pool2d(padded, near, 1)
