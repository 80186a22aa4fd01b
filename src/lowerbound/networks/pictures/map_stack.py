"""Convolutional networks between a picture and several maps of vectors, each half as high and wide
as the next; side by side, coarse to fine.

::

    picture ──> features ──down──> features       the encoder makes each map
                    │                  │
                fine map ·····     coarse map

    picture <── features <───up─── features       the decoder sees them all
                    │                  │
                fine map           coarse map

Between them a network predicts what the coarser map adds to the encoder's finer map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from lowerbound.errors import OptionError
from lowerbound.networks.base import (
    Level,
    check_condition,
    halved,
    kernel,
)
from lowerbound.networks.initialization import ACTIVATIONS, QUIET, convolution, gain
from lowerbound.networks.pictures.convolutional import (
    Convolutional,
    MapDecoder,
    MapEncoder,
    Upsample,
)
from lowerbound.networks.pictures.patches import by_pixel


@dataclass(frozen=True)
class MapStack:
    """The networks of several maps.

    Attributes:
        options: depth, kind and activation of the residual blocks.
        levels: resolutions down to the finest map's, finest first.
        maps: number of maps.
        numbers: numbers of each place.
    """

    options: Convolutional
    levels: tuple[Level, ...]
    maps: int
    numbers: int

    def __post_init__(self) -> None:
        if any(max(level.size) == 1 for level in self.resolutions[1:]):
            raise OptionError(
                f"maps={self.maps} is too many for this picture: a map of one place cannot be "
                "halved; take fewer, or a smaller stride"
            )

    @property
    def resolutions(self) -> tuple[Level, ...]:
        """The resolution of each map, coarse to fine."""
        found = [self.levels[-1]]
        for _ in range(self.maps - 1):
            found.append(halved(found[-1]))
        return tuple(reversed(found))

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each map, coarse to fine."""
        return tuple(level.size for level in self.resolutions)

    def encoder(self, event_shape: tuple[int, ...], condition_dim: int = 0) -> StackEncoder:
        """Picture to all maps."""
        return StackEncoder(self, event_shape, condition_dim)

    def decoder(self, parameter_shape: tuple[int, ...], condition_dim: int = 0) -> StackDecoder:
        """All maps to the parameters of the likelihood."""
        return StackDecoder(self, parameter_shape, condition_dim)

    def between(self) -> list[MapTransition]:
        """Networks from each map to the next finer one."""
        return [MapTransition(self, *pair) for pair in pairwise(self.resolutions)]

    def apart(self, side_by_side: Tensor) -> Sequence[Tensor]:
        """All maps, (rows, places * numbers), as (rows, numbers, height, width) each."""
        parts = side_by_side.split([math.prod(size) * self.numbers for size in self.shapes], 1)
        return [
            part.unflatten(1, (*size, self.numbers)).permute(0, 3, 1, 2)
            for part, size in zip(parts, self.shapes, strict=True)
        ]


class StackEncoder(MapEncoder):
    """Picture to maps, (rows, places * numbers); coarser maps come from the finest one's features.

    Args:
        stack: sizes.
        event_shape: of the picture.
        condition_dim: numbers of the condition.
    """

    def __init__(
        self, stack: MapStack, event_shape: tuple[int, ...], condition_dim: int = 0
    ) -> None:
        options, numbers = stack.options, stack.numbers
        super().__init__(options, event_shape, stack.levels, numbers, condition_dim)
        factor = gain(options.activation)
        self.downs, self.heads = nn.ModuleList(), nn.ModuleList()
        for level, finer in reversed(list(pairwise(stack.resolutions))):
            down = convolution(
                finer.channels, level.channels, kernel(finer.size), level.stride, factor
            )
            blocks = options.blocks(level, stack.maps)
            self.downs.append(nn.Sequential(down, *blocks, ACTIVATIONS[options.activation]()))
            self.heads.append(convolution(level.channels, numbers, (1, 1), gain=QUIET * factor))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        features = self.stemmed(x, condition)
        *layers, head = self.layers
        for layer in layers:
            features = layer(features)
        maps = [by_pixel(head(features))]
        for down, head in zip(self.downs, self.heads, strict=True):
            features = down(features)
            maps.append(by_pixel(head(features)))
        return torch.cat(maps[::-1], 1)


class StackDecoder(MapDecoder):
    """Maps, (rows, places * numbers), to a picture; the coarser maps are enlarged and added to the
    features of the finest map.

    Args:
        stack: sizes.
        parameter_shape: parameters of the likelihood.
        condition_dim: numbers of the condition.
    """

    def __init__(
        self, stack: MapStack, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> None:
        super().__init__(stack.options, stack.numbers, parameter_shape, stack.levels, condition_dim)
        self.stack = stack
        self.ups = nn.ModuleList(
            Up(stack, level, finer, finer.channels) for level, finer in pairwise(stack.resolutions)
        )

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        *coarser, finest = self.stack.apart(z)
        features = self.stemmed(finest, condition)
        above: Tensor | None = None
        for up, places in zip(self.ups, coarser, strict=True):
            above = up(places, above)
        if above is not None:
            features = features + above
        picture: Tensor = self.layers(features) + self.bias
        return picture.reshape(z.shape[0], *self.parameter_shape)


class MapTransition(nn.Module):
    """The term added to the next finer map before quantization, (rows, places * numbers)."""

    def __init__(self, stack: MapStack, level: Level, finer: Level) -> None:
        super().__init__()
        self.size = (*level.size, stack.numbers)
        self.up = Up(stack, level, finer, stack.numbers, QUIET)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        check_condition(condition, 0)
        return by_pixel(self.up(z.unflatten(1, self.size).permute(0, 3, 1, 2)))


class Up(nn.Module):
    """A map, (rows, numbers, height, width), to features of the size of the next finer one.

    Args:
        stack: sizes.
        level, finer: levels of the map and of the features.
        channels: channels of the features.
        scale: scale of the last weights.
    """

    def __init__(
        self, stack: MapStack, level: Level, finer: Level, channels: int, scale: float = 1.0
    ) -> None:
        super().__init__()
        options, taps = stack.options, kernel(level.size)
        factor = scale * gain(options.activation)
        self.stem = convolution(stack.numbers, level.channels, taps)
        self.layers = nn.Sequential(
            *options.blocks(level, stack.maps),
            ACTIVATIONS[options.activation](),
            Upsample(level, channels, finer.size, taps, factor),
        )

    def forward(self, places: Tensor, above: Tensor | None = None) -> Tensor:
        """The features of this map, plus those of the coarser maps if given."""
        features = self.stem(places)
        answer: Tensor = self.layers(features if above is None else features + above)
        return answer
