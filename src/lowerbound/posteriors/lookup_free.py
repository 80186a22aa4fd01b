"""The corners of a cube as codebook: a code holds the signs of a vector."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.errors import OptionError
from lowerbound.posteriors.quantizer import QUANTIZERS, Quantizer


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
