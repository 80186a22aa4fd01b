"""Codes to bytes and back, by tables of each place or by what the codes before them say.

If all 2 ** b codes are equally likely, they take b bits each. A range coder would sometimes take
one byte more, because it rounds its interval down.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.compression import code_ranges, context_models
from lowerbound.applications.compression.code_tables import TableCodes
from lowerbound.applications.compression.context_models import WholeCodes, least_bits
from lowerbound.applications.compression.stack import PRECISION, CodingTable
from lowerbound.data.arrays import Array
from lowerbound.errors import BitstreamError
from lowerbound.models.vq_vae import VectorQuantizedVariationalAutoencoder
from lowerbound.priors.codes import CodePrior


def encode(columns: Sequence[Array], bits: int) -> bytes:
    """The bits of codes, column by column, the highest bit first, with zeros at the end."""
    codes = np.concatenate(list(columns)).astype(np.int64)
    return np.packbits((codes[:, None] >> np.arange(bits)[::-1]) & 1).tobytes()


def decode(payload: bytes, rows: int, places: int, bits: int) -> list[Array]:
    """The columns that were encoded, each (rows,).

    Raises:
        BitstreamError: the length is wrong, or bits other than zeros follow the codes.
    """
    count = rows * places * bits
    found = np.unpackbits(np.frombuffer(payload, np.uint8))
    if len(found) != -(-count // 8) * 8 or found[count:].any():
        raise BitstreamError("the stream has not the length of its codes")
    weights = 1 << np.arange(bits, dtype=np.int64)[::-1]
    codes = found[:count].reshape(-1, bits).astype(np.int64) @ weights
    return list(codes.reshape(places, rows))


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
    """Codes that depend on each other: see ``lowerbound.applications.compression.context_models``.

    Args:
        priors: of each codebook.
    """

    def __init__(self, priors: Sequence[WholeCodes]) -> None:
        self.priors = priors

    @property
    def least_bits(self) -> float:
        return sum(math.prod(prior.shape) * least_bits(prior.codes) for prior in self.priors)

    def encode(self, levels: Sequence[Tensor]) -> bytes:
        return context_models.encode(levels, self.priors)

    def decode(self, payload: bytes, rows: int) -> Tensor:
        return torch.cat(context_models.decode(payload, rows, self.priors), 1)

    def bits(self, levels: Sequence[Tensor]) -> float:
        return context_models.bits(levels, self.priors)


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
            return encode(columns, self.even)
        return code_ranges.encode(columns, self.tables)

    def decode(self, payload: bytes, rows: int) -> Tensor:
        if self.even:
            columns = decode(payload, rows, sum(map(len, self.counts)), self.even)
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
