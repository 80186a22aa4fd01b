"""What a search method sees, and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lowerbound.inference.design.space import LatentSpace
from lowerbound.registry import Registry

Guide = Callable[[Tensor], Tensor]
"""Predicted score of codes, lowered by uncertainty; (rows, latent_dim) to (rows,)."""


@dataclass(frozen=True, eq=False)
class Search:
    """What a method may use.

    Attributes:
        space: codes, shell, prior.
        guide: the predicted score.
        codes: of the known rows that are accepted, best first, (rows, latent_dim).
        scores: of these rows, (rows,).
        rows: these rows in their original form.
        molecular: whether they are SMILES.
        generator: of all random numbers.
        batch: number of proposals in a round.
        limited: whether rows may be rejected by a limit that the guide does not know.
    """

    space: LatentSpace
    guide: Guide
    codes: Tensor
    scores: Tensor
    rows: Sequence[Any]
    molecular: bool
    generator: torch.Generator
    batch: int
    limited: bool = False

    def normal(self, *shape: int) -> Tensor:
        """Standard normal noise, float64."""
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers from 0 to 1, float64."""
        return torch.rand(*shape, generator=self.generator, dtype=torch.float64)

    def whole(self, top: int, *shape: int) -> Tensor:
        """Whole numbers from 0 to below ``top``."""
        return torch.randint(top, shape, generator=self.generator)

    def best(self, z: Tensor, scores: Tensor, count: int) -> Tensor:
        """The ``count`` codes with the highest scores among known and tried ones, best first."""
        pool = torch.cat([self.codes, z[scores.isfinite()]])
        values = torch.cat([self.scores, scores[scores.isfinite()]])
        return pool[values.argsort(descending=True, stable=True)[:count]]


@dataclass(frozen=True, eq=False)
class Proposals:
    """Codes to decode and judge, or rows to judge as they are.

    Attributes:
        z: (count, latent_dim); NaN where a row has no code.
        rows: rows to judge instead of the decoded codes; None: decode.
    """

    z: Tensor
    rows: Sequence[Any] | None = None


class SearchMethod(ABC):
    """A search.

    Raises:
        OptionError: the rows are not of the kind that the method needs.
    """

    def __init__(self, search: Search) -> None:
        self.search = search

    @abstractmethod
    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        """The next proposals; none: the search has ended.

        Args:
            z: all codes that were tried, (tried, latent_dim).
            scores: of the rows that they decoded to, -inf for rejected and repeated ones.
            rows: these rows.
        """


METHODS: Registry[type[SearchMethod]] = Registry("method of design")
