r"""The likelihood p(y | z) of a noisy row y = x + noise, from p(x | z) and a noise model.

.. math:: p(y \mid z) = \int p(x \mid z) \, p(y \mid x) \, dx, \qquad
    p(y_j \mid x_j) = (1 - \rho) \, N(y_j; x_j, \tau_j^2) + \rho \, u(y_j)

\rho is the fraction of outliers, which do not depend on x, and u is uniform on the range of the
values. Cells are independent given z, so there is one integral per cell. It has a closed form for a
Gaussian, and is a sum if x has levels. The same integral gives E[x | y, z], which is Wiener's
filter in each cell for a Gaussian.
"""

from __future__ import annotations

import math
import sys
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.errors import UnsupportedError
from lowerbound.likelihoods.base import HALF_LOG_TWO_PI, GaussianEmission
from lowerbound.likelihoods.bernoulli import BernoulliEmission
from lowerbound.likelihoods.categorical import from_code
from lowerbound.likelihoods.discretized_logistic import DiscretizedLogisticEmission
from lowerbound.trace import Emission

LEAST = 1e-6  # smallest tau, because without noise only the seen level has probability
LEVELS_PER_DEVIATION = 4  # levels in a standard deviation of the noise
KNOWN = ("gaussian", "bernoulli", "discretized_logistic")


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """The noise of each cell.

    Attributes:
        scale: tau > 0 in model units, broadcastable to a row.
        outliers: rho, the fraction of outliers, at least 0 and below 1.
        span: width of the range of outliers, model units.
        exact: whether the sum is over all levels of x, or over levels a quarter of tau apart,
            which is faster for Markov chains with a sum in every step.
    """

    scale: Tensor
    outliers: float = 0.0
    span: float = 1.0
    exact: bool = True

    @property
    def levels(self) -> int:
        """The number of evenly spaced levels in [0, 1] that the noise can distinguish."""
        if self.exact:
            return sys.maxsize
        return math.ceil(LEVELS_PER_DEVIATION / max(float(self.scale.min()), 1e-6)) + 1


