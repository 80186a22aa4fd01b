"""Mixtures as priors, for data whose latents form clusters.

They are Gaussians that are learned, or (VampPrior) the posteriors of learned pseudo-inputs.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.distributions.gaussian_mixture import GaussianMixture
from lowerbound.distributions.reparameterization import base_normal
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.priors.base import PRIORS, Encode, Prior

START_NOISE = 0.01
START_SPREAD = 0.5  # standard deviation of the components' centers; the mixture as a whole has 1
SCALE_FLOOR = 1e-2


@PRIORS.register("vamp")
class VampPrior(Prior):
    r"""p(z) = sum_k w_k q(z | u_k), a mixture of posteriors at pseudo-inputs u_k in data space.

    The best prior for the ELBO is the average posterior over the training data. K learned rows
    approximate that average, so each update encodes K additional rows.

    Args:
        latent_dim: numbers in z.
        event_shape: shape of a row; pseudo-inputs of pictures stay in [0, 1].
        components: K; 500 in the paper.

    Source: Tomczak & Welling 2018, equation 9; the weights w are learned too.
    """

    learns_from_latents: ClassVar[bool] = False

    def __init__(
        self, latent_dim: int, event_shape: tuple[int, ...] = (), *, components: int = 100
    ) -> None:
        super().__init__(latent_dim, event_shape)
        if components < 1:
            raise OptionError(f"components must be at least 1, not {components}")
        if not event_shape:
            raise OptionError("the vamp prior keeps rows of data, so it needs their shape")
        self.components = components
        self.bounded = len(event_shape) == 3
        center = 0.5 if self.bounded else 0.0
        start = center + START_NOISE * torch.randn(components, *event_shape)
        self.inputs = nn.Parameter(start)
        self.logits = nn.Parameter(torch.zeros(components))

    def forward(self, encode: Encode | None = None) -> GaussianMixture:
        """p(z) through ``encode``.

        Raises:
            UnsupportedError: there is no encoder, or its posteriors are not Gaussian.
        """
        if encode is None:
            raise UnsupportedError("the vamp prior is made of posteriors, so it needs an encoder")
        posterior = encode(self.pseudo_inputs())
        normal = base_normal(posterior)
        if normal is None:
            raise UnsupportedError(
                f"the vamp prior needs Gaussian posteriors, not {type(posterior).__name__}; "
                "use posterior='gaussian', or prior='mixture' or 'flow'"
            )
        shape = (self.components, self.latent_dim)
        loc, scale = normal.loc.reshape(shape), normal.scale.expand_as(normal.loc).reshape(shape)
        return GaussianMixture(loc, scale, self.logits)

    def pseudo_inputs(self) -> Tensor:
        """u, (components, *event)."""
        return self.inputs.clamp(0, 1) if self.bounded else self.inputs

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Start at K training rows plus a little noise, which makes equal rows differ."""
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(x), generator=generator)
        rows = x[order.repeat(-(-self.components // len(x)))[: self.components].to(x.device)]
        noise = START_NOISE * torch.randn(rows.shape, generator=generator)
        start = rows.to(self.inputs) + noise.to(self.inputs)
        self.inputs.copy_(start.clamp(0, 1) if self.bounded else start)


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
