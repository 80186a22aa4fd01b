r"""Real features: p(x | z) = prod_j of a location mu_j(z) and a scale.

::

    Gaussian error    N(x_j; mu_j(z), sigma_j^2)
    absolute error    Laplace(x_j; mu_j(z), b_j)
    heavy tails       t(x_j; mu_j(z), sigma_j, nu)

Gaussian cells that are missing because of their value: p(x_o, s | z), with s the mask.

.. math::
    \log p(x_o, s \mid z) = \sum_{j \in o} \left[ \log N(x_j; \mu_j, \sigma_j^2)
    + \log \Phi(-w_j (x_j - b_j)) \right]
    + \sum_{j \in m} \log \Phi\left( \frac{w_j (\mu_j - b_j)}{\sqrt{1 + w_j^2 \sigma_j^2}} \right)

The missing value is integrated out exactly (:mod:`lowerbound.classical.self_masking`).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from lowerbound.classical.self_masking import SelfMasking
from lowerbound.errors import OptionError
from lowerbound.likelihoods.base import (
    LIKELIHOODS,
    GaussianEmission,
    LocationScale,
    positive_scale,
    raw_scale,
)
from lowerbound.parts import DIRECTIONS
from lowerbound.trace import Emission, masked_terms

LEAST_SLOPE = 1e-3


class SelfMaskedEmission(GaussianEmission):
    """Gaussian cells and the curves of their probability of being missing.

    ``mean``, ``variance`` and draws are those of x given z. For a missing cell, they are also
    conditioned on the fact that it is missing.

    Args:
        loc: mu, (samples, batch, columns).
        scale: sigma, one number or one per column.
        curves: of the columns.
        missing: True if the value is missing, (batch, columns); None: every unobserved cell for
            ``terms``, and no cell for ``mean``, ``variance`` and draws.
    """

    def __init__(
        self, loc: Tensor, scale: Tensor, curves: SelfMasking, missing: Tensor | None = None
    ) -> None:
        super().__init__(loc, scale)
        self.curves, self.missing = curves, missing

    def knowing(self, missing: Tensor | None) -> SelfMaskedEmission:
        return SelfMaskedEmission(self.loc, self.scale, self.curves, missing)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        seen = masked_terms(self._seen, x, observed)
        if observed is None:
            return seen
        missing = ~observed if self.missing is None else self.missing
        return seen + torch.where(missing, self.curves.log_missing(self.loc, self.scale), 0.0)

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        return Emission.log_prob(self, x, observed)

    @property
    def mean(self) -> Tensor:
        return self._where_missing(self._tilted()[0], self.loc)

    @property
    def variance(self) -> Tensor:
        return self._where_missing(self._tilted()[1], super().variance)

    @property
    def rest_scale(self) -> Tensor:
        """The standard deviation of a missing x given its utility, (columns,)."""
        return self.curves.spread_at_utility(self.scale)

    def at_utility(self, share: Tensor) -> Tensor:
        """The mean of a missing x whose utility is at a quantile, shape of ``loc``."""
        return self.curves.at_utility(self.loc, self.scale, share)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        plain = super()._sample(sample_shape)
        if self.missing is None:
            return plain
        # the open interval, because the quantile at 0 is infinite
        share = torch.rand_like(plain).clamp(1e-7, 1 - 1e-7)
        drawn = self.at_utility(share) + self.rest_scale * torch.randn_like(plain)
        return torch.where(self.missing, drawn, plain)

    def _seen(self, x: Tensor) -> Tensor:
        return self._terms(x) + self.curves.log_observed(x)

    def _tilted(self) -> tuple[Tensor, Tensor]:
        return self.curves.moments(self.loc, self.scale)

    def _where_missing(self, tilted: Tensor, plain: Tensor) -> Tensor:
        return plain if self.missing is None else torch.where(self.missing, tilted, plain)


class Curves(nn.Module):
    """The learned curves of some columns.

    If the direction is known, the slope keeps its sign.

    Args:
        columns: number of columns.
        missingness: one of ``lowerbound.classical.self_masking.DIRECTIONS``.
    """

    applies: Tensor

    def __init__(self, columns: int, missingness: str) -> None:
        super().__init__()
        self.direction = DIRECTIONS[missingness]
        self.raw_slope = nn.Parameter(torch.zeros(columns))
        self.threshold = nn.Parameter(torch.zeros(columns))
        self.register_buffer("applies", torch.zeros(columns, dtype=torch.bool))

    def forward(self) -> SelfMasking:
        slope: Tensor = self.raw_slope
        if self.direction:
            slope = self.direction * positive_scale(slope, LEAST_SLOPE)
        threshold = torch.where(self.applies, self.threshold, 0.0)
        return SelfMasking(torch.where(self.applies, slope, 0.0), threshold, self.applies)

    @torch.no_grad()
    def start_from(self, curves: SelfMasking) -> None:
        """Set the initial curves, without changing the columns to which they apply."""
        slope = curves.slope
        if self.direction:
            slope = raw_scale(self.direction * slope, LEAST_SLOPE)
        self.raw_slope.copy_(slope)
        self.threshold.copy_(curves.threshold)
        self.applies.copy_(curves.applies)


def gaussian_cells(loc: Tensor, scale: Tensor, curves: Curves | None) -> GaussianEmission:
    """Gaussian cells, missing at random or with ``curves``."""
    if curves is None:
        return GaussianEmission(loc, scale)
    return SelfMaskedEmission(loc, scale, curves())


MIN_DF = 2.05
START_DF = 5.0
LARGE_DF = 1e3  # degrees of freedom from which a series is more precise than log-gammas


class LaplaceEmission(Emission):
    r"""log p(x) = -|x - mu| / b - log(2 b), per feature; the variance is 2 b^2.

    Args:
        loc: mu, (samples, batch, *event).
        scale: b, broadcastable to a row.
    """

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape[:2], loc.shape[2:], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        return -(x - self.loc).abs() / self.scale - torch.log(2 * self.scale)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (2 * self.scale.square()).expand_as(self.loc)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        # the difference of two exponentials has a Laplace distribution, and is finite
        like = self.loc.expand(sample_shape + self.loc.shape)
        first, second = torch.empty_like(like), torch.empty_like(like)
        return self.loc + self.scale * (first.exponential_() - second.exponential_())


@LIKELIHOODS.register("laplace")
class Laplace(LocationScale):
    """Absolute error with its scale; the location is the median, which is robust to outliers."""

    def forward(self, parameters: Tensor) -> LaplaceEmission:
        (loc,) = self.split(parameters)
        return LaplaceEmission(loc, self.scale())

    def initialize(self, x: Tensor) -> None:
        self.scale.set((x.float() - self.initial_bias(x)).abs().mean(0))

    def initial_bias(self, x: Tensor) -> Tensor:
        """The median of each feature."""
        return x.float().median(0).values


class StudentTEmission(Emission):
    r"""The t density with nu degrees of freedom, per feature, u = (x - mu) / sigma.

    .. math:: \log p(x) = \log\Gamma(\tfrac{\nu+1}{2}) - \log\Gamma(\tfrac{\nu}{2})
        - \tfrac12 \log(\pi\nu) - \log\sigma - \tfrac{\nu+1}{2}\log(1 + u^2/\nu)

    Args:
        loc: mu, (samples, batch, *event).
        scale: sigma, broadcastable to a row; the variance is sigma^2 nu / (nu - 2).
        df: nu > 2, a scalar.
    """

    def __init__(self, loc: Tensor, scale: Tensor, df: Tensor) -> None:
        self.loc, self.scale, self.df = loc, scale, df
        super().__init__(loc.shape[:2], loc.shape[2:], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        squares = ((x - self.loc) / self.scale).square()
        tail = 0.5 * (self.df + 1) * torch.log1p(squares / self.df)
        return (self._log_normalizer() - torch.log(self.scale)) - tail

    def _log_normalizer(self) -> Tensor:
        # float64, because the difference of two log-gammas loses its digits if nu is large
        df = self.df.double()
        usual = df.clamp_max(LARGE_DF)
        gammas = torch.lgamma(0.5 * (usual + 1)) - torch.lgamma(0.5 * usual)
        exact = gammas - 0.5 * torch.log(math.pi * usual)
        # the ratio of gammas as a series in 1 / nu (DLMF 5.11.13); the next term is of order nu^-5
        limit = -0.5 * math.log(2 * math.pi) - 0.25 / df + 1 / (24 * df**3)
        return torch.where(df > LARGE_DF, limit, exact).to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (self.scale.square() * self.df / (self.df - 2)).expand_as(self.loc)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        shape = sample_shape + self.loc.shape
        eps = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        half = (0.5 * self.df).to(self.loc.dtype).expand(shape)
        # chi^2 with nu degrees of freedom over nu is Gamma(nu / 2) over nu / 2
        chi_square_over_df = torch.distributions.Gamma(half, half, validate_args=False).sample()
        return self.loc + self.scale * eps * torch.rsqrt(chi_square_over_df)


@LIKELIHOODS.register("student_t")
class StudentT(LocationScale):
    """Error with heavy tails: the loss of an outlier grows with its logarithm, not its square.

    Args:
        df: degrees of freedom, above 2 so that the variance exists; None: one number for all
            features is learned, with the initial value 5 and the lower limit 2.05.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        scale: Literal["fixed", "global", "feature"] = "global",
        tau: float = 1.0,
        floor: float = 1e-3,
        df: float | None = None,
    ) -> None:
        super().__init__(event_shape, scale=scale, tau=tau, floor=floor)
        if df is not None and df <= 2:
            raise OptionError(f"df must be above 2, so that the variance exists, not {df}")
        self.df = df
        raw = raw_scale(torch.tensor(df or START_DF), MIN_DF)
        self.raw_df = nn.Parameter(raw, requires_grad=df is None)

    def degrees(self) -> Tensor:
        """nu, a scalar."""
        if self.df is not None:
            return torch.full_like(self.raw_df, self.df)
        return positive_scale(self.raw_df, MIN_DF)

    def forward(self, parameters: Tensor) -> StudentTEmission:
        (loc,) = self.split(parameters)
        return StudentTEmission(loc, self.scale(), self.degrees())

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        df = self.degrees()
        self.scale.set(x.float().std(0, correction=0) * torch.sqrt((df - 2) / df))

    def initial_bias(self, x: Tensor) -> Tensor:
        """The median of each feature, which is robust to outliers."""
        return x.float().median(0).values


@LIKELIHOODS.register("gaussian")
class Gaussian(LocationScale):
    r"""Gaussian error with a standard deviation that is fixed, learned, or learned per feature.

    With ``scale="fixed"`` and sigma = tau, -log p(x | z) is the squared error over 2 tau^2 plus a
    constant.
    """

    def forward(self, parameters: Tensor) -> GaussianEmission:
        (loc,) = self.split(parameters)
        return gaussian_cells(loc, self.scale(), self.curves)

    def explain_missing(self, missingness: str) -> None:
        self.missingness = missingness
        self.curves = Curves(self.event_shape[0], missingness)

    def start_curves(self, curves: SelfMasking) -> None:
        """Set the initial curves, those of the columns of x."""
        assert self.curves is not None
        self.curves.start_from(curves)

    def initialize(self, x: Tensor) -> None:
        self.scale.set(x.float().std(0, correction=0))
