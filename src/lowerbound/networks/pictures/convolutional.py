"""Residual convolutional networks for pictures of any size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from lowerbound.config import option
from lowerbound.errors import OptionError
from lowerbound.networks.activations import ACTIVATIONS, gain
from lowerbound.networks.base import (
    NETWORKS,
    Conditioned,
    Decoder,
    Encoder,
    Network,
    beside,
    check_condition,
)
from lowerbound.networks.initialization import QUIET, convolution, linear
from lowerbound.networks.pictures.resampling import Upsample, by_pixel, channels_last
from lowerbound.networks.pictures.residual import residual_blocks
from lowerbound.networks.sizes import Level, Picture, as_picture, kernel, pyramid, reductions


@NETWORKS.register("convolutional")
@dataclass(frozen=True)
class Convolutional(Network):
    """Strided convolutions with residual blocks between them; the decoder mirrors the encoder.

    ::

        picture ─stem─> level 0 ─blocks─down─> level 1 ─blocks─ ... ─> heads
        picture <─out── level 0 <─blocks──up── level 1 <─blocks─ ... <─ latent

    Each level halves the sides longer than 8, rounding up, and doubles the channels; the decoder
    crops back to the exact size. A vector is one pixel with a channel per feature. Both halves
    together take 9 million operations for a gray picture of 28x28, 80 million for 3x64x64.
    """

    width: int | None = option(
        None, "channels of the finest level; sized from the data unless given"
    )
    depth: int = option(1, "residual blocks per level; the levels are sized from the data")
    bottleneck: bool = option(True, "residual blocks of 1x1, 3x3, 1x1 convolutions, cheaper")
    activation: str = option("silu", "nonlinearity: " + ", ".join(ACTIVATIONS))

    def __post_init__(self) -> None:
        ACTIVATIONS[self.activation]
        if self.width is not None and self.width < 1:
            raise OptionError(f"width is a positive number of channels, not {self.width}")
        if self.depth < 0:
            raise OptionError(f"depth is a number of blocks, not {self.depth}")

    def encoder(
        self, event_shape: tuple[int, ...], numbers: int, condition_dim: int = 0
    ) -> ConvolutionalEncoder:
        picture = as_picture(event_shape)
        levels = pyramid(picture.size, self.width)
        return ConvolutionalEncoder(self, picture, levels, numbers, condition_dim)

    def decoder(
        self, latent_dim: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> ConvolutionalDecoder:
        levels = pyramid(as_picture(parameter_shape).size, self.width)
        return ConvolutionalDecoder(self, latent_dim, parameter_shape, levels, condition_dim)

    def map_size(self, event_shape: tuple[int, ...], stride: int) -> tuple[int, int]:
        return reductions(as_picture(event_shape).size, stride, self.width)[-1].size

    def map_encoder(
        self, event_shape: tuple[int, ...], stride: int, numbers: int, condition_dim: int = 0
    ) -> Encoder:
        from lowerbound.networks.pictures.feature_maps import MapEncoder

        levels = reductions(as_picture(event_shape).size, stride, self.width)
        return MapEncoder(self, event_shape, levels, numbers, condition_dim)

    def map_decoder(
        self, stride: int, numbers: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> Decoder:
        from lowerbound.networks.pictures.feature_maps import MapDecoder

        levels = reductions(as_picture(parameter_shape).size, stride, self.width)
        return MapDecoder(self, numbers, parameter_shape, levels, condition_dim)

    def blocks(self, level: Level, levels: int) -> list[nn.Module]:
        """The residual blocks of one of ``levels`` levels."""
        taps, total = kernel(level.size), self.depth * levels
        return residual_blocks(
            self.depth, level.channels, taps, self.activation, self.bottleneck, total
        )

    def descent(self, levels: tuple[Level, ...]) -> list[nn.Module]:
        """Layers from the finest level's maps to the activated maps of the coarsest level."""
        layers = self.blocks(levels[0], len(levels))
        for finer, level in pairwise(levels):
            layers.append(ACTIVATIONS[self.activation]())
            taps, factor = kernel(finer.size), gain(self.activation)
            layers.append(convolution(finer.channels, level.channels, taps, level.stride, factor))
            layers += self.blocks(level, len(levels))
        return [*layers, ACTIVATIONS[self.activation]()]

    def ascent(
        self, levels: tuple[Level, ...], picture: Picture, scale: float = 1.0
    ) -> list[nn.Module]:
        """Layers from the coarsest level's maps to a picture; the last weights times ``scale``."""
        factor = gain(self.activation)
        layers: list[nn.Module] = []
        for level, finer in pairwise(reversed(levels)):
            taps = (1, 1) if self.depth else kernel(level.size)
            layers += self.blocks(level, len(levels))
            layers.append(ACTIVATIONS[self.activation]())
            layers.append(Upsample(level, finer.channels, finer.size, taps, factor))
        finest = levels[0]
        taps, factor = kernel(finest.size), scale * factor
        layers += self.blocks(finest, len(levels))
        layers.append(ACTIVATIONS[self.activation]())
        layers.append(Upsample(finest, picture.channels, picture.size, taps, factor, bias=False))
        return layers


class ConvolutionalEncoder(Conditioned, Encoder):
    """Picture to numbers; the condition is a bias on the channels of the finest level."""

    def __init__(
        self,
        options: Convolutional,
        picture: Picture,
        levels: tuple[Level, ...],
        numbers: int,
        condition_dim: int,
    ) -> None:
        super().__init__()
        self.picture = picture
        factor = gain(options.activation)
        first, last = levels[0], levels[-1]
        self.stem = convolution(
            picture.channels, first.channels, kernel(picture.size), first.stride
        )
        self.start_condition(condition_dim, first.channels)
        self.layers = nn.Sequential(*options.descent(levels))
        self.heads = linear(math.prod(last.size) * last.channels, numbers, QUIET * factor)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        check_condition(condition, self.condition_dim)
        features = self.stem(channels_last(x.reshape(x.shape[0], *self.picture)))
        features = self.conditioned(features, condition)
        numbers: Tensor = self.heads(by_pixel(self.layers(features)))
        return numbers

    @property
    def output_layer(self) -> nn.Linear:
        return self.heads


class ConvolutionalDecoder(Decoder):
    """Latent to picture; the condition is concatenated to the latent."""

    def __init__(
        self,
        options: Convolutional,
        latent_dim: int,
        parameter_shape: tuple[int, ...],
        levels: tuple[Level, ...],
        condition_dim: int,
    ) -> None:
        super().__init__()
        self.parameter_shape = tuple(parameter_shape)
        self.condition_dim = condition_dim
        self.coarsest = levels[-1]
        picture = as_picture(parameter_shape)
        features = math.prod(self.coarsest.size) * self.coarsest.channels
        self.start = linear(latent_dim + condition_dim, features, QUIET)
        self.layers = nn.Sequential(*options.ascent(levels, picture))
        self.bias = nn.Parameter(torch.zeros(picture))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        features = self.start(beside(z, condition, self.condition_dim))
        maps: Tensor = features.unflatten(1, (*self.coarsest.size, self.coarsest.channels))
        picture: Tensor = self.layers(maps.permute(0, 3, 1, 2)) + self.bias
        return picture.reshape(z.shape[0], *self.parameter_shape)

    @property
    def output_layer(self) -> nn.Conv2d:
        up = self.layers[-1]
        assert isinstance(up, Upsample)
        return up.layer

    @property
    def output_bias(self) -> nn.Parameter:
        return self.bias
