"""Pictures changed a little, so that a network learns what does not matter."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

TURN, SHIFT, ZOOM, SHEAR = 0.2, 0.07, 0.1, 0.15  # radians, share of a side, shares


def augmented(pictures: Tensor, strength: float) -> Tensor:
    """Pictures (rows, channels, height, width), each turned, shifted, zoomed and sheared a little
    and by its own amounts; what comes in from outside repeats the edge."""
    rows, _, height, width = pictures.shape
    turn, zoom, shear, down, right = (
        strength * (2 * torch.rand(5, rows, device=pictures.device) - 1)
    ).unbind()
    turn, size, shear = TURN * turn, 1 + ZOOM * zoom, SHEAR * shear
    # in units of half a side, as affine_grid takes them; sides differ, so turns are put right
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
