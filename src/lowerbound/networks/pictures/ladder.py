"""The networks of a ladder: a bottom-up path from the data and a shared top-down path.

::

    x ─stem─> features of each resolution, finest to coarsest         BottomUp
    start ─rung─rung─up─rung─rung─up─ ... ─(style)─out─> numbers of p(x | z)  TopDown

A rung maps the state of the top-down path to the heads of a latent's prior. With the features of
its resolution, it also gives the posterior relative to that prior. Every branch that is added to
the state starts small, so that hundreds of rungs train from the first update (Child 2021). A vector
is one pixel with a channel per feature, so the ladder with kernels of one is an MLP. A style is a
last latent that is equal for every pixel of the finest resolution. It can describe stroke or shade,
but hardly shape, so the latents above need not describe stroke or shade.

Sources: Sonderby et al. 2016 (the shared path); Vahdat & Kautz 2020 (posterior relative to prior);
Child 2021 (residual rungs); Karras et al. 2019 (style as numbers without a place).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lowerbound.networks.base import Conditioned, Level, Picture, check_condition, kernel, pyramid
from lowerbound.networks.initialization import ACTIVATIONS, QUIET, convolution, gain, linear
from lowerbound.networks.pictures.convolutional import (
    Upsample,
    channels_last,
    residual_blocks,
)
from lowerbound.networks.pictures.patches import by_pixel


class Place(NamedTuple):
    """The place of a latent on the top-down path.

    Attributes:
        level: index of its resolution; 0 is the finest.
        channels: channels of the latent.
        everywhere: whether it has one pixel, which applies to all pixels of its resolution.
    """

    level: int
    channels: int
    everywhere: bool = False


@dataclass(frozen=True)
class LadderShape:
    """Sizes of a ladder.

    Attributes:
        picture: the data as (channels, height, width).
        levels: resolutions, finest first.
        latents: channels of the latents at each resolution, in the same order; each top down.
        depth: residual blocks after each latent, and per resolution of the bottom-up path.
        bottleneck: whether residual blocks are 1x1, kernel, 1x1.
        activation: name of the nonlinearity.
        condition_dim: numbers of the condition.
        style: numbers of a last latent that applies to the whole picture; 0: no such latent.
    """

    picture: Picture
    levels: tuple[Level, ...]
    latents: tuple[tuple[int, ...], ...]
    depth: int = 1
    bottleneck: bool = True
    activation: str = "silu"
    condition_dim: int = 0
    style: int = 0

    @property
    def places(self) -> tuple[Place, ...]:
        """The places of the latents, top down."""
        maps = [
            Place(level, channels)
            for level in reversed(range(len(self.levels)))
            for channels in self.latents[level]
        ]
        return (*maps, Place(0, self.style, everywhere=True)) if self.style else tuple(maps)

    @property
    def top_down(self) -> tuple[tuple[int, int, int], ...]:
        """Shape of each latent, (channels, height, width), top down."""
        return tuple(
            (place.channels, *((1, 1) if place.everywhere else self.levels[place.level].size))
            for place in self.places
        )


def resolutions(picture: Picture, width: int | None = None) -> tuple[Level, ...]:
    """The resolutions of a convolutional network, and a single pixel as the coarsest."""
    levels = pyramid(picture.size, width)
    coarsest = levels[-1]
    if coarsest.size == (1, 1):
        return levels
    return (*levels, Level((1, 1), coarsest.size, min(2 * coarsest.channels, 256)))


def spread_latents(count: int, levels: Sequence[Level], top: int) -> tuple[tuple[int, ...], ...]:
    """``count`` latents over the resolutions, the coarsest first: channels of each, finest first.

    The coarsest latents have ``top`` channels, and each finer resolution has half as many, at least
    two. If there is only one resolution, the lowest latent has ``top`` numbers, and each latent
    above it has half as many.
    """
    if len(levels) == 1:
        return (tuple(max(2, top >> above) for above in reversed(range(count))),)
    shares = [(count + place) // len(levels) for place in range(len(levels))]
    return tuple(
        (max(2, top >> (len(levels) - 1 - place)),) * share for place, share in enumerate(shares)
    )


class BottomUp(Conditioned):
    """x, (rows, *event), to features of each resolution, finest first."""

    def __init__(self, shape: LadderShape) -> None:
        super().__init__()
        self.shape = shape
        first, factor = shape.levels[0], gain(shape.activation)
        taps = kernel(shape.picture.size)
        self.stem = convolution(shape.picture.channels, first.channels, taps, first.stride)
        self.start_condition(shape.condition_dim, first.channels, bias=True)
        self.blocks = nn.ModuleList(_blocks(shape, level) for level in shape.levels)
        self.down = nn.ModuleList(
            Down(finer, level, shape.activation, factor) for finer, level in pairwise(shape.levels)
        )

    def forward(self, x: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        check_condition(condition, self.shape.condition_dim)
        features = self.stem(channels_last(x.reshape(x.shape[0], *self.shape.picture)))
        features = self.conditioned(features, condition)
        found = [self.blocks[0](features)]
        for down, blocks in zip(self.down, self.blocks[1:], strict=True):
            found.append(blocks(down(found[-1])))
        return found


class Down(nn.Module):
    """A step to the next coarser resolution; a single pixel depends on all finer pixels."""

    def __init__(self, finer: Level, level: Level, activation: str, factor: float) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]()
        self.whole = level.size == (1, 1) != finer.size
        self.layer: nn.Module
        if self.whole:
            inputs = math.prod(finer.size) * finer.channels
            self.layer = linear(inputs, level.channels, factor)
        else:
            taps = kernel(finer.size)
            self.layer = convolution(finer.channels, level.channels, taps, level.stride, factor)

    def forward(self, features: Tensor) -> Tensor:
        features = self.activation(features)
        if self.whole:
            features = by_pixel(features)
        coarser: Tensor = self.layer(features)
        return coarser[:, :, None, None] if self.whole else coarser


class Rung(nn.Module):
    """One latent on the top-down path.

    Args:
        shape: sizes of the ladder.
        place: place of the latent.
    """

    def __init__(self, shape: LadderShape, place: Place) -> None:
        super().__init__()
        self.latent, self.everywhere = place.channels, place.everywhere
        latent, level, total = place.channels, shape.levels[place.level], len(shape.places)
        width, taps = level.channels, kernel(level.size)
        scale = 1.0 / math.sqrt(total)  # the branches share the growth of the state
        self.scale = scale
        self.expect = _branch(width, 2 * latent + width, taps, shape.activation)
        self.see = convolution(width, width, (1, 1))
        self.propose = _branch(width, 2 * latent, taps, shape.activation)
        # training would first suppress a latent whose noise is large
        self.write = convolution(latent, width, (1, 1), gain=QUIET * scale)
        self.blocks = _blocks(shape, level, total)

    def prior(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Heads of the prior, (rows, 2 * latent, h, w), and the part of the state's change that
        does not depend on z.

        Those of a style are means over pixels, (rows, 2 * latent, 1, 1).
        """
        answer = self.expect(state)
        heads, gained = answer.split((2 * self.latent, state.shape[1]), 1)
        return self._pooled(heads), gained * self.scale

    def posterior(self, state: Tensor, features: Tensor) -> Tensor:
        """Heads of the posterior relative to the prior, of the same shape.

        ``features`` are those of the data's rows; ``state`` may have several samples of each row.
        """
        seen = self.see(features)
        rows, all_rows = seen.shape[0], state.shape[0]  # ``len`` would fix them in a graph
        if rows != all_rows:
            seen = seen.repeat(all_rows // rows, 1, 1, 1)
        return self._pooled(self.propose(state + seen))

    def forward(self, state: Tensor, gained: Tensor, z: Tensor) -> Tensor:
        """The state after the latent, (rows, width, h, w)."""
        answer: Tensor = self.blocks(state + gained + self.write(z))
        return answer

    def _pooled(self, heads: Tensor) -> Tensor:
        return heads.mean((2, 3), keepdim=True) if self.everywhere else heads


class TopDown(Conditioned):
    """The top-down path: a start, rungs, steps to finer resolutions, and the output."""

    def __init__(self, shape: LadderShape, parameter_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.parameter_shape = tuple(parameter_shape)
        top, factor = shape.levels[-1], gain(shape.activation)
        self.start = nn.Parameter(torch.zeros(1, top.channels, *top.size))
        self.start_condition(shape.condition_dim, top.channels, bias=True)
        self.rungs = nn.ModuleList(Rung(shape, place) for place in shape.places)
        self.up = nn.ModuleList(
            nn.Sequential(
                ACTIVATIONS[shape.activation](),
                Upsample(level, finer.channels, finer.size, (1, 1), factor),
            )
            for level, finer in pairwise(reversed(shape.levels))
        )
        finest, owed = shape.levels[0], _owed(shape.picture, parameter_shape)
        taps = kernel(finest.size)
        self.out = nn.Sequential(
            _blocks(shape, finest, len(shape.places)),
            ACTIVATIONS[shape.activation](),
            Upsample(finest, owed, shape.picture.size, taps, factor * QUIET, bias=False),
        )
        self.bias = nn.Parameter(torch.zeros(owed, *shape.picture.size))

    def begin(self, rows: int, condition: Tensor | None = None) -> Tensor:
        """The initial state, (rows, channels, 1, 1)."""
        check_condition(condition, self.shape.condition_dim)
        state = self.start.expand(rows, -1, -1, -1)
        state = self.conditioned(state, condition)
        return state

    def plan(self) -> list[tuple[int, Rung | None]]:
        """The order, top down: (index of the resolution, rung); None: a step to a finer one."""
        steps: list[tuple[int, Rung | None]] = []
        level = len(self.shape.levels) - 1
        for place, rung in zip(self.shape.places, self.rungs, strict=True):
            assert isinstance(rung, Rung)
            steps += [(finer, None) for finer in reversed(range(place.level, level))]
            steps.append((place.level, rung))
            level = place.level
        return steps + [(finer, None) for finer in reversed(range(level))]

    def finer(self, state: Tensor, place: int) -> Tensor:
        """The state at the resolution ``place`` from that of the next coarser one."""
        answer: Tensor = self.up[len(self.shape.levels) - 2 - place](state)
        return answer

    def finish(self, state: Tensor) -> Tensor:
        """The parameters of the likelihood, (rows, *parameter_shape)."""
        numbers: Tensor = self.out(state) + self.bias
        return numbers.reshape(state.shape[0], *self.parameter_shape)

    @torch.no_grad()
    def set_output_bias(self, bias: Tensor) -> None:
        """Set the output bias, (*parameter_shape), to the marginals from the likelihood."""
        self.bias.copy_(bias.reshape(self.bias.shape))


def _blocks(shape: LadderShape, level: Level, total: int | None = None) -> nn.Sequential:
    """Residual blocks at a resolution; the path has ``total`` such groups."""
    groups = len(shape.levels) if total is None else total
    taps, depth = kernel(level.size), shape.depth
    return nn.Sequential(
        *residual_blocks(
            depth, level.channels, taps, shape.activation, shape.bottleneck, depth * groups
        )
    )


def _branch(width: int, outputs: int, taps: tuple[int, int], activation: str) -> nn.Sequential:
    """Activation, convolution, activation, convolution whose output starts small."""
    factor, inner = gain(activation), max(width // 2, 1)
    return nn.Sequential(
        ACTIVATIONS[activation](),
        convolution(width, inner, taps, gain=factor),
        ACTIVATIONS[activation](),
        convolution(inner, outputs, (1, 1), gain=QUIET * factor),
    )


def _owed(picture: Picture, parameter_shape: tuple[int, ...]) -> int:
    return math.prod(parameter_shape) // math.prod(picture.size)
