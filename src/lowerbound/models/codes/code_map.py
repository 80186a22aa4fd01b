"""One map of codes: its codebooks, each of which quantizes what those before it left over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lowerbound.distributions.point import Quantized
from lowerbound.posteriors.quantizer import Quantizer
from lowerbound.posteriors.residual import search
from lowerbound.priors.codes import CodePrior
from lowerbound.trace import Choose, Step


class CodebookPass(NamedTuple):
    """What one codebook did in a pass.

    Attributes:
        step: its codes.
        penalty: what is differentiated besides the bound, (samples, rows); None: nothing.
        vectors: what it quantized, (1 | samples, rows, *shape, dim), without gradient.
        silent: rows that say nothing here, (rows,); None: all say something.
    """

    step: Step
    penalty: Tensor | None
    vectors: Tensor
    silent: Tensor | None


@dataclass(frozen=True, eq=False)
class CodeMap:
    """The codebooks of one map that are used, coarse to fine.

    Attributes:
        shape: its places: (slots,), or (height, width).
        first: level of the first codebook.
        quantizers, priors: of each codebook in use; none where the map stays silent.
    """

    shape: tuple[int, ...]
    first: int
    quantizers: Sequence[Quantizer]
    priors: Sequence[CodePrior]

    def quantize(
        self, encoded: Tensor, choose: Choose, said: Tensor | None, breadth: int
    ) -> tuple[Tensor, list[CodebookPass]]:
        """Vectors (1 | samples, rows, *shape, dim) as what their codes stand for, and the codes.

        Args:
            encoded: the vectors.
            choose: decides the codes.
            said: how many codebooks each row uses, (rows,), those of maps before included; None:
                all.
            breadth: of the search; 1: each codebook takes its nearest.
        """
        rest, total = encoded, torch.zeros_like(encoded)
        passes = []
        for index, (quantizer, prior) in enumerate(zip(self.quantizers, self.priors, strict=True)):
            level = self.first + index
            expected, silent = prior(), None if said is None else said <= level
            posterior = Quantized(self._nearest(rest, index, breadth), silent, expected)
            z = choose(level, posterior, expected)
            vectors = quantizer.vectors(z)
            penalty = quantizer.penalty(rest, vectors)
            if penalty is not None:
                penalty = _where_said(penalty, silent).flatten(2).sum(-1)
            vectors = _where_said(vectors, silent)
            step = Step(z, posterior, expected)
            passes.append(CodebookPass(step, penalty, rest.detach(), silent))
            total, rest = total + vectors, rest - vectors.detach()
        return total, passes

    def vectors(self, codes: Sequence[Tensor]) -> Tensor:
        """What the codes of the first codebooks, (...) each, stand for together, (..., dim)."""
        pairs = zip(self.quantizers, codes, strict=False)
        return torch.stack([quantizer.vectors(z) for quantizer, z in pairs]).sum(0)

    @torch.no_grad()
    def start(self, numbers: Tensor) -> Tensor:
        """Start the codebooks from what the encoder says, (..., dim): each from what is left over.

        Returns what the codes then stand for, of the same shape.
        """
        rest, codes = numbers, []
        for index, quantizer in enumerate(self.quantizers):
            quantizer.initialize(rest.flatten(0, -2))
            rest = rest if index else quantizer.within(rest)
            codes.append(quantizer.nearest(rest))
            rest = rest - quantizer.vectors(codes[-1])
        return self.vectors(codes)

    def _nearest(self, rest: Tensor, index: int, breadth: int) -> Tensor:
        """The codes from one codebook, the others still to come."""
        quantizers = self.quantizers[index:]
        if breadth == 1 or len(quantizers) == 1:
            return quantizers[0].nearest(rest)
        codes, *_ = search(quantizers, rest.detach().flatten(0, -2), breadth)
        return codes.reshape(rest.shape[:-1])


def _where_said(values: Tensor, silent: Tensor | None) -> Tensor:
    """Values (samples, rows, ...), zero in silent rows, (rows,)."""
    if silent is None:
        return values
    return values.masked_fill(silent.reshape(1, -1, *(1,) * (values.dim() - 2)), 0.0)
