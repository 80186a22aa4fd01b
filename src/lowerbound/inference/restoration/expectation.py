r"""E[x | z] in the person's units, column by column: what an imputation averages.

A mean of transformed values is not the transform of a mean. For a continuous column with a bent way
in, u = T(v), and p(u | z) = N(mu, sigma^2),

.. math:: \mathbb{E}[v \mid z] = \int T^{-1}(u) \, N(u; \mu, \sigma^2) \, du

is a smooth function of mu alone, since sigma is the column's own: it is tabulated once, each entry
by Gauss-Hermite quadrature, and looked up after. A mixed column has pi * atom + (1 - pi) * that, a
count its mean, and a column of levels their probabilities: the largest decides, and of ordered
levels the one nearest to the mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.columns.column import HIGHEST, LOWEST, Column
from lowerbound.data.schema import Schema
from lowerbound.likelihoods.columns.atom import AtomEmission
from lowerbound.likelihoods.columns.group import DiscreteEmission
from lowerbound.likelihoods.gaussian_emission import GaussianEmission
from lowerbound.likelihoods.mixed import MixedEmission
from lowerbound.likelihoods.self_masked import SelfMaskedEmission
from lowerbound.trace import Emission

Array = np.ndarray[Any, Any]

QUANTILES = 16  # of a missing cell's utility, by Gauss-Legendre quadrature
NODES = 9  # of the quadrature: exact for polynomials up to degree 17
STEPS = 64  # entries of the table per model unit; linear in between


class Expectation(ABC):
    """Numbers per row that may be averaged over draws of z, and the answer they come to.

    Attributes:
        width: how many numbers.
    """

    width: int

    @abstractmethod
    def given(self, emission: Emission) -> Tensor:
        """The numbers of each draw and row, (samples, batch, width), at least as exact as it."""

    @abstractmethod
    def answer(self, averaged: Tensor) -> Array:
        """(batch, width) to rows in the person's units and layout; codes for levels, float64."""


def expectation(schema: Schema, emission: Emission) -> Expectation:
    """The expectation of rows of ``schema`` under emissions like ``emission``."""
    if isinstance(emission, MixedEmission):
        return ByColumn(schema, emission)
    return InUnits(schema)


class InUnits(Expectation):
    """For vectors and pictures, whose way in is affine: the mean in model units, decoded."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.width = schema.dimension

    def given(self, emission: Emission) -> Tensor:
        return emission.mean.flatten(2)

    def answer(self, averaged: Tensor) -> Array:
        rows = averaged.unflatten(1, self.schema.event_shape)
        return self.schema.decode(rows, rounded=False).astype(np.float64)


class ByColumn(Expectation):
    """For tables: one number per column, or one for each level of a column that has levels.

    Args:
        schema: of the table.
        emission: any of the model's answers; the columns' sigmas are taken from it.
    """

    def __init__(self, schema: Schema, emission: MixedEmission) -> None:
        self.schema = schema
        sizes = [max(1, len(column.levels)) for column in schema.modeled]
        self.first = [int(place) for place in np.cumsum([0, *sizes])]
        self.width = self.first[-1]
        self.curves = {
            place: _curve([schema.modeled[i] for i in columns], gaussian)
            for place, (part, columns) in enumerate(emission.members())
            if (gaussian := _continuous(part)) is not None
        }

    def given(self, emission: Emission) -> Tensor:
        assert isinstance(emission, MixedEmission)
        shape = (*emission.batch_shape, self.width)
        numbers = torch.empty(shape, dtype=torch.float64, device=emission.parts[0].mean.device)
        for place, (part, columns) in enumerate(emission.members()):
            if place in self.curves:
                numbers[..., self._slots(columns)] = self._continuous(place, part, columns)
            elif isinstance(part, DiscreteEmission):
                for index, column in enumerate(columns):
                    levels = slice(self.first[column], self.first[column + 1])
                    numbers[..., levels] = part.probabilities(index).double()
            else:
                numbers[..., self._slots(columns)] = part.mean.double()
        return numbers

    def answer(self, averaged: Tensor) -> Array:
        numbers = averaged.detach().cpu().numpy()
        values = np.empty((len(numbers), len(self.schema.columns)))
        values[:] = [column.shift for column in self.schema.columns]
        modeled = [i for i, column in enumerate(self.schema.columns) if column.modeled]
        for index, place in enumerate(modeled):
            own = numbers[:, self.first[index] : self.first[index + 1]]
            values[:, place] = _decided(own, self.schema.columns[place])
        return values

    def _continuous(self, place: int, part: Emission, columns: Sequence[int]) -> Tensor:
        gaussian = _continuous(part)
        assert gaussian is not None
        values = self.curves[place].given(gaussian)
        if not isinstance(part, AtomEmission):
            return values
        share = torch.sigmoid(part.logit.double())
        atoms = [self.schema.modeled[column].atom for column in columns]
        atom = torch.tensor(atoms, dtype=torch.float64, device=share.device)
        return share * atom + (1 - share) * values

    def _slots(self, columns: Sequence[int]) -> list[int]:
        return [self.first[column] for column in columns]


def _decided(own: Array, column: Column) -> Array:
    """A column's answer from its averaged numbers: a value, or a code where it has levels."""
    if not column.levels:
        return np.asarray(own[:, 0])
    if column.kind != "ordinal":
        return np.asarray(own.argmax(1))
    numeric = not any(isinstance(level, str) for level in column.levels)
    worth = np.array(column.levels if numeric else range(len(column.levels)), dtype=np.float64)
    mean = own @ worth / own.sum(1)
    return np.asarray(np.abs(worth - mean[:, None]).argmin(1))


