"""q(z | x): the distribution of a latent given a row, from the encoder's output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowerbound.registry import public_names

if TYPE_CHECKING:
    from lowerbound.distributions.point import Point as Point, Quantized as Quantized
    from lowerbound.posteriors.finite_scalar import (
        FiniteScalar as FiniteScalar,
        LookupFree as LookupFree,
        residual_quantizer as residual_quantizer,
    )
    from lowerbound.posteriors.gaussian import (
        POSTERIORS as POSTERIORS,
        ClampedGaussianPosterior as ClampedGaussianPosterior,
        FlowPosterior as FlowPosterior,
        FullGaussianPosterior as FullGaussianPosterior,
        GaussianPosterior as GaussianPosterior,
        Posterior as Posterior,
    )
    from lowerbound.posteriors.vector_quantized import (
        GRADIENTS as GRADIENTS,
        QUANTIZERS as QUANTIZERS,
        Codebook as Codebook,
        Quantizer as Quantizer,
    )

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        "lowerbound.distributions.point": "Point Quantized",
        ".finite_scalar": "FiniteScalar LookupFree residual_quantizer",
        ".gaussian": "POSTERIORS ClampedGaussianPosterior FlowPosterior FullGaussianPosterior "
        "GaussianPosterior Posterior",
        ".vector_quantized": "GRADIENTS QUANTIZERS Codebook Quantizer",
    },
)
