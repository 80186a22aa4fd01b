"""A network that tells the noise of a picture from the picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from lowerbound.networks.initialization import QUIET, convolution
from lowerbound.networks.pictures.convolutional import residual_blocks

COLORS = 3
CELL = 2  # pixels of a side that the finest maps hold in one place
STRIDE = 2 * CELL  # sides of pictures are multiples of it
KERNEL = (3, 3)
ACTIVATION = "relu"


class NoiseUNet(nn.Module):
    r"""Standardized noise of a picture and the log deviation of what stays unknown of it.

    .. math:: y = x + \sigma \varepsilon, \quad \hat\varepsilon, g = f(y, \sigma)

    Two levels of residual blocks, at half and at a quarter of the picture's sides. Channels are
    scaled by 1 / (sigma + s), s = 10/255, so that weak noise is seen at the size of strong noise.
    The second head sees the features and does not shape them.

    Args:
        width: channels at half of the sides.
        depth: residual blocks there, before and after the coarse level each.
        coarse_width: channels at a quarter of the sides.
        coarse_depth: residual blocks there.

    Attributes:
        reach: farthest distance of a pixel that has an influence, pixels.
    """

    weak = 10 / 255

    def __init__(
        self, width: int = 64, depth: int = 1, coarse_width: int = 96, coarse_depth: int = 3
    ) -> None:
        super().__init__()
        cells = COLORS * CELL**2
        total = 2 * depth + coarse_depth

        def blocks(count: int, channels: int) -> nn.Sequential:
            return nn.Sequential(
                *residual_blocks(count, channels, KERNEL, ACTIVATION, False, total)
            )

        self.head = convolution(cells + 1, width, KERNEL)
        self.fine = blocks(depth, width)
        self.down = nn.Conv2d(width, coarse_width, 2, stride=2)
        self.coarse = blocks(coarse_depth, coarse_width)
        self.up = nn.ConvTranspose2d(coarse_width, width, 2, stride=2)
        self.finer = blocks(depth, width)
        self.noise = convolution(width, cells, KERNEL, gain=QUIET)
        self.deviation = nn.Sequential(
            nn.ReLU(),
            convolution(width, width // 2, KERNEL),
            nn.ReLU(),
            convolution(width // 2, cells, KERNEL, gain=QUIET**2),
        )
        # cells that convolutions see to each side, and one more for a cell that reaches further
        self.reach = CELL * (4 * depth + 3) + STRIDE * (2 * coarse_depth + 1)

    def forward(self, noisy: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """(standardized noise, log of the deviation of x over sigma), both like ``noisy``.

        Args:
            noisy: (rows, 3, height, width), black 0 to white 1; sides are multiples of 4.
            level: sigma, (rows,), in the same units.
        """
        scale = 1 / (level + self.weak).view(-1, 1, 1, 1)
        cells = pixel_unshuffle((noisy - 0.5) * scale, CELL)
        share = (level.view(-1, 1, 1, 1) * scale).expand(-1, 1, *cells.shape[2:])
        seen = torch.cat([cells, share], 1).contiguous(memory_format=torch.channels_last)
        fine = self.fine(self.head(seen))
        features = self.finer(fine + self.up(self.coarse(self.down(fine))))
        noise, spread = self.noise(features), self.deviation(features.detach())
        return pixel_shuffle(noise, CELL), pixel_shuffle(spread, CELL)
