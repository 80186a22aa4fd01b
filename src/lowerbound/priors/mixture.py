"""A learned mixture of Gaussians as prior, for data whose latents form clusters."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.distributions.gaussian_mixture import GaussianMixture
from lowerbound.errors import OptionError
from lowerbound.priors.base import PRIORS, Encode, Prior

START_SPREAD = 0.5  # standard deviation of the components' centers; the mixture as a whole has 1
SCALE_FLOOR = 1e-2


@PRIORS.register("mixture")
class MixturePrior(Prior):
    r"""p(z) = sum_k w_k N(z; mu_k, diag sigma_k^2), weights, centers and scales learned.

    The mixture starts near N(0, I): its centers are drawn with a standard deviation of 1/2, and its
    scales supply the rest of the variance.

    Args:
        latent_dim: numbers in z.
        event_shape: shape of a row; not used.
        components: number of Gaussians.
    """

    def __init__(
        self, latent_dim: int, event_shape: tuple[int, ...] = (), *, components: int = 100
    ) -> None:
        super().__init__(latent_dim, event_shape)
        if components < 1:
            raise OptionError(f"components must be at least 1, not {components}")
        self.loc = nn.Parameter(START_SPREAD * torch.randn(components, latent_dim))
        excess = torch.tensor((1 - START_SPREAD**2) ** 0.5 - SCALE_FLOOR)
        self.raw_scale = nn.Parameter(torch.expm1(excess).log().expand_as(self.loc).clone())
        self.logits = nn.Parameter(torch.zeros(components))

    def forward(self, encode: Encode | None = None) -> GaussianMixture:
        return GaussianMixture(self.loc, self.scale, self.logits)

    @property
    def scale(self) -> Tensor:
        """sigma, (components, latent_dim)."""
        return SCALE_FLOOR + F.softplus(self.raw_scale)
