r"""Mixtures of Gaussians: many diagonal ones at many points, or full covariances for each row.

Rows may share covariances.

The mixture of the posteriors of several rows, and the information between row and code.

.. math:: I(x; z) = \mathbb{E}_{x, z \sim q(z \mid x)} \left[\log q(z \mid x) - \log q(z)\right],
          \qquad q(z) = \mathbb{E}_x\, q(z \mid x)
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from lowerbound.distributions.reparameterization import Pushed, base_normal

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


LOG_TWO_PI = math.log(2 * math.pi)


class GaussianMixture(Pushed):
    r"""p(z) = sum_k w_k N(z; mu_k, diag sigma_k^2), batch shape (1, 1), event (dim,).

    The squared distances of all points to all components are one matrix product:

    .. math:: -\tfrac12 \sum_j \frac{(z_j - \mu_{kj})^2}{\sigma_{kj}^2} =
        [z^2, z] \cdot [-\tfrac12 \sigma_k^{-2}, \mu_k \sigma_k^{-2}]
        - \tfrac12 \sum_j \mu_{kj}^2 \sigma_{kj}^{-2}

    It is computed in float64, because the large terms cancel: in float32, sharp components would
    be wrong by tenths of a nat. No tensor of the size (points, components, dim) is allocated.

    Args:
        loc: mu, (components, dim).
        scale: sigma, (components, dim).
        logits: unnormalized log w, (components,).
    """

    def __init__(self, loc: Tensor, scale: Tensor, logits: Tensor) -> None:
        self.loc, self.scale, self.logits = loc, scale, logits
        super().__init__(torch.Size((1, 1)), loc.shape[1:], validate_args=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, (samples, rows), of z (samples, rows, dim)."""
        loc, scale, points = self.loc.double(), self.scale.double(), z.flatten(0, -2).double()
        precision = scale.square().reciprocal()
        constants = torch.log_softmax(self.logits.double(), 0) - torch.log(scale).sum(1)
        constants = constants - 0.5 * (loc.square() * precision + LOG_TWO_PI).sum(1)
        weights = torch.cat([-0.5 * precision, loc * precision], 1)
        joint = torch.addmm(constants, torch.cat([points.square(), points], 1), weights.T)
        # relative to the most probable component, the caller's precision is enough, and faster
        peak = joint.detach().amax(1, keepdim=True)
        log_density = torch.logsumexp((joint - peak).to(z.dtype), 1) + peak.squeeze(1)
        return log_density.to(z.dtype).reshape(z.shape[:-1])

    @torch.no_grad()
    def push(self, noise: Tensor) -> Tensor:
        """Map standard normal noise (..., dim) to draws, without a gradient.

        The noise of the first coordinate selects the component. The remainder is again uniform on
        (0, 1), and is the noise of that coordinate within the component, so the draw is exact.
        """
        weights = torch.softmax(self.logits.double(), 0)
        upper = weights.cumsum(0)
        uniform = torch.special.ndtr(noise[..., 0].double())
        index = torch.searchsorted(upper, uniform).clamp_max(len(weights) - 1)
        rest = (uniform - (upper - weights)[index]) / weights[index]
        first = torch.special.ndtri(rest.clamp(1e-15, 1 - 1e-15)).to(noise.dtype)
        within = torch.cat([first.unsqueeze(-1), noise[..., 1:]], -1)
        return self.loc[index] + self.scale[index] * within

    @property
    def mean(self) -> Tensor:
        weighted = torch.softmax(self.logits, 0) @ self.loc
        return weighted.reshape(1, 1, -1)

    @property
    def variance(self) -> Tensor:
        spread = self.scale.square() + (self.loc - self.mean.squeeze(0)).square()
        return (torch.softmax(self.logits, 0) @ spread).reshape(1, 1, -1)

    @property
    def like(self) -> Tensor:
        return self.loc[:1]


