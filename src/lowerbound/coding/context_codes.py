"""Codes as bytes and back, each under its probability given the codes before and above it.

Rows are coded in groups: in a group codebook by codebook, place by place, and then row by row. The
coder is the range coder of ``code_ranges``; zero bytes at its end are left off, because the decoder
reads zeros there. The probabilities come from whole numbers (``context_models``) by one division,
so that both ends agree to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from lowerbound.coding.code_ranges import SPARE, WORD_BYTES
from lowerbound.coding.context_models import WholeCodes
from lowerbound.coding.stack import constriction
from lowerbound.data.arrays import Array
from lowerbound.errors import BitstreamError

GROUP_NUMBERS = 1 << 23  # rows of a group times places times K, at most


def encode(
    levels: Sequence[Tensor], priors: Sequence[WholeCodes], last: int | None = None
) -> bytes:
    """The bytes of codes.

    Args:
        levels: codes of each codebook, (rows, places).
        priors: of each codebook.
        last: places of the last row that count, of every codebook; None: all.
    """
    coder, model = constriction().stream.queue.RangeEncoder(), _family()
    for group, short in _groups(priors, len(levels[0]), last):
        for level, (codes, prior) in enumerate(zip(levels, priors, strict=True)):
            above = [each[group] for each in levels[:level]]
            weights = prior.weights(above).all(codes[group])
            for place in range(codes.shape[1]):
                end = len(weights) - (place >= short)
                if end:
                    column = codes[group][:end, place].numpy().astype(np.int32)
                    coder.encode(column, model, _shares(weights[:end, place]))
    whole: bytes = coder.get_compressed().astype(">u4").tobytes()
    # zeros that the decoder adds are left off, but not those that many likely codes consist of:
    # a reader refuses more codes than the bytes can hold
    return whole.rstrip(b"\0").ljust(len(whole) - SPARE, b"\0")


@torch.no_grad()
def decode(
    payload: bytes, rows: int, priors: Sequence[WholeCodes], last: int | None = None
) -> list[Tensor]:
    """The codes of each codebook, (rows, places); places that do not count are 0.

    Raises:
        BitstreamError: no codes are named by these bytes.
    """
    words = np.frombuffer(payload + bytes(-len(payload) % WORD_BYTES + SPARE), ">u4")
    coder, model = constriction().stream.queue.RangeDecoder(words.astype(np.uint32)), _family()
    levels = [torch.zeros(rows, math.prod(prior.shape), dtype=torch.long) for prior in priors]
    try:
        for group, short in _groups(priors, rows, last):
            for level, prior in enumerate(priors):
                codes = levels[level][group]
                step = prior.weights([each[group] for each in levels[:level]]).one_by_one()
                for place in range(codes.shape[1]):
                    weights = step(codes, place)
                    end = len(codes) - (place >= short)
                    if end:
                        found = coder.decode(model, _shares(weights[:end]))
                        codes[:end, place] = torch.from_numpy(found.astype(np.int64))
    except AssertionError as error:  # how constriction says so
        raise BitstreamError("the stream names no codes of this model") from error
    return levels


@torch.no_grad()
def bits(levels: Sequence[Tensor], priors: Sequence[WholeCodes], last: int | None = None) -> float:
    """-log2 of the probabilities of codes, as of ``encode``, summed up."""
    total = 0.0
    for group, short in _groups(priors, len(levels[0]), last):
        for level, (codes, prior) in enumerate(zip(levels, priors, strict=True)):
            weights = prior.weights([each[group] for each in levels[:level]]).all(codes[group])
            own = weights.gather(2, codes[group].unsqueeze(2)).squeeze(2)
            each = weights.sum(2).log2() - own.log2()
            total += float(each[:-1].sum() + each[-1, :short].sum())
    return total


def _groups(
    priors: Sequence[WholeCodes], rows: int, last: int | None
) -> Iterator[tuple[slice, int]]:
    """Rows of each group, and how many places of its last row count."""
    numbers = max(math.prod(prior.shape) * prior.codes for prior in priors)
    size = max(1, GROUP_NUMBERS // numbers)
    places = max(math.prod(prior.shape) for prior in priors)
    for start in range(0, rows, size):
        end = min(start + size, rows)
        yield slice(start, end), places if last is None or end < rows else last


def _family() -> object:
    """Distributions over 0 .. K - 1, one for each symbol."""
    return constriction().stream.model.Categorical(perfect=False)


def _shares(weights: Tensor) -> Array:
    """Probabilities, (rows, K) float64."""
    shares: Array = (weights / weights.sum(-1, keepdim=True)).numpy()
    return np.ascontiguousarray(shares)
