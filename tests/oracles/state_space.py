"""A linear-Gaussian state-space model as one large Gaussian: no recursion, one covariance.

z_1 ~ N(m, V), z_t ~ N(A z_{t-1}, I), x_t ~ N(C z_t + d, diag r). All z of a sequence are a linear
map of independent noise, so their covariance is written down at once, and that of x follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from lowerbound.distributions import triangular
from lowerbound.models.sequences.linear_state_space import LinearStateSpace
from lowerbound.posteriors.gaussian import MeanField

TIME, FEATURES, LATENT = 7, 3, 2


@dataclass(frozen=True)
class StateSpace:
    """The parameters, float64."""

    mean: Tensor
    covariance: Tensor
    transition: Tensor
    weight: Tensor
    offset: Tensor
    noise: Tensor

    def latents(self, time: int) -> tuple[Tensor, Tensor]:
        """Mean (time * d,) and covariance of all z side by side."""
        d = len(self.mean)
        mean, blocks, powers = [], [], [torch.eye(d, dtype=torch.float64)]
        for _ in range(time):
            mean.append(powers[-1] @ self.mean)
            powers.append(self.transition @ powers[-1])
        for t in range(time):  # z_t = A^(t-1) z_1 + sum_s A^(t-s) w_s
            blocks.append(
                [powers[t - s] if s <= t else torch.zeros_like(powers[0]) for s in range(time)]
            )
        map_of_noise = torch.cat([torch.cat(row, 1) for row in blocks])
        noise = torch.block_diag(self.covariance, *[powers[0]] * (time - 1))
        return torch.cat(mean), map_of_noise @ noise @ map_of_noise.T

    def rows(self, time: int) -> tuple[Tensor, Tensor]:
        """Mean (time * features,) and covariance of all x side by side."""
        mean, covariance = self.latents(time)
        weight = torch.block_diag(*[self.weight] * time)
        noise = torch.diag(self.noise.repeat(time))
        return weight @ mean + self.offset.repeat(time), weight @ covariance @ weight.T + noise

    def log_marginal(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Exact log p of the observed cells of (rows, time, features), (rows,)."""
        mean, covariance = self.rows(x.shape[1])
        seen = torch.ones_like(x, dtype=torch.bool) if observed is None else observed
        found = []
        for row, mask in zip(x.flatten(1), seen.flatten(1), strict=True):
            part = covariance[mask][:, mask]
            nothing = not bool(mask.any())
            found.append(
                row.new_zeros(())
                if nothing
                else MultivariateNormal(mean[mask], part).log_prob(row[mask])
            )
        return torch.stack(found)

    def posterior(self, x: Tensor, observed: Tensor | None = None) -> MultivariateNormal:
        """p(z_1 .. z_T | x) of one row (time, features)."""
        mean, covariance = self.latents(len(x))
        mask = torch.ones(x.numel(), dtype=torch.bool) if observed is None else observed.flatten()
        weight = torch.block_diag(*[self.weight] * len(x))[mask]
        noise = self.noise.repeat(len(x))[mask]
        precision = torch.linalg.inv(covariance) + weight.T @ (weight / noise[:, None])
        apart = x.flatten()[mask] - self.offset.repeat(len(x))[mask] - weight @ mean
        spread = torch.linalg.inv(precision)
        return MultivariateNormal(mean + spread @ weight.T @ (apart / noise), spread)

    def draws(self, rows: int, time: int = TIME, seed: int = 0) -> Tensor:
        """Rows of the model, (rows, time, features)."""
        mean, covariance = self.rows(time)
        noise = torch.Generator().manual_seed(seed)
        eps = torch.randn(rows, len(mean), generator=noise, dtype=torch.float64)
        return (mean + eps @ torch.linalg.cholesky(covariance).T).unflatten(1, (time, -1))


def parameters(seed: int = 0) -> StateSpace:
    """A model that turns slowly, with features of unlike noise."""
    noise = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=noise, dtype=torch.float64)

    factor = torch.tensor([[1.3, 0.0], [-0.6, 0.8]], dtype=torch.float64)
    return StateSpace(
        normal(LATENT),
        factor @ factor.T,
        torch.tensor([[0.8, -0.4], [0.3, 0.7]], dtype=torch.float64),
        normal(FEATURES, LATENT),
        normal(FEATURES),
        torch.tensor([0.5, 0.9, 0.3], dtype=torch.float64).square(),
    )


def model(proposal: MeanField | None = None, time: int = TIME) -> LinearStateSpace:
    """The same as a model of the library, float64."""
    exact = parameters()
    found = LinearStateSpace((time, FEATURES), LATENT, proposal).double()
    with torch.no_grad():
        factor = torch.linalg.cholesky(exact.covariance)
        found.initial.copy_(triangular.pack(exact.mean[None], factor[None]))
        found.transition.copy_(exact.transition)
        found.emission.weight.copy_(exact.weight)
        found.emission.bias.copy_(exact.offset)
        found.likelihood.scale.set(exact.noise.sqrt())
    return found
