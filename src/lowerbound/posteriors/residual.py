"""Several codebooks, each of which quantizes what those before it left over."""

from __future__ import annotations

from lowerbound.errors import OptionError
from lowerbound.posteriors.quantizer import QUANTIZERS, Quantizer
from lowerbound.posteriors.vector_quantized import Codebook


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
) -> list[Quantizer]:
    r"""e is about c^1 + c^2 + ... + c^n, with c^l nearest to e - c^1 - ... - c^{l-1}.

    n codebooks of K codes tell K^n vectors apart. Source: Zeghidour et al. 2021, algorithm 1.
    """
    if quantizers < 1:
        raise OptionError(f"quantizers is a number of codebooks, at least 1, not {quantizers}")
    return [Codebook(dim, codes, decay, commitment, kmeans, revival) for _ in range(quantizers)]
