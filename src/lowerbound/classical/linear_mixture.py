r"""Closed forms of a linear model of rows whose latent is a mixture of Gaussians.

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

from lowerbound.distributions.gaussian_mixture import LOG_TWO_PI


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
