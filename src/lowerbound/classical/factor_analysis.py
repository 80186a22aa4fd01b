r"""Factor analysis: the linear-Gaussian latent-variable model in closed form, with missing cells.

.. math:: z \sim N(0, I_d), \quad x_j \mid z \sim N(w_j^T z + \mu_j, \psi_j)

Given any observed subset o of a row the posterior is Gaussian, with

.. math::
    A = I + \sum_{j \in o} \frac{w_j w_j^T}{\psi_j}, \quad
    b = \sum_{j \in o} \frac{w_j (x_j - \mu_j)}{\psi_j}, \quad
    z \mid x_o \sim N(A^{-1} b, A^{-1})

and all other results follow from A and b. No (features, features) matrix is computed. A depends on
the mask and not on the values, so rows with the same mask share it.
Source: Rubin & Thayer 1982; with missing cells Ghahramani & Hinton 1994.

Of complete rows, principal components maximize the linear-Gaussian model of equal noise:

.. math::
    x \sim N(\mu, W W^T + \sigma^2 I), \quad W = U (\Lambda - \sigma^2 I)^{1/2}, \quad
    \sigma^2 = \frac{1}{D - d} \sum_{j > d} \lambda_j

with the d leading eigenvectors U and eigenvalues Lambda of the covariance (divisor N).
Source: Tipping & Bishop 1999; for large data, the randomized solution of Halko et al. 2011.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import DataError

MOST_EXACT = 3e11  # operations of the exact decomposition, about half a minute
OVERSAMPLED = 32  # directions of the randomized decomposition
POWERS = 6  # iterations of it
CHUNK = 2048
"""Rows whose d x d matrices are in memory at once: 17 MB at d = 32."""

RIDGES = (1.0, 5.0, 20.0, 50.0)
FOLDS, DEALS = 10, 4  # random assignments of columns to folds; a row hides one fold of one of them
FEW_ROUNDS = 30  # of EM, to choose a ridge
ENOUGH_ROWS = 5_000


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


@dataclass(frozen=True, eq=False)
class FactorAnalysis:
    """The fitted model, float64.

    Attributes:
        weight: w, (features, d).
        offset: mu, (features,).
        noise: psi, variances, (features,).

    Methods accept ``values``, (rows, features), and a ``mask`` of the same shape. Values with a
    False (zero) mask are ignored and may be NaN.
    """

    weight: Tensor
    offset: Tensor
    noise: Tensor

    @property
    def latent_dim(self) -> int:
        """d."""
        return self.weight.shape[1]

    def posterior(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Mean, (rows, d), and the Cholesky factor of the precision A, (rows, d, d), of z.

        ``mask`` may have fractions: a cell with the fraction s is an observation with the noise
        psi / s.
        """
        factor = self.precision_factor(mask)
        residual = self._residual(values, mask) * mask.to(self.weight)
        return _solve(factor, self._evidence(residual)), factor

    def precision_factor(self, mask: Tensor) -> Tensor:
        """The Cholesky factor of A for each row of ``mask``, (rows, d, d)."""
        factor: Tensor = torch.linalg.cholesky(self._precision(mask))
        return factor

    def log_marginal(self, values: Tensor, mask: Tensor) -> Tensor:
        """Exact log p of the observed cells in nats, (rows,); zero if no cell is observed.

        The determinant lemma and Woodbury's identity: with residual r and n cells observed,
        log det = log det A + sum log psi, and r^T Sigma^{-1} r = sum r^2 / psi - b^T A^{-1} b.
        """
        return torch.cat([self._log_marginal(*part) for part in chunks(values, mask)])

    def _log_marginal(self, values: Tensor, mask: Tensor) -> Tensor:
        residual = self._residual(values, mask)
        mean, factor = self.posterior(values, mask)
        log_det = 2 * torch.diagonal(factor, dim1=1, dim2=2).log().sum(1)
        constants = mask.to(mean) @ (torch.log(self.noise) + math.log(2 * math.pi))
        squares = (residual.square() / self.noise).sum(1)
        explained = (self._evidence(residual) * mean).sum(1)
        log_density: Tensor = -0.5 * (constants + log_det + squares - explained)
        return log_density

    def _residual(self, values: Tensor, mask: Tensor) -> Tensor:
        """x - mu, zero for hidden cells."""
        residual: Tensor = torch.where(mask.bool(), values.to(self.offset) - self.offset, 0.0)
        return residual

    def _precision(self, mask: Tensor) -> Tensor:
        """A of each row, (rows, d, d)."""
        seen = (mask.to(self.weight) / self.noise) @ outer(self.weight)
        identity = torch.eye(self.latent_dim, dtype=seen.dtype, device=seen.device)
        precision: Tensor = seen.unflatten(1, (self.latent_dim, -1)) + identity
        return precision

    def _evidence(self, residual: Tensor) -> Tensor:
        """b of each row, (rows, d)."""
        return (residual / self.noise) @ self.weight


