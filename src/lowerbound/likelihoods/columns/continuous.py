"""Columns of real numbers: p(u | z) = prod_j N(u_j; mu_j(z), sigma_j^2) in model units."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lowerbound.data.columns.column import Column
from lowerbound.likelihoods.base import positive_scale, raw_scale
from lowerbound.likelihoods.columns.expectation_curve import curve_of
from lowerbound.likelihoods.columns.group import COLUMN_FAMILIES, Averages, ColumnGroup
from lowerbound.likelihoods.gaussian_emission import GaussianEmission
from lowerbound.likelihoods.self_masked import Curves, gaussian_cells
from lowerbound.trace import Emission


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
