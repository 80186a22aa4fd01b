r"""The linear-Gaussian state-space model, solved in closed form by Kalman's recursions.

.. math::
    z_1 \sim N(m, V), \quad z_t \sim N(A z_{t-1}, I), \quad x_t \sim N(C z_t + d, \mathrm{diag}\, r)

The noise of z has unit covariance, without loss of generality. The observed cells of each time, or
none, become information about z. No (features, features) matrix is computed.

Shapes: ``rows, time, ...``; rows may be 1 if all rows are equal.

Sources: Kalman 1960; Fraser & Potter 1969 for the information of later times; Durbin & Koopman
2012, section 4.10, for missing cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.classical.factor_analysis import FactorAnalysis

MOST_MEMORY = 0.95  # upper limit of the initial autoregression of z


@dataclass(frozen=True, eq=False)
class Information:
    """A Gaussian factor of z: its logarithm is pull^T z - z^T precision z / 2 plus a constant.

    Attributes:
        precision: (..., d, d).
        pull: (..., d).
    """

    precision: Tensor
    pull: Tensor

    def at(self, time: int) -> Information:
        """The information at one time, from (rows, time, ...)."""
        return Information(self.precision[:, time], self.pull[:, time])

    def __add__(self, other: Information) -> Information:
        return Information(self.precision + other.precision, self.pull + other.pull)


@dataclass(frozen=True, eq=False)
class Belief:
    """N(mean, covariance) over z, (..., d) and (..., d, d)."""

    mean: Tensor
    covariance: Tensor

    def packed(self, rows: int) -> Tensor:
        """Pack the belief of ``rows`` rows, or of one, into one tensor, (rows, d + d * d)."""
        parts = self.mean, self.covariance.flatten(1)
        return torch.cat([part.expand(rows, -1) for part in parts], 1)

    @classmethod
    def unpacked(cls, state: Tensor, dim: int) -> Belief:
        """The inverse of ``packed``."""
        return cls(state[:, :dim], state[:, dim:].unflatten(1, (dim, dim)))

    def seeing(self, said: Information) -> tuple[Belief, Tensor]:
        r"""The posterior of z, and the log of the integral of this belief times the factor, nats.

        With the covariance L L^T, M = I + L^T Lambda L and u = L^T (eta - Lambda mu), they are

        .. math::
            N(\mu + L M^{-1} u,\; L M^{-1} L^T), \quad
            (\eta - \tfrac12 \Lambda \mu)^T \mu + \tfrac12 u^T M^{-1} u - \tfrac12 \log |M|
        """
        factor = cholesky(self.covariance)
        root = cholesky(identity_like(factor) + factor.mT @ said.precision @ factor)
        spread = torch.linalg.solve_triangular(root, factor.mT, upper=False)
        toward = times(said.precision, self.mean)
        found = times(spread, said.pull - toward)
        evidence = ((said.pull - 0.5 * toward) * self.mean).sum(-1) + 0.5 * found.square().sum(-1)
        posterior = Belief(self.mean + times(spread.mT, found), spread.mT @ spread)
        return posterior, evidence - log_diagonal(root)


@dataclass(frozen=True, eq=False)
class LinearDynamics:
    """The parameters of the model.

    Attributes:
        initial: belief of z at the start of a sequence, one row.
        transition: A, (d, d).
        weight: C, (features, d).
        offset: d, (features,).
        noise: r, variances, (features,).
    """

    initial: Belief
    transition: Tensor
    weight: Tensor
    offset: Tensor
    noise: Tensor

    def information(self, x: Tensor, mask: Tensor | None = None) -> tuple[Information, Tensor]:
        """log p(x_t | z_t) of the observed cells, for each time, and its constant, (rows, time).

        Args:
            x: (rows, time, features); hidden cells are ignored.
            mask: shape of x, False if hidden; None: all are observed.
        """
        weighted = self.weight / self.noise[:, None]
        products = (weighted.unsqueeze(2) * self.weight.unsqueeze(1)).flatten(1)
        apart = x - self.offset
        if mask is None:
            seen = torch.ones_like(self.noise).expand(1, x.shape[1], -1)
        else:
            seen, apart = mask.to(self.noise), torch.where(mask, apart, 0.0)
        precision = (seen @ products).unflatten(-1, self.transition.shape)
        constants = seen @ torch.log(2 * math.pi * self.noise)
        squares = (apart.square() / self.noise).sum(-1)
        return Information(precision, apart @ weighted), -0.5 * (squares + constants)

    def predicted(self, before: Belief) -> Belief:
        """The belief of z at the next time."""
        moved = self.transition @ before.covariance @ self.transition.mT
        return Belief(before.mean @ self.transition.mT, moved + identity_like(moved))

    def prior(self, before: Belief | None, starts: Tensor) -> Belief:
        """The belief of z from the previous time, or the initial belief if the row starts."""
        if before is None:
            return self.initial
        moved = self.predicted(before)
        return Belief(
            torch.where(starts[:, None], self.initial.mean, moved.mean),
            torch.where(starts[:, None, None], self.initial.covariance, moved.covariance),
        )

    def filter(
        self, said: Information, starts: Tensor, before: Belief | None = None
    ) -> tuple[Belief, Tensor]:
        """z at the last time given all times, and the log of the integral of all factors, (rows,).

        The integral plus the constants of ``information`` is log p(x) in nats. With ``before``, it
        is conditional on the previous observations.

        Args:
            said: the information of each time about its z.
            starts: (rows, time) bool, True if a sequence starts.
            before: belief of z before the first time, if the rows continue sequences.
        """
        total = said.pull.new_zeros(1)
        for time in range(said.pull.shape[1]):
            before, evidence = self.prior(before, starts[:, time]).seeing(said.at(time))
            total = total + evidence
        assert before is not None, "a sequence has at least one time"
        return before, total

    def log_marginal(
        self, x: Tensor, mask: Tensor | None, starts: Tensor, before: Belief | None = None
    ) -> Tensor:
        """Exact log p of the observed cells in nats, (rows,)."""
        said, constants = self.information(x, mask)
        return self.filter(said, starts, before)[1] + constants.sum(1)

    def with_later(self, said: Information, starts: Tensor) -> Information:
        r"""The information of each time and all later times of its sequence about its z.

        .. math:: \log p(x_{t+1:T} \mid z_t) = \eta^T z_t - \tfrac12 z_t^T \Lambda z_t + c

        follows from the same function at t + 1 by integrating over the noise of z.
        """
        last = said.pull.shape[1] - 1
        found = [said.at(last)]
        for time in range(last - 1, -1, -1):
            found.append(said.at(time) + self._one_back(found[-1], ~starts[:, time + 1]))
        found.reverse()
        precisions = torch.broadcast_tensors(*(each.precision for each in found))
        return Information(torch.stack(precisions, 1), torch.stack([f.pull for f in found], 1))

    def _one_back(self, later: Information, same: Tensor) -> Information:
        """The information of ``later`` about the previous z, if in the same sequence, (rows,)."""
        root = cholesky(identity_like(later.precision) + later.precision)
        pull = torch.cholesky_solve(later.pull.unsqueeze(-1), root).squeeze(-1) @ self.transition
        kept = identity_like(root) - torch.cholesky_inverse(root)
        precision = self.transition.mT @ kept @ self.transition
        return Information(
            torch.where(same[:, None, None], precision, 0.0), torch.where(same[:, None], pull, 0.0)
        )


def start_from_factors(
    factors: FactorAnalysis, x: Tensor, mask: Tensor | None = None
) -> LinearDynamics:
    r"""Dynamics in which each single time has the distribution of a factor analysis.

    B is the regression of the factors' posterior means on those of the previous time, with singular
    values clipped at .95. L L^T = I - B B^T is the remainder of the factors' unit variance. In
    units of L, A = L^{-1} B L, C = W L, V = (L^T L)^{-1} and m = 0.

    Args:
        factors: fitted to the times of all rows.
        x: (rows, time, features); hidden cells are ignored.
        mask: shape of x, False if hidden.
    """
    seen = torch.ones_like(x) if mask is None else mask
    means, _ = factors.posterior(x.flatten(0, 1), seen.flatten(0, 1))
    means = means.unflatten(0, x.shape[:2])
    before, after = means[:, :-1].flatten(0, 1), means[:, 1:].flatten(0, 1)
    identity = identity_like(before.T @ before)
    slope = torch.linalg.solve(before.T @ before + identity, before.T @ after).T
    left, sizes, right = torch.linalg.svd(slope)
    slope = left @ torch.diag(sizes.clamp_max(MOST_MEMORY)) @ right
    unit = cholesky(identity - slope @ slope.T)
    inverse = torch.linalg.inv(unit)
    return LinearDynamics(
        Belief(torch.zeros_like(means[0, :1]), (inverse @ inverse.T)[None]),
        inverse @ slope @ unit,
        factors.weight @ unit,
        factors.offset,
        factors.noise,
    )


def cholesky(matrix: Tensor) -> Tensor:
    """The lower Cholesky factor; NaN instead of an exception, so that an update can be skipped."""
    factor: Tensor = torch.linalg.cholesky_ex(0.5 * (matrix + matrix.mT))[0]
    return factor


def identity_like(matrix: Tensor) -> Tensor:
    """The identity with the size, type and device of a square matrix."""
    return torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)


def times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Multiply matrices (..., n, d) with vectors (..., d)."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def log_diagonal(factor: Tensor) -> Tensor:
    """Half the log-determinant of a matrix, from its Cholesky factor."""
    return torch.diagonal(factor, dim1=-2, dim2=-1).log().sum(-1)
