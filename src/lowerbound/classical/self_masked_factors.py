r"""Factor analysis of rows whose cells are missing because of what they hold.

To the model of :mod:`lowerbound.classical.factor_analysis` comes a curve for each column
(:mod:`lowerbound.classical.self_masking`). Given z a missing cell says

.. math:: \log \Phi(w_j (x_j - b_j)), \quad x_j \mid z \sim N(w_j^T z + \mu_j, \psi_j)

which is no Gaussian in z. Expectation propagation takes a Gaussian N(x_j; m, 1 / p), its *site*, in
its place, such that mean and variance of x_j come out as they do with the curve: a missing cell
counts as an observation of m with noise psi_j + 1 / p.

Expectation maximization then goes on as before, with two additions. The curves climb the evidence
of the sites; and the latents are shifted and stretched to zero mean and unit covariance after each
round (Liu, Rubin & Wu 1998): hidden values far beyond the seen ones would else be reached in
thousands of rounds.

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
DAMPING = 0.7  # of a site's way to its new value
SETTLED = 10  # rounds before the curves move, and between their moves half as many
STEEPEST = 30.0  # slope per standard deviation of the observed values
GENTLEST = 0.01
SLOPE_PRECISION = 0.01  # of the logarithm of a slope: a curve that cuts sharply stays finite
LEAST_PRECISION = 1e-12


@dataclass(frozen=True, eq=False)
class Sites:
    """The Gaussians that stand for the missing cells, in natural parameters, (rows, features).

    Attributes:
        precision: p; zero where a cell is not missing.
        shift: p m.
    """

    precision: Tensor
    shift: Tensor

    @classmethod
    def none(cls, values: Tensor) -> Sites:
        """Sites that say nothing yet."""
        return cls(torch.zeros_like(values), torch.zeros_like(values))

    def beside(self, values: Tensor, mask: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Values and shares of an observation, (rows, features), missing cells by their sites."""
        informative = self.precision > 0
        share = noise * self.precision / (1 + noise * self.precision)
        middle = self.shift / self.precision.clamp_min(LEAST_PRECISION)
        return torch.where(informative, middle, values), torch.where(
            informative, share, mask.to(values)
        )


def propagated(
    sites: Sites, cavity: tuple[Tensor, Tensor], curves: SelfMasking, missing: Tensor
) -> Sites:
    """One round: the sites under which missing cells have the moments that the curves give them.

    Args:
        sites: of now.
        cavity: mean and variance of each cell without its own site, (rows, features).
        curves: of the columns.
        missing: True where the curves speak, (rows, features).
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
    """Of some rows' z and of their cells, given the observed cells and the sites.

    Attributes:
        mean, covariance: of z, (rows, d) and (rows, d, d).
        values, share: the cells as they entered, (rows, features).
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
        explained = torch.einsum("ja,nab,jb->nj", fitted.weight, covariance, fitted.weight)
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
    """The sites of rows under a model that is known, after some rounds from nothing."""
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
    """Factor analysis and the curves of its columns, by expectation maximization.

    Args:
        values: (rows, features), of about unit variance; hidden cells may hold anything.
        mask: True where observed, (rows, features).
        missing: True where a curve is to say why, (rows, features); never where observed.
        dim: d.
        direction: 1 where high values go missing, -1 where low ones do, 0 where that is not known.
        rounds: of expectation and maximization.
        floor: the smallest noise variance, one or one per feature.
    """
    cells = Cells.of(values, mask)
    fitted = cells.start(dim, floor)
    curves = _first_curves(cells, missing, direction)
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
    """Over rows: what the regressions need, and the moments of z."""

    moments: Moments
    first: Tensor  # of z, (d,)
    second: Tensor  # of z z^T, (d, d)

    @classmethod
    def of(cls, cells: Cells, dim: int) -> _Sums:
        """Nothing so far."""
        new, features = cells.filled.new_zeros, len(cells.count)
        moments = Moments(new(features, dim + 1, dim + 1), new(features, dim + 1), new(features))
        return cls(moments, new(dim), new(dim, dim))

    def plus(self, posterior: FactorPosterior, fitted: FactorAnalysis, counts: Tensor) -> _Sums:
        """With some rows more; ``counts`` says which of their cells enter, (rows, features)."""
        mean, share = posterior.mean, posterior.share
        h = torch.cat((mean, torch.ones_like(mean[:, :1])), 1)
        second = outer(h).unflatten(1, (h.shape[1],) * 2)
        second[:, :-1, :-1] += posterior.covariance
        counted = counts.to(mean)
        summed = (counted.T @ second.flatten(1)).unflatten(1, second.shape[1:])
        # E[x h] of a cell with a site: the site's share of m, and the rest as z has it
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
        """The same distribution of x, but for latents of zero mean and unit covariance."""
        mean = self.first / rows
        covariance = self.second / rows - torch.outer(mean, mean)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if bool(failed):
            return fitted
        offset = fitted.offset + fitted.weight @ mean
        return replace(fitted, weight=fitted.weight @ factor, offset=offset)


def _first_curves(cells: Cells, missing: Tensor, direction: int) -> SelfMasking:
    """Half of the cells missing a standard deviation beyond the mean of those that were seen."""
    spread = torch.where(cells.varies, cells.variance, 1.0).sqrt()
    applies = missing.any(0) & cells.varies
    slope = torch.where(applies, 2.0 * direction / spread, 0.0)
    return SelfMasking(slope, cells.mean + direction * spread, applies)


def _climbed(
    curves: SelfMasking,
    cells: Cells,
    missing: Tensor,
    mean: Tensor,
    variance: Tensor,
    direction: int,
) -> SelfMasking:
    """The curves under which what is missing and what is not are likeliest, each cell by itself."""
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
