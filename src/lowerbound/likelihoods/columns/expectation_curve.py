r"""The expectation of a continuous column in original units, tabulated.

A mean of transformed values is not the transform of a mean. For a nonlinear map u = T(v) and
p(u | z) = N(mu, sigma^2),

.. math:: \mathbb{E}[v \mid z] = \int T^{-1}(u) \, N(u; \mu, \sigma^2) \, du

is a smooth function of mu only, because sigma is constant in a column. It is tabulated once by
Gauss-Hermite quadrature, and then interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import HIGHEST, LOWEST
from lowerbound.distributions.finite import check_finite
from lowerbound.likelihoods.gaussian_emission import GaussianEmission
from lowerbound.likelihoods.self_masked import SelfMaskedEmission
from lowerbound.trace import Emission

Array = np.ndarray[Any, Any]

QUANTILES = 16  # of a missing cell's utility, by Gauss-Legendre quadrature
NODES = 9  # of the quadrature: exact for polynomials up to degree 17
STEPS = 64  # entries of the table per model unit, with linear interpolation


class ExpectationCurve:
    r"""E[T^{-1}(u)], u ~ N(mu, sigma^2), as a function of mu; exact if T is affine.

    If some values of a column lie far out, it is the expectation of h(g(T^{-1}(u))).

    Args:
        columns: continuous columns.
        sigma: of each, model units, (columns,).
    """

    def __init__(self, columns: Sequence[Column], sigma: Tensor) -> None:
        device, deviation = sigma.device, sigma.detach().cpu().double().numpy()
        entries = [_tabulated(c, s) for c, s in zip(columns, deviation, strict=True)]
        self.table = torch.from_numpy(np.stack(entries)).to(device)
        self.affine = torch.tensor([column.affine for column in columns], device=device)
        self.scale = torch.tensor([c.scale for c in columns], dtype=torch.float64, device=device)
        self.shift = torch.tensor([c.shift for c in columns], dtype=torch.float64, device=device)

    def given(self, emission: Emission) -> Tensor:
        """The expectation of the cells of ``emission``, (..., columns), float64."""
        assert isinstance(emission, GaussianEmission)
        return self(emission.loc)

    def __call__(self, mu: Tensor) -> Tensor:
        """Map mu, (..., columns), to the expectation in original units, float64.

        Raises:
            DataError: mu is not finite.
        """
        mu = check_finite(mu).double()
        place = (mu.clamp(LOWEST, HIGHEST) - LOWEST) * STEPS
        left = place.long().clamp_max(self.table.shape[1] - 2)
        column = torch.arange(len(self.table), device=mu.device)
        below, above = self.table[column, left], self.table[column, left + 1]
        bent = torch.lerp(below, above, place - left)
        return torch.where(self.affine, mu * self.scale + self.shift, bent)


class MissingCurve(ExpectationCurve):
    r"""E[T^{-1}(u)] of cells that are missing because of u, over the quantiles of their utility.

    Given the utility, u is Gaussian with a sigma that is constant in the column. The result for a
    cell that is not missing is meaningless.
    """

    def __init__(self, columns: Sequence[Column], emission: SelfMaskedEmission) -> None:
        super().__init__(columns, emission.rest_scale.expand(len(columns)))
        nodes, weights = np.polynomial.legendre.leggauss(QUANTILES)
        root = (nodes + 1) / 2
        # the quantile is steep near a share of 0, but not as a function of its cube root
        self.shares, self.weights = root**3, weights / 2 * 3 * root**2

    def given(self, emission: Emission) -> Tensor:
        assert isinstance(emission, SelfMaskedEmission)
        bent = torch.zeros_like(emission.loc, dtype=torch.float64)
        for share, weight in zip(self.shares, self.weights, strict=True):
            place = torch.tensor(share, dtype=emission.loc.dtype, device=emission.loc.device)
            bent += weight * self(emission.at_utility(place))
        affine = emission.mean.double() * self.scale + self.shift
        return torch.where(self.affine, affine, bent)


def curve_of(columns: Sequence[Column], gaussian: GaussianEmission) -> ExpectationCurve:
    """The curve of columns from one of their emissions, which all have the same sigma."""
    if isinstance(gaussian, SelfMaskedEmission):
        return MissingCurve(columns, gaussian)
    return ExpectationCurve(columns, gaussian.scale)


def _tabulated(column: Column, sigma: float) -> Array:
    """The expectation at each mu = LOWEST, LOWEST + 1 / STEPS, ..., HIGHEST."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    mu = np.linspace(LOWEST, HIGHEST, round(HIGHEST - LOWEST) * STEPS + 1)
    units = (mu[:, None] + sigma * nodes).clip(LOWEST, HIGHEST)
    values = column.rules.averaged(column.decode(units))
    mean: Array = values @ (weights / weights.sum())
    return mean
