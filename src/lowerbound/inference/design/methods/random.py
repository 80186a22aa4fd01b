"""Search without a model of the score: the baselines of the others at equal calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lowerbound.inference.design.methods.base import METHODS, Proposals, SearchMethod

WIDEST = 1.0  # noise, in standard deviations of the aggregate posterior


@METHODS.register("random")
class RandomAround(SearchMethod):
    """Noise of random size around the best codes so far."""

    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        search, count = self.search, self.search.batch
        best = search.best(z, scores, count)
        starts = best[torch.arange(count) % len(best)]
        size = WIDEST * search.uniform(count, 1) * search.space.deviation
        return Proposals(starts + size * search.normal(*starts.shape))


@METHODS.register("prior")
class FromPrior(SearchMethod):
    """Draws from the prior."""

    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        return Proposals(self.search.space.draw(self.search.batch, self.search.generator))
