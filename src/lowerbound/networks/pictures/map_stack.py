r"""Convolutional networks between a picture and one or several maps of vectors, coarse to fine.

::

    picture ─stem─> level 0 ─blocks─down─> level 1 ─blocks─> (height, width, numbers)
    picture <─out── level 0 <─blocks──up── level 1 <─blocks─ (height, width, numbers)

No layer joins all places (unlike in ``convolutional``), so each vector describes its neighborhood.
Of several maps each is half as high and wide as the next; they lie side by side:

::

    picture ──> features ──down──> features       the encoder makes each map
                    │                  │
                fine map ·····     coarse map

    picture <── features <───up─── features       the decoder sees them all
                    │                  │
                fine map           coarse map

Between them a network predicts what the coarser map adds to the encoder's finer map.

Linear paths beside them are principal components of the picture's patches:

.. math:: z_i = W^T (x_i - m), \qquad \hat x_i = m + W z_i

with x_i the square patch of place i, W the leading eigenvectors of the patches' covariance, as
columns, and m their mean. The encoder's path is fixed, so codebooks learn from fixed vectors. The
decoder adds a network that starts at zero.

If the decoder has such an additional path, its own last weights start at zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.errors import OptionError
from lowerbound.networks.base import (
    Conditioned,
    Decoder,
    Encoder,
    Level,
    Picture,
    as_picture,
    check_condition,
    halved,
    kernel,
)
from lowerbound.networks.initialization import ACTIVATIONS, QUIET, convolution, gain
from lowerbound.networks.pictures.convolutional import (
    Convolutional,
    Upsample,
    by_pixel,
    channels_last,
)


class PatchEncoder(Encoder):
    """Picture to the principal components of its patches, (rows, places * numbers); not trained.

    Args:
        event_shape: of the picture.
        side: of a patch.
        numbers: of each place.
        condition_dim: numbers of the decoder's condition, which the encoder ignores.
    """

    def __init__(
        self, event_shape: tuple[int, ...], side: int, numbers: int, condition_dim: int = 0
    ) -> None:
        super().__init__()
        self.picture = as_picture(event_shape)
        _check(self.picture, side, numbers)
        self.condition_dim = condition_dim
        self.components = nn.Conv2d(self.picture.channels, numbers, side, side)
        for value in self.components.parameters():
            nn.init.zeros_(value).requires_grad_(False)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return by_pixel(self.components(x.reshape(x.shape[0], *self.picture)))


class PatchSums(nn.ConvTranspose2d):
    """Map to the location of a picture, the inverse of ``PatchEncoder``; zero until started.

    Args:
        picture: shape of the first channels of the likelihood's parameters.
        side: of a patch.
        numbers: of each place.
    """

    def __init__(self, picture: Picture, side: int, numbers: int) -> None:
        _check(picture, side, numbers)
        super().__init__(numbers, picture.channels, side, side, bias=False)
        nn.init.zeros_(self.weight)


@torch.no_grad()
def start_from_patches(encoder: PatchEncoder, up: PatchSums, x: Tensor) -> Tensor:
    """Set both to the principal components of the patches of rows ``x``, (rows, *event).

    Returns:
        The mean patch side by side, (C, H, W), which a decoder adds to the output of ``up``.
    """
    down = encoder.components
    side, numbers = down.kernel_size[0], down.out_channels
    channels, height, width = encoder.picture
    pictures = x.double().reshape(x.shape[0], *encoder.picture)
    patches = pictures.unfold(2, side, side).unfold(3, side, side)
    flat = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels * side * side)
    mean = flat.mean(0)
    centered = flat - mean
    _, vectors = torch.linalg.eigh(centered.T @ centered)
    leading = vectors.flip(1)[:, :numbers].T
    assert down.bias is not None
    down.bias.copy_(-(leading @ mean))
    for weight in (down.weight, up.weight):
        weight.copy_(leading.reshape(numbers, channels, side, side))
    patch = mean.reshape(channels, side, side)
    return patch.repeat(1, height // side, width // side).to(x.dtype)


def _check(picture: Picture, side: int, numbers: int) -> None:
    if picture.height % side or picture.width % side:
        raise OptionError(
            f"a linear path takes pictures whose sides are multiples of the stride {side}, and "
            f"these are {picture.height}x{picture.width}"
        )
    most = picture.channels * side * side
    if numbers > most:
        raise OptionError(
            f"a patch has {most} numbers, so a linear path gives at most as many, not {numbers}; "
            "lower latent_dim"
        )


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
