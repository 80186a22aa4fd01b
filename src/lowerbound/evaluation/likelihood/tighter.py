r"""Tighter bounds than L_K on all rows: a larger K, or annealing, on rows spread over the data.

Pairing carries the result on the subset over to all rows: the mean difference on the same rows has
a small error, because what rows have in common cancels.

Bidirectional Monte Carlo: a bound on the error of annealed importance sampling.

For a row simulated from the model, z ~ p(z), x ~ p(x | z), the latent is an exact draw from the
posterior p(z | x). Annealing backwards from it estimates 1 / p(x) without bias, so minus the log of
that estimate is on average an upper bound on log p(x). Annealing forwards gives the lower bound.
The gap between them bounds the error of either. Source: Grosse et al. 2015.

The amortization gap: the cost of one encoder for all rows.

.. math::
    \mathrm{gap}(x) = \max_{\mu, \sigma} \mathcal{L}(x; \mathcal{N}(\mu, \sigma^2))
                      - \mathcal{L}(x; q_\phi(z \mid x)) \quad\text{(nats)}

Gradient ascent from the encoder's output optimizes a mean and a log standard deviation per row.
Source: Cremer et al. 2018.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.config import option, to_mapping
from lowerbound.data.dataset import Dataset, spread_rows
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.distributions.reparameterization import diagonal_normal, draw, seeded
from lowerbound.inference.annealing import AnnealedChains, AnnealingOptions, anneal, checked
from lowerbound.inference.codes import moments
from lowerbound.inference.estimate import Estimate
from lowerbound.inference.likelihood import score
from lowerbound.inference.passes import (
    MEMORY,
    ChunkPlan,
    OneStep,
    Progress,
    batches,
    collected,
    evaluation_mode,
    one_step,
)
from lowerbound.inference.scores import Scores
from lowerbound.models.base import Model
from lowerbound.networks.processor import in_precision
from lowerbound.trace import Batch, Step


@dataclass(frozen=True)
class InferenceOptions:
    """Options of the optimization of each row's mean and standard deviation, and of the
    comparison."""

    updates: int = option(100, "updates of Adam")
    pairs: int = option(2, "mirrored pairs of draws per row and update")
    learning_rate: float = option(0.05, "learning rate at the start; it falls to zero")
    judging_pairs: int = option(64, "mirrored pairs of fresh draws on which both are compared")
    seed: int = option(0, "seed of the draws")


@dataclass(frozen=True)
class AmortizationGap:
    """ELBOs of the encoder's and each row's own posterior, same fresh draws, (rows,), nats.

    The search ends after finitely many noisy updates, so the mean gap is an estimate from below.
    """

    encoder: Tensor
    optimized: Tensor

    @property
    def gap(self) -> Estimate:
        """The mean paired difference: the largest gain that a better encoder alone could reach."""
        return Estimate.of(self.optimized - self.encoder)


def amortization_gap(
    model: Model,
    dataset: Dataset,
    options: InferenceOptions | None = None,
    *,
    memory: int = 8 * MEMORY,
) -> AmortizationGap:
    """Compare the encoder with mean-field inference row by row; it is slow, so pass a subset.

    If the posterior is no diagonal Gaussian, the search starts from its moments. The gap may then
    be negative, because it also compares the families.

    Raises:
        UnsupportedError: the model has no encoder, decoder or prior over one latent.
    """
    options = options or InferenceOptions()
    model = in_precision(model, dataset.x.dtype)
    powers = one_step(model, "compare its encoder with inference row by row")
    draws = 2 * max(options.pairs, options.judging_pairs)
    plan = ChunkPlan.of(model, dataset, draws, memory)

    def bounds(_: slice, batch: Batch) -> tuple[Tensor, Tensor]:
        inference = _Inference(powers, batch, options)
        return inference.score_of(inference.answer), inference.score_of(inference.ascend())

    return AmortizationGap(*collected(model, dataset, plan.rows, bounds, gradients=True))


@dataclass(frozen=True)
class MirroredNoise:
    """Pairs of mirrored draws: half the samples are eps, the other half -eps.

    The part of the gradient that is odd in eps, most of its noise, cancels.
    """

    keyed: KeyedNoise

    def normal(self, shape: Sequence[int], like: Tensor, level: int) -> Tensor:
        half = self.keyed.normal((shape[0] // 2, *shape[1:]), like, level)
        return torch.cat([half, -half])


class _Inference:
    """Mean-field inference for the rows of one batch."""

    def __init__(self, model: OneStep, batch: Batch, options: InferenceOptions) -> None:
        self.model, self.batch, self.options = model, batch, options
        self.keys = row_keys(batch.filled, options.seed)
        with torch.no_grad():
            self.answer: Distribution = model.encode(batch)

    def ascend(self) -> Distribution:
        """The diagonal Gaussian of each row, found by Adam from the encoder's output."""
        loc, scale = self._start()
        loc, log_scale = loc.requires_grad_(), scale.log().requires_grad_()
        options = self.options
        optimizer = torch.optim.Adam([loc, log_scale], lr=options.learning_rate)
        for update in range(options.updates):
            optimizer.param_groups[0]["lr"] = options.learning_rate * (1 - update / options.updates)
            noise = KeyedNoise(self.keys, 2 * options.seed, update * options.pairs)
            loss = -self.elbo(diagonal_normal(loc, log_scale.exp()), options.pairs, noise).sum()
            optimizer.zero_grad()
            loss.backward(inputs=[loc, log_scale])
            optimizer.step()
        return diagonal_normal(loc.detach(), log_scale.detach().exp())

    @torch.no_grad()
    def score_of(self, posterior: Distribution) -> Tensor:
        """The ELBO of each row on draws that the search has not seen, (rows,), float64."""
        noise = KeyedNoise(self.keys, 2 * self.options.seed + 1)
        return self.elbo(posterior, self.options.judging_pairs, noise).double().cpu()

    def elbo(self, posterior: Distribution, pairs: int, noise: KeyedNoise) -> Tensor:
        """The ELBO of each row under another posterior, (rows,)."""
        assert self.batch.x is not None
        z = draw(posterior, 2 * pairs, MirroredNoise(noise))
        emission = self.model.decode(z, self.batch.condition).knowing(self.batch.missing)
        log_likelihood: Tensor = emission.log_prob(self.batch.x, self.batch.observed)
        rate = Step(z, posterior, self.model.prior_distribution()).rate()
        return log_likelihood.mean(0) - rate.mean(0)

    def _start(self) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            loc, scale = moments(self.answer, self.batch)
        return loc.unsqueeze(0).clone(), scale.unsqueeze(0).clone()


