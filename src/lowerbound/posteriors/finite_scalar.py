"""A fixed grid as codebook: each number of the vector is rounded to a few levels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lowerbound.errors import OptionError
from lowerbound.posteriors.quantizer import QUANTIZERS, Quantizer

LEVELS = (8, 5, 5, 5)


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
