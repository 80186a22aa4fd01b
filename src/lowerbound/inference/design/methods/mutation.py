"""Mutation of molecules as SELFIES, without a latent space (Nigam et al. 2021, STONED)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lowerbound.data.molecules.library import selfies_library
from lowerbound.data.molecules.selfies import from_selfies, to_selfies
from lowerbound.errors import DataError, OptionError
from lowerbound.inference.design.methods.base import METHODS, Proposals, Search, SearchMethod

PARENTS = 100  # best molecules that are mutated
MOST_CHANGES = 3  # of the symbols of a molecule
TRIES = 20  # mutations of a parent until one is a molecule


@METHODS.register("mutation")
class Mutation(SearchMethod):
    """Replaces, inserts or deletes symbols of the best molecules so far, all equally likely."""

    def __init__(self, search: Search) -> None:
        if not search.molecular:
            raise OptionError("the method mutation changes molecules, and the rows are not")
        super().__init__(search)

    @cached_property
    def alphabet(self) -> list[str]:
        """Symbols that keep their meaning in every place."""
        return sorted(selfies_library().get_semantic_robust_alphabet())

    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        pool = dict(zip(self.search.rows, self.search.scores.tolist(), strict=True))
        pool |= {row: s for row, s in zip(rows, scores.tolist(), strict=True) if math.isfinite(s)}
        best = sorted(pool, key=lambda row: -pool[row])[:PARENTS]
        chosen = self.search.whole(len(best), self.search.batch).tolist()
        made = [self._mutated(best[i]) for i in chosen]
        return Proposals(torch.full((len(made), self.search.codes.shape[1]), torch.nan), made)

    def _mutated(self, smiles: str) -> str:
        """A neighbor; the molecule itself where no mutation of it is a molecule."""
        for _ in range(TRIES):
            try:
                symbols = list(selfies_library().split_selfies(to_selfies(smiles)))
                for _ in range(1 + int(self.search.whole(MOST_CHANGES))):
                    self._change(symbols)
                return from_selfies("".join(symbols))
            except DataError:
                continue
        return smiles

    def _change(self, symbols: list[str]) -> None:
        """Delete, replace or insert a symbol."""
        kind = int(self.search.whole(3)) if len(symbols) > 1 else 2
        place = int(self.search.whole(len(symbols) + (kind == 2)))
        symbol = self.alphabet[int(self.search.whole(len(self.alphabet)))]
        symbols[place : place + (kind < 2)] = [] if kind == 0 else [symbol]
