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

Screen = Callable[[Tensor, int], Tensor]
"""Of codes, at most so many whose decoded rows are new, meet all limits and promise most."""


@dataclass(frozen=True, eq=False)
class Search:
    """What a method may use.

    Attributes:
        space: codes, shell, prior.
        guide: the predicted score.
        screen: which of many codes to propose.
        codes: of the known rows that are accepted, best first, (rows, latent_dim).
        scores: of these rows, (rows,).
        rows: these rows in their original form.
        molecular: whether they are SMILES.
        generator: of all random numbers.
        batch: number of proposals in a round.
    """

    space: LatentSpace
    guide: Guide
    screen: Screen
    codes: Tensor
    scores: Tensor
    rows: Sequence[Any]
    molecular: bool
    generator: torch.Generator
    batch: int

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
        """The ``count`` codes with the highest scores among known and tried ones, best first.

        Equal scores, such as those of a reached target, are in random order.
        """
        pool = torch.cat([self.codes, z[scores.isfinite()]])
        values = torch.cat([self.scores, scores[scores.isfinite()]])
        mixed = torch.randperm(len(pool), generator=self.generator)
        return pool[mixed[values[mixed].argsort(descending=True, stable=True)[:count]]]


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
