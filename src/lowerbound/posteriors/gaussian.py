"""The diagonal Gaussian posterior, the two heads of the textbook's encoder."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.posteriors.base import POSTERIORS, Posterior
from lowerbound.reparameterization import diagonal_normal

MAX_LOG_VARIANCE = 14.0


@POSTERIORS.register("gaussian")
class GaussianPosterior(Posterior):
    r"""q(z | x) = N(mu(x), diag sigma^2(x)).

    .. math:: \log \sigma^2 = c \tanh(h / c), \quad c = 14

    so the variance stays within [8e-7, 1.2e6]: smooth, and never NaN or zero whatever the encoder
    says. Source: Kingma & Welling 2014, equation 9.
    """

    @property
    def numbers(self) -> int:
        return 2 * self.latent_dim

    def forward(self, parameters: Tensor) -> Distribution:
        loc, scale = gaussian_heads(parameters.unsqueeze(0))
        return diagonal_normal(loc, scale)


def gaussian_heads(parameters: Tensor, axis: int = -1) -> tuple[Tensor, Tensor]:
    """Mean and bounded standard deviation from two heads side by side along ``axis``."""
    if parameters.dtype == torch.bfloat16:
        parameters = parameters.float()
    loc, raw = parameters.chunk(2, axis)
    half_log_variance = (0.5 * MAX_LOG_VARIANCE) * torch.tanh(raw / MAX_LOG_VARIANCE)
    return loc, torch.exp(half_log_variance)
