"""Codes of frames to bytes and back: by one table of each codebook, or row by row of frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.coding import context_codes, stack
from lowerbound.coding.code_ranges import SPARE
from lowerbound.coding.context_models import WholeCodes, in_whole_numbers, least_bits
from lowerbound.coding.stack import CodingTable, Stack, whole_shares
from lowerbound.errors import BitstreamError
from lowerbound.models import VectorQuantizedVariationalAutoencoder
from lowerbound.priors.codes import CodePrior


class FrameCoder(ABC):
    """Codes of frames to bytes and back."""

    @abstractmethod
    def encode(self, codes: Tensor) -> bytes:
        """The bytes of codes, (frames, codebooks)."""

    @abstractmethod
    def decode(self, payload: bytes, frames: int) -> Tensor:
        """The codes, (frames, codebooks).

        Raises:
            BitstreamError: the bytes name no such codes.
        """


def frame_coder(model: VectorQuantizedVariationalAutoencoder, codebooks: int) -> FrameCoder:
    """The coder of the first codebooks of a model of sound."""
    priors = [prior for prior in model.priors if isinstance(prior, CodePrior)][:codebooks]
    whole = [each for each in map(in_whole_numbers, priors) if each is not None]
    return ContextFrames(whole) if whole else TableFrames(code_tables(model, codebooks))


class TableFrames(FrameCoder):
    """Codes under one table of each codebook.

    Args:
        tables: of each codebook.
    """

    def __init__(self, tables: Sequence[CodingTable]) -> None:
        self.tables = tables

    def encode(self, codes: Tensor) -> bytes:
        return encoded(codes, self.tables)

    def decode(self, payload: bytes, frames: int) -> Tensor:
        return decoded(payload, frames, self.tables)


class ContextFrames(FrameCoder):
    """Codes that depend on each other, in rows of as many frames as the prior has places.

    Args:
        priors: of each codebook, all of one map.
    """

    def __init__(self, priors: Sequence[WholeCodes]) -> None:
        self.priors = priors
        (self.places,) = priors[0].shape

    def encode(self, codes: Tensor) -> bytes:
        padded = F.pad(codes, (0, 0, 0, -len(codes) % self.places))
        levels = [each.unflatten(0, (-1, self.places)) for each in padded.unbind(1)]
        return context_codes.encode(levels, self.priors, self._last(len(codes)))

    def decode(self, payload: bytes, frames: int) -> Tensor:
        least = frames * sum(least_bits(prior.codes) for prior in self.priors)
        if least > 8 * (len(payload) + SPARE):
            raise BitstreamError("the stream claims more frames than its bytes can hold")
        rows = -(-frames // self.places)
        levels = context_codes.decode(payload, rows, self.priors, self._last(frames))
        return torch.stack([each.flatten()[:frames] for each in levels], 1)

    def _last(self, frames: int) -> int:
        """Frames of the last row."""
        return (frames - 1) % self.places + 1


def code_tables(model: VectorQuantizedVariationalAutoencoder, codebooks: int) -> list[CodingTable]:
    """The table of each used codebook, shared by all frames."""
    priors = [prior for prior in model.priors if isinstance(prior, CodePrior)]
    return [CodingTable(whole_shares(prior.tally().numpy())) for prior in priors[:codebooks]]


def encoded(codes: Tensor, tables: Sequence[CodingTable]) -> bytes:
    """Codes (frames, codebooks) as a stack of words."""
    empty = Stack(np.zeros(0, np.uint32))
    for level, table in zip(reversed(codes.unbind(1)), reversed(tables), strict=True):
        empty.push_table(level.numpy(), table)
    return stack.to_bytes(empty.words())


def decoded(payload: bytes, frames: int, tables: Sequence[CodingTable]) -> Tensor:
    """The codes, (frames, codebooks), of a stack of words.

    Raises:
        BitstreamError: the stack is invalid.
    """
    words = stack.from_bytes(payload) if payload else np.zeros(0, np.uint32)
    full = Stack(words)
    levels = [torch.from_numpy(full.pop_table(frames, table).astype(np.int64)) for table in tables]
    return torch.stack(levels, 1)
