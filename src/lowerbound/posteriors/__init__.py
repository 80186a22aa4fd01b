"""q(z | x): the distribution of a latent given a row, from the encoder's output."""

from lowerbound.distributions.point import Point, Quantized
from lowerbound.posteriors.base import POSTERIORS, Posterior
from lowerbound.posteriors.finite_scalar import FiniteScalar
from lowerbound.posteriors.flow import FlowPosterior
from lowerbound.posteriors.full import FullGaussianPosterior
from lowerbound.posteriors.gaussian import ClampedGaussianPosterior, GaussianPosterior
from lowerbound.posteriors.lookup_free import LookupFree
from lowerbound.posteriors.quantizer import QUANTIZERS, Quantizer
from lowerbound.posteriors.residual import residual_quantizer
from lowerbound.posteriors.straight_through import GRADIENTS
from lowerbound.posteriors.vector_quantized import Codebook

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
