"""The base classes of networks, the two halves of an autoencoder.

::

    x (rows, *event) ──> Encoder ──> (rows, numbers)             parameters of the posterior
    z (rows, latent_dim) ──> Decoder ──> (rows, *parameter_shape)   parameters of the likelihood

Networks see rows only: callers fold the sample axis into the rows and unfold it afterwards. The
output for a row does not depend on other rows, so there is no batch normalization.

Default sizes follow from the data's shape.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from itertools import pairwise
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from lowerbound import parts
from lowerbound.errors import DataError, OptionError
from lowerbound.networks.initialization import linear
from lowerbound.registry import Registry

MAX_COARSE_SIDE = 8
MAX_CHANNELS = 256
MAX_VECTOR_TOKENS = 16


class Picture(NamedTuple):
    """An event seen as a picture."""

    channels: int
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


def as_picture(shape: tuple[int, ...]) -> Picture:
    """The shape as (channels, height, width).

    A vector is one pixel with a channel per feature; a matrix is a picture of one channel.

    Raises:
        DataError: more than three axes.
    """
    if len(shape) == 1:
        return Picture(shape[0], 1, 1)
    if len(shape) == 2:
        return Picture(1, *shape)
    if len(shape) == 3:
        return Picture(*shape)
    raise DataError(
        f"rows of shape {tuple(shape)} are neither vectors nor pictures; use the network 'mlp'"
    )


def hidden_widths(features: int) -> tuple[int, ...]:
    """Two hidden layers of 16 sqrt(features) in steps of 64, from 128 to 1024: 448 for 28x28."""
    return (_stepped(16 * math.sqrt(features), 64, 128, 1024),) * 2


class Level(NamedTuple):
    """One resolution of a convolutional network.

    Attributes:
        size: height and width of its maps.
        stride: step from the finer level (or from the picture) down to this one, per axis.
        channels: of its maps.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    channels: int


def pyramid(size: tuple[int, int], channels: int | None = None) -> tuple[Level, ...]:
    """The levels of a picture of that height and width, finest first.

    Every axis longer than 8 is halved (rounding up) from level to level. The first level already
    has half the resolution, because full resolution costs the most. Its default is 32 channels (128
    for a single pixel), and each further level has twice as many, up to 256.
    """
    sizes = [size]
    while max(sizes[-1]) > MAX_COARSE_SIDE:
        sizes.append((_halved(sizes[-1][0]), _halved(sizes[-1][1])))
    if len(sizes) == 1:
        sizes.append(size)
    first = channels if channels is not None else 128 if max(size) == 1 else 32
    return _levels(sizes, first)


def reductions(
    size: tuple[int, int], stride: int, channels: int | None = None
) -> tuple[Level, ...]:
    """The levels down to a map ``stride`` times smaller than the picture, finest first.

    Every axis is halved (rounding up) from level to level. Channels are those of ``pyramid``.

    Raises:
        OptionError: the stride is not a power of two.
    """
    if stride < 1 or stride & (stride - 1):
        raise OptionError(f"stride is 1, 2, 4, 8, ..., not {stride}")
    sizes = [size]
    for _ in range(stride.bit_length() - 1):
        sizes.append((math.ceil(sizes[-1][0] / 2), math.ceil(sizes[-1][1] / 2)))
    if len(sizes) == 1:
        sizes.append(size)
    return _levels(sizes, 32 if channels is None else channels)


def halved(level: Level) -> Level:
    """The next coarser level, with twice as many channels, up to 256."""
    size = (math.ceil(level.size[0] / 2), math.ceil(level.size[1] / 2))
    stride = (_step(level.size[0], size[0]), _step(level.size[1], size[1]))
    return Level(size, stride, _doubled(level.channels, 1))


def kernel(size: tuple[int, int]) -> tuple[int, int]:
    """Three per axis; one along an axis of a single pixel, where more would see only padding."""
    return (3 if size[0] > 1 else 1, 3 if size[1] > 1 else 1)


def patch_side(side: int) -> int:
    """Side of a patch of a picture whose longer side is ``side``: 4 to 8 patches along it.

    Few wide tokens are better than many narrow ones: after 200 updates on MNIST, the bound with 16
    tokens of 128 numbers is 12 nats above 49 tokens of 64, in .8 of the time.
    """
    return max(min(math.ceil(side / 4), 8), math.ceil(side / 8))


def token_width(features: int, multiple: int = 1) -> int:
    """Numbers per token: 3 sqrt(features) in steps of 32, from 64 to 128; 96 for 28x28."""
    width = _stepped(3 * math.sqrt(features), 32, 64, 128)
    return multiple * math.ceil(width / multiple)


