"""A diffusion model of latents as prior: its noise process, its samplers and its bound."""

from lowerbound.priors.diffusion.distribution import DiffusionDistribution
from lowerbound.priors.diffusion.prior import DiffusionPrior

__all__ = ["DiffusionDistribution", "DiffusionPrior"]
