"""p(z): the distribution of a latent before any data."""

from lowerbound.distributions.gaussian_mixture import GaussianMixture
from lowerbound.priors.autoregressive_codes import AutoregressiveCodes
from lowerbound.priors.base import PRIORS, Encode, Prior, PriorTerms
from lowerbound.priors.codes import CODE_PRIORS, CodeDistribution, CodePrior
from lowerbound.priors.diffusion import DiffusionDistribution, DiffusionPrior
from lowerbound.priors.flow import FlowPrior, StandardNormal
from lowerbound.priors.mixture import MixturePrior, VampPrior
from lowerbound.priors.sequential_codes import MarkovCodes
from lowerbound.priors.temporal import Memory, RecurrentPrior, TemporalPrior

__all__ = [
    "CODE_PRIORS",
    "PRIORS",
    "AutoregressiveCodes",
    "CodeDistribution",
    "CodePrior",
    "DiffusionDistribution",
    "DiffusionPrior",
    "Encode",
    "FlowPrior",
    "GaussianMixture",
    "MarkovCodes",
    "Memory",
    "MixturePrior",
    "Prior",
    "PriorTerms",
    "RecurrentPrior",
    "StandardNormal",
    "TemporalPrior",
    "VampPrior",
]
