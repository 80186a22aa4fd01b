"""Gaussian latents, whose best denoiser is known on paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowerbound.networks.prompts import AttributeEmbedding
from lowerbound.priors.diffusion.prior import DiffusionPrior


class ExactDenoiser(nn.Module):
    r"""v of E[x_0 | x_t] = a S (a^2 S + s^2 I)^{-1} x_t for x_0 ~ N(m, S); m per value of a prompt.

    Args:
        prior: whose noise process it is for.
        covariance: S of the standardized latents.
        means: one for each value of the only field; the first row for an unknown value.
    """

    def __init__(
        self, prior: DiffusionPrior, covariance: Tensor, means: Tensor | None = None
    ) -> None:
        super().__init__()
        self.process, self.covariance, self.means = prior.process, covariance, means
        self.activations = 1024
        self.prompts = None if means is None else AttributeEmbedding([len(means) - 1], 1)

    def forward(self, x: Tensor, t: Tensor, prompt: Tensor | None = None) -> Tensor:
        t = t.expand(len(x))
        alpha = self.process.alpha[t].to(x.dtype).reshape(-1, 1, 1)
        sigma = self.process.sigma[t].to(x.dtype).reshape(-1, 1, 1)
        cov, eye = self.covariance.to(x.dtype), torch.eye(x.shape[1], dtype=x.dtype)
        mean = 0.0 if self.means is None else self.means[prompt[:, 0] + 1].to(x.dtype)
        noisy = (x - alpha[:, 0] * mean).unsqueeze(2)
        gain = alpha * torch.linalg.solve(alpha**2 * cov + sigma**2 * eye, cov)
        clean = mean + (gain @ noisy).squeeze(2)
        v = (alpha[:, 0] * x - clean) / sigma[:, 0]
        if self.process.prediction == "v":
            return v
        return alpha[:, 0] * v + sigma[:, 0] * x


def covariance_of(numbers: int) -> Tensor:
    """A covariance with correlations and scales from about .3 to 3."""
    generator = torch.Generator().manual_seed(3)
    factor = torch.randn(numbers, numbers, dtype=torch.float64, generator=generator)
    scale = torch.logspace(-0.5, 0.5, numbers, dtype=torch.float64)
    mixed = factor @ factor.T / numbers + 0.3 * torch.eye(numbers, dtype=torch.float64)
    return scale.unsqueeze(1) * mixed * scale


def draws(covariance: Tensor, rows: int, mean: float = 0.0, seed: int = 0) -> Tensor:
    """Rows of N(mean, covariance), float32."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(rows, len(covariance), dtype=torch.float64, generator=generator)
    return (mean + noise @ torch.linalg.cholesky(covariance).T).float()


def exact_prior(covariance: Tensor, mean: float = 0.0, **options: object) -> DiffusionPrior:
    """A prior whose denoiser is exact for N(mean, covariance)."""
    prior = DiffusionPrior(len(covariance), **options)  # type: ignore[arg-type]
    scale = covariance.diagonal().sqrt()
    with torch.no_grad():
        prior.loc.fill_(mean)
        prior.scale.copy_(scale)
    standardized = covariance / scale / scale.unsqueeze(1)
    prior.denoiser = ExactDenoiser(prior, standardized)  # type: ignore[assignment]
    return prior.eval()


def log_density(covariance: Tensor, z: Tensor, mean: float = 0.0) -> Tensor:
    """log N(z; mean, covariance), (rows,)."""
    loc = torch.full((len(covariance),), mean, dtype=torch.float64)
    return torch.distributions.MultivariateNormal(loc, covariance).log_prob(z.double())