class FullMixture(Pushed):
    r"""p(z) = sum_k w_nk N(z; mu_nk, L_gk L_gk^T), batch shape (1, rows), event (dim,).

    g is the group of row n. The posteriors of a linear model with a mixture prior have this form:
    rows with the same hidden cells differ by their weights and means only.

    Args:
        logits: unnormalized log w, (rows, components).
        loc: mu, (rows, components, dim).
        scale_tril: L, lower triangular, (groups, components, dim, dim).
        group: of each row, (rows,); None: all rows are in the first.
    """

    continuous: ClassVar[bool] = True

    def __init__(
        self, logits: Tensor, loc: Tensor, scale_tril: Tensor, group: Tensor | None = None
    ) -> None:
        self.logits, self.loc, self.scale_tril = logits, loc, scale_tril
        self.group = torch.zeros_like(logits[:, 0], dtype=torch.long) if group is None else group
        shape = torch.Size((1, loc.shape[0]))
        super().__init__(shape, loc.shape[2:], validate_args=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, (samples, rows), of z (samples, rows, dim)."""
        return torch.logsumexp(self.log_joint(z), -1)

    def log_joint(self, z: Tensor) -> Tensor:
        """log p(z, k) in nats, (samples, rows, components), of z (samples, rows, dim)."""
        if len(self.scale_tril) == 1:  # so that one mixture may serve a larger batch
            log_normal = _log_normal(z, self.loc, self.scale_tril[0])
        else:
            groups = members(self.group, len(self.scale_tril))
            parts = [
                _log_normal(z[:, rows], self.loc[rows], factors)
                for rows, factors in zip(groups, self.scale_tril, strict=True)
            ]
            log_normal = torch.cat(parts, 1)[:, torch.argsort(torch.cat(groups))]
        return log_normal + torch.log_softmax(self.logits, -1)

    @torch.no_grad()
    def push(self, noise: Tensor) -> Tensor:
        """Map standard normal noise (samples, rows, dim) to draws, without a gradient.

        The noise of the first coordinate selects the component, and what is left of it is the noise
        of that coordinate within the component (as in ``GaussianMixture``).
        """
        wide = noise.shape[:2]
        # in float32, the share of a rare component has few digits, and may be zero or one
        weights = torch.softmax(self.logits.double(), -1).expand(wide[1], -1)
        upper = weights.cumsum(-1)
        uniform = torch.special.ndtr(noise[..., :1].double())
        index = (upper < uniform).sum(-1, keepdim=True).clamp_max(weights.shape[-1] - 1)
        chosen, top = (part.expand(*wide, -1).gather(-1, index) for part in (weights, upper))
        rest = ((uniform - top) / chosen + 1).clamp(1e-15, 1 - 1e-15)
        first = torch.special.ndtri(rest).to(noise.dtype)
        within = torch.cat([first, noise[..., 1:]], -1)
        return self._placed(within, index.squeeze(-1))

    @property
    def mean(self) -> Tensor:
        weights = torch.softmax(self.logits, -1).unsqueeze(-1)
        mean = (weights * self.loc).sum(1)
        return mean.expand(*self.batch_shape, -1)

    @property
    def variance(self) -> Tensor:
        weights = torch.softmax(self.logits, -1).unsqueeze(-1)
        center = (weights * self.loc).sum(1, keepdim=True)
        within = self.scale_tril.square().sum(-1)[self.group]
        variance = (weights * (within + (self.loc - center).square())).sum(1)
        return variance.expand(*self.batch_shape, -1)

    @property
    def like(self) -> Tensor:
        return self.loc[:, 0].unsqueeze(0)

    def _placed(self, noise: Tensor, index: Tensor) -> Tensor:
        """mu + L noise of the component ``index``, (samples, rows), of each draw."""
        loc = self.loc.expand(noise.shape[1], -1, -1)
        rows = torch.arange(noise.shape[1], device=noise.device).expand_as(index)
        group = self.group.expand(noise.shape[1])
        z = loc[rows, index]
        kind = group * self.scale_tril.shape[1] + index
        for which in torch.unique(kind).tolist():
            mine = kind == which
            z[mine] += noise[mine] @ self.scale_tril.flatten(0, 1)[which].T
        return z


def members(group: Tensor, groups: int) -> list[Tensor]:
    """The rows of each group, in order."""
    if groups == 1:  # no count then depends on the data, so that torch can export the graph
        return [torch.arange(group.shape[0], device=group.device)]
    counts = torch.bincount(group, minlength=groups)
    return list(torch.argsort(group, stable=True).split(counts.tolist()))


def _log_normal(z: Tensor, loc: Tensor, factors: Tensor) -> Tensor:
    """log N(z; mu_k, L_k L_k^T) of rows with the same factors, (samples, rows, components)."""
    found = []
    # component by component, since a tensor (samples, rows, components, dim) may be too large
    for mean, factor in zip(loc.unbind(1), factors, strict=True):
        rest = z - mean
        white = torch.linalg.solve_triangular(factor, rest.flatten(0, 1).T, upper=False)
        constant = factor.diagonal().log().sum() + 0.5 * LOG_TWO_PI * len(factor)
        found.append((-0.5 * white.square().sum(0) - constant).reshape(rest.shape[:2]))
    return torch.stack(found, -1)