def attention_heads(width: int) -> int:
    """One head per 32 numbers, or the nearest lower count that divides the width."""
    return next(heads for heads in range(max(width // 32, 1), 0, -1) if width % heads == 0)


def _levels(sizes: list[tuple[int, int]], first: int) -> tuple[Level, ...]:
    """A level for each size except the first, which is that of the picture."""
    return tuple(
        Level(
            coarse, (_step(fine[0], coarse[0]), _step(fine[1], coarse[1])), _doubled(first, level)
        )
        for level, (fine, coarse) in enumerate(pairwise(sizes))
    )


def _halved(side: int) -> int:
    return math.ceil(side / 2) if side > MAX_COARSE_SIDE else side


def _step(fine: int, coarse: int) -> int:
    return 1 if coarse == fine else 2


def _doubled(first: int, times: int) -> int:
    return max(first, min(first << times, MAX_CHANNELS))


def _stepped(value: float, step: int, least: int, most: int) -> int:
    return min(max(step * math.ceil(value / step), least), most)


class Encoder(nn.Module, ABC):
    """x, (rows, *event), and an optional condition, (rows, condition_dim), to (rows, numbers).

    The last linear layer holds the heads side by side: a diagonal Gaussian posterior takes
    ``numbers = 2 * latent_dim``, the mean and the raw log-variance of each latent coordinate.

    Attributes:
        large_batches: whether it is so small that larger batches hardly take more time.
    """

    large_batches: ClassVar[bool] = False
    condition_dim: int

    @property
    def output_layer(self) -> nn.Linear | nn.Conv2d | None:
        """The layer of the heads; without its weights the output is its bias. None: there is no
        such layer."""
        return None

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The parameters of the posterior, (rows, numbers)."""


class Decoder(nn.Module, ABC):
    """z, (rows, latent_dim), and an optional condition to (rows, *parameter_shape)."""

    condition_dim: int
    parameter_shape: tuple[int, ...]

    @abstractmethod
    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The parameters of the likelihood, (rows, *parameter_shape)."""

    @property
    def output_layer(self) -> nn.Linear | nn.Conv2d | None:
        """The last layer; without its weights the output is ``output_bias``. None: there is no such
        layer."""
        return None

    @property
    @abstractmethod
    def output_bias(self) -> nn.Parameter:
        """The bias of the output, one number per parameter, in the order of ``parameter_shape``."""

    @torch.no_grad()
    def set_output_bias(self, bias: Tensor) -> None:
        """Set the output bias, (*parameter_shape), to the marginals from the likelihood.

        Raises:
            ValueError: the shape is not ``parameter_shape``.
        """
        if tuple(bias.shape) != self.parameter_shape:
            raise ValueError(
                f"the output bias has shape {self.parameter_shape}, not {tuple(bias.shape)}"
            )
        self.output_bias.copy_(bias.reshape(self.output_bias.shape))


class Network(ABC):
    """Options of one family of networks; builds the two halves for any event shape.

    A subclass is a frozen dataclass. Default sizes follow from the data's shape.

    Attributes:
        reads_mask: whether the encoder takes values and their mask.
        full_posterior: whether the encoder supports only a Gaussian with full covariance.
        only_maps: whether the latent can only be a map.
        default_posterior: the posterior unless one is given.
    """

    reads_mask: ClassVar[bool] = False
    full_posterior: ClassVar[bool] = False
    only_maps: ClassVar[bool] = False
    default_posterior: ClassVar[str] = "gaussian"

    @abstractmethod
    def encoder(
        self, event_shape: tuple[int, ...], numbers: int, condition_dim: int = 0
    ) -> Encoder:
        """An encoder from rows of ``event_shape`` to ``numbers`` parameters of the posterior."""

    @abstractmethod
    def decoder(
        self, latent_dim: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> Decoder:
        """A decoder from ``latent_dim`` coordinates to parameters of shape ``parameter_shape``."""

    @property
    def map_stride(self) -> int | None:
        """The stride of the latent map if the network's options decide it; None: they do not."""
        return None

    def map_size(self, event_shape: tuple[int, ...], stride: int) -> tuple[int, int]:
        """Height and width of a latent map ``stride`` times smaller than the picture.

        Raises:
            OptionError: this network has no latent maps, or not of that stride.
        """
        raise self._no_maps()

    def map_encoder(
        self, event_shape: tuple[int, ...], stride: int, numbers: int, condition_dim: int = 0
    ) -> Encoder:
        """The encoder to a map, (rows, places * numbers), place after place."""
        raise self._no_maps()

    def map_decoder(
        self, stride: int, numbers: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> Decoder:
        """The decoder from such a map, with ``numbers`` at each place."""
        raise self._no_maps()

    def _no_maps(self) -> OptionError:
        name = next((name for name in NETWORKS if NETWORKS[name] is type(self)), "")
        able = [n for n in NETWORKS if NETWORKS[n].map_size is not Network.map_size]
        return OptionError(
            f"the network {name!r} has no latent maps: take one of {', '.join(able)}, or leave "
            "model.stride out"
        )


NETWORKS: Registry[type[Network]] = parts.NETWORKS


class Conditioned(nn.Module):
    """A network that adds a linear map of its condition to its first features.

    Weight files call the map ``told``.
    """

    condition_dim: int
    told: nn.Module | None

    def start_condition(self, condition_dim: int, width: int, *, bias: bool = False) -> None:
        """Make the map from a condition to ``width`` channels; no map if there is no condition."""
        self.condition_dim = condition_dim
        self.told = linear(condition_dim, width, bias=bias) if condition_dim else None

    def conditioned(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """Features (rows, channels, height, width) or (rows, places, channels) plus that map."""
        if self.told is None or condition is None:
            return features
        shift: Tensor = self.told(condition.to(features.dtype))
        return features + (shift[:, :, None, None] if features.dim() == 4 else shift.unsqueeze(1))


def check_condition(condition: Tensor | None, condition_dim: int) -> None:
    """Raise DataError if a condition is missing, or given to a network built without one."""
    given = 0 if condition is None else condition.shape[-1]
    if given != condition_dim:
        raise DataError(
            f"this network was built for a condition of {condition_dim} numbers per row, "
            f"and was given {given}"
        )


def beside(features: Tensor, condition: Tensor | None, condition_dim: int) -> Tensor:
    """``features``, (rows, width), with the condition beside them if there is one."""
    check_condition(condition, condition_dim)
    if condition is None:
        return features
    return torch.cat((features, condition.to(features.dtype)), 1)