SIMULATED_AT_ONCE = 16  # a fixed number, so that the rows do not depend on memory


@dataclass(frozen=True)
class Bracket:
    """Two bounds on log p(x) of rows simulated from the model, (rows,), nats; float64.

    Attributes:
        lower: from chains that start at the encoder's proposal.
        upper: from chains that start at the latent that generated the row.
        acceptance: mean acceptance probability of the transitions, (rows,).
    """

    lower: Tensor
    upper: Tensor
    acceptance: Tensor

    @property
    def gap(self) -> Estimate:
        """Difference of the bounds, nats per row; on average it bounds the error of either."""
        return Estimate.of(self.upper - self.lower)


def bracket(
    model: Model,
    dataset: Dataset,
    options: AnnealingOptions | None = None,
    *,
    memory: int = 8 * MEMORY,
    progress: Progress | None = None,
) -> Bracket:
    """Both bounds on as many rows simulated from the model as ``dataset`` has.

    A conditional model gets the conditions of the rows of ``dataset``; their values are not used.

    Args:
        model: as for ``anneal``.
        dataset: sets the number of rows and their conditions.
        options: as for ``anneal``.
        memory: working memory in bytes.
        progress: called with (rows done, rows) after each chunk.

    Raises:
        UnsupportedError: as for ``anneal``.
    """
    options = options or AnnealingOptions()
    model = in_precision(model, dataset.x.dtype)
    footprint = checked(model, dataset)
    plan = ChunkPlan.within(memory, footprint, options.chains)
    lower, upper, acceptance = [], [], []
    count = math.log(options.chains)
    with evaluation_mode(model, gradients=True):
        made, latents = simulate(model, dataset, options.seed)
        for start in range(0, len(made), plan.rows):
            rows = slice(start, min(start + plan.rows, len(made)))
            chains = AnnealedChains(model, made.rows(rows), footprint.trace, options)
            forward = chains.forward(plan.samples)
            backward = chains.backward(latents[:, rows], plan.samples)
            lower.append(torch.logsumexp(forward.log_weights, 0) - count)
            upper.append(count - torch.logsumexp(backward.log_weights, 0))
            acceptance.append(torch.cat([forward.acceptance, backward.acceptance]).mean(0))
            if progress is not None:
                progress(rows.stop, len(made))
    units = dataset.schema.log_jacobian(made.filled.cpu(), model.mass, made.observed)
    return Bracket(torch.cat(lower) + units, torch.cat(upper) + units, torch.cat(acceptance))


