"""The best known rows as they are: what a search has to exceed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lowerbound.inference.design.methods.base import METHODS, Proposals, SearchMethod


@METHODS.register("known")
class BestKnown(SearchMethod):
    """Known rows in descending order of their score."""

    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        part = slice(len(z), len(z) + self.search.batch)
        return Proposals(self.search.codes[part], self.search.rows[part])
