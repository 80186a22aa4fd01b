"""Default sizes of networks, from the data's shape."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from lowerbound.errors import DataError, OptionError

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
