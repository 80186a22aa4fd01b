r"""Activity of latent units.

A unit is active if its posterior mean varies with the data and its rate is not zero:

.. math:: \mathrm{Var}_x(\mathbb{E}_q[z_j]) > 0.01 \quad\text{and}\quad
          \mathbb{E}_x[\mathrm{KL}_j] > 0.01\ \text{nats}

Source of the first condition: Burda et al. 2016, appendix C.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.aggregate import ACTIVE
from lowerbound.distributions.processor_draws import seeded_draw
from lowerbound.distributions.reparameterization import base_normal
from lowerbound.errors import UnsupportedError
from lowerbound.inference.codes import EncodedRows, encode_rows
from lowerbound.inference.passes import MEMORY
from lowerbound.models import HasPrior, Model, require

PRIOR_DRAWS = 10_000


@dataclass(frozen=True)
class Units:
    """Activity of each latent unit.

    Attributes:
        variance: Var_x(E_q[z_j]), (latent_dim,).
        rate: mean KL of unit j's marginal q(z_j | x) to the prior's, nats, (latent_dim,).
        exact: whether the rates are exact; otherwise Gaussians of the same mean and variance
            replace the prior's or the posterior's marginals.
    """

    variance: Tensor
    rate: Tensor
    exact: bool

    @property
    def active(self) -> Tensor:
        """Which units are active, (latent_dim,)."""
        return (self.variance > ACTIVE) & (self.rate > ACTIVE)

    @property
    def count(self) -> int:
        """Number of active units."""
        return int(self.active.sum())

    @property
    def order(self) -> Tensor:
        """Units in order of descending rate, (latent_dim,)."""
        return torch.argsort(self.rate, descending=True)


def units(model: Model, dataset: Dataset, *, memory: int = MEMORY) -> Units:
    """Variance of the posterior mean and rate of each unit.

    Raises:
        UnsupportedError: the model has no encoder, or no prior that defines a rate; or there is a
            single row, over which nothing varies.
    """
    if len(dataset) < 2:
        raise UnsupportedError("a unit is active if it varies with the rows: this takes two rows")
    has_prior = require(model, HasPrior, "say which units are active")
    with torch.no_grad():
        prior = has_prior.prior_distribution()
    return units_of(encode_rows(model, dataset, memory=memory), prior)


def units_of(codes: EncodedRows, prior: Distribution) -> Units:
    """The same from existing codes."""
    loc, scale = _marginal_moments(prior)
    ratio = (codes.deviation / scale).square()
    distance = ((codes.mean - loc) / scale).square()
    rate = (0.5 * (ratio + distance - 1 - ratio.log())).mean(0)
    exact = codes.normal and base_normal(prior) is not None
    return Units(codes.mean.var(0, correction=0), rate, exact)


def _marginal_moments(prior: Distribution) -> tuple[Tensor, Tensor]:
    base = base_normal(prior)
    if base is not None:
        return base.loc[0, 0].double().cpu(), base.scale.expand_as(base.loc)[0, 0].double().cpu()
    z = seeded_draw(prior, PRIOR_DRAWS, 0)[:, 0].double().cpu()
    return z.mean(0), z.std(0)
