r"""Factor analysis of rows whose cells are missing because of their value.

The model is that of :mod:`lowerbound.classical.factor_analysis` with a curve for each column
(:mod:`lowerbound.classical.self_masking`). Given z, a missing cell has the log-likelihood

.. math:: \log \Phi(w_j (x_j - b_j)), \quad x_j \mid z \sim N(w_j^T z + \mu_j, \psi_j)

which is not Gaussian in z. Expectation propagation replaces it by a Gaussian N(x_j; m, 1 / p), its
*site*, which gives x_j the same mean and variance as the curve. A missing cell is then an
observation of m with the noise psi_j + 1 / p.

Expectation maximization is as in factor analysis, with two additions. The curves maximize the
evidence of the sites by gradient ascent. The latents are transformed to zero mean and unit
covariance after each round (Liu, Rubin & Wu 1998). Without it, thousands of rounds would be needed
if hidden values are far beyond the observed ones.

Source: Minka 2001.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lowerbound.classical.factor_analysis import Cells, FactorAnalysis, Moments, chunks, outer
from lowerbound.classical.self_masking import SelfMasking

ROUNDS = 200
RIDGE = 1.0
NOISE_ROWS, NOISE_SHARE = 2.0, 0.02  # as in factor analysis
DAMPING = 0.7  # fraction of a site's step to its new value
SETTLED = 10  # rounds before the curves change; half as many between two changes
STEEPEST = 30.0  # slope per standard deviation of the observed values
GENTLEST = 0.01
SLOPE_PRECISION = 0.01  # prior precision of a log-slope, so that a sharp curve stays finite
LEAST_PRECISION = 1e-12


@dataclass(frozen=True, eq=False)
class Sites:
    """The Gaussians that replace the missing cells, in natural parameters, (rows, features).

    Attributes:
        precision: p; zero if a cell is not missing.
        shift: p m.
    """

    precision: Tensor
    shift: Tensor

    @classmethod
    def none(cls, values: Tensor) -> Sites:
        """Sites without information."""
        return cls(torch.zeros_like(values), torch.zeros_like(values))

    def beside(self, values: Tensor, mask: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Values and their fractions of an observation, (rows, features), with the sites' values
        in missing cells."""
        informative = self.precision > 0
        share = noise * self.precision / (1 + noise * self.precision)
        middle = self.shift / self.precision.clamp_min(LEAST_PRECISION)
        return torch.where(informative, middle, values), torch.where(
            informative, share, mask.to(values)
        )


def propagated(
    sites: Sites, cavity: tuple[Tensor, Tensor], curves: SelfMasking, missing: Tensor
) -> Sites:
    """One round of propagation: match the moments of missing cells to those of the curves.

    Args:
        sites: the current sites.
        cavity: mean and variance of each cell without its own site, (rows, features).
        curves: of the columns.
        missing: True if the curve applies, (rows, features).
    """
    mean, variance = cavity
    tilted, spread = curves.moments(mean, variance.sqrt())
    precision = (1 / spread.clamp_min(LEAST_PRECISION) - 1 / variance).clamp_min(0.0)
    shift = tilted * (precision + 1 / variance) - mean / variance
    speaks = missing & curves.applies & (precision > LEAST_PRECISION)
    return Sites(
        torch.where(speaks, torch.lerp(sites.precision, precision, DAMPING), 0.0),
        torch.where(speaks, torch.lerp(sites.shift, shift, DAMPING), 0.0),
    )


