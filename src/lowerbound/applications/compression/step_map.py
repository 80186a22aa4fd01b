r"""The step of each block of a tile: chosen by what the encoder aims at, coded as a map.

.. math:: \text{level}(b) = \min(\max(\text{level} + u (m(b) - 4), 0), 112), \quad 0 \le m(b) \le 8

The map m of whole numbers is range-coded before the coefficients, block by block, row by row. A
block's number is predicted from its left and upper neighbor, and the difference is coded under
counts that adapt to the map. The counts are whole numbers, and each probability is one division of
them, so every machine computes the same.

An encoder aims at the least squared error, or at the most structural similarity:

::

    tune     step of a block                              distortion of a coefficient
    psnr     the picture's                                1
    ssim     times (W(b) / mean W)^(-.4), half octaves    (W(b) / mean W)^.8 (W(k, b) / W(b))^.3
                                                          times (step / the picture's step)^2

The weights W(k, b) are what an error in coefficient k of block b costs in MS-SSIM, to second order,
and means are geometric. The powers below 1 were chosen on training photographs: at 1 squared errors
grow and similarity gains nothing. Levels above the coarsest keep the coarsest step and weigh the
distortion less, so any rate can be reached. An error e that does not depend on the picture lowers
the contrast term of scale j by about

.. math:: 1 - c_j \approx \frac{\sigma_e^2}{\sigma_x^2 + C_2},

so an error of 1 in coefficient k of block b costs

.. math:: W(k, b) = \sum_j w_j \sum_c E_j(k, c) \, V_j(c, b) + w_5 \sum_c M(k, c) \, L(c, b).

E_j is the local variance of the coefficient's basis picture at scale j, and V_j the mean of
1 / (sigma_x^2 + C_2) over the block. M and L are the same of local means and luminance at the last
scale. Errors in flat and weakly textured blocks weigh more, and errors in fine detail weigh less.

The size of a picture's file is estimated before it is encoded, to find the level of a requested
size:

.. math:: \text{bits} \approx 3 \sum \tfrac{1}{2} \log_2 (1 + y^2 / \Delta^2)

over all coefficients y. Beyond the coarsest step the size falls by about 2 % a level. The factors
are those of the codec in the package; ``level_for`` corrects them by the files that it tries.

Sources: Wang, Simoncelli & Bovik 2003 (MS-SSIM); Wang, Rehman, Zeng & Wang 2012 (quantization for
SSIM); Chen et al. 2020 (block weights in video encoders for SSIM).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.applications.compression.stack import constriction
from lowerbound.data.arrays import Array
from lowerbound.data.pictures.pixels import in_units
from lowerbound.errors import BitstreamError, OptionError
from lowerbound.models.transform import (
    FINEST,
    GREYS,
    MIDDLE as MIDDLE_GREY,
    PER_OCTAVE,
    STEPS,
    TransformCoder,
)
from lowerbound.networks.block_transform import BlockTransform
from lowerbound.objectives.features import C1, C2, WEIGHTS, local_mean

MIDDLE = 4  # entry of a block with the picture's own step
ENTRIES = 2 * MIDDLE + 1
DIFFERENCES = 2 * ENTRIES - 1
CONTEXTS = 3  # distances of the left and the upper neighbor: 0, 1, more
FIRST_COUNTS = {0: 16, -1: 4, 1: 4}  # of differences; 1 for any other
GAIN = 16  # added to the count of a difference when it occurs
SCALES = len(WEIGHTS)
COARSEST_PIXEL = 2 ** (SCALES - 1)  # side of a pixel of the last scale
LEAST = 1e-9  # energy, so that logarithms are finite
SQUARE = 5  # pixels; its deviation is 1.4, and the window's is 1.5
MARGIN = 10  # zeros around a basis picture: twice the reach of the window of MS-SSIM
TUNES = ("ssim", "psnr")
COARSEST = STEPS - 1  # level of the step; 0 is the finest
BEYOND = 4 * PER_OCTAVE  # levels above the coarsest step
LAST = COARSEST + BEYOND  # the level with the fewest bytes
UNIT = PER_OCTAVE // 2  # levels per entry of the map of steps
BLOCK_POWER, COEFFICIENT_POWER = 0.8, 0.3  # of W(b) and W(k, b) in a distortion
LARGEST_FACTOR = 8.0  # of distortion
FACTOR = 3.0  # of the estimated size
FALL = 0.02  # of the logarithm of the size, per level beyond the coarsest
MOST_BLOCKS = 4096  # that are looked at
LEAST_SHARE = 1e-9  # of a byte, for the logarithm of an empty picture's size
STRIPE = 64  # rows of blocks that are transformed at once


def levels_of(entries: Tensor, level: int, unit: int) -> Tensor:
    """The level of each block's step, int64.

    Args:
        entries: the map, 0 to 8.
        level: the picture's own level.
        unit: u, levels per entry.
    """
    return (level + unit * (entries.long() - MIDDLE)).clamp(0, STEPS - 1)


def put_map(coder: Any, entries: Array) -> None:
    """Encode a map (height, width) of entries."""
    counts = _Counts()

    def code(context: int, predicted: int, row: int, column: int) -> int:
        entry = int(entries[row, column])
        symbol = entry - predicted + ENTRIES - 1
        coder.encode(symbol, counts.model(context))
        counts.see(context, symbol)
        return entry

    _walk(entries.shape, code)


def take_map(coder: Any, height: int, width: int) -> Array:
    """Decode the map that ``put_map`` encoded, (height, width) int32.

    Raises:
        BitstreamError: an entry is out of range.
    """
    counts = _Counts()

    def code(context: int, predicted: int, row: int, column: int) -> int:
        symbol = int(coder.decode(counts.model(context)))
        counts.see(context, symbol)
        entry = predicted + symbol - ENTRIES + 1
        if not 0 <= entry < ENTRIES:
            raise BitstreamError("the stream has an invalid map of steps")
        return entry

    return _walk((height, width), code)


def _walk(shape: tuple[int, ...], code: Any) -> Array:
    """The map from ``code(context, predicted, row, column)``, called for each block in order."""
    height, width = shape
    found = np.zeros((height, width), "<i4")
    for row in range(height):
        for column in range(width):
            left = int(found[row, column - 1]) if column else None
            above = int(found[row - 1, column]) if row else None
            known = [entry for entry in (left, above) if entry is not None] or [MIDDLE]
            context = min(abs(known[0] - known[-1]), CONTEXTS - 1)
            found[row, column] = code(context, sum(known) // len(known), row, column)
    return found


class _Counts:
    """Counts of differences by context, and the coder's distributions."""

    def __init__(self) -> None:
        first = [FIRST_COUNTS.get(at - ENTRIES + 1, 1) for at in range(DIFFERENCES)]
        self._counts = np.tile(np.array(first, np.float64), (CONTEXTS, 1))
        self._categorical = constriction().stream.model.Categorical

    def model(self, context: int) -> Any:
        counts = self._counts[context]
        return self._categorical(counts / counts.sum(), perfect=False)

    def see(self, context: int, symbol: int) -> None:
        self._counts[context, symbol] += GAIN


