"""Strided convolutions down to a few places, for classifiers of pictures."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from lowerbound.networks.activations import ACTIVATIONS, gain
from lowerbound.networks.base import Encoder, check_condition
from lowerbound.networks.initialization import convolution, linear
from lowerbound.networks.pictures.resampling import channels_last
from lowerbound.networks.sizes import MAX_CHANNELS, as_picture

SMALL = 16  # side below which the first convolution has stride 1
COARSEST = 4  # side at which strided convolutions end, after at least two


class StridedEncoder(Encoder):
    """A picture to numbers by convolutions of stride 2, each with twice the channels.

    It costs less than the residual pyramid (``Convolutional``), which keeps more information about
    positions than a classifier needs.

    Args:
        event_shape: (channels, height, width).
        numbers: of the output.
        width: channels of the first convolution.
        activation: nonlinearity between them.
    """

    condition_dim = 0

    def __init__(
        self, event_shape: tuple[int, ...], numbers: int, width: int = 24, activation: str = "silu"
    ) -> None:
        super().__init__()
        channels, *size = as_picture(event_shape)
        self.picture = tuple(event_shape)
        first = 1 if max(size) < SMALL else 2
        strides = [first]
        sides = [math.ceil(side / first) for side in size]
        while max(sides) > COARSEST or len(strides) < 3:
            strides.append(2)
            sides = [math.ceil(side / 2) for side in sides]
        widths = [channels, *(min(width * 2**step, MAX_CHANNELS) for step in range(len(strides)))]
        factor, layers = gain(activation), list[nn.Module]()
        for (inputs, outputs), stride in zip(pairwise(widths), strides, strict=True):
            tap = 5 if not layers and first == 2 else 3
            scale = factor if layers else 1.0
            layers += [
                convolution(inputs, outputs, (tap, tap), (stride, stride), scale),
                ACTIVATIONS[activation](),
            ]
        self.layers = nn.Sequential(*layers)
        self.head = linear(math.prod(sides) * widths[-1], numbers, factor)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        check_condition(condition, self.condition_dim)
        maps = self.layers(channels_last(x.reshape(x.shape[0], *self.picture)))
        numbers: Tensor = self.head(maps.flatten(1))
        return numbers
