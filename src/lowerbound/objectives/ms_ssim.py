r"""MS-SSIM: the structural similarity of two pictures at several scales.

.. math:: \text{MS-SSIM} = l_5^{w_5} \prod_{j=1}^5 c_j^{w_j}, \quad
    c = \frac{2 \sigma_{xy} + C_2}{\sigma_x^2 + \sigma_y^2 + C_2}, \quad
    l = \frac{2 \mu_x \mu_y + C_1}{\mu_x^2 + \mu_y^2 + C_1}

Means, variances and the covariance are local, under a Gaussian window; each scale has half the
resolution of the one before it. Source: Wang, Simoncelli & Bovik 2003, with their window (11
pixels, 1.5 wide), constants and weights; the mean over colors.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.data.arrays import Array

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, WIDTH = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ms_ssim(picture: Array, back: Array) -> float:
    """MS-SSIM of two pictures (height, width, channels), uint8; 1 if they are equal."""
    x, y = (torch.from_numpy(p.astype(np.float64)).movedim(-1, 0)[None] for p in (picture, back))
    return float(likeness(x, y))


def likeness(x: Tensor, y: Tensor, least: float = 0.0) -> Tensor:
    """MS-SSIM of pictures (rows, channels, height, width) in grey values, (rows,).

    A picture that is too small for five scales uses as many as fit, with weights scaled to sum to
    1. A picture smaller than the window is padded by repeating its borders.

    Args:
        x, y: the pictures.
        least: lower limit of each scale's similarity; above 0, gradients stay finite.
    """
    rows = len(x)
    x, y = _by_channel(x), _by_channel(y)
    scales = min(len(WEIGHTS), int(math.log2(min(x.shape[2:]) / WINDOW)) + 1)
    weights = [weight / sum(WEIGHTS[:scales]) for weight in WEIGHTS[:scales]]
    total = x.new_ones(len(x))
    for scale, weight in enumerate(weights, 1):
        luminance, contrast = _compared(x, y)
        values = contrast * luminance if scale == scales else contrast
        total = total * values.flatten(1).mean(1).clamp_min(least) ** weight
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    by_row: Tensor = total.unflatten(0, (rows, -1)).mean(1)
    return by_row


def _by_channel(x: Tensor) -> Tensor:
    """(rows * channels, 1, height, width), no smaller than the window."""
    below, right = (max(0, WINDOW - side) for side in x.shape[2:])
    return F.pad(x, (0, right, 0, below), mode="replicate").flatten(0, 1)[:, None]


def _compared(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance and contrast terms at every place where the window fits."""
    mean_x, mean_y = local_mean(x), local_mean(y)
    spread_x, spread_y = local_mean(x * x) - mean_x**2, local_mean(y * y) - mean_y**2
    shared = local_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return luminance, (2 * shared + C2) / (spread_x + spread_y + C2)


def local_mean(x: Tensor) -> Tensor:
    """Means of (rows, 1, height, width) under the Gaussian window, wherever it fits."""
    offset = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    bell = torch.exp(-0.5 * (offset / WIDTH) ** 2)
    bell = bell / bell.sum()
    return F.conv2d(F.conv2d(x, bell.view(1, 1, -1, 1)), bell.view(1, 1, 1, -1))
