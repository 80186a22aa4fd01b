r"""Columns of real numbers: p(u | z) = prod_j N(u_j; mu_j(z), sigma_j^2) in model units.

A column with an atom has p(atom) = pi(z), else (1 - pi) N(u; mu(z), sigma^2). A mean of transformed
values is not the transform of a mean: for a nonlinear map u = T(v), the expectation in original
units

.. math:: \mathbb{E}[v \mid z] = \int T^{-1}(u) \, N(u; \mu, \sigma^2) \, du

is a smooth function of mu only, because sigma is constant in a column. It is tabulated once by
Gauss-Hermite quadrature, and then interpolated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import HIGHEST, LOWEST
from lowerbound.data.columns.mixed import ATOM, is_atom
from lowerbound.distributions.point import check_finite
from lowerbound.likelihoods.base import GaussianEmission, positive_scale, raw_scale
from lowerbound.likelihoods.columns.group import (
    COLUMN_FAMILIES,
    Averages,
    ColumnGroup,
    DiscreteEmission,
)
from lowerbound.likelihoods.location_scale import Curves, SelfMaskedEmission, gaussian_cells
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


class ColumnScale(nn.Module):
    r"""One learned sigma_j per column, with the initial value 1 and a lower limit per column.

    .. math:: \mathrm{floor}_j = \max(\mathrm{floor}, \mathrm{resolution}_j / \sqrt{12})

    The second term is the standard deviation of rounding to the column's resolution. Without it, a
    density of rounded values would grow without bound.

    Args:
        columns: with their resolutions in model units.
        floor: the smallest sigma of all columns, model units.
    """

    floor: Tensor

    def __init__(self, columns: Sequence[Column], floor: float) -> None:
        super().__init__()
        resolution = torch.tensor([column.resolution for column in columns])
        least = (resolution / math.sqrt(12)).clamp_min(floor)
        self.register_buffer("floor", least, persistent=False)
        self.raw = nn.Parameter(raw_scale(torch.ones_like(least), least))

    def forward(self) -> Tensor:
        return positive_scale(self.raw, self.floor)

    @torch.no_grad()
    def set(self, sigma: Tensor) -> None:
        """Set the initial ``sigma``, (columns,)."""
        self.raw.copy_(raw_scale(sigma, self.floor))


class ScaledColumns(ColumnGroup):
    """Columns with a learned sigma each.

    Args:
        columns: of one family.
        floor: the smallest sigma, model units.
    """

    mass = False
    support = "finite numbers"

    def __init__(self, columns: Sequence[Column], floor: float) -> None:
        super().__init__(columns)
        self.scale = ColumnScale(columns, floor)

    @classmethod
    def of(cls, columns: Sequence[Column], floor: float, embedding: int) -> ScaledColumns:
        return cls(columns, floor)

    def set_noise(self, sigma: Tensor) -> None:
        self.scale.set(sigma)

    def inside(self, x: Tensor) -> Tensor:
        return x.isfinite()


@COLUMN_FAMILIES.register("continuous")
class ContinuousColumns(ScaledColumns):
    """Columns with a density; one parameter each, mu."""

    may_explain_missing = True

    @classmethod
    def averages(cls, columns: Sequence[Column], emission: Emission) -> Averages:
        assert isinstance(emission, GaussianEmission)
        return curve_of(columns, emission).given

    def forward(self, parameters: Tensor) -> GaussianEmission:
        return gaussian_cells(parameters, self.scale(), self.curves)

    def explain_missing(self, missingness: str) -> None:
        self.curves = Curves(len(self.names), missingness)

    def initialize(self, x: Tensor) -> None:
        self.scale.set(x.std(0, correction=0))

    def initial_bias(self, x: Tensor) -> Tensor:
        """The mean of each column."""
        return x.mean(0)


class AtomEmission(DiscreteEmission):
    r"""log p(atom) = log pi; log p(u) = log(1 - pi) + log N(u; mu, sigma^2) elsewhere.

    ``mean`` is ``ATOM`` if pi is above one half, else mu. ``variance`` is that of the continuous
    part, sigma^2, because the distance to the atom is meaningless.

    Args:
        logit: of pi, (samples, batch, columns).
        loc: mu, model units, likewise.
        scale: sigma, (columns,).
    """

    def __init__(self, logit: Tensor, loc: Tensor, scale: Tensor) -> None:
        self.logit, self.rest = logit, GaussianEmission(loc, scale)
        super().__init__(logit.shape[:2], logit.shape[2:], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        atom = is_atom(x)
        # the atom is far from every mu, so its square is excluded from the density and gradient
        density = self.rest.terms(torch.where(atom, 0.0, x))
        return torch.where(atom, F.logsigmoid(self.logit), F.logsigmoid(-self.logit) + density)

    @property
    def mean(self) -> Tensor:
        return torch.where(self.logit > 0, ATOM, self.rest.loc.clamp(LOWEST, HIGHEST))

    @property
    def variance(self) -> Tensor:
        return self.rest.variance

    def probabilities(self, column: int) -> Tensor:
        """Probabilities of the atom and of all other values, (samples, batch, 2)."""
        logit = self.logit[..., column]
        return torch.sigmoid(torch.stack([logit, -logit], -1))

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        atom = torch.bernoulli(torch.sigmoid(self.logit).expand(sample_shape + self.logit.shape))
        # no continuous draw may equal the atom
        return torch.where(atom > 0, ATOM, self.rest.sample(sample_shape).clamp(LOWEST, HIGHEST))


@COLUMN_FAMILIES.register("mixed")
class AtomColumns(ScaledColumns):
    """Columns of the kind "mixed"; two parameters each, the logit of pi and mu."""

    @classmethod
    def averages(cls, columns: Sequence[Column], emission: Emission) -> Averages:
        """pi * atom + (1 - pi) * the expectation of the others."""
        assert isinstance(emission, AtomEmission)
        rest = ExpectationCurve(columns, emission.rest.scale)
        atoms = [column.rules.averaged(np.array(column.atom)).item() for column in columns]
        atom = torch.tensor(atoms, dtype=torch.float64, device=emission.logit.device)

        def given(emission: Emission) -> Tensor:
            assert isinstance(emission, AtomEmission)
            share = torch.sigmoid(emission.logit.double())
            return share * atom + (1 - share) * rest.given(emission.rest)

        return given

    @property
    def numbers(self) -> int:
        return 2

    def forward(self, parameters: Tensor) -> AtomEmission:
        logit, loc = self.by_column(parameters).unbind(-1)
        return AtomEmission(logit, loc, self.scale())

    def initialize(self, x: Tensor) -> None:
        rest, mean = _rest(x)
        square = torch.where(rest, (x - mean).square(), 0.0).sum(0) / rest.sum(0).clamp_min(1)
        # a column with only its atom does not determine the spread
        self.scale.set(torch.where(rest.any(0), square.sqrt(), 1.0))

    def initial_bias(self, x: Tensor) -> Tensor:
        """Log-odds of the atom, with one added to both counts; mean of the other values."""
        rest, mean = _rest(x)
        count = rest.sum(0).to(x.dtype)
        logit = torch.log(len(x) - count + 1) - torch.log(count + 1)
        return torch.stack([logit, mean], -1).flatten()


def _rest(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mask of values that are not the atom, (rows, columns), and their means, (columns,)."""
    rest = ~is_atom(x)
    return rest, torch.where(rest, x, 0.0).sum(0) / rest.sum(0).clamp_min(1)