@torch.no_grad()
def simulate(model: Model, dataset: Dataset, seed: int) -> tuple[Batch, Tensor]:
    """As many rows drawn from the model as ``dataset`` has, and their latents, (1, rows, numbers).

    Args:
        model: in evaluation mode.
        dataset: sets the number of rows and their conditions.
        seed: of the draws.
    """
    rows, latents, conditions = [], [], []
    with seeded(seed):
        for _, real in batches(dataset, model, SIMULATED_AT_ONCE):
            trace = model(Batch(condition=real.condition, count=len(real)))
            rows.append(trace.likelihood.sample()[0].expand(len(real), *real.filled.shape[1:]))
            latents.append(trace.latents())
            conditions += [] if real.condition is None else [real.condition]
    condition = torch.cat(conditions) if conditions else None
    return Batch.drawn(torch.cat(rows), condition), torch.cat(latents, 1)


@dataclass(frozen=True)
class Carried:
    """L of a large K on all rows = L of a small K on all + the mean paired difference on some.

    Attributes:
        samples: the large K.
        rows: number of rows that measured the difference.
        difference: large minus small K, nats per row.
        bound: their sum on all rows, nats per row; the two errors are added as if independent.
    """

    samples: int
    rows: int
    difference: Estimate
    bound: Estimate


@dataclass(frozen=True)
class CrossCheck:
    """Annealed importance sampling and L_K on the same rows, with an error bracket.

    Attributes:
        rows: number of rows.
        options: temperatures, chains, transitions.
        bound: the annealed lower bound on log p(x), nats per row.
        gain: its paired difference to L_K of the same rows.
        simulated_lower, simulated_upper: both bounds on as many rows simulated from the model.
        gap: their paired difference, which is at least the error of annealing on such rows.
        acceptance: mean acceptance probability of the transitions on the real rows.
    """

    rows: int
    options: AnnealingOptions
    bound: Estimate
    gain: Estimate
    simulated_lower: Estimate
    simulated_upper: Estimate
    gap: Estimate
    acceptance: float

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values."""
        return to_mapping(self)


def carry_over(
    model: Model,
    dataset: Dataset,
    scores: Scores,
    samples: int,
    rows: int,
    *,
    progress: Progress | None = None,
) -> Carried:
    """L of K = ``samples`` on all rows, from ``rows`` of them.

    Args:
        model: model of the scores.
        dataset: the scored rows.
        scores: scores of a small K, on all of them.
        samples: the large K.
        rows: number of rows for the large K.
        progress: called with (rows done, rows).
    """
    index = spread_rows(len(dataset), rows)
    few = dataset.subset(index)
    protocol = scores.protocol
    expensive = score(
        model,
        few,
        samples=samples,
        seed=protocol.seed,
        precision=protocol.precision,
        progress=progress,
    )
    difference = Estimate.of(expensive.bound - scores.bound[index])
    return Carried(samples, len(few), difference, _sum(Estimate.of(scores.bound), difference))


def cross_check(
    model: Model,
    dataset: Dataset,
    scores: Scores,
    options: AnnealingOptions,
    rows: int,
    *,
    progress: Progress | None = None,
) -> CrossCheck:
    """Anneal some of the rows, and bracket the error on as many rows simulated from the model.

    Args:
        model: model of the scores.
        dataset: the scored rows.
        scores: scores of all of them.
        options: temperatures, chains, transitions.
        rows: number of rows to anneal.
        progress: called with (rows done, rows).

    Raises:
        UnsupportedError: the model cannot be annealed.
    """
    index = spread_rows(len(dataset), rows)
    few = dataset.subset(index)
    annealed = anneal(model, few, options, progress=progress)
    simulated = bracket(model, few, options, progress=progress)
    return CrossCheck(
        rows=len(few),
        options=options,
        bound=Estimate.of(annealed.bound),
        gain=Estimate.of(annealed.bound - scores.bound[index]),
        simulated_lower=Estimate.of(simulated.lower),
        simulated_upper=Estimate.of(simulated.upper),
        gap=simulated.gap,
        acceptance=float(annealed.acceptance.mean()),
    )


def _sum(a: Estimate, b: Estimate) -> Estimate:
    errors = (a.standard_error, b.standard_error)
    if errors[0] is None or errors[1] is None:
        return Estimate(a.mean + b.mean, None)
    return Estimate(a.mean + b.mean, math.hypot(errors[0], errors[1]))
