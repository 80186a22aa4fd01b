r"""Remove the rounding error from a picture that was decoded from rounded coefficients.

The input is the cosine coefficients f of small overlapping windows in all colors, in steps. From
their sizes, and from the window's position in its block, a network predicts the part of each that
is error:

.. math:: f' = f - g(|f|) \frac{f}{1 + |f| / 2} \; (+ \; h(|f|) \, \epsilon)

This is a Wiener filter with learned gains. Gains have no sign, so they are learned within minutes,
in which a network that predicts the error itself learns almost nothing. The second term is grain,
for pictures that have to look right: the estimate with least squared error lacks the texture that
cannot be predicted. Training leaves this term out; h learns only from the remaining error.

Sources: Yaroslavsky 1996 (transform in overlapping windows); Dabov et al. 2007 (Wiener gains).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.distributions.reparameterization import seeded
from lowerbound.networks.initialization import convolution
from lowerbound.networks.pictures.residual import residual_blocks

WINDOW = 8
LEAST, USUAL, MOST = -6.0, -1.5, 1.0  # of log h


class Restoration(nn.Module):
    """Subtracts the predicted error from a picture; at the start of training it changes nothing.

    Args:
        channels: channels of the picture.
        block: side of a block in pixels, a power of two.
        width: channels of the hidden layers.
        depth: number of residual blocks.
        grain: s, the share of the grain; above 0 there is a network for h.
    """

    cosines: Tensor

    def __init__(self, channels: int, block: int, width: int, depth: int, grain: float) -> None:
        super().__init__()
        self.window = min(WINDOW, block)
        self.stride = self.window // 2
        self.period = block // self.stride
        self.register_buffer("cosines", window_cosines(channels, self.window), persistent=False)
        seen = len(self.cosines)
        self.look = convolution(seen + 1 + 2 * self.period, width, (3, 3))
        self.layers = nn.Sequential(*residual_blocks(depth, width, (3, 3), "relu", False, depth))
        self.out = convolution(width, seen, (3, 3), gain=0.0)
        self.share = grain
        self.grain = convolution(width, seen, (3, 3), gain=0.0) if grain else None

    def forward(self, picture: Tensor, step: Tensor, log_step: Tensor) -> Tensor:
        """(rows, channels, height, width), multiples of the block.

        Args:
            picture: in grey values around zero.
            step: size of the coefficients' steps, (rows, 1, 1, 1), or of each block's steps,
                (rows, 1, *blocks).
            log_step: its logarithm in some unit, of the same shape.
        """
        if step[0].numel() > 1:
            return self._with_map(picture, step, log_step)
        f, known = self._seen(picture, step, log_step)
        restored: Tensor = picture + step * self._joined(self._change(f, known))
        return restored

    def _with_map(self, picture: Tensor, step: Tensor, log_step: Tensor) -> Tensor:
        """``forward`` with a step for each block; a window has the mean of their logarithms."""
        step = self._at_windows(step.log()).exp()
        f, known = self._seen(picture, step, self._at_windows(log_step))
        restored: Tensor = picture + self._joined(step * self._change(f, known))
        return restored

    def _at_windows(self, of_blocks: Tensor) -> Tensor:
        """Means of blocks over each window, (rows, 1, h, w)."""
        fine = of_blocks.repeat_interleave(self.period, 2).repeat_interleave(self.period, 3)
        return F.avg_pool2d(F.pad(fine, (1,) * 4, mode="replicate"), 2, stride=1)

    def missing(self, picture: Tensor, step: Tensor, log_step: Tensor, real: Tensor) -> Tensor:
        r"""The objective of h, log N(f(x) - f' ; 0, h^2) up to a constant, (rows,); only the grain
        learns from it.

        Args:
            picture, step, log_step: as for ``forward``.
            real: the original of the picture, of the same shape.
        """
        assert self.grain is not None
        with torch.no_grad():
            f, known = self._seen(picture, step, log_step)
            left = self._windows((real - picture) / step - self._joined(self._taken(f, known)))
        log_missing = self._log_missing(known)
        terms = -0.5 * (left / log_missing.exp()).square() - log_missing
        return terms.flatten(1).sum(1)

    def _change(self, f: Tensor, known: Tensor) -> Tensor:
        """The change of the coefficients by the gains, and grain outside training."""
        change = self._taken(f, known)
        if self.grain is not None and not self.training:
            change = change + 2 * self.share * self._log_missing(known).exp() * noise(change)
        return change

    def _taken(self, f: Tensor, known: Tensor) -> Tensor:
        """The change of the coefficients by the gains."""
        change: Tensor = -self.out(known) * f / (1.0 + f.abs() / 2)
        return change

    def _log_missing(self, known: Tensor) -> Tensor:
        """log h, within bounds."""
        assert self.grain is not None
        found: Tensor = self.grain(known) + USUAL
        return found.clamp(LEAST, MOST)

    def _windows(self, picture: Tensor) -> Tensor:
        """Cosine coefficients of the windows, (rows, coefficients, h, w)."""
        framed = F.pad(picture, (self.stride,) * 4, mode="replicate")
        return F.conv2d(framed, self.cosines, stride=self.stride)

    def _joined(self, coefficients: Tensor) -> Tensor:
        """The mean of the windows over each pixel."""
        edge = self.stride
        whole = F.conv_transpose2d(coefficients, self.cosines, stride=edge) / 4
        return whole[:, :, edge:-edge, edge:-edge]

    def _seen(self, picture: Tensor, step: Tensor, log_step: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients in steps, and the network's input for each window."""
        f = self._windows(picture) / step
        rows, _, height, width = f.shape
        place = self._place(height, width).to(f).expand(rows, -1, -1, -1)
        features = torch.cat([f.abs().log1p(), log_step.expand(rows, 1, height, width), place], 1)
        known: Tensor = torch.relu(self.layers(self.look(features)))
        return f, known

    def _place(self, height: int, width: int) -> Tensor:
        """The start of each window in its block, one-hot by row and by column."""
        row = F.one_hot(torch.arange(height) % self.period, self.period).T[:, :, None]
        column = F.one_hot(torch.arange(width) % self.period, self.period).T[:, None]
        shape = (self.period, height, width)
        return torch.cat([row.expand(shape), column.expand(shape)])[None]


def noise(like: Tensor) -> Tensor:
    """Standard normal noise, always equal for each row, so that decoding a file is repeatable."""
    with seeded(0):
        return torch.randn(1, *like.shape[1:]).to(like)


def window_cosines(channels: int, side: int) -> Tensor:
    """Orthonormal filters, colors included, (channels * side ** 2, channels, side, side)."""
    color, row, column = map(_cosine, (channels, side, side))
    parts = torch.einsum("chab,wd->chwabd", torch.einsum("ca,hb->chab", color, row), column)
    return parts.reshape(-1, channels, side, side).float()


def _cosine(count: int) -> Tensor:
    """The orthonormal cosine transform of ``count`` numbers (DCT-II), float64."""
    place = torch.arange(count, dtype=torch.float64)
    rows = torch.cos(math.pi * (place + 0.5) * place[:, None] / count) * math.sqrt(2 / count)
    rows[0] /= math.sqrt(2)
    return rows