@dataclass(frozen=True, eq=False)
class FactorPosterior:
    """The posterior of z and of the cells of some rows, given the observed cells and the sites.

    Attributes:
        mean, covariance: of z, (rows, d) and (rows, d, d).
        values, share: the cells and their fractions of an observation, (rows, features).
        cell_mean, cell_variance: of x, (rows, features); an observed cell is its own value.
    """

    mean: Tensor
    covariance: Tensor
    values: Tensor
    share: Tensor
    cell_mean: Tensor
    cell_variance: Tensor

    @classmethod
    def of(
        cls, fitted: FactorAnalysis, sites: Sites, values: Tensor, mask: Tensor
    ) -> FactorPosterior:
        """The posterior of rows, (rows, features); hidden values are finite."""
        values, share = sites.beside(values, mask, fitted.noise)
        mean, factor = fitted.posterior(values, share)
        covariance = torch.cholesky_inverse(factor)
        explained = torch.einsum(
            "nbj,jb->nj", torch.einsum("ja,nab->nbj", fitted.weight, covariance), fitted.weight
        )
        expected = mean @ fitted.weight.T + fitted.offset
        rest = 1 - share
        cell_mean = expected + share * (values - expected)
        variance = rest.square() * explained + rest * fitted.noise
        return cls(mean, covariance, values, share, cell_mean, variance)

    def cavity(self, sites: Sites) -> tuple[Tensor, Tensor]:
        """Mean and variance of each cell without its own site; of no use where it is observed."""
        inverse = 1 / self.cell_variance.clamp_min(LEAST_PRECISION)
        precision = (inverse - sites.precision).clamp_min(LEAST_PRECISION)
        return (self.cell_mean * inverse - sites.shift) / precision, 1 / precision


def posterior_sites(
    fitted: FactorAnalysis,
    curves: SelfMasking,
    values: Tensor,
    mask: Tensor,
    missing: Tensor,
    rounds: int,
) -> Sites:
    """The sites of rows under a fixed model, after some rounds of propagation."""
    sites = Sites.none(values)
    for _ in range(rounds):
        cavity = FactorPosterior.of(fitted, sites, values, mask).cavity(sites)
        sites = propagated(sites, cavity, curves, missing)
    return sites


