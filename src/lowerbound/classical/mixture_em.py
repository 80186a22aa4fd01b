r"""A mixture of Gaussians with full covariances by expectation maximization; linear models on it.

.. math:: y \sim \sum_c \pi_c \, N(m_c, C_c), \quad C_c \ge \lambda I

The fit maximizes the log-likelihood plus the log prior of shares and covariances, a Dirichlet and
an inverse Wishart whose mode is the covariance T of all rows:

.. math:: \sum_c \log \pi_c - \frac{\nu}{2} \sum_c \left(\log |C_c| + \mathrm{tr}(C_c^{-1} T)\right)

so that a covariance is the mean over its own rows and nu further rows of covariance T,

.. math:: C_c = \frac{\sum_n r_{nc} (y_n - m_c)(y_n - m_c)^T + \nu T}{\sum_n r_{nc} + \nu}

with eigenvalues below lambda raised to lambda, which is the maximum under that bound.
Source: Fraley & Raftery 2007; k-means++ starts: Arthur & Vassilvitskii 2007.

A linear model of rows whose latent is such a mixture has closed forms:

.. math::
    c \sim \pi, \quad z \mid c \sim N(m_c, S_c), \quad x \mid z \sim N(W z + \mu, \sigma^2 I)

A cell may be hidden, or carry noise of a known variance tau_j^2. Its gain is
g_j = sigma^2 / (sigma^2 + tau_j^2), and 0 if it is hidden. With G = diag g,

.. math::
    p(z \mid y, c) &= N(z; h_c, V_c), \quad
    V_c^{-1} = \sigma^{-2} W^T G W + S_c^{-1} \\
    V_c^{-1} h_c &= \sigma^{-2} W^T G (y - \mu) + S_c^{-1} m_c \\
    p(y, c) &= \pi_c \, p(y \mid h_c) \, N(h_c; m_c, S_c) / N(h_c; h_c, V_c)

The last line is Bayes' rule at h_c. No large terms cancel in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lowerbound.distributions.gaussian_mixture import LOG_TWO_PI, FullMixture
from lowerbound.errors import DataError

UPDATES = 100
SETTLED = 1e-3  # nats per row and update


class ComponentPosteriors(NamedTuple):
    """The posterior of rows with the same gains.

    Attributes:
        log_joint: log p(y, c), (rows, components), nats.
        loc: h, (rows, components, latents).
        covariance: V, (components, latents, latents).
    """

    log_joint: Tensor
    loc: Tensor
    covariance: Tensor


@dataclass(frozen=True, eq=False)
class LinearMixture:
    """The parameters, of one precision.

    Attributes:
        weight: W, (features, latents).
        offset: mu, (features,).
        variance: sigma^2.
        shares: pi, (components,).
        means: m, (components, latents).
        covariances: S, (components, latents, latents).
    """

    weight: Tensor
    offset: Tensor
    variance: Tensor
    shares: Tensor
    means: Tensor
    covariances: Tensor

    def conditioned(self, rows: Tensor, gain: Tensor) -> ComponentPosteriors:
        """The posterior of rows with these gains.

        Args:
            rows: y, (rows, features); hidden cells hold any finite number.
            gain: g, (features,).
        """
        centered, weighted = rows - self.offset, self.weight.T * gain
        factor_prior = torch.linalg.cholesky(self.covariances)
        precision_prior = self.variance * torch.cholesky_inverse(factor_prior)
        factor = torch.linalg.cholesky(weighted @ self.weight + precision_prior)
        shift = precision_prior @ self.means.unsqueeze(-1)
        loc = torch.cholesky_solve(weighted @ centered.T + shift, factor)  # (components, d, rows)
        covariance = self.variance * torch.cholesky_inverse(factor)
        offsets = loc - self.means.unsqueeze(-1)
        white = torch.linalg.solve_triangular(factor_prior, offsets, upper=False)
        volumes = _half_log_det(factor_prior) + _half_log_det(factor)
        volumes = volumes - 0.5 * len(self.weight.T) * self.variance.log()
        log_prior = self.shares.log().unsqueeze(1) - volumes.unsqueeze(1)
        log_prior = log_prior - 0.5 * white.square().sum(1)
        log_likelihood = torch.stack([self._log_likelihood(centered, z, gain) for z in loc])
        return ComponentPosteriors((log_prior + log_likelihood).T, loc.permute(2, 0, 1), covariance)

    def covariance(self) -> Tensor:
        """Cov(x), (features, features)."""
        centered = self.means - self.shares @ self.means
        latent = torch.einsum("c,cij->ij", self.shares, self.covariances)
        latent = latent + (centered.T * self.shares) @ centered
        noise = self.variance * torch.eye(len(self.weight)).to(self.weight)
        return self.weight @ latent @ self.weight.T + noise

    def _log_likelihood(self, centered: Tensor, z: Tensor, gain: Tensor) -> Tensor:
        """log p(y | z) of the seen cells in nats, (rows,), of z (latents, rows)."""
        seen = gain > 0
        rest = centered[:, seen] - (self.weight[seen] @ z).T
        precision = gain[seen] / self.variance
        constants = 0.5 * (precision.log() - LOG_TWO_PI).sum()
        return constants - 0.5 * (rest.square() * precision).sum(1)


def _half_log_det(factor: Tensor) -> Tensor:
    """Half of the log-determinant of L L^T, by its factors L, (components, d, d)."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


