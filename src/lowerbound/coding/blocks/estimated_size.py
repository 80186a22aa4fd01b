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
from lowerbound.models import TransformCoder
from lowerbound.models.transform import FINEST, PER_OCTAVE

FACTOR = 3.0
FALL = 0.02  # of the logarithm of the size, per level beyond the coarsest
MOST_BLOCKS = 4096  # that are looked at
LEAST = 1e-9


@torch.no_grad()
def estimated_size(model: TransformCoder, x: Tensor) -> Callable[[int], float]:
    """The logarithm of the expected bytes by level, which falls with the level.

    Args:
        model: exported.
        x: one picture, (1, channels, height, width), model units; one channel: a grey one.
    """
    x = x.expand(-1, model.likelihood.event_shape[0], -1, -1)
    known = model.begin(torch.tensor([0]), x.shape[2:])
    squares = (model.wanted(x, known) * FINEST).square().flatten(2)
    stride = -(-squares.shape[2] // MOST_BLOCKS)
    few, share = squares[..., ::stride], squares.shape[2] / len(range(0, squares.shape[2], stride))

    @cache
    def estimate(level: int) -> float:
        step = FINEST * 2.0 ** (min(level, COARSEST) / PER_OCTAVE)
        bits = FACTOR * share * float((few / step**2).log1p().sum()) / (2 * math.log(2))
        return math.log(bits / 8 + LEAST) - FALL * max(0, level - COARSEST)

    return estimate