class ExpectationCurve:
    r"""E[T^{-1}(u)], u ~ N(mu, sigma^2), as a function of mu; exact where T is affine.

    Args:
        columns: continuous ones.
        sigma: of each, model units, (columns,).
    """

    def __init__(self, columns: Sequence[Column], sigma: Tensor) -> None:
        device, deviation = sigma.device, sigma.detach().cpu().double().numpy()
        entries = [_tabulated(c, s) for c, s in zip(columns, deviation, strict=True)]
        self.table = torch.from_numpy(np.stack(entries)).to(device)
        self.affine = torch.tensor([column.affine for column in columns], device=device)
        self.scale = torch.tensor([c.scale for c in columns], dtype=torch.float64, device=device)
        self.shift = torch.tensor([c.shift for c in columns], dtype=torch.float64, device=device)

    def given(self, emission: GaussianEmission) -> Tensor:
        """The expectation of the cells of ``emission``, (..., columns), float64."""
        return self(emission.loc)

    def __call__(self, mu: Tensor) -> Tensor:
        """(..., columns) to the person's units, float64."""
        mu = mu.double()
        place = (mu.clamp(LOWEST, HIGHEST) - LOWEST) * STEPS
        left = place.long().clamp_max(self.table.shape[1] - 2)
        column = torch.arange(len(self.table), device=mu.device)
        below, above = self.table[column, left], self.table[column, left + 1]
        bent = torch.lerp(below, above, place - left)
        return torch.where(self.affine, mu * self.scale + self.shift, bent)


class MissingCurve(ExpectationCurve):
    r"""E[T^{-1}(u)] of cells that are missing because of u: over the quantiles of their utility.

    Given the utility u is Gaussian again, with a sigma that is the column's own; a cell that is not
    missing gets a number that nobody may read.
    """

    def __init__(self, columns: Sequence[Column], emission: SelfMaskedEmission) -> None:
        super().__init__(columns, emission.rest_scale.expand(len(columns)))
        nodes, weights = np.polynomial.legendre.leggauss(QUANTILES)
        root = (nodes + 1) / 2
        # the quantile is steep where its share is small: in the cube root of the share it is not
        self.shares, self.weights = root**3, weights / 2 * 3 * root**2

    def given(self, emission: GaussianEmission) -> Tensor:
        assert isinstance(emission, SelfMaskedEmission)
        bent = torch.zeros_like(emission.loc, dtype=torch.float64)
        for share, weight in zip(self.shares, self.weights, strict=True):
            place = torch.tensor(share, dtype=emission.loc.dtype, device=emission.loc.device)
            bent += weight * self(emission.at_utility(place))
        affine = emission.mean.double() * self.scale + self.shift
        return torch.where(self.affine, affine, bent)


def _curve(columns: Sequence[Column], gaussian: GaussianEmission) -> ExpectationCurve:
    if isinstance(gaussian, SelfMaskedEmission):
        return MissingCurve(columns, gaussian)
    return ExpectationCurve(columns, gaussian.scale)


def _tabulated(column: Column, sigma: float) -> Array:
    """The expectation at each mu = LOWEST, LOWEST + 1 / STEPS, ..., HIGHEST."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    mu = np.linspace(LOWEST, HIGHEST, round(HIGHEST - LOWEST) * STEPS + 1)
    units = (mu[:, None] + sigma * nodes).clip(LOWEST, HIGHEST)
    values: Array = column.decode(units) @ (weights / weights.sum())
    return values


def _continuous(part: Emission) -> GaussianEmission | None:
    """The Gaussian of a group of continuous or mixed columns."""
    if isinstance(part, AtomEmission):
        return part.rest
    return part if isinstance(part, GaussianEmission) else None
