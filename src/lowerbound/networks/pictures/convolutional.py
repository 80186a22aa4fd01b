"""Convolutional networks for pictures of any size, of residual blocks without normalization.

Steps between levels choose the memory layout of the maps. Classifiers of pictures have strided
convolutions down to a few places. Other networks make a smaller map of vectors, one for each place:

::

    picture ─stem─> level 0 ─blocks─down─> level 1 ─blocks─> (height, width, numbers)
    picture <─out── level 0 <─blocks──up── level 1 <─blocks─ (height, width, numbers)

There no layer joins all places, so each vector describes its neighborhood. If the decoder of a map
has an additional linear path, its own last weights start at zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.config import option
from lowerbound.errors import OptionError
from lowerbound.networks.base import (
    MAX_CHANNELS,
    NETWORKS,
    Conditioned,
    Decoder,
    Encoder,
    Level,
    Network,
    Picture,
    as_picture,
    beside,
    check_condition,
    kernel,
    pyramid,
    reductions,
)
from lowerbound.networks.initialization import ACTIVATIONS, QUIET, convolution, gain, linear
from lowerbound.networks.pictures.patches import (
    PatchEncoder,
    PatchSums,
    by_pixel,
    start_from_patches,
)

SMALL = 16  # side below which the first convolution has stride 1
COARSEST = 4  # side at which strided convolutions end, after at least two


class ResidualBlock(nn.Module):
    r"""h + W_2 f(W_1 f(h)), or with a bottleneck h + W_3 f(W_2 f(W_1 f(h))), (rows, width, h, w).

    There is no normalization; the last convolution starts smaller by ``scale``. With N blocks and
    scale 1/sqrt(N), the variance of the signal grows at most by a factor e (Child 2021).

    Args:
        width: channels in and out.
        kernel: of the spatial convolutions.
        activation: its name.
        inner: channels inside a bottleneck of 1x1, kernel, 1x1; None for two full convolutions.
        scale: of the last convolution's initial weights.
    """

    def __init__(
        self,
        width: int,
        kernel: tuple[int, int],
        activation: str,
        inner: int | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        kernels = [kernel, kernel] if inner is None else [(1, 1), kernel, (1, 1)]
        widths = [width, *[inner or width] * (len(kernels) - 1), width]
        layers: list[nn.Module] = []
        for index, size in enumerate(kernels):
            factor = gain(activation) * (scale if index == len(kernels) - 1 else 1.0)
            layers.append(ACTIVATIONS[activation]())
            layers.append(convolution(widths[index], widths[index + 1], size, gain=factor))
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        change: Tensor = self.layers(features)
        return features + change


def residual_blocks(
    count: int, width: int, kernel: tuple[int, int], activation: str, bottleneck: bool, total: int
) -> list[nn.Module]:
    """``count`` of the ``total`` residual blocks of a network."""
    inner = max(width // 2, 1) if bottleneck else None
    scale = 1.0 / math.sqrt(max(total, 1))
    return [ResidualBlock(width, kernel, activation, inner, scale) for _ in range(count)]


class Upsample(nn.Module):
    """Sub-pixel convolution that undoes ``level.stride``, cropped to the finer ``size``.

    Each phase of the stride has its own channels, which are then interleaved (Shi et al. 2016).
    Unlike a transposed convolution with overlap, it causes no checkerboard pattern, and a decoder
    takes .8 of the time in fp32 and .65 in bf16 (28x28, CPU).

    Args:
        level: level of the input maps.
        channels: channels of the finer maps.
        size: height and width of the finer maps.
        taps: kernel of the convolution; one by one if later layers combine neighbors.
        gain: compensates the activation before it.
        bias: False if a bias is added later.
    """

    def __init__(
        self,
        level: Level,
        channels: int,
        size: tuple[int, int],
        taps: tuple[int, int],
        gain: float = 1.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.size = size
        self.phases = (*level.stride, channels)
        self.layer = convolution(level.channels, math.prod(self.phases), taps, gain=gain, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        # rows, down, across, (down's phases, across's phases, channels)
        phases: Tensor = self.layer(features).permute(0, 2, 3, 1).unflatten(3, self.phases)
        finer = phases.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
        return finer[:, :, : self.size[0], : self.size[1]]


def channels_last(pictures: Tensor) -> Tensor:
    """The same (rows, channels, height, width), stored pixel by pixel: faster convolutions.

    Measured: .7 of the time in fp32 on CPU. ``contiguous(memory_format=...)`` has no effect for one
    channel, because both layouts then look equal, and convolutions use the slower one.
    """
    _, channels, height, width = pictures.shape
    pixels: Tensor = by_pixel(pictures).unflatten(1, (height, width, channels))
    return pixels.permute(0, 3, 1, 2)


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
        levels = reductions(as_picture(event_shape).size, stride, self.width)
        return MapEncoder(self, event_shape, levels, numbers, condition_dim)

    def map_decoder(
        self, stride: int, numbers: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> Decoder:
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


class MapEncoder(Conditioned, Encoder):
    """Picture to a map, its places one after the other, (rows, height * width * numbers).

    Args:
        options: depth, kind and activation of the residual blocks.
        event_shape: of the picture.
        levels: resolutions down to the map's, finest first.
        numbers: numbers of each place.
        condition_dim: numbers of the condition: a bias on the finest level's channels.
    """

    def __init__(
        self,
        options: Convolutional,
        event_shape: tuple[int, ...],
        levels: tuple[Level, ...],
        numbers: int,
        condition_dim: int = 0,
    ) -> None:
        super().__init__()
        self.picture = as_picture(event_shape)
        first, last = levels[0], levels[-1]
        taps = kernel(self.picture.size)
        self.stem = convolution(self.picture.channels, first.channels, taps, first.stride)
        self.start_condition(condition_dim, first.channels)
        layers = options.descent(levels)
        heads = convolution(last.channels, numbers, (1, 1), gain=QUIET * gain(options.activation))
        self.layers = nn.Sequential(*layers, heads)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return by_pixel(self.layers(self.stemmed(x, condition)))

    def stemmed(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Features of the finest level, (rows, channels, height, width)."""
        check_condition(condition, self.condition_dim)
        features: Tensor = self.stem(channels_last(x.reshape(x.shape[0], *self.picture)))
        features = self.conditioned(features, condition)
        return features


