r"""Principal components of complete rows, and the linear-Gaussian model that they maximize.

.. math::
    x \sim N(\mu, W W^T + \sigma^2 I), \quad W = U (\Lambda - \sigma^2 I)^{1/2}, \quad
    \sigma^2 = \frac{1}{D - d} \sum_{j > d} \lambda_j

with the d leading eigenvectors U and eigenvalues Lambda of the covariance (divisor N).
Source: Tipping & Bishop 1999; for large data, the randomized solution of Halko et al. 2011.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.distributions.reparameterization import seeded

MOST_EXACT = 3e11  # operations of the exact decomposition, about half a minute
OVERSAMPLED = 32
POWERS = 6


@dataclass(frozen=True)
class PrincipalComponents:
    """The leading directions of the rows.

    Attributes:
        mean: (features,).
        directions: U, orthonormal columns, (features, kept).
        variances: lambda_1 >= ... >= lambda_kept.
        rest: mean variance of the other directions; 0 if there is none.
    """

    mean: Tensor
    directions: Tensor
    variances: Tensor
    rest: Tensor

    def weight(self, noise: Tensor) -> Tensor:
        """W for a noise variance sigma^2, (features, kept)."""
        return self.directions * (self.variances - noise).clamp_min(0).sqrt()


def principal_components(
    rows: Tensor, count: int, most_exact: float = MOST_EXACT
) -> PrincipalComponents:
    """The ``count`` leading components, or as many as the rows have.

    The exact decomposition is used for up to ``most_exact`` operations, and above that a randomized
    one of a fixed seed.

    Args:
        rows: (rows, features).
        count: d, less than the number of features.
        most_exact: operations.
    """
    mean = rows.mean(0)
    centered = rows - mean
    kept = min(count, *rows.shape)
    if centered.numel() * min(rows.shape) <= most_exact:
        _, singular, across = torch.linalg.svd(centered, full_matrices=False)
        directions = across[:kept].T
    else:
        with seeded(0):
            wide = min(kept + OVERSAMPLED, *rows.shape)
            _, singular, directions = torch.svd_lowrank(centered, wide, niter=POWERS)
        directions = directions[:, :kept]
    variances = singular[:kept].square() / len(rows)
    total = centered.square().sum() / len(rows)
    others = rows.shape[1] - count
    rest = (total - variances.sum()).clamp_min(0) / max(others, 1)
    return PrincipalComponents(mean, directions, variances, rest)
