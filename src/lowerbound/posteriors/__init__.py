"""q(z | x): the distribution of a latent given a row, from the encoder's output."""

from lowerbound.distributions.point import Point, Quantized
from lowerbound.posteriors.finite_scalar import FiniteScalar, LookupFree, residual_quantizer
from lowerbound.posteriors.gaussian import (
    POSTERIORS,
    ClampedGaussianPosterior,
    FlowPosterior,
    FullGaussianPosterior,
    GaussianPosterior,
    Posterior,
)
from lowerbound.posteriors.vector_quantized import GRADIENTS, QUANTIZERS, Codebook, Quantizer

__all__ = [
    "GRADIENTS",
    "POSTERIORS",
    "QUANTIZERS",
    "ClampedGaussianPosterior",
    "Codebook",
    "FiniteScalar",
    "FlowPosterior",
    "FullGaussianPosterior",
    "GaussianPosterior",
    "LookupFree",
    "Point",
    "Posterior",
    "Quantized",
    "Quantizer",
    "residual_quantizer",
]
