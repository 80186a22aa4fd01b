"""Random changes of rows that do not change their class."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.data.schema import Schema


class Perturbation:
    """Add noise to real numbers, swap cells with levels between rows, and move pictures a little.

    Args:
        schema: the rows' schema.
        deviation: standard deviation of x over all rows and features, the unit of the noise.
        noise: standard deviation of the noise in that unit; half of it is the share of cells with
            levels that are taken from another row.
        augmentation: strength of the rotation, shift, zoom and shear of pictures: 1 is at most 0.2
            radians, 7 % of a side, 10 % and 15 %; 0: none, if classes depend on position or
            direction.
    """

    def __init__(self, schema: Schema, deviation: float, noise: float, augmentation: float) -> None:
        self.metric = schema.metric
        self.smooth = bool(self.metric.all())
        self.deviation, self.noise = deviation, noise
        self.kind, self.augmentation = schema.data_kind, augmentation

    def __call__(self, x: Tensor) -> Tensor:
        """Perturb x, (rows, *event), with torch's global random state."""
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
