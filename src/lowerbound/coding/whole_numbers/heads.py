r"""Heads in whole numbers: from a network's output to a Gaussian on a grid.

The outputs are exact (``lowerbound.coding.whole_numbers.exact_layers``). Exponentials come from
tables of whole numbers that the export makes and stores with the model.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.coding.whole_numbers.grid_normal import (
    LEAST_WIDTH,
    MOST_WIDTH,
    PER_DEVIATION,
    POINTS,
    REACH,
    UNIT_WIDTH,
    GridNormal,
)
from lowerbound.posteriors import GaussianPosterior
from lowerbound.posteriors.gaussian import GaussianHeads, gaussian_heads
from lowerbound.priors.base import Encode, Prior

PER_UNIT = 32  # entries of the exponentials' table per unit of the head
MOST_HEAD = 40
RATIO_ONE = 1 << 12


class GridHeads(GaussianHeads):
    """Replaces ``GaussianHeads``.

    Args:
        coded: which of the latent's numbers are coded, (*event,); the others have the prior's
            expected value. None: all.
    """

    widths: Tensor
    ratios: Tensor
    coded: Tensor | None

    def __init__(self, coded: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("coded", coded)
        entries = torch.arange(-MOST_HEAD * PER_UNIT, MOST_HEAD * PER_UNIT + 1) / PER_UNIT
        _, scale = gaussian_heads(torch.stack([entries, entries]).double(), axis=0)
        scale = scale.flatten()
        widths = torch.round(scale * UNIT_WIDTH).clamp(LEAST_WIDTH, MOST_WIDTH)
        self.register_buffer("widths", widths.int())
        self.register_buffer("ratios", torch.round(scale * RATIO_ONE).clamp(1, 2**30).int())

    def forward(self, numbers: Tensor) -> GridNormal:
        loc, raw = numbers.chunk(2, 2)
        m = torch.round(loc * POINTS).clamp(-REACH, REACH).long()
        return GridNormal(m, self.widths[_entry(raw)].long(), self.coded)

    def relative(self, prior: Distribution, change: Tensor) -> GridNormal:
        """The prior shifted by a number of deviations and widened, all in whole numbers."""
        assert isinstance(prior, GridNormal)
        moved, raw = change.chunk(2, 2)
        steps = torch.round(moved * POINTS).clamp(-REACH, REACH).long()
        m = prior.m + torch.div(steps * prior.width * PER_DEVIATION, POINTS, rounding_mode="floor")
        if self.coded is not None:
            m = torch.where(self.coded, m, prior.m)
        width = prior.width * self.ratios[_entry(raw)].long()
        width = torch.div(width + RATIO_ONE // 2, RATIO_ONE, rounding_mode="floor")
        return GridNormal(m, width, self.coded)


class GridPosterior(GaussianPosterior):
    """Replaces ``GaussianPosterior``; latents that are not coded are 0.

    Args:
        latent_dim: d.
        coded: which numbers are coded, (d,); None: all.
    """

    def __init__(self, latent_dim: int, coded: Tensor | None = None) -> None:
        super().__init__(latent_dim)
        self.heads = GridHeads(coded)

    def forward(self, parameters: Tensor) -> GridNormal:
        found = self.heads(parameters.unsqueeze(0))
        assert isinstance(found, GridNormal)
        if found.coded is None:
            return found
        return GridNormal(torch.where(found.coded, found.m, 0), found.width, found.coded)


class GridPrior(Prior):
    """Replaces the standard normal prior."""

    coded: Tensor | None

    def __init__(self, latent_dim: int, coded: Tensor | None = None) -> None:
        super().__init__(latent_dim)
        self.register_buffer("coded", coded)

    def forward(self, encode: Encode | None = None) -> GridNormal:
        zeros = torch.zeros(1, 1, self.latent_dim, dtype=torch.long)
        return GridNormal(zeros, torch.full_like(zeros, UNIT_WIDTH), self.coded)


def _entry(raw: Tensor) -> Tensor:
    limit = MOST_HEAD * PER_UNIT
    return torch.round(raw * PER_UNIT).clamp(-limit, limit).long() + limit