@torch.no_grad()
def fit_factor_analysis(
    values: Tensor,
    mask: Tensor,
    dim: int,
    *,
    rounds: int = 60,
    ridge: float = 20.0,
    noise_rows: float = 2.0,
    noise_share: float = 0.02,
    floor: float | Tensor = 1e-3,
) -> FactorAnalysis:
    """Fit by expectation maximization over rows with hidden cells.

    Args:
        values: (rows, features), of about unit variance; hidden cells are ignored.
        mask: True if observed, (rows, features).
        dim: d; if ``ridge`` is positive, a too large d does no harm.
        rounds: of expectation and maximization.
        ridge: precision of the weights' prior w_jk ~ N(0, 1 / ridge).
        noise_rows, noise_share: prior of the noise variance: ``noise_rows`` additional rows with
            the fraction ``noise_share`` of the column's variance.
        floor: the smallest noise variance, one or one per feature.

    A column without observed cells, or with a constant value, has the weight zero.

    Raises:
        DataError: there are no rows, or ``dim`` is below 1.
    """
    if len(values) == 0 or dim < 1:
        raise DataError(f"cannot fit {dim} factors to {len(values)} rows")
    columns = Cells.of(values, mask)
    alike = list(Alike.among(columns))
    fitted = columns.start(dim, floor)
    for _ in range(rounds):
        moments = columns.expect(fitted, alike)
        fitted = columns.maximize(moments, ridge * fitted.noise, noise_rows, noise_share, floor)
    return fitted


def chosen_ridge(
    values: Tensor, mask: Tensor, dim: int, *, floor: float | Tensor = 1e-3, seed: int = 0
) -> float:
    """The ridge with the highest likelihood of held-out observed cells.

    Above ``ENOUGH_ROWS`` rows it is the weakest ridge, because the data outweigh it.
    """
    mask = mask.bool()
    if len(values) > ENOUGH_ROWS:
        return RIDGES[0]
    seen = mask & ~held_out_cells(mask, seed)

    def likelihood(ridge: float) -> float:
        fitted = fit_factor_analysis(values, seen, dim, rounds=FEW_ROUNDS, ridge=ridge, floor=floor)
        both = fitted.log_marginal(values, mask) - fitted.log_marginal(values, seen)
        return float(both.sum())

    return max(RIDGES, key=likelihood)


