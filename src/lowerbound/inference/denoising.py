r"""Rows without their noise: E[x | y] and draws of x given y = x + noise.

The fitted model is unchanged, with a noise likelihood on top (``likelihoods.noisy``):

.. math:: z_k \sim p(z \mid y) \propto p(z) \, p(y \mid z), \quad
    \mathbb{E}[x \mid y] \approx \sum_k \bar w_k \, \mathbb{E}[x \mid y, z_k]

The encoder was fitted to rows without noise, so its input is the filtered row. Chains start at its
posterior and are annealed to p(z | y). The result is exact as K grows. A linear model, such as pca,
has closed forms (``HasNoisyPosterior``), which are used instead unless there are outliers.

An unknown noise level is the maximizer of the chains' estimate of log p(y), one level for all rows
(empirical Bayes; Robbins 1956).

The annealed chains are resampled (sequential Monte Carlo):

.. math:: f_\beta(z) = q(z \mid x)^{1 - \beta}\, p(x, z)^{\beta}, \quad 0 \le \beta \le 1

As in annealed importance sampling, chains start at the encoder's proposal, and their weights change
with each rise of the temperature. If the weights of a row become uneven, its chains are resampled
by them (Del Moral et al. 2006). The average weight remains an unbiased estimate of p(x). The
weighted chains at the end represent p(z | x), even for a poor proposal.

The filter is the Wiener filter of the fitted model. The decoder's means at draws from the prior
have a mean m and deviations A, (draws, cells). With the likelihood's own variance v the model is
nearly N(m, A^T A + diag v). The row y = x + noise of variance t has observed cells o. The latents a
of this factor analysis have the posterior mean

.. math:: a = (I + A \Lambda A^T)^{-1} A \Lambda (y - m), \quad
    \Lambda = \operatorname{diag}\!\left(o / (v + t)\right)

and the mean of x given a is m + A^T a plus the share v / (v + t) of the residual of y. For a linear
model this is E[x | y].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from numbers import Real

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from lowerbound.data.arrays import Array, check_numbers
from lowerbound.data.audio.clips import SIXTEEN_BIT
from lowerbound.data.dataset import Dataset
from lowerbound.data.incomplete import noise_in_units
from lowerbound.data.schema import Schema
from lowerbound.distributions.reparameterization import draw, seeded
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.annealing import FORWARD, AnnealedChains, AnnealingOptions, State, checked
from lowerbound.inference.passes import (
    MEMORY,
    ChunkPlan,
    Footprint,
    Progress,
    batches,
    evaluation_mode,
    first_row,
    placed,
)
from lowerbound.likelihoods.noisy import NoiseModel, NoisyEmission, NoisyLevels, noisy
from lowerbound.models.base import Model
from lowerbound.models.picture_denoiser import NoisyModel
from lowerbound.models.powers import HasNoisyPosterior
from lowerbound.networks.processor import in_precision
from lowerbound.parts import CHAINS, TEMPERATURES
from lowerbound.trace import Batch, Given

LEAST_SHARE = 0.5  # share of effective chains below which they are resampled
DRAWS = 256  # of the prior, for the Wiener filter
SEARCH_ROWS, SEARCH_CHAINS, SEARCH_TEMPERATURES = 64, 16, 20  # for each candidate level
FORMULA_SEARCH_ROWS = 4096  # of a closed form
LEAST = 0.01  # lowest candidate level, as a share of a small spread of a feature
FEW_FEATURES = 0.1  # share of the features that spread less than the small spread
LEAST_SPREAD = 1e-4  # of it, as a share of the spread of all: some features hardly vary
SLACK = 2.0  # of the highest one, since few rows may spread less than their noise
TRIES, LEAST_TRIES = 14, 8  # noise levels in the search of an unknown one
COARSE = 1.5  # nats between the first tries
HOPELESS = 1.0  # nats per cell by which a level is less likely than a larger one
TASK = "removing noise"
INSTEAD = "fit a vae or pca to clean rows, or take reconstruct, which keeps only what the codes say"
FORMULA_ROWS = 256  # at once in a closed form, whose matrices differ where hidden cells differ

Restore = Callable[[Batch, Callable[[float], None]], "Denoised"]
FULL_SCALE = 1.0  # the largest amplitude of sound


@dataclass(frozen=True)
class Particles:
    """Weighted draws of z given each row.

    Attributes:
        z: all latents side by side, (samples, rows, numbers).
        log_weights: normalized over the samples, (samples, rows), float64.
        log_evidence: estimate of log p(x), nats in model units, (rows,), float64.
    """

    z: Tensor
    log_weights: Tensor
    log_evidence: Tensor

    @property
    def effective_sample_size(self) -> Tensor:
        """1 / sum of the squared weights, (rows,)."""
        return torch.exp(-torch.logsumexp(2 * self.log_weights, 0))


class Population(AnnealedChains):
    """The chains of the rows of one batch; all chains of a row run together."""

    def particles(self, advance: Callable[[float], None] = lambda share: None) -> Particles:
        """Run all chains from the proposal to the posterior.

        Args:
            advance: called after each temperature with the share of the work done, below 1.
        """
        state = self.target(self._proposals(self.options.chains, 0, FORWARD))
        log_weights = torch.zeros_like(state.log_ratio, dtype=torch.float64)
        log_evidence = torch.zeros_like(log_weights[0])
        for index, (cold, hot) in enumerate(pairwise(self.betas)):
            log_weights = log_weights + (hot - cold) * state.log_ratio.double()
            if hot < 1.0:
                total, uneven = _total(log_weights)
                log_evidence = log_evidence + torch.where(uneven, total, 0.0)
                chosen = torch.where(uneven, self._chosen(log_weights, index), _same(log_weights))
                state = _at(state, chosen)
                log_weights = torch.where(uneven, 0.0, log_weights)
                state, _ = self._move(state, index, FORWARD, 0)
            advance((index + 1) / len(self.betas))
        total, _ = _total(log_weights)
        return Particles(state.z, torch.log_softmax(log_weights, 0), log_evidence + total)

    def _chosen(self, log_weights: Tensor, index: int) -> Tensor:
        """Indices of the resampled chains, by systematic resampling, (samples, rows)."""
        count, rows = log_weights.shape
        below = torch.softmax(log_weights, 0).cumsum(0).T.contiguous()
        level = -1 - index  # levels from 0 up belong to latents and transitions
        start = torch.special.ndtr(self._keyed(FORWARD, 0).normal((1, rows), log_weights, level))
        places = (torch.arange(count, device=below.device).unsqueeze(1) + start) / count
        chosen = torch.searchsorted(below, places.T.contiguous()).T
        return chosen.clamp_max(count - 1)  # rounding may leave the sum below one


def _total(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """(log of the average weight, whether a row needs resampling), (rows,) each."""
    total = torch.logsumexp(log_weights, 0)
    effective = torch.exp(2 * total - torch.logsumexp(2 * log_weights, 0))
    return total - math.log(len(log_weights)), effective < LEAST_SHARE * len(log_weights)


def _same(log_weights: Tensor) -> Tensor:
    """The index of each chain, (samples, 1)."""
    return torch.arange(len(log_weights), device=log_weights.device).unsqueeze(1)


def _at(state: State, chosen: Tensor) -> State:
    """The state of the chains ``chosen`` of each row, (samples, rows)."""
    rows = torch.arange(chosen.shape[1], device=chosen.device)
    return State(*(getattr(state, field.name)[chosen, rows] for field in fields(state)))


class WienerFilter:
    """The filter of a model and noise with one variance per cell.

    Args:
        model: with a prior, in evaluation mode.
        like: rows that supply the conditions.
        variance: t, variance of the noise, broadcastable to a row, model units squared.
        seed: of the draws from the prior.
    """

    @torch.no_grad()
    def __init__(self, model: Model, like: Dataset, variance: Tensor, seed: int = 0) -> None:
        # a conditional model generates rows with the conditions of the data
        some = placed(like.batch(torch.arange(DRAWS, device=like.x.device) % len(like)), model)
        with seeded(seed):
            trace = model(Batch(condition=some.condition, count=DRAWS))
        means = trace.likelihood.mean[0].flatten(1).double()
        self.mean = means.mean(0)
        self.deviations = (means - self.mean) / DRAWS**0.5
        self.own = trace.likelihood.variance[0].flatten(1).double().mean(0)
        noise = variance.double().expand(trace.likelihood.event_shape).flatten()
        self.precision = 1 / (self.own + noise)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """The filtered rows, (rows, *event), including hidden cells."""
        rest = batch.filled.flatten(1).double() - self.mean
        precision = self.precision.expand(rest.shape)
        if batch.observed is not None:
            precision = torch.where(batch.observed.flatten(1), precision, 0.0)
            expected = torch.cat(
                [self._expected(*row) for row in zip(rest, precision, strict=True)]
            )
        else:
            expected = self._expected(rest, self.precision)
        left = self.own * precision * (rest - expected)
        x: Tensor = (self.mean + expected + left).to(batch.filled).reshape(batch.filled.shape)
        return x

    def _expected(self, rest: Tensor, precision: Tensor) -> Tensor:
        """A^T a of rows with one precision per cell, (rows, cells)."""
        weighted = self.deviations * precision
        identity = torch.eye(DRAWS, dtype=rest.dtype, device=rest.device)
        factor = torch.linalg.cholesky(identity + weighted @ self.deviations.T)
        latents = torch.cholesky_solve(weighted @ rest.reshape(-1, rest.shape[-1]).T, factor)
        expected: Tensor = latents.T @ self.deviations
        return expected


@dataclass(frozen=True, eq=False)
class Denoised:
    """Rows without their noise, in model units, (rows, *event).

    Attributes:
        mean: E[x | y].
        draws: of x given y, (draws, rows, *event), or None.
        log_evidence: estimate of log p(y), nats in model units, (rows,); NaN where nothing had to
            be restored.
        effective_sample_size: of the chains of each row, (rows,); K for a closed form.
    """

    mean: Tensor
    draws: Tensor | None
    log_evidence: Tensor
    effective_sample_size: Tensor


def denoise(
    model: Model,
    dataset: Dataset,
    noise: NoiseModel,
    *,
    chains: int = CHAINS,
    temperatures: int = TEMPERATURES,
    draws: int = 0,
    seed: int = 0,
    memory: int = 8 * MEMORY,
    progress: Progress | None = None,
) -> Denoised:
    """Remove the noise from every row, and fill the hidden cells.

    The mean of a row depends on its content, the seed and the noise, and not on the other rows.

    Args:
        model: with continuous latents and exact densities.
        dataset: noisy rows with ``schema.levels`` None, because they lie between the levels.
        noise: the noise model, in model units.
        chains: K, number of chains of each row.
        temperatures: T, steps of each chain.
        draws: number of rows x to draw for each y.
        seed: of all draws.
        memory: working memory in bytes.
        progress: called with (rows done, rows) after each temperature of the chains; a chunk's
            rows count as done like its temperatures.

    Raises:
        OptionError: a number is invalid.
        UnsupportedError: the latents are unsupported, or the likelihood has no version with noise.
    """
    if draws < 0:
        raise OptionError(f"draws must be 0 or more, not {draws}")
    options = AnnealingOptions(temperatures=temperatures, chains=chains, seed=seed)
    model = in_precision(model, dataset.x.dtype)
    noise = replace(noise, scale=noise.scale.to(first_row(dataset, model).filled))
    found = []
    closed = isinstance(model, HasNoisyPosterior) and not noise.outliers
    with evaluation_mode(model, gradients=not closed):
        if _is_clean(dataset, noise):
            if not closed:
                _footprint(model, dataset, noise)  # what is unsupported is refused as with noise
            return _as_given(dataset, options, draws)
        if closed:
            restore, size = _by_formula(model, dataset, noise, options, draws), FORMULA_ROWS
        else:
            restore, size = _by_chains(model, dataset, noise, options, draws, memory)
        for rows, batch in batches(dataset, model, size):

            def advance(share: float, rows: slice = rows) -> None:
                if progress is not None:
                    done = rows.start + int(share * (rows.stop - rows.start))
                    progress(done, len(dataset))

            with seeded(seed):
                found.append(restore(batch, advance))
            advance(1.0)
    drawn = [part.draws for part in found if part.draws is not None]
    return Denoised(
        torch.cat([part.mean for part in found]),
        torch.cat(drawn, 1) if drawn else None,
        torch.cat([part.log_evidence for part in found]),
        torch.cat([part.effective_sample_size for part in found]),
    )


def _is_clean(dataset: Dataset, noise: NoiseModel) -> bool:
    """Whether there is neither noise nor a hidden cell, so that x is y."""
    seen = dataset.observed is None or bool(dataset.observed.all())
    return seen and not noise.outliers and not bool(noise.scale.any())


def _as_given(dataset: Dataset, options: AnnealingOptions, draws: int) -> Denoised:
    """Rows that have nothing to be restored; every draw is the row."""
    drawn = dataset.x.expand(draws, *dataset.x.shape) if draws else None
    unknown = torch.full((len(dataset),), math.nan, dtype=torch.float64)
    sizes = torch.full_like(unknown, float(options.chains))
    pictures = dataset.schema.data_kind.pictures
    return _on_processor(dataset.x, drawn, unknown, sizes, pictures)


def _by_formula(
    model: Model, dataset: Dataset, noise: NoiseModel, options: AnnealingOptions, draws: int
) -> Restore:
    """Restores rows by the closed forms of a linear model."""
    assert isinstance(model, HasNoisyPosterior)
    pictures, variance = dataset.schema.data_kind.pictures, noise.scale.square()

    def restore(batch: Batch, _: Callable[[float], None]) -> Denoised:
        posterior = model.noisy_posterior(batch, variance)
        y, observed = batch.filled, batch.observed
        at_mean = noisy(model(batch, Given([posterior.mean])).likelihood, noise)
        drawn = None
        if draws:
            z = torch.cat([draw(posterior, 1) for _ in range(draws)])
            drawn = noisy(model(batch, Given([z])).likelihood, noise).restored_draw(y, observed)
        evidence = model.noisy_log_marginal(batch, variance)
        sizes = torch.full_like(evidence, float(options.chains))
        return _on_processor(at_mean.restored(y, observed)[0], drawn, evidence, sizes, pictures)

    return restore


def _by_chains(
    model: Model,
    dataset: Dataset,
    noise: NoiseModel,
    options: AnnealingOptions,
    draws: int,
    memory: int,
) -> tuple[Restore, int]:
    """Restores rows by chains, and the number of rows at once."""
    along, pictures = replace(noise, exact=False), dataset.schema.data_kind.pictures
    footprint = _footprint(model, dataset, along)
    wiener = WienerFilter(model, dataset, noise.scale.square(), options.seed)

    def restore(batch: Batch, advance: Callable[[float], None]) -> Denoised:
        chains_of = NoisyModel(model, along, wiener(batch))
        population = Population(chains_of, batch, footprint.trace, options)
        particles = population.particles(advance)
        with torch.no_grad():
            together = _together(population, noise, particles.z)
            each = [_chains(population, noise, z) for z in particles.z.split(together)]
            x, corrections = (torch.cat(parts) for parts in zip(*each, strict=True))
            log_weights = particles.log_weights + corrections
            total = torch.logsumexp(log_weights, 0)
            particles = Particles(particles.z, log_weights - total, particles.log_evidence + total)
            weights = torch.exp(particles.log_weights)
            mean = torch.einsum("kb,kb...->b...", weights.to(x), x)
            drawn = _drawn(population, noise, particles, draws) if draws else None
        sizes = particles.effective_sample_size
        return _on_processor(mean, drawn, particles.log_evidence, sizes, pictures)

    return restore, ChunkPlan.within(memory, footprint, options.chains).rows


def learned_level(
    model: Model,
    dataset: Dataset,
    noise: NoiseModel,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> float:
    """The maximum-likelihood factor of ``noise.scale``.

    The search uses at most 64 rows, or 4,096 of a model with closed forms, from all parts of the
    data, and levels from twice the spread of all features down to a hundredth of a small spread of
    a feature; it ends sooner at a level that is much less likely than a larger one.

    Args:
        model, dataset, seed: as for ``denoise``.
        noise: the form of the noise: its scale in each cell up to a factor, and its outliers.
        progress: called with (temperatures done, temperatures of all levels to try).

    Raises:
        DataError: every cell is hidden, or all values are the same.
    """
    closed = isinstance(model, HasNoisyPosterior) and not noise.outliers
    few = dataset.thinned(FORMULA_SEARCH_ROWS if closed else SEARCH_ROWS)
    least, most = _spreads(few, noise)
    tried: list[float] = []

    def advance(done: int, rows: int) -> None:
        if progress is not None:
            steps = int((len(tried) + done / rows) * SEARCH_TEMPERATURES)
            progress(min(steps, TRIES * SEARCH_TEMPERATURES - 1), TRIES * SEARCH_TEMPERATURES)

    def surprise(log_level: float) -> float:
        level = replace(noise, scale=noise.scale * math.exp(log_level))
        found = denoise(
            model,
            few,
            level,
            chains=SEARCH_CHAINS,
            temperatures=SEARCH_TEMPERATURES,
            seed=seed,
            progress=advance,
        )
        tried.append(log_level)
        return -float(found.log_evidence.mean())

    bounds = (math.log(LEAST * least), math.log(most))
    grid = np.linspace(*bounds, max(3, math.ceil((bounds[1] - bounds[0]) / COARSE) + 1))
    nearest = _likeliest(grid, surprise, few.schema.dimension)
    around = (grid[max(nearest - 1, 0)], grid[min(nearest + 1, len(grid) - 1)])
    tries = max(TRIES - len(grid), LEAST_TRIES)
    best = minimize_scalar(
        surprise, bounds=around, method="bounded", options={"maxiter": tries, "xatol": 0.01}
    )
    return math.exp(float(best.x))


def _likeliest(log_levels: Array, surprise: Callable[[float], float], cells: int) -> int:
    """Number of the ascending level with the least surprise, in nats per row of so many cells.

    The largest is tried first, and those below a hopeless one are not tried: a level that is too
    small cannot become likelier by being smaller, and the smallest take longest.
    """
    nearest, least = len(log_levels) - 1, math.inf
    for number in reversed(range(len(log_levels))):
        found = surprise(float(log_levels[number]))
        if found < least:
            nearest, least = number, found
        elif found > least + HOPELESS * cells:
            break
    return nearest


def _spreads(dataset: Dataset, noise: NoiseModel) -> tuple[float, float]:
    """(small spread of a feature, at least the level of noise that all of them may have) of noisy
    rows, in units of the noise's scale.

    Each feature is compared with its own mean, unless it has one value only, as in one row.
    """
    shares = (dataset.x / noise.scale.to(dataset.x)).double().flatten(1)
    if dataset.observed is not None:
        shares = shares.masked_fill(~dataset.observed.flatten(1), math.nan)
    rows = (~shares.isnan()).sum(0).clamp_min(2)
    each = (shares - shares.nanmean(0)).square().nansum(0) / (rows - 1)
    if not bool((each > 0).any()):
        seen = shares[~shares.isnan()]
        each = seen.var(correction=0)[None] if len(seen) else each
    varied = each[each > 0]
    if not len(varied):
        raise DataError("all observed values are the same: no level of noise can be learned")
    most = math.sqrt(float(varied.mean()))
    small = float(torch.quantile(varied, FEW_FEATURES, interpolation="lower"))
    return max(math.sqrt(small), LEAST_SPREAD * most), SLACK * most


def _on_processor(
    mean: Tensor, drawn: Tensor | None, evidence: Tensor, sizes: Tensor, pictures: bool
) -> Denoised:
    """The results on the processor; grey values are clamped to black and white."""
    if pictures:
        mean, drawn = mean.clamp(0, 1), None if drawn is None else drawn.clamp(0, 1)
    moved = None if drawn is None else drawn.cpu()
    return Denoised(mean.cpu(), moved, evidence.cpu(), sizes.cpu())


def _together(population: Population, noise: NoiseModel, z: Tensor) -> int:
    """The number of chains whose full sums fit into the memory of all coarse sums."""
    along = _emission(population, z[:1])
    exact = noisy(along.clean, noise)
    if not (isinstance(along, NoisyLevels) and isinstance(exact, NoisyLevels)):
        return len(z)
    return max(1, len(z) * along.levels // exact.levels)


def _chains(population: Population, noise: NoiseModel, z: Tensor) -> tuple[Tensor, Tensor]:
    """(E[x | y, z], log of p(y | z) over its coarse sum in nats), (samples, rows, ...) both."""
    batch, along = population.batch, _emission(population, z)
    exact = noisy(along.clean, noise)
    y = batch.filled
    correction = exact.log_prob(y, batch.observed) - along.log_prob(y, batch.observed)
    return exact.restored(y, batch.observed), correction.double()


def _drawn(population: Population, noise: NoiseModel, particles: Particles, draws: int) -> Tensor:
    """x given y at latents resampled by their weights, (draws, rows, *event)."""
    batch = population.batch
    chosen = torch.multinomial(torch.exp(particles.log_weights).T, draws, replacement=True).T
    z = particles.z[chosen, torch.arange(len(batch), device=chosen.device)]
    clean = [_emission(population, one).clean for one in z.split(1)]
    return torch.cat([noisy(p, noise).restored_draw(batch.filled, batch.observed) for p in clean])


def _emission(population: Population, z: Tensor) -> NoisyEmission:
    """p(y | z), with the chains' coarse sum, at concatenated latents, (samples, rows, numbers)."""
    trace = population.model(population.batch, Given(population.target.unpacked(z)))
    assert isinstance(trace.likelihood, NoisyEmission)
    return trace.likelihood


