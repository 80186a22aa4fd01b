"""Rows changed in ways that leave their class as it is, by what is known of their kind."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.data.schema import Schema


class Perturbation:
    """Noise on real numbers, cells of other rows for those with levels, small turns and shifts
    of pictures.

    Args:
        schema: of the rows.
        deviation: of the values of x, over all rows and features: the unit of the noise.
        noise: standard deviation of the noise in that unit; half of it is the share of cells with
            levels that are taken from another row instead.
        augmentation: how far pictures are turned, shifted, zoomed and sheared at most: 1 is 0.2
            radians, 7 % of a side, 10 % and 15 %; 0: not at all, where position or direction tells
            classes.
    """

    def __init__(self, schema: Schema, deviation: float, noise: float, augmentation: float) -> None:
        self.metric = schema.metric
        self.smooth = bool(self.metric.all())
        self.deviation, self.noise = deviation, noise
        self.kind, self.augmentation = schema.data_kind, augmentation

    def __call__(self, x: Tensor) -> Tensor:
        """x, (rows, *event), changed; noise comes from torch's state."""
        if self.augmentation:
            x = self.kind.augmented(x, self.augmentation)
        if not self.noise:
            return x
        noisy = x + self.noise * self.deviation * torch.randn_like(x)
        if self.smooth:
            return noisy
        others = x[torch.randperm(len(x), device=x.device)]
        swap = torch.rand_like(x) < self.noise / 2
        return torch.where(self.metric.to(x.device), noisy, torch.where(swap, others, x))
