"""Codes to bytes and back, by tables of each place or by what the codes before them say."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from lowerbound.coding import code_bits, code_ranges, context_codes
from lowerbound.coding.code_tables import TableCodes
from lowerbound.coding.context_models import WholeCodes, least_bits
from lowerbound.coding.stack import PRECISION, CodingTable
from lowerbound.data.arrays import Array
from lowerbound.models import VectorQuantizedVariationalAutoencoder
from lowerbound.priors.codes import CodePrior


class CodeCoder(ABC):
    """Codes of some codebooks to bytes and back."""

    @property
    @abstractmethod
    def least_bits(self) -> float:
        """What the likeliest codes of a row take."""

    @abstractmethod
    def encode(self, levels: Sequence[Tensor]) -> bytes:
        """The bytes of codes, (rows, places) of each codebook."""

    @abstractmethod
    def decode(self, payload: bytes, rows: int) -> Tensor:
        """The codes, (rows, all places).

        Raises:
            BitstreamError: no codes are named by these bytes.
        """

    @abstractmethod
    def bits(self, levels: Sequence[Tensor]) -> float:
        """-log2 of the probabilities of codes, summed up."""


def coder_of(model: VectorQuantizedVariationalAutoencoder, codebooks: int) -> CodeCoder:
    """The coder of the first codebooks of a model in whole numbers."""
    priors = [prior for prior in model.priors if isinstance(prior, CodePrior)][:codebooks]
    contexts = [prior for prior in priors if isinstance(prior, WholeCodes)]
    if contexts:
        return ContextCoder(contexts)
    tables = [prior for prior in priors if isinstance(prior, TableCodes)]
    assert len(tables) == len(priors), "the model is not in whole numbers"
    return TableCoder([prior.tables for prior in tables])


class ContextCoder(CodeCoder):
    """Codes that depend on each other: see ``lowerbound.coding.context_codes``.

    Args:
        priors: of each codebook.
    """

    def __init__(self, priors: Sequence[WholeCodes]) -> None:
        self.priors = priors

    @property
    def least_bits(self) -> float:
        return sum(math.prod(prior.shape) * least_bits(prior.codes) for prior in self.priors)

    def encode(self, levels: Sequence[Tensor]) -> bytes:
        return context_codes.encode(levels, self.priors)

    def decode(self, payload: bytes, rows: int) -> Tensor:
        return torch.cat(context_codes.decode(payload, rows, self.priors), 1)

    def bits(self, levels: Sequence[Tensor]) -> float:
        return context_codes.bits(levels, self.priors)


class TableCoder(CodeCoder):
    """Codes under tables, a column for each place of a codebook.

    Args:
        counts: the tables of each codebook, (places, K).
    """

    def __init__(self, counts: Sequence[Tensor]) -> None:
        self.counts = counts
        self.even = _even_bits(self.counts)
        self.tables = [] if self.even else list(_tables(self.counts))

    @property
    def least_bits(self) -> float:
        most = torch.cat([counts.amax(1) for counts in self.counts])
        return float((PRECISION - most.double().log2()).sum())

    def encode(self, levels: Sequence[Tensor]) -> bytes:
        columns: list[Array] = list(torch.cat(list(levels), 1).T.numpy())
        if self.even:
            return code_bits.encode(columns, self.even)
        return code_ranges.encode(columns, self.tables)

    def decode(self, payload: bytes, rows: int) -> Tensor:
        if self.even:
            columns = code_bits.decode(payload, rows, sum(map(len, self.counts)), self.even)
        else:
            columns = code_ranges.decode(payload, rows, self.tables)
        return torch.from_numpy(np.stack(columns, 1).astype(np.int64))

    def bits(self, levels: Sequence[Tensor]) -> float:
        pairs = zip(self.counts, levels, strict=True)
        logs = [counts.double().log2().gather(1, codes.T).sum() for counts, codes in pairs]
        numbers = sum(codes.numel() for codes in levels)
        return PRECISION * numbers - float(torch.stack(logs).sum())


def _even_bits(counts: Sequence[Tensor]) -> int:
    """b where every code of every table has the share 2 ** -b, else 0."""
    first = int(counts[0][0, 0])
    even = all(bool((table == first).all()) for table in counts)
    return PRECISION + 1 - first.bit_length() if even else 0


def _tables(counts: Sequence[Tensor]) -> Iterator[CodingTable]:
    """One for each place of each codebook; places that share theirs share it here too."""
    for level in counts:
        made: dict[int, CodingTable] = {}
        for place in level:
            if place.data_ptr() not in made:
                made[place.data_ptr()] = CodingTable(place.numpy())
            yield made[place.data_ptr()]
