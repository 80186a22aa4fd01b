"""q(z | x): the encoder's answer, a cloud and not a point."""

from lowerbound.posteriors.base import POSTERIORS, Posterior
from lowerbound.posteriors.flow import FlowPosterior
from lowerbound.posteriors.gaussian import GaussianPosterior
from lowerbound.posteriors.point import Point

__all__ = ["POSTERIORS", "FlowPosterior", "GaussianPosterior", "Point", "Posterior"]
