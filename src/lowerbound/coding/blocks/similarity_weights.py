r"""What an error in each coefficient of each block costs in MS-SSIM, to second order.

An error e that does not depend on the picture lowers the contrast term of scale j by about

.. math:: 1 - c_j \approx \frac{\sigma_e^2}{\sigma_x^2 + C_2},

so an error of 1 in coefficient k of block b costs

.. math:: W(k, b) = \sum_j w_j \sum_c E_j(k, c) \, V_j(c, b) + w_5 \sum_c M(k, c) \, L(c, b).

E_j is the local variance of the coefficient's basis picture at scale j, and V_j the mean of
1 / (sigma_x^2 + C_2) over the block. M and L are the same of local means and luminance at the last
scale. Errors in flat and weakly textured blocks weigh more, and errors in fine detail weigh less.

Sources: Wang, Simoncelli & Bovik 2003 (MS-SSIM); Wang, Rehman, Zeng & Wang 2012 (quantization for
SSIM); Chen et al. 2020 (block weights in video encoders for SSIM).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.networks.transform.block_transform import BlockTransform
from lowerbound.objectives.ms_ssim import C1, C2, WEIGHTS, local_mean

SCALES = len(WEIGHTS)
COARSEST_PIXEL = 2 ** (SCALES - 1)  # side of a pixel of the last scale
LEAST = 1e-9  # energy, so that logarithms are finite
SQUARE = 5  # pixels; its deviation is 1.4, and the window's is 1.5
MARGIN = 10  # zeros around a basis picture: twice the reach of the window of MS-SSIM


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
