r"""Distances between samples and real rows, computed on features of both, (rows, width).

- Fréchet distance between the Gaussians with their means and covariances (Dowson & Landau 1982),

  .. math:: \lVert m_a - m_b \rVert^2
            + \mathrm{tr}\bigl(S_a + S_b - 2 (S_a^{1/2} S_b S_a^{1/2})^{1/2}\bigr)

- kernel distance, the squared maximum mean discrepancy of the kernel
  :math:`(x^\top y / \text{width} + 1)^3`, without bias (Binkowski et al. 2018).

Neither means much alone: few rows, or features of another network, change every figure.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.errors import DataError
from lowerbound.inference.estimate import Estimate

RESAMPLES = 20
BLOCKS = 10


def gaussian_frechet(
    mean_a: Tensor, covariance_a: Tensor, mean_b: Tensor, covariance_b: Tensor
) -> float:
    """Squared Fréchet distance between two Gaussians.

    The trace of the root is the sum of the roots of a symmetric matrix's eigenvalues. It stays
    real if a covariance is singular.

    Args:
        mean_a: (width,).
        covariance_a: (width, width), symmetric and positive semi-definite.
        mean_b: (width,).
        covariance_b: (width, width).
    """
    mean_a, mean_b = mean_a.double(), mean_b.double()
    covariance_a, covariance_b = covariance_a.double(), covariance_b.double()
    root = _root(covariance_a)
    eigenvalues = torch.linalg.eigvalsh(root @ covariance_b @ root).clamp_min(0)
    traces = torch.trace(covariance_a) + torch.trace(covariance_b)
    distance = (mean_a - mean_b).square().sum() + traces - 2 * eigenvalues.sqrt().sum()
    return max(float(distance), 0.0)


def rows_for_frechet(width: int) -> int:
    """Smallest number of rows for a covariance of this many features: two per feature."""
    return 2 * width


def frechet_distance(
    real: Tensor, samples: Tensor, *, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """Fréchet distance between Gaussians fitted to two sets of features.

    The distance is too large for few rows, so it compares only with distances from the same number.

    Args:
        real: (rows, width).
        samples: (rows, width).
        seed: seed of the resampling with replacement, for the standard error.
        resamples: number of resamples; 0: no standard error.

    Raises:
        DataError: fewer than two rows per feature; the message gives the required number.
    """
    need = rows_for_frechet(real.shape[1])
    require_rows(f"a Fréchet distance on {real.shape[1]} features", need, real, samples)
    value = _fitted_frechet(real, samples)
    if resamples < 2:
        return Estimate(value, None)
    generator = torch.Generator().manual_seed(seed)
    again = torch.tensor(
        [
            _fitted_frechet(_resample(real, generator), _resample(samples, generator))
            for _ in range(resamples)
        ]
    )
    return Estimate(value, float(again.std()))


def kernel_distance(
    real: Tensor, samples: Tensor, *, seed: int = 0, blocks: int = BLOCKS
) -> Estimate:
    """Unbiased kernel distance: the mean over disjoint blocks of rows, with its standard error.

    If the two are alike, it is around zero, and below zero half of the time.

    Args:
        real: (rows, width).
        samples: (rows, width).
        seed: assigns rows to blocks.
        blocks: number of blocks; 1: all rows at once, without a standard error.

    Raises:
        DataError: fewer than two rows per block; the message gives the required number.
    """
    require_rows("a kernel distance", 2 * blocks, real, samples)
    generator = torch.Generator().manual_seed(seed)
    parts = zip(_blocks(real, blocks, generator), _blocks(samples, blocks, generator), strict=True)
    return Estimate.of(torch.stack([_discrepancy(a, b) for a, b in parts]))


def require_rows(what: str, need: int, real: Tensor, samples: Tensor) -> None:
    """Raise DataError if a set is too small for a measure.

    Raises:
        DataError: the message gives the required and the available numbers of rows.
    """
    if min(len(real), len(samples)) < need:
        raise DataError(
            f"at least {need:,} real rows and {need:,} samples are needed for {what}, and there "
            f"are {len(real):,} and {len(samples):,}"
        )


def _fitted_frechet(real: Tensor, samples: Tensor) -> float:
    return gaussian_frechet(*_moments(real), *_moments(samples))


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    rows, width = rows.double(), rows.shape[1]
    return rows.mean(0), torch.cov(rows.T).view(width, width)


def _root(covariance: Tensor) -> Tensor:
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * eigenvalues.clamp_min(0).sqrt()) @ vectors.T
    return root


def _resample(rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows[torch.randint(len(rows), (len(rows),), generator=generator)]


def _blocks(rows: Tensor, blocks: int, generator: torch.Generator) -> list[Tensor]:
    """Disjoint blocks of one size, in random order, because rows of a class are often adjacent."""
    size = len(rows) // blocks
    order = torch.randperm(len(rows), generator=generator)[: blocks * size]
    return list(rows.double()[order].split(size))


def _discrepancy(a: Tensor, b: Tensor) -> Tensor:
    """Mean kernel of pairs; pairs of a row with itself are left out, so it is unbiased."""
    within = _pairs(a, a).fill_diagonal_(0).sum() / (len(a) * (len(a) - 1))
    within = within + _pairs(b, b).fill_diagonal_(0).sum() / (len(b) * (len(b) - 1))
    return within - 2 * _pairs(a, b).mean()


def _pairs(a: Tensor, b: Tensor) -> Tensor:
    kernel: Tensor = (a @ b.T / a.shape[1] + 1) ** 3
    return kernel
