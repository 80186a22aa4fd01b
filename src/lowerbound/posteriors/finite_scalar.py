"""Codebooks that are not learned, and several codebooks in turn.

The codebook is a fixed grid, each number of the vector rounded to a few levels, or the corners of a
cube, where a code holds the signs of a vector. Of several codebooks each quantizes the residual of
those before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.errors import OptionError
from lowerbound.posteriors.vector_quantized import QUANTIZERS, Codebook, Quantizer

SEARCHED = 1 << 24  # most sums compared at once, 64 MB
LEVELS = (8, 5, 5, 5)


class LookupFree(Quantizer):
    r"""c_i = 1 if e_i > 0, else -1; K = 2^dim, and bit i of the code is the sign of number i.

    The penalty keeps the encoder near the corners. It makes each bit confident, and both of its
    values equally frequent:

    .. math::
        \beta \|e - c\|^2 + w \sum_i \big( H(p_i) - H(\bar p_i) \big), \qquad
        p_i = \frac{e^{-(e_i - 1)^2}}{e^{-(e_i - 1)^2} + e^{-(e_i + 1)^2}} = \sigma(4 e_i)

    with p-bar the mean over the batch, and H the entropy of a bit, nats.

    Args:
        dim: number of bits of a code.
        commitment: beta.
        entropy: w.

    Source: Yu et al. 2024, section 3.1; entropies by bit as in Zhao et al. 2024.
    """

    basis: Tensor
    unit: Tensor

    def __init__(self, dim: int, commitment: float = 0.25, entropy: float = 0.1) -> None:
        super().__init__(dim, 1 << dim)
        if min(commitment, entropy) < 0:
            raise OptionError("commitment and entropy must not be negative")
        self.commitment = commitment
        self.entropy = entropy
        self.register_buffer("basis", 2 ** torch.arange(dim), persistent=False)
        self.register_buffer("unit", torch.ones(()), persistent=False)

    def nearest(self, vectors: Tensor) -> Tensor:
        codes: Tensor = ((vectors > 0) * self.basis).sum(-1)
        return codes

    def vectors(self, codes: Tensor) -> Tensor:
        bits = codes.unsqueeze(-1) // self.basis % 2
        return 2 * bits.to(self.unit) - self.unit

    def penalty(self, encoded: Tensor, vectors: Tensor) -> Tensor:
        committed = self.commitment * (encoded - vectors.detach()).square().sum(-1)
        confidence = torch.sigmoid(4 * encoded)
        mean = confidence.flatten(0, -2).mean(0)
        return committed + self.entropy * (_entropy(confidence) - _entropy(mean)).sum(-1)


def _entropy(probability: Tensor) -> Tensor:
    """Entropy of a bit, nats."""
    clamped = probability.clamp(1e-6, 1 - 1e-6)
    return F.binary_cross_entropy(clamped, clamped, reduction="none")


@QUANTIZERS.register("lfq")
def lookup_free_quantizer(
    dim: int, *, codes: int = 512, commitment: float = 0.25, entropy: float = 0.1
) -> list[Quantizer]:
    """One cube."""
    if codes != 1 << dim:
        raise OptionError(
            f"codes of signs are as many as 2 to the power of a vector's numbers: {1 << dim} for "
            f"{dim}, not {codes}"
        )
    return [LookupFree(dim, commitment, entropy)]


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


class FiniteScalar(Quantizer):
    r"""Number i is bounded and rounded to one of L_i levels, evenly spaced from -1 to 1.

    .. math::
        u_i = \tanh\frac{e_i - m_i}{s_i}, \qquad
        d_i = \Big\lfloor \tfrac{1}{2} (L_i - 1)(u_i + 1) + \tfrac12 \Big\rfloor, \qquad
        c_i = \frac{2 d_i}{L_i - 1} - 1, \qquad k = \sum_i d_i \prod_{j < i} L_j

    m and s are the mean and spread of the untrained encoder's outputs, so that all levels are used
    at the start. There is no learned codebook that could collapse, so there is no penalty.

    Args:
        levels: L, at least 2 each; K is their product.

    Sources: Mentzer et al. 2024; the levels are symmetric for even L too, as in Parker et al. 2024.
    """

    counts: Tensor
    basis: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, levels: tuple[int, ...] = LEVELS) -> None:
        if min(levels, default=0) < 2:
            raise OptionError(f"levels are at least 2 for each number of a vector, not {levels}")
        super().__init__(len(levels), math.prod(levels))
        below = [math.prod(levels[:i]) for i in range(len(levels))]
        self.register_buffer("counts", torch.tensor(levels), persistent=False)
        self.register_buffer("basis", torch.tensor(below), persistent=False)
        self.register_buffer("shift", torch.zeros(len(levels)))
        self.register_buffer("scale", torch.ones(len(levels)))

    def within(self, encoded: Tensor) -> Tensor:
        return torch.tanh((encoded - self.shift) / self.scale)

    def nearest(self, vectors: Tensor) -> Tensor:
        most = self.counts - 1
        digits = torch.floor(0.5 * (vectors.detach() + 1) * most + 0.5).long()
        codes: Tensor = (digits.clamp_min(0).minimum(most) * self.basis).sum(-1)
        return codes

    def vectors(self, codes: Tensor) -> Tensor:
        digits = codes.unsqueeze(-1) // self.basis % self.counts
        return 2.0 * digits.to(self.scale) / (self.counts - 1) - 1.0

    @torch.no_grad()
    def standardize(self, encoded: Tensor) -> None:
        self.shift.copy_(encoded.mean(0))
        self.scale.copy_(encoded.std(0, correction=0).clamp_min(1e-3))


@QUANTIZERS.register("fsq")
def finite_scalar_quantizer(dim: int, *, levels: tuple[int, ...] = LEVELS) -> list[Quantizer]:
    """One grid."""
    if dim != len(levels):
        raise OptionError(f"levels {levels} are for vectors of {len(levels)} numbers, not of {dim}")
    return [FiniteScalar(levels)]