@torch.no_grad()
def fit_self_masked_factors(
    values: Tensor,
    mask: Tensor,
    missing: Tensor,
    dim: int,
    direction: int,
    *,
    rounds: int = ROUNDS,
    floor: float | Tensor = 1e-3,
) -> tuple[FactorAnalysis, SelfMasking]:
    """Fit factor analysis and the curves of its columns by expectation maximization.

    Args:
        values: (rows, features), of about unit variance; hidden cells are ignored.
        mask: True if observed, (rows, features).
        missing: True if a curve explains the missing cell, (rows, features); False if observed.
        dim: d.
        direction: 1 if high values are missing, -1 if low values are, 0 if unknown.
        rounds: of expectation and maximization.
        floor: the smallest noise variance, one or one per feature.
    """
    cells = Cells.of(values, mask)
    fitted = cells.start(dim, floor)
    # initial curves: half of the cells are missing at one deviation beyond the observed mean
    spread = torch.where(cells.varies, cells.variance, 1.0).sqrt()
    applies = missing.any(0) & cells.varies
    slope = torch.where(applies, 2.0 * direction / spread, 0.0)
    curves = SelfMasking(slope, cells.mean + direction * spread, applies)
    sites = Sites.none(cells.filled)
    for number in range(rounds):
        learn = number >= SETTLED and number % (SETTLED // 2) == 0
        sums, cavities, refined = _Sums.of(cells, dim), [], []
        for part in _parts(cells, sites, missing):
            posterior = FactorPosterior.of(fitted, part.sites, part.values, part.mask)
            cavity = posterior.cavity(part.sites)
            refined.append(propagated(part.sites, cavity, curves, part.missing))
            cavities.append(cavity)
            sums = sums.plus(posterior, fitted, part.mask | (part.missing & curves.applies))
        if learn:
            mean, variance = (torch.cat(each) for each in zip(*cavities, strict=True))
            curves = _climbed(curves, cells, missing, mean, variance, direction)
        sites = Sites(
            torch.cat([each.precision for each in refined]),
            torch.cat([each.shift for each in refined]),
        )
        ridge = RIDGE * fitted.noise
        fitted = cells.maximize(sums.moments, ridge, NOISE_ROWS, NOISE_SHARE, floor)
        fitted = sums.stretched(fitted, len(values))
    return fitted, curves


@dataclass(frozen=True, eq=False)
class _PosteriorPart:
    """Some rows, and their sites."""

    values: Tensor
    mask: Tensor
    missing: Tensor
    sites: Sites


def _parts(cells: Cells, sites: Sites, missing: Tensor) -> Iterator[_PosteriorPart]:
    rows = zip(
        chunks(cells.filled, cells.mask),
        chunks(sites.precision, sites.shift),
        chunks(missing, missing),
        strict=True,
    )
    for (values, mask), (precision, shift), (gone, _) in rows:
        yield _PosteriorPart(values, mask, gone, Sites(precision, shift))


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over rows: sufficient statistics of the regressions, and the moments of z."""

    moments: Moments
    first: Tensor  # of z, (d,)
    second: Tensor  # of z z^T, (d, d)

    @classmethod
    def of(cls, cells: Cells, dim: int) -> _Sums:
        """Sums of zero."""
        new, features = cells.filled.new_zeros, len(cells.count)
        moments = Moments(new(features, dim + 1, dim + 1), new(features, dim + 1), new(features))
        return cls(moments, new(dim), new(dim, dim))

    def plus(self, posterior: FactorPosterior, fitted: FactorAnalysis, counts: Tensor) -> _Sums:
        """Add rows; ``counts`` selects their cells, (rows, features)."""
        mean, share = posterior.mean, posterior.share
        h = torch.cat((mean, torch.ones_like(mean[:, :1])), 1)
        second = outer(h).unflatten(1, (h.shape[1],) * 2)
        second[:, :-1, :-1] += posterior.covariance
        counted = counts.to(mean)
        summed = (counted.T @ second.flatten(1)).unflatten(1, second.shape[1:])
        # E[x h] of a cell with a site is a mixture of m and the prediction from z
        direct = (counted * share * torch.where(counts, posterior.values, 0.0)).T @ h
        rest = ((counted * (1 - share)).T @ second.flatten(1)).unflatten(1, second.shape[1:])
        bordered = torch.cat((fitted.weight, fitted.offset[:, None]), 1)
        cross = direct + torch.einsum("jab,jb->ja", rest, bordered)
        square = counted * (posterior.cell_mean.square() + posterior.cell_variance)
        sums = self.moments
        moments = Moments(sums.second + summed, sums.cross + cross, sums.square + square.sum(0))
        both = second.sum(0)
        return _Sums(moments, self.first + both[-1, :-1], self.second + both[:-1, :-1])

    def stretched(self, fitted: FactorAnalysis, rows: int) -> FactorAnalysis:
        """The model with the latents transformed to zero mean and unit covariance."""
        mean = self.first / rows
        covariance = self.second / rows - torch.outer(mean, mean)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if bool(failed):
            return fitted
        offset = fitted.offset + fitted.weight @ mean
        return replace(fitted, weight=fitted.weight @ factor, offset=offset)


def _climbed(
    curves: SelfMasking,
    cells: Cells,
    missing: Tensor,
    mean: Tensor,
    variance: Tensor,
    direction: int,
) -> SelfMasking:
    """The curves that maximize the likelihood of the mask, with cells treated independently."""
    spread = torch.where(cells.varies, cells.variance, 1.0).sqrt()
    steepness = curves.slope * spread
    free = (direction * steepness).clamp_min(GENTLEST).log() if direction else steepness
    place = (curves.threshold - cells.mean) / spread
    start = torch.stack((free, place)).requires_grad_()
    search = torch.optim.LBFGS([start], max_iter=15, line_search_fn="strong_wolfe")

    def curves_at(numbers: Tensor) -> SelfMasking:
        free, place = numbers
        steepness = direction * free.exp() if direction else free
        slope = torch.where(curves.applies, steepness / spread, 0.0)
        return SelfMasking(slope, cells.mean + spread * place, curves.applies)

    @torch.enable_grad()
    def loss() -> Tensor:
        search.zero_grad()
        now = curves_at(start)
        seen = torch.where(cells.mask, now.log_observed(cells.filled), 0.0)
        gone = torch.where(missing, now.log_missing(mean, variance.sqrt()), 0.0)
        value = SLOPE_PRECISION * start[0].square().sum() - seen.sum() - gone.sum()
        value.backward()
        return value

    search.step(loss)
    found = curves_at(start.detach())
    steepness = (found.slope * spread).clamp(-STEEPEST, STEEPEST)
    found = replace(found, slope=steepness / spread)
    finite = torch.isfinite(found.slope) & torch.isfinite(found.threshold)
    return SelfMasking(
        torch.where(finite, found.slope, curves.slope),
        torch.where(finite, found.threshold, curves.threshold),
        curves.applies,
    )
