r"""The size of a picture's file before it is encoded, to find the level of a requested size.

.. math:: \text{bits} \approx 3 \sum \tfrac{1}{2} \log_2 (1 + y^2 / \Delta^2)

over all coefficients y. Beyond the coarsest step the size falls by about 2 % a level. The factors
are those of the codec in the package; ``level_for`` corrects them by the files that it tries.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from lowerbound.coding.blocks.tunes import COARSEST
from lowerbound.data.pictures.pixels import in_units
from lowerbound.models import TransformCoder
from lowerbound.models.transform import FINEST, PER_OCTAVE

FACTOR = 3.0
FALL = 0.02  # of the logarithm of the size, per level beyond the coarsest
MOST_BLOCKS = 4096  # that are looked at
LEAST = 1e-9
STRIPE = 64  # rows of blocks that are transformed at once


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
        return math.log(bits / 8 + LEAST) - FALL * max(0, level - COARSEST)

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
