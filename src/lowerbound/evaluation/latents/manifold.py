"""A grid over two latent units, on which the prior gives each cell the same probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.distributions.processor_draws import seeded_draw
from lowerbound.distributions.reparameterization import base_normal
from lowerbound.evaluation.latents.units import Units
from lowerbound.models import HasPrior

PRIOR_DRAWS = 10_000
TAIL = 0.02


@dataclass(frozen=True)
class LatentGrid:
    """Codes on a plane.

    Attributes:
        z: (up, right, latent_dim); the first unit runs to the right, the second upwards.
        ticks: the units' values along the two axes, (2, right).
        names: names of the two units.
    """

    z: Tensor
    ticks: np.ndarray[Any, Any]
    names: tuple[str, str]


def latent_grid(model: HasPrior, units: Units, size: int) -> LatentGrid:
    """The grid over the two units with the highest rates (units 1 and 2 if there are only two).

    The other units have the prior's mean. Quantiles run from 2 % to 98 %.
    """
    with torch.no_grad():
        prior = model.prior_distribution()
    center, quantiles = _quantiles(prior, torch.linspace(TAIL, 1 - TAIL, size).double())
    dims = len(center)
    first, second = (0, 1) if dims == 2 else units.order[:2].tolist()
    z = center.repeat(size, size, 1)
    z[..., first] = quantiles[:, first].unsqueeze(0)
    z[..., second] = quantiles[:, second].unsqueeze(1)
    ticks = torch.stack([quantiles[:, first], quantiles[:, second]]).numpy()
    return LatentGrid(z, ticks, (f"z{first + 1}", f"z{second + 1}"))


def _quantiles(prior: Distribution, levels: Tensor) -> tuple[Tensor, Tensor]:
    """The prior's mean, (latent_dim,), and each unit's quantiles, (levels, latent_dim)."""
    base = base_normal(prior)
    if base is not None:
        loc, scale = base.loc[0, 0].double().cpu(), base.scale[0, 0].double().cpu()
        return loc, loc + scale * torch.special.ndtri(levels).unsqueeze(1)
    draws = seeded_draw(prior, PRIOR_DRAWS, 0)[:, 0].double().cpu()
    return draws.mean(0), torch.quantile(draws, levels, dim=0)
