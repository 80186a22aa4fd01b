"""The codes of rows: their values, their use, and their vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.errors import DataError
from lowerbound.inference.passes import MEMORY, ChunkPlan, collected
from lowerbound.models import Model, Quantizes, require
from lowerbound.networks.processor.precision import in_precision
from lowerbound.posteriors.codebook_use import CodebookUse
from lowerbound.trace import Batch


def codebook_use(
    model: Model, dataset: Dataset, *, memory: int = MEMORY
) -> tuple[CodebookUse, ...]:
    """How the rows use each codebook, coarse to fine.

    Raises:
        UnsupportedError: the model has no codebook.
    """
    quantizes = require(model, Quantizes, "say how its codes are used")
    rows = quantized_rows(model, dataset, memory=memory)
    books = zip(_by_codebook(quantizes, rows), quantizes.codebook_sizes, strict=True)
    counts = [torch.bincount(codes.flatten(), minlength=size) for codes, size in books]
    return tuple(map(CodebookUse, counts))


def quantized_rows(model: Model, dataset: Dataset, *, memory: int = MEMORY) -> Tensor:
    """The codes of all rows, (rows, all places), int64: codebook after codebook.

    Raises:
        UnsupportedError: the model has no codebook.
    """
    model = in_precision(model, dataset.x.dtype)
    quantizes = require(model, Quantizes, "quantize")
    rows = ChunkPlan.of(model, dataset, memory=memory).rows

    def codes_of(_: slice, batch: Batch) -> list[Tensor]:
        return [torch.cat([codes.flatten(1) for codes in quantizes.quantize(batch)], 1)]

    return collected(model, dataset, rows, codes_of)[0]


def numbers_of(model: Quantizes) -> int:
    """The number of codes of a row."""
    return sum(map(math.prod, model.code_shapes))


def vectors_of(model: Quantizes, rows: Tensor) -> Tensor:
    """The input of ``decode`` for the codes of ``quantized_rows``, (rows, latent_dim).

    Raises:
        DataError: a number is not a code.
    """
    books = _by_codebook(model, rows)
    for codes, size in zip(books, model.codebook_sizes, strict=True):
        wrong = (codes != codes.round()) | (codes < 0) | (codes >= size)
        if bool(wrong.any()):
            raise DataError(
                f"{float(codes[wrong][0]):g} is no code: codes are whole numbers from 0 to "
                f"{size - 1}"
            )
    with torch.no_grad():
        return model.vectors([codes.long().unsqueeze(0) for codes in books])[0]


def _by_codebook(model: Quantizes, rows: Tensor) -> list[Tensor]:
    """Codes (rows, all places) of each codebook, (rows, *its places)."""
    parts = rows.split([math.prod(shape) for shape in model.code_shapes], 1)
    return [part.unflatten(1, shape) for part, shape in zip(parts, model.code_shapes, strict=True)]
