"""Rows changed in ways that leave their class as it is, by what is known of their kind."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.data.schema import Schema

TURN, SHIFT, ZOOM, SHEAR = 0.2, 0.07, 0.1, 0.15  # radians, share of a side, shares


class Perturbation:
    """Noise on real numbers, cells of other rows for those with levels, small moves of pictures.

    Args:
        schema: of the rows.
        deviation: of the values of x, over all rows and features: the unit of the noise.
        noise: standard deviation of the noise in that unit; half of it is the share of cells with
            levels that are taken from another row instead.
        moves: how far pictures are turned, shifted, zoomed and sheared at most: 1 is 0.2 radians,
            7 % of a side, 10 % and 15 %; 0: not at all, where position or direction tells classes.
    """

    def __init__(self, schema: Schema, deviation: float, noise: float, moves: float) -> None:
        self.metric = schema.metric
        self.smooth = bool(self.metric.all())
        self.deviation, self.noise = deviation, noise
        self.moves = moves if schema.kind == "images" else 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """x, (rows, *event), changed; noise comes from torch's state."""
        if self.moves:
            x = moved(x, self.moves)
        if not self.noise:
            return x
        noisy = x + self.noise * self.deviation * torch.randn_like(x)
        if self.smooth:
            return noisy
        others = x[torch.randperm(len(x), device=x.device)]
        swap = torch.rand_like(x) < self.noise / 2
        return torch.where(self.metric.to(x.device), noisy, torch.where(swap, others, x))


def moved(pictures: Tensor, strength: float) -> Tensor:
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
