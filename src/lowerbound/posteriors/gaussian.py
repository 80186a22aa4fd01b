"""The diagonal Gaussian posterior, from the two heads of the textbook's encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.posteriors.base import POSTERIORS, Posterior

MAX_LOG_VARIANCE = 14.0
NEAREST = 0.999  # share of the bound that a given log-variance can have
CLAMP = (-30.0, 20.0)  # of log-variances in diffusers


@POSTERIORS.register("gaussian")
class GaussianPosterior(Posterior):
    r"""q(z | x) = N(mu(x), diag sigma^2(x)).

    .. math:: \log \sigma^2 = c \tanh(h / c), \quad c = 14

    so the variance is smooth in h and stays within [8e-7, 1.2e6] for any encoder output.
    Source: Kingma & Welling 2014, equation 9.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.heads = GaussianHeads()

    @property
    def numbers(self) -> int:
        return 2 * self.latent_dim

    def forward(self, parameters: Tensor) -> Distribution:
        distribution: Distribution = self.heads(parameters.unsqueeze(0))
        return distribution


@POSTERIORS.register("clamped_gaussian")
class ClampedGaussianPosterior(Posterior):
    r"""q(z | x) = N(mu(x), diag sigma^2(x)) with log sigma^2 clamped to [-30, 20].

    It is the posterior of ``diffusers``, so that its weights give the same numbers here.
    """

    @property
    def numbers(self) -> int:
        return 2 * self.latent_dim

    def forward(self, parameters: Tensor) -> Distribution:
        loc, log_variance = at_least_float32(parameters).unsqueeze(0).chunk(2, -1)
        return _diagonal(loc, torch.exp(0.5 * log_variance.clamp(*CLAMP)))


class GaussianHeads(nn.Module):
    r"""Map two heads side by side, (samples, rows, 2 * channels, ...), to N(mu, diag sigma^2).

    It is a module, so that a model can use other heads, such as those in whole numbers for coding.
    """

    def forward(self, numbers: Tensor) -> Distribution:
        """The diagonal Gaussian of the heads, batch shape (samples, rows)."""
        return _diagonal(*gaussian_heads(numbers, axis=2))

    def relative(self, prior: Distribution, change: Tensor) -> Distribution:
        r"""The prior shifted by delta standard deviations and scaled by e^epsilon.

        .. math:: N(\mu + \sigma\delta, (\sigma e^{\epsilon})^2)

        Source: Vahdat & Kautz 2020, section 3.2.
        """
        assert isinstance(prior, Independent)
        base = prior.base_dist
        moved, wider = gaussian_heads(change, axis=2)
        return _diagonal(base.loc + base.scale * moved, base.scale * wider)


def gaussian_heads(parameters: Tensor, axis: int = -1) -> tuple[Tensor, Tensor]:
    """Mean and bounded standard deviation from two heads side by side along ``axis``."""
    loc, raw = at_least_float32(parameters).chunk(2, axis)
    half_log_variance = (0.5 * MAX_LOG_VARIANCE) * torch.tanh(raw / MAX_LOG_VARIANCE)
    return loc, torch.exp(half_log_variance)


def raw_log_variance(log_variance: Tensor) -> Tensor:
    """The head's output for a log-variance, held just inside the bounds."""
    share = (log_variance / MAX_LOG_VARIANCE).clamp(-NEAREST, NEAREST)
    return MAX_LOG_VARIANCE * torch.atanh(share)


def at_least_float32(parameters: Tensor) -> Tensor:
    """Convert bf16 to float32, because log-variances need its precision."""
    return parameters.float() if parameters.dtype == torch.bfloat16 else parameters


def _diagonal(loc: Tensor, scale: Tensor) -> Distribution:
    if loc.dim() == 3:
        return diagonal_normal(loc, scale)
    event = loc.dim() - 2
    return Independent(Normal(loc, scale, validate_args=False), event, validate_args=False)