@lru_cache(maxsize=2)
@torch.no_grad()
def energies(transform: BlockTransform) -> Tensor:
    """E_1 to E_5 and M of each coefficient in each color, (coefficients, 6, colors)."""
    side = -(-transform.block // COARSEST_PIXEL) * COARSEST_PIXEL
    missing = side - transform.block
    pictures = F.pad(transform.basis, (0, missing, 0, missing))
    found = []
    for scale in range(SCALES):
        framed = F.pad(pictures, (MARGIN,) * 4).flatten(0, 1)[:, None]
        mean = local_mean(framed)
        variance = local_mean(framed.square()) - mean.square()
        found.append(variance.sum((1, 2, 3)) * 4.0**scale)
        if scale < SCALES - 1:
            pictures = F.avg_pool2d(pictures, 2)
    found.append(mean.square().sum((1, 2, 3)) * 4.0**scale)
    whole = torch.stack(found).unflatten(1, transform.basis.shape[:2]).movedim(0, 1)
    bounded: Tensor = whole.clamp_min(LEAST)
    return bounded


def sensitivity(x: Tensor, blocks: tuple[int, int]) -> Tensor:
    """V_1 to V_5 and L of each block, (1, 6, colors, *blocks).

    Args:
        x: one picture in grey values from 0 to 255, padded to whole blocks, (1, colors, h, w).
        blocks: height and width of the map of blocks.
    """
    found = []
    for scale in range(SCALES):
        mean = _smooth(x)
        variance = (_smooth(x.square()) - mean.square()).clamp_min(0)
        found.append(F.adaptive_avg_pool2d(1 / (variance + C2), blocks))
        if scale < SCALES - 1 and min(x.shape[2:]) > 1:
            x = F.avg_pool2d(x, 2)
    found.append(F.adaptive_avg_pool2d(1 / (2 * mean.square() + C1), blocks))
    return torch.stack(found, 1)


def _smooth(x: Tensor) -> Tensor:
    """Local means over squares about as wide as the window of MS-SSIM, at every second place."""
    return F.avg_pool2d(x, SQUARE, stride=2, padding=SQUARE // 2, count_include_pad=False)


@dataclass(frozen=True)
class Weights:
    """Logarithms of W.

    Attributes:
        of_blocks: mean over coefficients, (1, 1, *blocks).
        of_coefficients: what remains, (1, coefficients, *blocks).
    """

    of_blocks: Tensor
    of_coefficients: Tensor


def weights_of(energy: Tensor, sensitive: Tensor) -> Weights:
    """W from ``energies`` and from ``sensitivity`` of a picture or of a part of it."""
    factors = torch.tensor([*WEIGHTS, WEIGHTS[-1]])[None, :, None]
    whole = torch.einsum("kjc,njchw->nkhw", energy * factors, sensitive).log()
    mean = whole.mean(1, keepdim=True)
    return Weights(mean, whole - mean)


@dataclass(frozen=True)
class TilePlan:
    """How a tile is encoded.

    Attributes:
        level: of the step, (1,), or of each block's, (1, *blocks).
        entries: the map of steps, *blocks; None: the file has none.
        worth: factors of the distortion, (1, coefficients, *blocks); None: 1.
    """

    level: Tensor
    entries: Tensor | None = None
    worth: Tensor | None = None


def check_tune(tune: str) -> None:
    """Raise OptionError if there is no such tune."""
    if tune not in TUNES:
        raise OptionError(f"tune is one of {', '.join(TUNES)}, not {tune}")


def tile_plans(
    model: TransformCoder, tiles: Callable[[], Iterable[Tensor]], tune: str, level: int
) -> Iterator[TilePlan]:
    """The plans of all tiles of one picture, one by one, because each needs much memory.

    Args:
        model: exported.
        tiles: gives the parts of the picture, (1, channels, height, width) each, model units.
        tune: "ssim" or "psnr".
        level: 0 to ``LAST``.
    """
    if tune == "psnr":
        yield from (_by_error(model, tile, level) for tile in tiles())
        return
    energy, sensitive = energies(model.transform), [_sensitivity(model, tile) for tile in tiles()]
    if len(sensitive) == 1:  # its weights fit into memory
        weights = weights_of(energy, sensitive[0])
        yield _by_similarity(weights, weights.of_blocks.mean(), level)
        return
    of_blocks = [weights_of(energy, one).of_blocks.flatten() for one in sensitive]
    mean = torch.cat(of_blocks).mean()
    yield from (_by_similarity(weights_of(energy, one), mean, level) for one in sensitive)


def _sensitivity(model: TransformCoder, tile: Tensor) -> Tensor:
    grey = model.padded(tile).add_(MIDDLE_GREY).clamp_(0, GREYS)
    blocks = (grey.shape[2] // model.transform.block, grey.shape[3] // model.transform.block)
    return sensitivity(grey, blocks)


def _by_error(model: TransformCoder, tile: Tensor, level: int) -> TilePlan:
    plan = TilePlan(torch.tensor([min(level, COARSEST)]))
    if level <= COARSEST:
        return plan
    known = model.begin(plan.level, tile.shape[2:])
    factor = _squared_ratio(torch.tensor(float(COARSEST)), level)
    worth = factor.expand(1, len(model.transform.basis), *known.blocks)
    return TilePlan(plan.level, worth=worth)


def _by_similarity(weights: Weights, mean: Tensor, level: int) -> TilePlan:
    """The plan of a tile.

    Args:
        weights: of the tile.
        mean: of the logarithms of the weights of the picture's blocks.
        level: the picture's own.
    """
    of_blocks = BLOCK_POWER * (weights.of_blocks - mean)
    beyond = max(0, level - COARSEST)
    wanted = beyond - PER_OCTAVE * 0.5 / math.log(2) * of_blocks[0, 0]
    most = MIDDLE - (level - beyond - COARSEST) // UNIT  # no coarser step differs from that one
    entries = (MIDDLE + torch.round(wanted / UNIT)).clamp(0, min(most, ENTRIES - 1)).long()
    levels = levels_of(entries, level - beyond, UNIT)
    factors = (of_blocks + COEFFICIENT_POWER * weights.of_coefficients).exp()
    ratio = _squared_ratio(levels.float(), level)
    return TilePlan(levels[None], entries, (factors * ratio).clamp_max(LARGEST_FACTOR))


def _squared_ratio(levels: Tensor, level: int) -> Tensor:
    """(step of the levels / step of the level) squared."""
    return 2.0 ** (2 * (levels - level) / PER_OCTAVE)


def estimated_size(model: TransformCoder, x: Tensor) -> Callable[[int], float]:
    """The logarithm of the expected bytes by level, which falls with the level.

    Args:
        model: exported.
        x: one picture, (1, channels, height, width), model units or 8 bits; one channel: a grey
            one.
    """

    @cache
    def some_blocks() -> tuple[Tensor, float]:
        return _some_blocks(model, x)

    @cache
    def estimate(level: int) -> float:
        few, share = some_blocks()
        step = FINEST * 2.0 ** (min(level, COARSEST) / PER_OCTAVE)
        bits = FACTOR * share * float((few / step**2).log1p().sum()) / (2 * math.log(2))
        return math.log(bits / 8 + LEAST_SHARE) - FALL * max(0, level - COARSEST)

    return estimate


@torch.no_grad()
def _some_blocks(model: TransformCoder, x: Tensor) -> tuple[Tensor, float]:
    """Squared coefficients of some blocks, (1, coefficients, blocks), and how many blocks of the
    picture one of them stands for."""
    block, stripe = model.transform.block, STRIPE * model.transform.block
    total = -(-x.shape[2] // block) * -(-x.shape[3] // block)
    stride = -(-total // MOST_BLOCKS)
    colors = model.likelihood.event_shape[0]
    found = []
    for top in range(0, x.shape[2], stripe):
        part = in_units(x[:, :, top : top + stripe]).expand(-1, colors, -1, -1)
        known = model.begin(torch.tensor([0]), part.shape[2:])
        squares = (model.wanted(part, known) * FINEST).square().flatten(2)
        found.append(squares[..., ::stride].clone())  # a view would keep all of them in memory
    few = torch.cat(found, 2)
    return few, total / few.shape[2]