def _footprint(model: Model, dataset: Dataset, noise: NoiseModel) -> Footprint:
    """The memory of a pass, with a number for each level of each cell if p(y | z) sums over them.

    Raises:
        UnsupportedError: chains cannot be annealed, or the likelihood has no version with noise.
    """
    checked(model, dataset, TASK, INSTEAD)  # so that an error names the fitted model
    footprint = checked(NoisyModel(model, noise), dataset)
    emission = footprint.trace.likelihood
    if not isinstance(emission, NoisyLevels):
        return footprint
    return replace(footprint, width=footprint.width + emission.levels * dataset.schema.dimension)


def known_noise(schema: Schema, level: float, outliers: float = 0.0) -> NoiseModel:
    """The noise model for a standard deviation in the data's own units.

    Args:
        schema: of the rows without noise.
        level: the standard deviation.
        outliers: share of the pixels that are uniform between black and white.

    Raises:
        OptionError: a number is invalid, or outliers are set for data other than pictures.
        DataError: a column is not modeled in units that are proportional to its own.
    """
    number = isinstance(level, Real) and not isinstance(level, bool)
    if not (number and np.isfinite(level) and level >= 0):
        raise OptionError(f"the noise is a standard deviation, 0 or more, not {level}")
    if schema.data_kind.amplitudes and level > FULL_SCALE:
        raise OptionError(
            f"the noise of sound is a standard deviation of amplitudes, which lie between -1 and "
            f"1, not {level:g}: a noise in 16-bit units is divided by {SIXTEEN_BIT}, which is "
            f"here {level / SIXTEEN_BIT:.3g}"
        )
    if not 0 <= outliers < 1:
        raise OptionError(f"outliers are a share of the cells, 0 to below 1, not {outliers:g}")
    if outliers and not schema.data_kind.pictures:
        raise OptionError("outliers are drawn from black to white, which only pictures have")
    return NoiseModel(noise_in_units(schema, level), outliers)


def found_noise(
    fitted: Fitted,
    dataset: Dataset,
    level: float | None,
    outliers: float = 0.0,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[float, NoiseModel]:
    """(standard deviation in the data's own units, noise model); ``level`` None: estimated.

    Raises:
        OptionError, DataError: as for ``known_noise``, or the level cannot be estimated.
    """
    if level is not None:
        return level, known_noise(fitted.schema, level, outliers)
    one = known_noise(fitted.schema, 1.0, outliers)
    found = learned_level(fitted.model, dataset, one, seed=seed, progress=progress)
    return found, replace(one, scale=one.scale * found)


def without_noise(
    schema: Schema, x: torch.Tensor, given: Array, level: float, outliers: float = 0.0
) -> Array:
    """Rows in model units, (..., rows, *event), in the user's units and layout.

    If the level is zero and there are no outliers, observed cells equal the given ones bit for bit.
    """
    check_numbers(x)
    values: Array = schema.decode(x, rounded=False)
    return values if level or outliers else np.where(np.isnan(given), values, given)
