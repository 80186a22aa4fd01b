"""Augmentation: small random changes of pictures, to which a network becomes invariant."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

TURN, SHIFT, ZOOM, SHEAR = 0.2, 0.07, 0.1, 0.15  # radians, fraction of a side, factors


def augmented(pictures: Tensor, strength: float) -> Tensor:
    """Rotate, shift, zoom and shear each picture (rows, channels, height, width) at random; pixels
    from outside repeat the edge."""
    rows, _, height, width = pictures.shape
    turn, zoom, shear, down, right = (
        strength * (2 * torch.rand(5, rows, device=pictures.device) - 1)
    ).unbind()
    turn, size, shear = TURN * turn, 1 + ZOOM * zoom, SHEAR * shear
    # in units of half a side, as in affine_grid; the rotation is corrected for unequal sides
    ratio = height / width
    first = torch.stack(
        (size * torch.cos(turn), ratio * (shear - size * torch.sin(turn)), 2 * SHIFT * right), 1
    )
    second = torch.stack(
        (size * torch.sin(turn) / ratio, size * torch.cos(turn), 2 * SHIFT * down), 1
    )
    affine = torch.stack((first, second), 1).to(pictures.dtype)
    grid = F.affine_grid(affine, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
