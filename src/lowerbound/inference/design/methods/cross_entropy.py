"""The cross-entropy method: draw from a Gaussian, refit it to the best draws (Rubinstein 1999)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lowerbound.inference.design.methods.base import METHODS, Proposals, SearchMethod

ELITE = 20  # codes that the Gaussian is fitted to
LEAST = 0.05  # smallest standard deviation, as a share of that of the aggregate posterior


@METHODS.register("cem")
class CrossEntropy(SearchMethod):
    """Draws from N(mean, diagonal covariance) of the best codes so far."""

    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        search = self.search
        elite = search.best(z, scores, ELITE)
        least = LEAST * search.space.deviation
        deviation = elite.std(0, correction=0).maximum(least)
        noise = search.normal(search.batch, elite.shape[1])
        return Proposals(elite.mean(0) + deviation * noise)
