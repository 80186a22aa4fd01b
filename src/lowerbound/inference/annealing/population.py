r"""Draws from p(z | x) by annealed chains with resampling (sequential Monte Carlo).

.. math:: f_\beta(z) = q(z \mid x)^{1 - \beta}\, p(x, z)^{\beta}, \quad 0 \le \beta \le 1

As in annealed importance sampling, chains start at the encoder's proposal, and their weights change
with each rise of the temperature. If the weights of a row become uneven, its chains are resampled
by them (Del Moral et al. 2006). The average weight remains an unbiased estimate of p(x). The
weighted chains at the end represent p(z | x), even for a poor proposal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import pairwise

import torch
from torch import Tensor

from lowerbound.inference.annealing.annealing import FORWARD, AnnealedChains
from lowerbound.inference.annealing.hamiltonian import State

LEAST_SHARE = 0.5  # share of effective chains below which they are resampled


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
