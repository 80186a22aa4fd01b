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
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.distributions.reparameterization import seeded
from lowerbound.networks.initialization import convolution
from lowerbound.networks.matrix_products import short_layers
from lowerbound.networks.pictures.convolutional import residual_blocks

WINDOW = 8
STRIP = 48  # lines of windows that are computed at once
LEAST, USUAL, MOST = -6.0, -1.5, 1.0  # of log h


class Restoration(nn.Module):
    """Subtracts the predicted error from a picture; at the start of training it changes nothing.

    Args:
        channels: channels of the picture.
        block: side of a block in pixels, a power of two.
        width: channels of the hidden layers.
        depth: number of residual blocks.
        grain: s, the share of the grain; above 0 there is a network for h.

    Attributes:
        short: whether the layers compute in bf16 where the processor is fast at it. Gains of two
            digits are enough for a picture of 8 bits.
    """

    cosines: Tensor

    def __init__(self, channels: int, block: int, width: int, depth: int, grain: float) -> None:
        super().__init__()
        self.window = min(WINDOW, block)
        self.reach = 2 + 2 * depth  # windows to each side that the layers see
        self.stride = self.window // 2
        self.period = block // self.stride
        self.register_buffer("cosines", window_cosines(channels, self.window), persistent=False)
        seen = len(self.cosines)
        self.look = convolution(seen + 1 + 2 * self.period, width, (3, 3))
        self.layers = nn.Sequential(*residual_blocks(depth, width, (3, 3), "relu", False, depth))
        self.out = convolution(width, seen, (3, 3), gain=0.0)
        self.share = grain
        self.short = False
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
            step, log_step = self._at_windows(step.log()).exp(), self._at_windows(log_step)
        framed = self._framed(picture)
        windows = self._lines(framed)
        grain = self._noise(framed)
        change = torch.zeros_like(framed)
        for top in range(0, windows, STRIP):
            lines = range(top, min(top + STRIP, windows))
            at = slice(lines.start * self.stride, (lines.stop - 1) * self.stride + self.window)
            change[:, :, at] += self._changed(framed, step, log_step, lines, grain)
        return picture + self._unframed(change)

    def _changed(
        self, framed: Tensor, step: Tensor, log_step: Tensor, lines: range, grain: Tensor | None
    ) -> Tensor:
        """What some lines of windows add to the pixels that they cover.

        Lines around them are computed too, as far as the layers see, because all lines of a large
        picture would need much memory.
        """
        seen = slice(
            max(0, lines.start - self.reach), min(self._lines(framed), lines.stop + self.reach)
        )
        part = framed[:, :, seen.start * self.stride : (seen.stop - 1) * self.stride + self.window]
        step, log_step = (x[:, :, seen] if x.shape[2] > 1 else x for x in (step, log_step))
        f, known = self._seen(part, step, log_step, first=seen.start)
        change = self._taken(f, known)
        if grain is not None:
            change = change + 2 * self.share * self._log_missing(known).exp() * grain[:, :, seen]
        inner = slice(lines.start - seen.start, lines.stop - seen.start)
        return self._joined((step * change)[:, :, inner])

    def _noise(self, framed: Tensor) -> Tensor | None:
        """The grain of each window outside training, equal for each row, so that decoding a file is
        repeatable, (1, coefficients, h, w)."""
        if self.grain is None or self.training:
            return None
        across = 1 + (framed.shape[3] - self.window) // self.stride
        with seeded(0):
            return torch.randn(1, len(self.cosines), self._lines(framed), across).to(framed)

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
            f, known = self._seen(self._framed(picture), step, log_step)
            taken = self._unframed(self._joined(self._taken(f, known)))
            left = self._windows(self._framed((real - picture) / step - taken))
        log_missing = self._log_missing(known)
        terms = -0.5 * (left / log_missing.exp()).square() - log_missing
        return terms.flatten(1).sum(1)

    def _taken(self, f: Tensor, known: Tensor) -> Tensor:
        """The change of the coefficients by the gains."""
        with self._arithmetic():
            gains = self.out(known).to(f.dtype)
        change: Tensor = gains * f / f.abs().div_(-2.0).sub_(1.0)
        return change

    def _log_missing(self, known: Tensor) -> Tensor:
        """log h, within bounds."""
        assert self.grain is not None
        with self._arithmetic():
            found: Tensor = self.grain(known).to(self.cosines.dtype) + USUAL
        return found.clamp(LEAST, MOST)

    def _framed(self, picture: Tensor) -> Tensor:
        return F.pad(picture, (self.stride,) * 4, mode="replicate")

    def _unframed(self, framed: Tensor) -> Tensor:
        edge = self.stride
        return framed[:, :, edge:-edge, edge:-edge]

    def _lines(self, framed: Tensor) -> int:
        """Number of windows below each other."""
        return 1 + (framed.shape[2] - self.window) // self.stride

    def _windows(self, framed: Tensor) -> Tensor:
        """Cosine coefficients of the windows, (rows, coefficients, h, w); convolutions of strides
        are slow, so squares of half a window become channels."""
        squares = _pixels_first(F.pixel_unshuffle(framed, self.stride))
        return F.conv2d(squares, self._of_squares())

    def _joined(self, coefficients: Tensor) -> Tensor:
        """The mean of the windows over each pixel, with the frame."""
        squares = self._of_squares().transpose(0, 1).flip(2, 3)
        return F.pixel_shuffle(F.conv2d(coefficients, squares, padding=1), self.stride) / 4

    def _of_squares(self) -> Tensor:
        """The filters of windows of 2 x 2 squares, (coefficients, channels * stride ** 2, 2, 2)."""
        shape = (len(self.cosines), -1, 2, self.stride, 2, self.stride)
        return self.cosines.view(shape).permute(0, 1, 3, 5, 2, 4).flatten(1, 3)

    def _seen(
        self, framed: Tensor, step: Tensor, log_step: Tensor, first: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Coefficients in steps, and the network's input for each window; ``first`` is the number
        of the first line of windows."""
        f = self._windows(framed) / step
        rows, _, height, width = f.shape
        place = self._place(first, height, width).to(f).expand(rows, -1, -1, -1)
        others = torch.cat([log_step.expand(rows, 1, height, width), place], 1)
        features = torch.cat([f.abs().log1p(), _pixels_first(others)], 1)
        with self._arithmetic():
            known: Tensor = torch.relu(self.layers(self.look(features)))
        return f, known

    def _arithmetic(self) -> AbstractContextManager[object]:
        """That of the layers; windows and their sums stay in float32."""
        return short_layers() if self.short else nullcontext()

    def _place(self, first: int, height: int, width: int) -> Tensor:
        """The start of each window in its block, one-hot by row and by column."""
        lines = torch.arange(first, first + height)
        row = F.one_hot(lines % self.period, self.period).T[:, :, None]
        column = F.one_hot(torch.arange(width) % self.period, self.period).T[:, None]
        shape = (self.period, height, width)
        return torch.cat([row.expand(shape), column.expand(shape)])[None]


def _pixels_first(x: Tensor) -> Tensor:
    """All channels of a pixel beside each other, for which convolutions are fast."""
    return x.contiguous(memory_format=torch.channels_last)


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
