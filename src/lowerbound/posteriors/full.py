"""The Gaussian posterior with a full covariance, as in the linear-Gaussian model."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from lowerbound.distributions.triangular import count, unpack
from lowerbound.posteriors.base import POSTERIORS, Posterior


@POSTERIORS.register("full")
class FullGaussianPosterior(Posterior):
    r"""q(z | x) = N(mu(x), L(x) L(x)^T), L lower triangular with a positive diagonal.

    The encoder's output has d + d (d + 1) / 2 numbers, in the layout of
    :mod:`lowerbound.distributions.triangular`, whose ``pack`` is the inverse. This posterior can be
    exact even if latents are correlated given x, because cells are missing or the decoder's columns
    are not orthogonal.

    Source: Kingma & Welling 2019, section 2.5.1.
    """

    @property
    def numbers(self) -> int:
        return count(self.latent_dim)

    def forward(self, parameters: Tensor) -> MultivariateNormal:
        if parameters.dtype == torch.bfloat16:
            parameters = parameters.float()
        mean, factor = unpack(parameters, self.latent_dim)
        return MultivariateNormal(
            mean.unsqueeze(0), scale_tril=factor.unsqueeze(0), validate_args=False
        )
