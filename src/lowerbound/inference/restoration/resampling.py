r"""Self-normalized importance sampling, in one pass over chunks of samples.

With weights w_k of draws k = 1 .. K of each row,

.. math:: \mathbb{E}[f] \approx \sum_k \bar w_k f_k, \quad \bar w_k = w_k / \sum_j w_j

and sampling-importance-resampling draws k with probability \bar w_k (Rubin 1987). For each row only
the log of the sum of its weights, the weighted mean, and one reservoir per draw are kept. A new
chunk enters a reservoir with its share of the sum, so memory does not depend on K.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.distributions.keyed_noise import KeyedNoise


@dataclass(frozen=True)
class Antithetic:
    """Keyed noise in pairs, eps and -eps, so linear functions of it average to zero exactly.

    Attributes:
        keys: one per row, (batch,).
        seed: of the draws.
        first_sample: index of the first sample of this chunk among all K.
    """

    keys: Tensor
    seed: int = 0
    first_sample: int = 0

    def normal(self, shape: Sequence[int], like: Tensor, level: int) -> Tensor:
        """Standard normal noise, (samples, batch, ...)."""
        sample = torch.arange(shape[0], device=like.device) + self.first_sample
        pair = sample // 2 - self.first_sample // 2
        noise = KeyedNoise(self.keys, self.seed, self.first_sample // 2)
        half = noise.normal((int(pair[-1]) + 1, *shape[1:]), like, level)
        sign = (1 - 2 * (sample % 2)).to(like.dtype)
        return half[pair] * sign.reshape(-1, *[1] * (len(shape) - 1))


class Resampled:
    """Weighted averages over chunks of samples, and latents resampled by their weights.

    Args:
        keys: one per row, (batch,), that equal rows do not share, or their draws would be equal.
        draws: number of latents to draw for each row.
        seed: of the choices.
    """

    def __init__(self, keys: Tensor, draws: int, seed: int) -> None:
        self.keys, self.draws, self.seed = keys, draws, seed
        self.log_total = torch.full(keys.shape, -math.inf, dtype=torch.float64, device=keys.device)
        self.log_squares = self.log_total.clone()
        self.mean: Tensor | None = None
        self.latents: tuple[Tensor, ...] = ()
        self._chunks = 0

    @classmethod
    def exact(
        cls, keys: Tensor, mean: Tensor, latents: Sequence[Tensor], samples: int
    ) -> Resampled:
        """A known mean, (batch, width), and draws of equal weights, as by ``samples`` of them."""
        found = cls(keys, 0, 0)
        found.mean, found.latents = mean, tuple(latents)
        found.log_total = torch.full_like(found.log_total, math.log(samples))
        found.log_squares = found.log_total.clone()
        return found

    def add(self, log_weights: Tensor, values: Tensor, latents: Sequence[Tensor]) -> None:
        """Add a chunk.

        Args:
            log_weights: (samples, batch).
            values: to average, (samples, batch, width).
            latents: to draw from, (samples, batch, ...) each.
        """
        log_weights = log_weights.double()
        log_sum = torch.logsumexp(log_weights, 0)
        total = torch.logaddexp(self.log_total, log_sum)
        entering = torch.exp(log_sum - total)  # the chunk's share of all weights so far
        within = torch.softmax(log_weights, 0)
        mean = torch.einsum("kb,kbw->bw", within.to(values.dtype), values).double()
        if self.mean is not None:
            mean = torch.lerp(self.mean, mean, entering.unsqueeze(1))
        if self.draws:
            self._draw(within, entering, latents)
        squares = torch.logsumexp(2 * log_weights, 0)
        self.mean, self.log_total = mean, total
        self.log_squares = torch.logaddexp(self.log_squares, squares)

    @property
    def effective_sample_size(self) -> Tensor:
        """(sum w)^2 / sum w^2 of each row, (batch,)."""
        return torch.exp(2 * self.log_total - self.log_squares)

    def _draw(self, within: Tensor, entering: Tensor, latents: Sequence[Tensor]) -> None:
        """Update the reservoirs with this chunk's latents, (draws, batch, ...)."""
        chance, enters = self._uniform()
        below = within.cumsum(0).T.contiguous()
        index = torch.searchsorted(below, chance.T.contiguous()).T
        index = index.clamp_max(len(within) - 1)  # rounding may leave the sum below one
        chosen = [_at(z, index) for z in latents]
        if self.latents:
            new = enters < entering
            chosen = [
                torch.where(_like(new, z), z, old)
                for z, old in zip(chosen, self.latents, strict=True)
            ]
        self.latents = tuple(chosen)

    def _uniform(self) -> tuple[Tensor, Tensor]:
        """Two numbers in (0, 1) for each draw and row, different for every chunk."""
        self._chunks += 1
        like = self.log_total
        shape = (self.draws, len(self.keys), 2)
        # levels from 0 up belong to the latents
        noise = KeyedNoise(self.keys, self.seed).normal(shape, like, -self._chunks)
        first, second = torch.special.ndtr(noise).unbind(-1)
        return first, second


def _at(z: Tensor, index: Tensor) -> Tensor:
    """z, (samples, batch, ...), at the samples of ``index``, (draws, batch)."""
    return z[index, torch.arange(z.shape[1], device=z.device)]


def _like(condition: Tensor, z: Tensor) -> Tensor:
    return condition.reshape(*condition.shape, *[1] * (z.dim() - 2))
