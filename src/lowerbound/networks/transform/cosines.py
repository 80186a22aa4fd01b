"""The cosine transform of small windows of a picture."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def window_cosines(channels: int, side: int) -> Tensor:
    """Orthonormal filters, colors included, (channels * side ** 2, channels, side, side)."""
    parts = torch.einsum("ca,hb,wd->chwabd", *map(_cosine, (channels, side, side)))
    return parts.reshape(-1, channels, side, side).float()


def _cosine(count: int) -> Tensor:
    """The orthonormal cosine transform of ``count`` numbers (DCT-II), float64."""
    place = torch.arange(count, dtype=torch.float64)
    rows = torch.cos(math.pi * (place + 0.5) * place[:, None] / count) * math.sqrt(2 / count)
    rows[0] /= math.sqrt(2)
    return rows
