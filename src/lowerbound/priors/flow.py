"""The textbook's prior, p(z) = N(0, I), and a normalizing flow of it.

The flow has any smooth shape, with an exact density.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from lowerbound.distributions.normalizing_flow import FlowDistribution, Kind, NormalizingFlow
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


@PRIORS.register("flow")
class FlowPrior(Prior):
    r"""p(z) = N(f(z); 0, I) |det f'(z)|, f a normalizing flow that starts as the identity.

    Args:
        latent_dim: numbers in z.
        event_shape: shape of a row; not used.
        kind: "autoregressive" (one pass to score, ``latent_dim`` passes to draw) or "coupling"
            (one pass for each).
        transforms: number of maps that are composed.
        hidden: width of their networks.
        bins: pieces of the spline that each coordinate goes through; 0 shifts and scales it.

    Source: Papamakarios et al. 2017; as prior, Chen et al. 2017.
    """

    loc: Tensor

    def __init__(
        self,
        latent_dim: int,
        event_shape: tuple[int, ...] = (),
        *,
        kind: Kind = "autoregressive",
        transforms: int = 4,
        hidden: int = 64,
        bins: int = 0,
    ) -> None:
        super().__init__(latent_dim, event_shape)
        self.flow = NormalizingFlow(latent_dim, 0, kind, transforms, hidden, bins)
        self.register_buffer("loc", torch.zeros(1, 1, latent_dim), persistent=False)

    def forward(self, encode: Encode | None = None) -> FlowDistribution:
        return FlowDistribution(self.flow, self.loc, torch.ones_like(self.loc))
