r"""The mixture of the posteriors of several rows, and the information between row and code.

.. math:: I(x; z) = \mathbb{E}_{x, z \sim q(z \mid x)} \left[\log q(z \mid x) - \log q(z)\right],
          \qquad q(z) = \mathbb{E}_x\, q(z \mid x)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from lowerbound.distributions.reparameterization import base_normal

ACTIVE = 0.01  # variance of the mean, and nats of rate, above which a unit is active


@torch.no_grad()
def mutual_information(posterior: Distribution, z: Tensor) -> float:
    r"""An estimate of I(x; z) under q from draws of some of B rows, nats: the mean over i of

    .. math:: \log q(z_i \mid x_i) - \log \frac{1}{B} \sum_{j=1}^{B} q(z_i \mid x_j)

    Its expectation never exceeds I(x; z): the sum contains the row that made the draw, so q(z) is
    too large on average. No estimate exceeds log B. Source: Hoffman & Johnson 2016; the bias is
    that of the bound of Oord et al. 2018 with exact densities.

    Args:
        posterior: q(z | x) of the rows, batch shape (1, B).
        z: one draw of each of the first rows, (draws, *event).
    """
    pairs = pairwise_log_prob(posterior, z)
    mixture = torch.logsumexp(pairs, 1) - math.log(pairs.shape[1])
    return float((torch.diagonal(pairs) - mixture).mean())


@torch.no_grad()
def pairwise_log_prob(posterior: Distribution, z: Tensor) -> Tensor:
    """log q(z_m | x_n) for all pairs, (draws, components), float64.

    For diagonal Gaussians it uses two matrix products instead of (draws, components, latent_dim),
    and for others one.

    Args:
        posterior: batch shape (1, components).
        z: (draws, *event).
    """
    base = base_normal(posterior)
    if isinstance(posterior, MultivariateNormal):
        return _of_full_covariances(posterior, z.double())
    if base is None:
        pairs = (len(z), posterior.batch_shape[1], *z.shape[1:])
        return posterior.log_prob(z.unsqueeze(1).expand(pairs)).double()
    loc = base.loc[0].double().flatten(1)
    scale, z = base.scale.expand_as(base.loc)[0].double().flatten(1), z.double().flatten(1)
    center = loc.mean(0)  # distances from the center lose fewer digits
    loc, z = loc - center, z - center
    precision = scale.square().reciprocal()
    squares = z.square() @ precision.T - 2 * z @ (loc * precision).T
    constant = (loc.square() * precision).sum(1) + 2 * scale.log().sum(1)
    return -0.5 * (squares + constant + z.shape[1] * math.log(2 * math.pi))


def _of_full_covariances(posterior: MultivariateNormal, z: Tensor) -> Tensor:
    """All pairs for N(mu_n, L_n L_n^T): one product with the squares and products of z."""
    factor, loc = posterior.scale_tril[0].double(), posterior.loc[0].double()
    center = loc.mean(0)  # distances from the center lose fewer digits
    loc, z = loc - center, z - center
    identity = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    inverse = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
    towards = inverse @ loc.unsqueeze(-1)
    row, column = torch.triu_indices(z.shape[1], z.shape[1], device=z.device)
    twice = torch.where(row == column, 1.0, 2.0)
    precision = (inverse.mT @ inverse)[:, row, column] * twice
    weights = torch.cat((precision, -2 * (inverse.mT @ towards).squeeze(-1)), 1)
    squares = torch.cat((z[:, row] * z[:, column], z), 1) @ weights.T
    scale = torch.diagonal(factor, dim1=-2, dim2=-1).log().sum(1)
    constant = towards.square().sum((1, 2)) + 2 * scale
    found: Tensor = -0.5 * (squares + constant + z.shape[1] * math.log(2 * math.pi))
    return found