def held_out_cells(mask: Tensor, seed: int) -> Tensor:
    """Cells to hide, a tenth of each column and about a tenth of each row, shape of ``mask``.

    The columns are assigned to ten folds a few times, and each row hides one of these folds. Rows
    then share few masks, which saves computation.
    """
    noise = torch.Generator().manual_seed(seed)
    rows, columns = mask.shape
    dealt = torch.rand(DEALS, columns, generator=noise).argsort(1) % FOLDS  # the fold of a column
    chosen = torch.randint(DEALS * FOLDS, (rows,), generator=noise)
    hidden: Tensor = dealt[chosen // FOLDS] == (chosen % FOLDS).unsqueeze(1)
    return hidden.to(mask.device)


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the rows that observe a column, under the posterior of h = (z, 1) and x.

    Attributes:
        second: of h h^T, (features, d + 1, d + 1).
        cross: of x h, (features, d + 1).
        square: of x^2, (features,).
    """

    second: Tensor
    cross: Tensor
    square: Tensor


@dataclass(frozen=True, eq=False)
class Cells:
    """The data filled with zeros, and statistics per column that no round changes."""

    filled: Tensor  # (rows, features)
    mask: Tensor  # bool, (rows, features)
    count: Tensor
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, values: Tensor, mask: Tensor) -> Cells:
        mask = mask.bool()
        filled = torch.where(mask, values.to(torch.float64), 0.0)
        count = mask.sum(0).to(torch.float64)
        mean = filled.sum(0) / count.clamp_min(1)
        squares = torch.where(mask, filled - mean, 0.0).square().sum(0)
        return cls(filled, mask, count, mean, squares / count.clamp_min(1))

    @property
    def varies(self) -> Tensor:
        return self.variance > 1e-12 * (1 + self.mean.square())

    def start(self, dim: int, floor: float | Tensor) -> FactorAnalysis:
        """Initial values: principal components, with hidden cells at their column's mean."""
        centered = torch.where(self.mask & self.varies, self.filled - self.mean, 0.0)
        rows, features = centered.shape
        if features <= rows:
            eigenvalues, directions = torch.linalg.eigh(centered.T @ centered / rows)
            scaled = directions * eigenvalues.clamp_min(0).sqrt()
        else:  # the same by the smaller matrix
            scaled = centered.T @ torch.linalg.eigh(centered @ centered.T)[1] / math.sqrt(rows)
        weight = centered.new_zeros(features, dim)
        kept = min(dim, scaled.shape[1])
        weight[:, :kept] = scaled[:, -kept:].flip(1)
        return FactorAnalysis(weight, self.mean, (0.5 * self.variance).clamp_min(floor))

    def expect(self, fitted: FactorAnalysis, alike: Sequence[Alike]) -> Moments:
        """The moments under ``fitted``, of the rows grouped in ``alike``."""
        dim, features = fitted.latent_dim, len(self.count)
        second = self.filled.new_zeros(features, dim * dim)
        first, cross = (self.filled.new_zeros(features, dim) for _ in range(2))
        for rows in alike:
            mean, covariance = rows.posterior(fitted)
            masks = rows.masks.to(mean).T
            squares = (covariance * rows.count[:, None, None]).flatten(1)
            second += masks @ squares.index_add_(0, rows.pattern, outer(mean))
            first += masks @ mean.new_zeros(len(rows.masks), dim).index_add_(0, rows.pattern, mean)
            cross += rows.filled.T @ mean
        bordered = self.filled.new_empty(features, dim + 1, dim + 1)
        bordered[:, :dim, :dim] = second.unflatten(1, (dim, dim))
        bordered[:, :dim, dim] = bordered[:, dim, :dim] = first
        bordered[:, dim, dim] = self.count
        cross = torch.cat((cross, self.filled.sum(0)[:, None]), 1)
        return Moments(bordered, cross, self.filled.square().sum(0))

    def maximize(
        self,
        moments: Moments,
        ridge: Tensor,
        noise_rows: float,
        noise_share: float,
        floor: float | Tensor,
    ) -> FactorAnalysis:
        """The regression of each column on (z, 1), and its residual variance."""
        dim = moments.second.shape[1] - 1
        penalty = torch.ones(dim + 1, dtype=torch.float64, device=self.filled.device)
        penalty[dim] = 0.0
        identity = torch.eye(dim + 1, dtype=torch.float64, device=self.filled.device)
        varies = self.varies[:, None, None]
        normal = torch.where(
            varies, moments.second + ridge[:, None, None] * torch.diag(penalty), identity
        )
        solution = torch.linalg.solve(normal, moments.cross)
        solution = torch.where(self.varies[:, None], solution, self.mean[:, None] * identity[dim])
        squares = (
            moments.square
            - 2 * (solution * moments.cross).sum(1)
            + torch.einsum(
                "jb,jb->j", torch.einsum("ja,jab->jb", solution, moments.second), solution
            )
        )
        total = squares + noise_rows * noise_share * self.variance
        count = moments.second[:, dim, dim]
        noise = (total / (count + noise_rows).clamp_min(1)).clamp_min(floor)
        # a column without observed cells has unit variance
        noise = torch.where(self.count > 0, noise, 1.0)
        return FactorAnalysis(solution[:, :dim], solution[:, dim], noise)


@dataclass(frozen=True, eq=False)
class Alike:
    """Some rows, grouped by their patterns of observed cells.

    Attributes:
        filled: (rows, features), zero for hidden cells.
        masks: the patterns, (patterns, features).
        pattern: of each row, (rows,).
        count: rows of each pattern, float64, (patterns,).
    """

    filled: Tensor
    masks: Tensor
    pattern: Tensor
    count: Tensor

    @classmethod
    def among(cls, cells: Cells) -> Iterator[Alike]:
        """All rows, grouped by pattern."""
        masks, pattern = torch.unique(cells.mask, dim=0, return_inverse=True)
        for rows in pattern.argsort().split(CHUNK):
            here, place, count = pattern[rows].unique_consecutive(
                return_inverse=True, return_counts=True
            )
            yield cls(cells.filled[rows], masks[here], place, count.to(cells.filled))

    def posterior(self, fitted: FactorAnalysis) -> tuple[Tensor, Tensor]:
        """Mean of z of each row, (rows, d), and covariance of each pattern, (patterns, d, d)."""
        covariance = torch.cholesky_inverse(fitted.precision_factor(self.masks))
        weighted = fitted.weight / fitted.noise[:, None]
        known = self.masks.to(weighted) @ (fitted.offset[:, None] * weighted)
        evidence = self.filled @ weighted - known[self.pattern]
        mean = torch.bmm(covariance[self.pattern], evidence.unsqueeze(2)).squeeze(2)
        return mean, covariance


def outer(rows: Tensor) -> Tensor:
    """The outer product of each row with itself, (rows, d * d)."""
    return (rows.unsqueeze(2) * rows.unsqueeze(1)).flatten(1)


def _solve(factor: Tensor, right: Tensor) -> Tensor:
    """A^{-1} b of each row from A's Cholesky factor."""
    return torch.cholesky_solve(right.unsqueeze(2), factor).squeeze(2)


def chunks(values: Tensor, mask: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(values.split(CHUNK), mask.split(CHUNK), strict=True)
