r"""The amortization gap: the cost of one encoder for all rows.

.. math::
    \mathrm{gap}(x) = \max_{\mu, \sigma} \mathcal{L}(x; \mathcal{N}(\mu, \sigma^2))
                      - \mathcal{L}(x; q_\phi(z \mid x)) \quad\text{(nats)}

Gradient ascent from the encoder's output optimizes a mean and a log standard deviation per row.
Source: Cremer et al. 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.distributions.reparameterization import diagonal_normal, draw
from lowerbound.inference.codes import moments
from lowerbound.inference.estimate import Estimate
from lowerbound.inference.passes import (
    MEMORY,
    ChunkPlan,
    OneStep,
    collected,
    one_step,
)
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
