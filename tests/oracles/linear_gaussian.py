"""A variational autoencoder that can be solved on paper: the linear-Gaussian model.

z ~ N(0, I_d), x | z ~ N(W z + mu, sigma^2 I). Everything about it has a formula: the marginal
N(mu, W W^T + sigma^2 I), the posterior, and the best factorized posterior.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal

from lowerbound.likelihoods import Gaussian
from lowerbound.models import VariationalAutoencoder
from lowerbound.posteriors import GaussianPosterior, Posterior
from lowerbound.priors import StandardNormal

FEATURES, LATENT = 6, 2


class Affine(nn.Linear):
    """A linear layer that takes, and ignores, a condition."""

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return super().forward(x)


class ExactPosterior(Posterior):
    """N(h, V) with the exact, full covariance V."""

    def __init__(self, covariance: Tensor) -> None:
        super().__init__(len(covariance))
        self.register_buffer("covariance", covariance)

    @property
    def numbers(self) -> int:
        return self.latent_dim

    def forward(self, parameters: Tensor) -> Distribution:
        return MultivariateNormal(parameters.unsqueeze(0), self.covariance, validate_args=False)


def parameters(seed: int = 0, sigma: float = 0.7) -> tuple[Tensor, Tensor, float]:
    """W (features, latent), mu (features,), sigma."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(FEATURES, LATENT, generator=generator, dtype=torch.float64)
    offset = torch.randn(FEATURES, generator=generator, dtype=torch.float64)
    return weight, offset, sigma


def data(rows: int, seed: int = 0) -> Tensor:
    """Rows drawn from the model."""
    weight, offset, sigma = parameters()
    generator = torch.Generator().manual_seed(seed + 1)
    z = torch.randn(rows, LATENT, generator=generator, dtype=torch.float64)
    noise = torch.randn(rows, FEATURES, generator=generator, dtype=torch.float64)
    return z @ weight.T + offset + sigma * noise


def log_marginal(x: Tensor) -> Tensor:
    """Exact log p(x), (rows,)."""
    weight, offset, sigma = parameters()
    covariance = weight @ weight.T + sigma**2 * torch.eye(FEATURES, dtype=torch.float64)
    return MultivariateNormal(offset, covariance).log_prob(x)


def posterior_matrices() -> tuple[Tensor, Tensor]:
    """A (latent, features) and V with p(z | x) = N(A (x - mu), V)."""
    weight, _, sigma = parameters()
    precision = weight.T @ weight + sigma**2 * torch.eye(LATENT, dtype=torch.float64)
    inverse = torch.linalg.inv(precision)
    return inverse @ weight.T, sigma**2 * inverse


def model(kind: str = "exact", widen: float = 1.0) -> VariationalAutoencoder:
    """The model with its exact posterior, or with the best factorized one ("mean_field").

    ``widen`` multiplies the standard deviation of the factorized posterior.
    """
    weight, offset, sigma = parameters()
    gain, covariance = posterior_matrices()
    decoder = Affine(LATENT, FEATURES).double()
    decoder.weight.data, decoder.bias.data = weight.clone(), offset.clone()
    if kind == "exact":
        posterior: Posterior = ExactPosterior(covariance)
        heads, bias = gain, -gain @ offset
    else:
        posterior = GaussianPosterior(LATENT)
        log_variance = mean_field_variance().log() + 2 * torch.tensor(widen).log()
        raw = 14 * torch.atanh(log_variance / 14)
        heads = torch.cat([gain, torch.zeros_like(gain)])
        bias = torch.cat([-gain @ offset, raw])
    encoder = Affine(FEATURES, len(heads)).double()
    encoder.weight.data, encoder.bias.data = heads.clone(), bias.clone()
    likelihood = Gaussian((FEATURES,), scale="fixed", tau=sigma).double()
    prior = StandardNormal(LATENT).double()
    return VariationalAutoencoder(encoder, posterior, prior, decoder, likelihood)


def mean_field_variance() -> Tensor:
    """The best factorized variances: the inverse of the posterior precision's diagonal."""
    _, covariance = posterior_matrices()
    return 1 / torch.diagonal(torch.linalg.inv(covariance))


def mean_field_gap(widen: float = 1.0) -> float:
    """KL(q || p(z | x)) of that factorized posterior, the same for every x."""
    _, covariance = posterior_matrices()
    mean = torch.zeros(LATENT, dtype=torch.float64)
    variance = mean_field_variance() * widen**2
    q = MultivariateNormal(mean, torch.diag(variance))
    exact = MultivariateNormal(mean, covariance)
    return float(torch.distributions.kl_divergence(q, exact))
