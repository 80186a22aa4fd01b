"""Small networks whose features objectives compare."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.networks.initialization import convolution, linear
from lowerbound.networks.sizes import as_picture, kernel
from lowerbound.networks.transform.restoration import window_cosines

SLOPE = 0.2  # of the leaky rectifier for negative inputs
GAIN = 2**0.5  # keeps signals at unit scale after the rectifier
WINDOW = 8  # pixels of a window's side
FAINT = 0.05  # model units: the scale is linear below this size and logarithmic above


class Critic(nn.Module):
    """Map rows, (rows, *event), to the features of two layers and to outputs, (rows, outputs).

    Pictures pass strided convolutions, other rows fully connected layers. There is no
    normalization, so the output for a row does not depend on other rows.

    Args:
        event_shape: shape of a row.
        outputs: numbers per row.
        width: channels of the first layer for pictures (the second has twice as many); for other
            rows, a quarter of the units of each layer.
    """

    def __init__(self, event_shape: tuple[int, ...], outputs: int = 1, width: int = 32) -> None:
        super().__init__()
        self.first: nn.Module
        self.second: nn.Module
        self.activation = nn.LeakyReLU(SLOPE)
        if len(event_shape) == 3:
            picture = as_picture(event_shape)
            taps = kernel(picture.size)
            self.first = convolution(picture.channels, width, taps, (2, 2))
            self.second = convolution(width, 2 * width, taps, (2, 2), gain=GAIN)
            sides = [(side + 3) // 4 for side in picture.size]
            seen = 2 * width * math.prod(sides)
        else:
            seen = 4 * width
            self.first = nn.Sequential(nn.Flatten(), linear(math.prod(event_shape), seen))
            self.second = linear(seen, seen, gain=GAIN)
        self.answer = linear(seen, outputs, gain=GAIN)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first = self.activation(self.first(x))
        second = self.activation(self.second(first))
        return first, second, self.answer(second.flatten(1))


class WindowCritic(nn.Module):
    """Map pictures, (rows, channels, height, width), to the features of two layers and to one
    output for each place, (rows, places).

    Its input is the log sizes of cosine coefficients in windows that overlap by half. They measure
    texture, which a decoder with least squared error lacks. All places share the same weights.

    Args:
        channels: channels of the pictures.
        width: channels of both layers.
    """

    cosines: Tensor

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__()
        self.register_buffer("cosines", window_cosines(channels, WINDOW), persistent=False)
        self.activation = nn.LeakyReLU(SLOPE)
        self.first = convolution(len(self.cosines), width, (3, 3))
        self.second = convolution(width, width, (3, 3), gain=GAIN)
        self.answer = convolution(width, 1, (1, 1), gain=GAIN)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sizes = F.conv2d(x, self.cosines.to(x.dtype), stride=WINDOW // 2).abs()
        first = self.activation(self.first(torch.log1p(sizes / FAINT)))
        second = self.activation(self.second(first))
        return first, second, self.answer(second).flatten(1)


def hidden_alike(made: Tensor, observed: Tensor | None) -> Tensor:
    """The model's rows, (rows, *event), with zeros where cells of the real rows are hidden."""
    if observed is None:
        return made
    mask = observed.repeat(len(made) // len(observed), *(1,) * (observed.dim() - 1))
    return made * mask


def seen_apart(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> Tensor:
    r"""Distance of two sets of rows in a network's features, the mean over layers of

    .. math:: \lVert f_l(a) - f_l(b) \rVert^2 / \overline{\lVert f_l(b) \rVert^2}

    per row, (rows,); all layers have equal weight.
    """
    apart = []
    for a, b in zip(one, other, strict=True):
        size = b.detach().flatten(1).square().sum(1).mean().clamp_min(1e-12)
        apart.append((a - b).flatten(1).square().sum(1) / size)
    return torch.stack(apart).mean(0)
