"""The textbook's prior, p(z) = N(0, I)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from lowerbound.distributions.reparameterization import UnitNormal
from lowerbound.priors.base import PRIORS, Encode, Prior


@PRIORS.register("standard_normal")
class StandardNormal(Prior):
    r"""p(z) = N(0, I): nothing to learn, and the KL to a Gaussian posterior is closed-form.

    Source: Kingma & Welling 2014, section 3.
    """

    loc: Tensor

    def __init__(self, latent_dim: int, event_shape: tuple[int, ...] = ()) -> None:
        super().__init__(latent_dim, event_shape)
        self.register_buffer("loc", torch.zeros(1, 1, latent_dim), persistent=False)

    def forward(self, encode: Encode | None = None) -> Distribution:
        return Independent(UnitNormal(self.loc), 1, validate_args=False)
