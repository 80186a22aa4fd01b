"""Several codebooks; each quantizes the residual of those before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lowerbound.errors import OptionError
from lowerbound.posteriors.quantizer import QUANTIZERS, Quantizer
from lowerbound.posteriors.vector_quantized import Codebook

SEARCHED = 1 << 24  # most sums compared at once, 64 MB


@QUANTIZERS.register("residual")
def residual_quantizer(
    dim: int,
    *,
    quantizers: int = 4,
    codes: int = 512,
    decay: float = 0.99,
    commitment: float = 0.25,
    kmeans: bool = True,
    revival: float = 0.1,
    quiet: float = 0.0,
) -> list[Quantizer]:
    r"""Approximate e by c^1 + c^2 + ... + c^n, with c^l nearest to e - c^1 - ... - c^{l-1}.

    n codebooks of K codes distinguish K^n vectors. ``quiet`` (see ``Codebook``) applies to all
    codebooks but the first. Source: Zeghidour et al. 2021, algorithm 1.
    """
    if quantizers < 1:
        raise OptionError(f"quantizers is a number of codebooks, at least 1, not {quantizers}")
    return [
        Codebook(dim, codes, decay, commitment, kmeans, revival, quiet if level else 0.0)
        for level in range(quantizers)
    ]


@torch.no_grad()
def search(quantizers: Sequence[Quantizer], vectors: Tensor, breadth: int) -> list[Tensor]:
    """Find codes of vectors (rows, dim), (rows,) per codebook, whose sum is near the vector.

    A beam search keeps the ``breadth`` nearest sums after each codebook. A greedy choice of the
    nearest code keeps only one. Source: Barnes et al. 1996 (M-search).
    """
    books = [
        quantizer.vectors(torch.arange(quantizer.codes, device=vectors.device))
        for quantizer in quantizers
    ]
    together = max(1, SEARCHED // (breadth * len(books[0])))
    # bf16 does not distinguish near codes
    with torch.autocast(vectors.device.type, enabled=False):
        parts = [_search(books, part, breadth) for part in vectors.to(books[0]).split(together)]
    return list(torch.cat(parts).unbind(1))


def _search(books: list[Tensor], vectors: Tensor, breadth: int) -> Tensor:
    """Codes of one part of the vectors, (rows, codebooks)."""
    rest, paths = vectors.unsqueeze(1), vectors.new_zeros((len(vectors), 1, 0), dtype=torch.long)
    for book in books:
        errors = (rest.square().sum(-1, keepdim=True) + book.square().sum(1)) - 2 * rest @ book.T
        kept = min(breadth, errors[0].numel())
        best = errors.flatten(1).topk(kept, largest=False).indices
        before, codes = best // len(book), best % len(book)
        paths = torch.cat((_picked(paths, before), codes.unsqueeze(-1)), -1)
        rest = _picked(rest, before) - book[codes]
    nearest = rest.square().sum(-1).argmin(1)
    return _picked(paths, nearest.unsqueeze(1))[:, 0]


def _picked(values: Tensor, places: Tensor) -> Tensor:
    """The values (rows, breadth, n) at places (rows, kept)."""
    return values.gather(1, places.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
