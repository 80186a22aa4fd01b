"""Convolutions over the pixels before each pixel: rows above, and those to the left in its row."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.networks.initialization import convolution, gain

ACTIVATION = "relu"


def causal_mask(reach: int, *, strict: bool) -> Tensor:
    """Which places of a window are read, (reach + 1, 2 reach + 1); strict: not the pixel itself."""
    mask = torch.ones(reach + 1, 2 * reach + 1)
    mask[-1, reach + (not strict) :] = 0
    return mask


class CausalConvolution(nn.Module):
    """A convolution over the pixels up to each pixel, in the order of reading.

    Args:
        inputs, outputs: channels.
        reach: rows above, and columns on either side, that it reads.
        strict: whether it leaves out the pixel itself.
        gain: compensates the activation before it.

    Source: van den Oord et al. 2016 (the masks A, if strict, and B).
    """

    mask: Tensor

    def __init__(
        self, inputs: int, outputs: int, reach: int, *, strict: bool, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.reach = reach
        mask = causal_mask(reach, strict=strict)
        self.register_buffer("mask", mask, persistent=False)
        drawn = convolution(inputs, outputs, (reach + 1, 2 * reach + 1), gain=gain)
        share = float(mask.mean()) or 1.0
        self.weight = nn.Parameter(drawn.weight.detach() * mask / share**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, pictures: Tensor) -> Tensor:
        """(rows, inputs, height, width) to (rows, outputs, height, width)."""
        padded = F.pad(pictures, (self.reach, self.reach, self.reach, 0))
        return F.conv2d(padded, self.weight * self.mask, self.bias)

    def at(self, window: Tensor) -> Tensor:
        """One pixel, (rows, outputs), from the window that it reads.

        Args:
            window: (rows, inputs, reach + 1, 2 reach + 1), with the pixel in the middle of the
                last row.
        """
        weight = (self.weight * self.mask).flatten(1)
        return F.linear(window.flatten(1), weight, self.bias)


class CausalBlock(nn.Module):
    """A residual block: h + W f(causal convolution of f(h), plus a map of the features)."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        after = gain(ACTIVATION)
        self.convolution = CausalConvolution(width, width, reach, strict=False, gain=after)
        self.out = convolution(width, width, (1, 1), gain=0.5 * after)

    def forward(self, state: Tensor, added: Tensor) -> Tensor:
        """The next state from the state and the added features, (rows, width, height, width)."""
        return self._joined(state, self.convolution(F.relu(state)) + added)

    def at(self, window: Tensor, added: Tensor) -> Tensor:
        """The next state of one pixel, (rows, width), from the window of states that it reads."""
        reach = self.convolution.reach
        hidden = self.convolution.at(F.relu(window)) + added
        return self._joined(window[:, :, -1:, reach : reach + 1], hidden[:, :, None, None])[
            ..., 0, 0
        ]

    def _joined(self, state: Tensor, hidden: Tensor) -> Tensor:
        answer: Tensor = state + self.out(F.relu(hidden))
        return answer


class CausalStack(nn.Module):
    r"""A function of the pixels before each pixel, and of features of the whole picture.

    ::

        picture ─strict─> state ─block─> ... ─block─> outputs (zero at the start)
        features ──1x1─────┴───────┴────────────┘

    Args:
        inputs: channels of the picture.
        features: channels of the features.
        outputs: numbers per pixel.
        width: channels of the states.
        layers: residual blocks.
        context: reach of the first convolution, in pixels.
        reach: reach of each block, in pixels; 0: the blocks look at one pixel only.
    """

    def __init__(
        self,
        inputs: int,
        features: int,
        outputs: int,
        *,
        width: int,
        layers: int,
        context: int,
        reach: int,
    ) -> None:
        super().__init__()
        self.width = width
        self.first = CausalConvolution(inputs, width, context, strict=True)
        self.condition = convolution(features, width * (layers + 1), (1, 1))
        self.blocks = nn.ModuleList(CausalBlock(width, reach) for _ in range(layers))
        self.last = convolution(width, outputs, (1, 1), gain=0.0)

    def forward(self, pictures: Tensor, features: Tensor) -> Tensor:
        """The outputs at all pixels at once.

        Args:
            pictures: (rows, inputs, height, width).
            features: (rows, features, height, width).
        """
        first, *added = self.condition(features).split(self.width, 1)
        state = self.first(pictures) + first
        for block, more in zip(self.blocks, added, strict=True):
            state = block(state, more)
        answer: Tensor = self.last(F.relu(state))
        return answer

    def pixel_by_pixel(self, features: Tensor) -> PixelByPixel:
        """The same function for pictures that are drawn pixel by pixel."""
        return PixelByPixel(self, features)


class PixelByPixel:
    """The outputs of a stack one pixel at a time, from the rows that its convolutions still read.

    No pixel is computed twice, and memory does not grow with the height.

    Args:
        stack: the function.
        features: (rows, features, height, width).
    """

    def __init__(self, stack: CausalStack, features: Tensor) -> None:
        self.stack = stack
        rows, _, self.height, self.width = features.shape
        self.added = stack.condition(features)
        self.layers: list[CausalConvolution] = [stack.first]
        self.layers += [block.convolution for block in stack.blocks]  # type: ignore[misc]
        self.kept = [
            KeptRows(rows, layer.weight.shape[1], layer.reach, self.width, like=features)
            for layer in self.layers
        ]

    def outputs(self, top: int, left: int) -> Tensor:
        """The outputs at a pixel, (rows, outputs), after every pixel before it was put."""
        first, *added = self.added[:, :, top, left].split(self.stack.width, 1)
        state = self.stack.first.at(self.kept[0].window(left)) + first
        for level, (block, more) in enumerate(zip(self.stack.blocks, added, strict=True), 1):
            self.kept[level].put(left, state)
            state = block.at(self.kept[level].window(left), more)  # type: ignore[operator]
        answer: Tensor = self.stack.last(F.relu(state)[:, :, None, None])
        return answer[:, :, 0, 0]

    def put(self, left: int, pixel: Tensor) -> None:
        """Set a pixel of the picture, (rows, inputs); the last of a row ends it."""
        self.kept[0].put(left, pixel)
        if left == self.width - 1:
            for rows in self.kept:
                rows.end()


class KeptRows:
    """The current row of a picture and as many rows above it as a window reaches.

    Args:
        rows, channels: of the pictures.
        reach: rows above, and columns on either side, of a window.
        width: of the pictures.
        like: a tensor of the type and on the device of the numbers.
    """

    def __init__(self, rows: int, channels: int, reach: int, width: int, *, like: Tensor) -> None:
        self.reach = reach
        self.values = like.new_zeros(rows, channels, reach + 1, width + 2 * reach)

    def put(self, left: int, pixel: Tensor) -> None:
        """Set a pixel of the current row, (rows, channels)."""
        self.values[:, :, -1, left + self.reach] = pixel

    def end(self) -> None:
        """Go to the next row."""
        self.values = F.pad(self.values[:, :, 1:], (0, 0, 0, 1))

    def window(self, left: int) -> Tensor:
        """The window of a pixel, (rows, channels, reach + 1, 2 reach + 1)."""
        return self.values[:, :, :, left : left + 2 * self.reach + 1]