class NoisyEmission(Emission, abstract=True):
    """p(y | z), the distribution of a noisy row; hidden cells have no effect.

    ``mean`` is that of cells that are not outliers. With outliers, ``variance`` and ``sample``
    raise an ``UnsupportedError``, because the noise model has the width of their range but not its
    place.

    Args:
        clean: p(x | z).
        noise: added to x.
    """

    def __init__(self, clean: Emission, noise: NoiseModel) -> None:
        self.clean, self.noise = clean, noise
        super().__init__(clean.batch_shape, clean.event_shape, validate_args=False)

    def restored(self, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """E[x | y, z], (samples, batch, *event); for hidden cells, the mean of p(x | z)."""
        mean = self.clean.mean
        given = self._given(y)
        found = torch.lerp(mean, given, self.trust(y).expand_as(given))
        return found if observed is None else torch.where(observed, found, mean)

    @torch.no_grad()
    def restored_draw(self, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """A draw of x given y and z, (samples, batch, *event)."""
        trusted = torch.bernoulli(self.trust(y).expand(self._shape)).bool()
        if observed is not None:
            trusted = trusted & observed
        return torch.where(trusted, self._draw(y), self.clean.sample())

    def trust(self, y: Tensor) -> Tensor:
        """Probability that each cell is not an outlier; broadcastable."""
        if not self.noise.outliers:
            return torch.ones((), dtype=y.dtype, device=y.device)
        return torch.exp(math.log1p(-self.noise.outliers) + self._log_density(y) - self._terms(y))

    @property
    def mean(self) -> Tensor:
        return self.clean.mean

    @property
    def variance(self) -> Tensor:
        self._refuse_outliers()
        return self.clean.variance + self.noise.scale.square()

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        self._refuse_outliers()
        x = self.clean.sample(sample_shape)
        return x + self.noise.scale * torch.randn_like(x)

    def _refuse_outliers(self) -> None:
        if self.noise.outliers:
            raise UnsupportedError(
                "noisy rows with outliers have no variance and no draws, because only the width of "
                "the range of outliers is known; use noise with outliers=0"
            )

    @property
    def _shape(self) -> torch.Size:
        return self.batch_shape + self.event_shape

    def _terms(self, y: Tensor) -> Tensor:
        log_density = self._log_density(y)
        if not self.noise.outliers:
            return log_density
        anything = math.log(self.noise.outliers / self.noise.span)
        return torch.logaddexp(
            math.log1p(-self.noise.outliers) + log_density, torch.full_like(log_density, anything)
        )

    @abstractmethod
    def _log_density(self, y: Tensor) -> Tensor:
        """log of the integral of p(x | z) N(y; x, tau^2), nats per cell."""

    @abstractmethod
    def _given(self, y: Tensor) -> Tensor:
        """E[x | y, z] of a cell that is not an outlier."""

    @abstractmethod
    def _draw(self, y: Tensor) -> Tensor:
        """A draw of x given y and z, of a cell that is not an outlier."""


class NoisyGaussian(NoisyEmission):
    r"""N(y; mu, sigma^2 + tau^2), and Wiener's filter.

    .. math:: E[x \mid y, z] = \mu + g (y - \mu), \quad
        g = \sigma^2 / (\sigma^2 + \tau^2), \quad Var(x \mid y, z) = g \tau^2
    """

    def __init__(self, clean: GaussianEmission, noise: NoiseModel) -> None:
        super().__init__(clean, noise)
        self.loc = clean.loc
        self.scale = torch.sqrt(clean.scale.square() + noise.scale.square())
        self.gain = (clean.scale / self.scale).square()

    def _log_density(self, y: Tensor) -> Tensor:
        standardized = (y - self.loc) / self.scale
        return -0.5 * standardized.square() - (torch.log(self.scale) + HALF_LOG_TWO_PI)

    def _given(self, y: Tensor) -> Tensor:
        return torch.lerp(self.loc, y.expand_as(self.loc), self.gain.expand_as(self.loc))

    def _draw(self, y: Tensor) -> Tensor:
        spread = torch.sqrt(self.gain) * self.noise.scale
        return self._given(y) + spread * torch.randn_like(self.loc)


class NoisyLevels(NoisyEmission):
    r"""p(y | z) = \sum_k P(k | z) N(y; x_k, tau^2) over the levels x_k of each cell, exact.

    Args:
        clean: P(k | z).
        noise: added to x.
        levels: number of levels, or fewer for a coarser sum.
    """

    def __init__(self, clean: Emission, noise: NoiseModel, levels: int) -> None:
        super().__init__(clean, noise)
        self.levels = levels
        self.summed = clean
        if isinstance(clean, DiscretizedLogisticEmission) and levels < clean.levels:
            self.summed = DiscretizedLogisticEmission(clean.loc, clean.scale, levels)

    def _log_density(self, y: Tensor) -> Tensor:
        return torch.logsumexp(self._joint(y), 0)

    def _given(self, y: Tensor) -> Tensor:
        shares = torch.softmax(self._joint(y), 0)
        return torch.einsum("k...,k->...", shares, self._values(y))

    def _draw(self, y: Tensor) -> Tensor:
        shares = torch.softmax(self._joint(y), 0).cumsum(0)
        uniform = torch.rand_like(shares[0])
        return from_code((shares[:-1] < uniform).sum(0).to(y.dtype), self.levels)

    def _values(self, y: Tensor) -> Tensor:
        """x_k in model units, (levels,)."""
        return from_code(torch.arange(self.levels, dtype=y.dtype, device=y.device), self.levels)

    def _joint(self, y: Tensor) -> Tensor:
        """log P(k | z) + log N(y; x_k, tau^2), (levels, samples, batch, *event)."""
        tau = self.noise.scale.clamp_min(LEAST)
        values = self._values(y).reshape(-1, *[1] * (y.dim() + 1))
        error = -0.5 * ((y - values) / tau).square() - (torch.log(tau) + HALF_LOG_TWO_PI)
        return self.summed.terms(values) + error


def noisy(clean: Emission, noise: NoiseModel) -> NoisyEmission:
    """Build p(y | z) of noisy rows.

    Raises:
        UnsupportedError: the likelihood does not support noise.
    """
    if isinstance(clean, GaussianEmission):
        return NoisyGaussian(clean, noise)
    if isinstance(clean, BernoulliEmission):
        return NoisyLevels(clean, noise, 2)
    if isinstance(clean, DiscretizedLogisticEmission):
        return NoisyLevels(clean, noise, min(clean.levels, noise.levels))
    name = type(clean).__name__.removesuffix("Emission")
    raise UnsupportedError(
        f"the likelihood {name} does not support noisy rows; fit the model again with "
        f"--likelihood {', '.join(KNOWN[:-1])} or {KNOWN[-1]}"
    )
