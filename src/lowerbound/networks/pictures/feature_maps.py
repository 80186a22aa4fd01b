"""Convolutional networks between a picture and a smaller map of vectors, one for each place.

::

    picture ─stem─> level 0 ─blocks─down─> level 1 ─blocks─> (height, width, numbers)
    picture <─out── level 0 <─blocks──up── level 1 <─blocks─ (height, width, numbers)

Unlike in ``convolutional``, no layer joins all places, so each vector describes its neighborhood.
If the decoder has an additional linear path, its own last weights start at zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.networks.activations import gain
from lowerbound.networks.base import Conditioned, Decoder, Encoder, check_condition
from lowerbound.networks.initialization import QUIET, convolution
from lowerbound.networks.pictures.convolutional import Convolutional
from lowerbound.networks.pictures.patch_paths import PatchEncoder, PatchSums, start_from_patches
from lowerbound.networks.pictures.resampling import by_pixel, channels_last
from lowerbound.networks.sizes import Level, as_picture, kernel


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
