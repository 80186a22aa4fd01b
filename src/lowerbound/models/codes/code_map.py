"""One map of codes: each of its codebooks quantizes the residual of those before it."""

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
    """The result of one codebook in a pass.

    Attributes:
        step: its codes.
        penalty: added to the loss but not to the bound, (samples, rows); None: no penalty.
        vectors: the vectors it quantized, (1 | samples, rows, *shape, dim), without gradient.
        silent: rows that do not use this codebook, (rows,); None: every row uses it.
    """

    step: Step
    penalty: Tensor | None
    vectors: Tensor
    silent: Tensor | None


@dataclass(frozen=True, eq=False)
class CodeMap:
    """The codebooks in use of one map, coarse to fine.

    Attributes:
        shape: its places: (slots,), or (height, width).
        first: level of the first codebook.
        quantizers, priors: of each codebook in use; empty if the map is not used.
    """

    shape: tuple[int, ...]
    first: int
    quantizers: Sequence[Quantizer]
    priors: Sequence[CodePrior]

    def quantize(
        self,
        encoded: Tensor,
        choose: Choose,
        said: Tensor | None,
        breadth: int,
        above: Sequence[Tensor] = (),
        prompt: Tensor | None = None,
    ) -> tuple[Tensor, list[CodebookPass]]:
        """Quantize vectors (1 | samples, rows, *shape, dim); return quantized vectors and passes.

        Args:
            encoded: the vectors.
            choose: decides the codes.
            said: how many codebooks each row uses, (rows,), including those of the maps before;
                None: all.
            breadth: width of the beam search; 1: each codebook takes its nearest code.
            above: codes of the maps before, (samples, rows, *places) each.
            prompt: what a conditional prior is given of each row, (rows, fields).
        """
        rest, total = encoded, torch.zeros_like(encoded)
        passes: list[CodebookPass] = []
        for index, (quantizer, prior) in enumerate(zip(self.quantizers, self.priors, strict=True)):
            level = self.first + index
            expected = prior.given([*above, *(done.step.z for done in passes)], prompt)
            silent = None if said is None else said <= level
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
        """The sum of the vectors of the first codebooks' codes, (...) each, to (..., dim)."""
        pairs = zip(self.quantizers, codes, strict=False)
        return torch.stack([quantizer.vectors(z) for quantizer, z in pairs]).sum(0)

    @torch.no_grad()
    def standardized(self, encoded: Tensor) -> Tensor:
        """The vectors to be quantized, after the first codebook has seen the encoder's output,
        (..., dim) each."""
        self.quantizers[0].standardize(encoded.flatten(0, -2))
        return self.quantizers[0].within(encoded)

    @torch.no_grad()
    def start(self, vectors: Tensor) -> Tensor:
        """Start the codebooks from the vectors to be quantized, (..., dim), each from its residual.

        Returns the quantized vectors, of the same shape.
        """
        rest, codes = vectors, []
        for quantizer in self.quantizers:
            quantizer.initialize(rest.flatten(0, -2))
            codes.append(quantizer.nearest(rest))
            rest = rest - quantizer.vectors(codes[-1])
        return self.vectors(codes)

    def _nearest(self, rest: Tensor, index: int, breadth: int) -> Tensor:
        """The codes from one codebook, by a search that includes the codebooks after it."""
        quantizers = self.quantizers[index:]
        if breadth == 1 or len(quantizers) == 1:
            return quantizers[0].nearest(rest)
        codes, *_ = search(quantizers, rest.detach().flatten(0, -2), breadth)
        return codes.reshape(rest.shape[:-1])


def _where_said(values: Tensor, silent: Tensor | None) -> Tensor:
    """Values (samples, rows, ...) with zeros in the rows ``silent``, (rows,)."""
    if silent is None:
        return values
    return values.masked_fill(silent.reshape(1, -1, *(1,) * (values.dim() - 2)), 0.0)
