r"""What a decoder makes of a picture of rounded coefficients: what rounding added is taken out.

The picture is looked at in small windows that overlap, by their cosine coefficients f in steps,
colors included. A network says from their sizes, and from where the window lies in its block, how
much of each is error:

.. math:: f' = f - g(|f|) \frac{f}{1 + |f| / 2} \; (+ \; h(|f|) \, \epsilon)

A Wiener filter with learned gains: gains need no sign, so that they are learned within minutes,
where a network that answers with the error itself has learned next to nothing. The second term is
grain, for decoders that are judged by their looks: to expect the least squared error is to leave
out the texture that nobody can know.

Sources: Yaroslavsky 1996 (transform in overlapping windows); Dabov et al. 2007 (Wiener gains).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.networks.cosines import window_cosines
from lowerbound.networks.initialization import convolution
from lowerbound.networks.residual import residual_blocks
from lowerbound.reparameterization import seeded

WINDOW = 8


class Restoration(nn.Module):
    """Takes from a picture what it holds to be error; nothing at the start of training.

    Args:
        channels: of the picture.
        block: pixels of a block's side, a power of two.
        width: channels inside.
        depth: residual blocks.
        grain: whether it may add noise, of sizes that it learns.
    """

    cosines: Tensor

    def __init__(self, channels: int, block: int, width: int, depth: int, grain: bool) -> None:
        super().__init__()
        self.window = min(WINDOW, block)
        self.stride = self.window // 2
        self.period = block // self.stride
        self.register_buffer("cosines", window_cosines(channels, self.window), persistent=False)
        seen = len(self.cosines)
        self.look = convolution(seen + 1 + 2 * self.period, width, (3, 3))
        self.layers = nn.Sequential(*residual_blocks(depth, width, (3, 3), "relu", False, depth))
        self.out = convolution(width, seen, (3, 3), gain=0.0)
        self.grain = convolution(width, seen, (3, 3), gain=0.0) if grain else None

    def forward(self, picture: Tensor, step: Tensor, told: Tensor) -> Tensor:
        """(rows, channels, height, width), multiples of the block.

        Args:
            picture: in grey values around zero.
            step: size of the coefficients' steps, (rows, 1, 1, 1).
            told: its logarithm in some unit, alike.
        """
        size, edge = picture.shape[2:], self.stride
        framed = F.pad(picture, (edge,) * 4, mode="replicate")
        f = F.conv2d(framed, self.cosines, stride=self.stride) / step
        rows, _, height, width = f.shape
        place = self._place(height, width).to(f).expand(rows, -1, -1, -1)
        features = torch.cat([f.abs().log1p(), told.expand(rows, 1, height, width), place], 1)
        known = torch.relu(self.layers(self.look(features)))
        change = -self.out(known) * f / (1.0 + f.abs() / 2)
        if self.grain is not None:
            change = change + self.grain(known) * self._noise(change)
        change = F.conv_transpose2d(change, self.cosines, stride=self.stride) / 4  # windows a pixel
        change = change[:, :, edge : edge + size[0], edge : edge + size[1]]
        restored: Tensor = picture + step * change
        return restored

    def _noise(self, like: Tensor) -> Tensor:
        """Standard normal; outside training always the same, for each row."""
        if self.training:
            return torch.randn_like(like)
        with seeded(0):
            return torch.randn(1, *like.shape[1:]).to(like)

    def _place(self, height: int, width: int) -> Tensor:
        """Where in its block each window begins, one-hot by row and by column."""
        row = F.one_hot(torch.arange(height) % self.period, self.period).T[:, :, None]
        column = F.one_hot(torch.arange(width) % self.period, self.period).T[:, None]
        shape = (self.period, height, width)
        return torch.cat([row.expand(shape), column.expand(shape)])[None]
