r"""Means and covariances as lower-triangular factors, and as outputs of a network.

A mean mu, (rows, d), and a factor L, (rows, d, d), of a covariance L L^T are packed in one row:

.. math::
    \left(\mu,\; \left(\tfrac{L_{i1}}{L_{ii}}, \ldots, \tfrac{L_{i,i-1}}{L_{ii}},
    \log L_{ii}\right)_{i = 1 \ldots d}\right)

The triangle is packed row by row. Each row is divided by its diagonal, so that no output depends on
the scale of another. All outputs have the smooth bound c tanh(h / c): log L_ii within 14, the
ratios within 10,000. For every output of a network, L is therefore invertible, and draws and
densities are finite.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAX_LOG_SCALE = 14.0
MAX_RATIO = 1e4


def count(dim: int) -> int:
    """Length of a packed mean and factor in ``dim`` dimensions: d + d (d + 1) / 2."""
    return dim + dim * (dim + 1) // 2


def dim_of(numbers: int) -> int | None:
    """The inverse of ``count``; None if no dimension has this length.

    >>> [dim_of(numbers) for numbers in (2, 5, 6, 9)]
    [1, 2, None, 3]
    """
    dim = (math.isqrt(8 * numbers + 9) - 3) // 2  # d^2 + 3 d - 2 numbers = 0
    return dim if dim > 0 and count(dim) == numbers else None


def unpack(packed: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Convert (rows, numbers) to the mean (rows, dim) and the factor (rows, dim, dim)."""
    mean, heads = packed.split([dim, count(dim) - dim], 1)
    row, column = torch.tril_indices(dim, dim, device=packed.device)
    log_scale = _bounded(heads.index_select(1, _diagonal(dim, packed)), MAX_LOG_SCALE)
    scale = torch.exp(log_scale)
    ratio = torch.where(row == column, 1.0, _bounded(heads, MAX_RATIO))
    zeros = heads.new_zeros(heads.shape[0], dim * dim)
    factor = zeros.index_copy(1, row * dim + column, ratio * scale.index_select(1, row))
    return mean, factor.unflatten(1, (dim, dim))


def pack(mean: Tensor, factor: Tensor) -> Tensor:
    """The inverse of ``unpack``: exact for factors inside the bounds, clipped outside.

    Args:
        mean: (rows, d).
        factor: lower triangular with a positive diagonal, (rows, d, d).
    """
    dim = mean.shape[1]
    row, column = torch.tril_indices(dim, dim, device=mean.device)
    entries = factor.flatten(1).index_select(1, row * dim + column)
    scale = entries.index_select(1, _diagonal(dim, mean))
    ratio = entries / scale.index_select(1, row)
    log_scale = _unbounded(torch.log(scale), MAX_LOG_SCALE)
    heads = torch.where(row == column, log_scale.index_select(1, row), _unbounded(ratio, MAX_RATIO))
    return torch.cat((mean, heads), 1)


def inverse_factor(precision: Tensor) -> Tensor:
    r"""The lower-triangular L with L L^T = A^{-1}, (rows, d, d), without inverting A.

    J reverses the coordinates, and J A J = R R^T is a Cholesky factorization. Then A = U U^T with
    the upper-triangular U = J R J, and L = U^{-T}: one factorization and one triangular solve.

    Args:
        precision: A, symmetric and positive definite, (rows, d, d).
    """
    reversed_factor, _ = torch.linalg.cholesky_ex(precision.flip(1, 2))
    identity = torch.eye(precision.shape[1], dtype=precision.dtype, device=precision.device)
    inverse: Tensor = torch.linalg.solve_triangular(
        reversed_factor, identity.expand_as(precision), upper=False
    )
    return inverse.mT.flip(1, 2)


def _diagonal(dim: int, like: Tensor) -> Tensor:
    """Indices of the diagonal among the entries of a triangle in row order."""
    index = torch.arange(1, dim + 1, device=like.device)
    return index * (index + 1) // 2 - 1


def _bounded(heads: Tensor, bound: float) -> Tensor:
    return bound * torch.tanh(heads / bound)


def _unbounded(values: Tensor, bound: float) -> Tensor:
    most = 1.0 - 4.0 * torch.finfo(values.dtype).eps  # atanh is finite up to here
    return bound * torch.atanh((values / bound).clamp(-most, most))