@dataclass(frozen=True, eq=False)
class FittedMixture:
    """The parameters of a mixture of Gaussians.

    Attributes:
        shares: pi, (components,).
        means: m, (components, dim).
        covariances: C, (components, dim, dim).
    """

    shares: Tensor
    means: Tensor
    covariances: Tensor

    @property
    def distribution(self) -> FullMixture:
        """p(y), batch shape (1, 1)."""
        factors = torch.linalg.cholesky(self.covariances)
        return FullMixture(self.shares.log()[None], self.means[None], factors[None])


@dataclass(frozen=True, eq=False)
class CovariancePrior:
    """The inverse-Wishart prior of each covariance.

    Attributes:
        covariance: T, (dim, dim).
        rows: nu > 0, the number of rows that it counts as.
        least: lambda > 0, the least eigenvalue of a covariance.
    """

    covariance: Tensor
    rows: float
    least: float

    def log_density(self, mixture: FittedMixture) -> Tensor:
        """The log prior of shares and covariances up to a constant, nats."""
        inverse = torch.linalg.inv(mixture.covariances)
        traces = (inverse * self.covariance).sum((1, 2))
        surprise: Tensor = (torch.logdet(mixture.covariances) + traces).sum()
        return mixture.shares.log().sum() - 0.5 * self.rows * surprise

    def maximized(self, rows: Tensor, responsibilities: Tensor) -> FittedMixture:
        """The mixture of highest posterior given responsibilities r, (rows, components)."""
        counts = responsibilities.sum(0)
        # in logarithms, so that a component without rows keeps a mean
        weights = torch.softmax(responsibilities.log().clamp_min(-700), 0)
        means = weights.T @ rows
        covariances = []
        for mean, weight, count in zip(means, weights.T, counts, strict=True):
            centered = rows - mean
            scatter = count * ((centered * weight[:, None]).T @ centered)
            shrunk = (scatter + self.rows * self.covariance) / (count + self.rows)
            covariances.append(self._bounded(shrunk))
        shares = (counts + 1) / (len(rows) + len(counts))
        return FittedMixture(shares, means, torch.stack(covariances))

    def _bounded(self, covariance: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(covariance)
        bounded: Tensor = (vectors * values.clamp_min(self.least)) @ vectors.T
        return 0.5 * (bounded + bounded.T)


def fit_mixture(
    rows: Tensor, components: int, *, prior_rows: float, least: float, seed: int = 0
) -> FittedMixture:
    """Fit by expectation maximization from a k-means clustering.

    Args:
        rows: (rows, dim), float64.
        components: number of Gaussians, at most as many as rows.
        prior_rows: nu of the prior, whose T is the covariance of the rows.
        least: lambda, the least eigenvalue of a covariance.
        seed: of the clustering.

    Raises:
        DataError: there are fewer rows than components.
    """
    if len(rows) < components:
        raise DataError(f"{components} components need as many rows, and the data has {len(rows)}")
    centered = rows - rows.mean(0)
    prior = CovariancePrior(centered.T @ centered / len(rows), prior_rows, least)
    mixture = prior.maximized(rows, _clusters(rows, components, seed))
    last = -torch.inf
    for _ in range(UPDATES):
        mixture, objective = update(rows, mixture, prior)
        if objective - last < SETTLED * len(rows):
            break
        last = objective
    return mixture


def pooled_mixture(
    rows: Tensor, components: int, starts: int, *, prior_rows: float, least: float
) -> FittedMixture:
    """Fits from different starts as one mixture with equal shares of each fit.

    Starts are drawn from torch's global random state. Args and Raises are those of ``fit_mixture``.
    """
    fits = [
        fit_mixture(rows, components, prior_rows=prior_rows, least=least, seed=seed)
        for seed in torch.randint(2**31, (starts,)).tolist()
    ]
    return FittedMixture(
        torch.cat([fit.shares for fit in fits]) / starts,
        torch.cat([fit.means for fit in fits]),
        torch.cat([fit.covariances for fit in fits]),
    )


def update(
    rows: Tensor, mixture: FittedMixture, prior: CovariancePrior
) -> tuple[FittedMixture, float]:
    """(the mixture after one update, the log posterior before it in nats up to a constant)."""
    log_joint = mixture.distribution.log_joint(rows.unsqueeze(0))[0]
    objective = torch.logsumexp(log_joint, 1).sum() + prior.log_density(mixture)
    return prior.maximized(rows, torch.softmax(log_joint, 1)), float(objective)


def _clusters(rows: Tensor, components: int, seed: int) -> Tensor:
    """The cluster of each row as one-hot responsibilities, (rows, components)."""
    from sklearn.cluster import KMeans

    fitted = KMeans(components, n_init=1, random_state=seed).fit(rows.cpu().numpy())
    labels = torch.as_tensor(fitted.labels_, dtype=torch.long, device=rows.device)
    return torch.nn.functional.one_hot(labels, components).to(rows)
