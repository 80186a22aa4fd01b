r"""What an encoder of pictures aims at: the least squared error, or the most structural similarity.

::

    tune     step of a block                              distortion of a coefficient
    psnr     the picture's                                1
    ssim     times (W(b) / mean W)^(-.4), half octaves    (W(b) / mean W)^.8 (W(k, b) / W(b))^.3
                                                          times (step / the picture's step)^2

W(k, b) are the weights of ``similarity_weights``, and means are geometric. The powers below 1 were
chosen on training photographs: at 1 squared errors grow and similarity gains nothing.

Levels above the coarsest keep the coarsest step and weigh the distortion less, so any rate can be
reached.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.coding.blocks.similarity_weights import Weights, energies, sensitivity, weights_of
from lowerbound.coding.blocks.step_map import ENTRIES, MIDDLE, levels_of
from lowerbound.errors import OptionError
from lowerbound.models import TransformCoder
from lowerbound.models.transform import GREYS, MIDDLE as MIDDLE_GREY, PER_OCTAVE, STEPS

TUNES = ("ssim", "psnr")
COARSEST = STEPS - 1  # level of the step; 0 is the finest
BEYOND = 4 * PER_OCTAVE
LAST = COARSEST + BEYOND  # the level with the fewest bytes
UNIT = PER_OCTAVE // 2  # levels per entry of the map of steps
BLOCK_POWER, COEFFICIENT_POWER = 0.8, 0.3
LARGEST_FACTOR = 8.0  # of distortion


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
