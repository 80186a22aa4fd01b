"""q(z | x): the encoder's answer, a cloud and not a point."""

from lowerbound.posteriors.base import POSTERIORS, Posterior
from lowerbound.posteriors.flow import FlowPosterior
from lowerbound.posteriors.full import FullGaussianPosterior
from lowerbound.posteriors.gaussian import GaussianPosterior
from lowerbound.posteriors.point import Point

__all__ = [
    "POSTERIORS",
    "FlowPosterior",
    "FullGaussianPosterior",
    "GaussianPosterior",
    "Point",
    "Posterior",
]