class MapDecoder(Conditioned, Decoder):
    """A map in the encoder's layout, (rows, height * width * numbers), to a picture.

    Args:
        options: depth, kind and activation of the residual blocks.
        numbers: of each place.
        parameter_shape: parameters of the likelihood.
        levels: resolutions down to the map's, finest first.
        condition_dim: numbers of the condition: a bias on the coarsest level's channels.
        event_shape, patch: shape of the picture, and the side of the patches of a linear path to
            its location, which are then the first parameters; 0: no linear path.
    """

    def __init__(
        self,
        options: Convolutional,
        numbers: int,
        parameter_shape: tuple[int, ...],
        levels: tuple[Level, ...],
        condition_dim: int = 0,
        event_shape: tuple[int, ...] = (),
        patch: int = 0,
    ) -> None:
        super().__init__()
        self.parameter_shape = tuple(parameter_shape)
        self.coarsest, self.numbers = levels[-1], numbers
        picture = as_picture(self.parameter_shape)
        coarse = self.coarsest.channels
        self.stem = convolution(numbers, coarse, kernel(self.coarsest.size))
        self.start_condition(condition_dim, coarse)
        self.layers = nn.Sequential(*options.ascent(levels, picture, 0.0 if patch else QUIET))
        self.linear = PatchSums(as_picture(event_shape), patch, numbers) if patch else None
        self.bias = nn.Parameter(torch.zeros(picture))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        places = z.unflatten(1, (*self.coarsest.size, self.numbers)).permute(0, 3, 1, 2)
        picture: Tensor = self.layers(self.stemmed(places, condition)) + self.bias
        if self.linear is not None:
            location = self.linear(places)
            owed_besides = picture.shape[1] - location.shape[1]
            picture = picture + F.pad(location, (0, 0, 0, 0, 0, owed_besides))
        return picture.reshape(z.shape[0], *self.parameter_shape)

    def stemmed(self, places: Tensor, condition: Tensor | None) -> Tensor:
        """Features of a map, (rows, numbers, height, width)."""
        check_condition(condition, self.condition_dim)
        features: Tensor = self.stem(places)
        features = self.conditioned(features, condition)
        return features

    @property
    def output_bias(self) -> nn.Parameter:
        return self.bias

    @torch.no_grad()
    def start_from_patches(self, encoder: PatchEncoder, x: Tensor) -> None:
        """Start an encoder from rows (rows, *event), and the linear path as its inverse."""
        assert self.linear is not None
        location = start_from_patches(encoder, self.linear, x)
        self.bias[: len(location)] = location
