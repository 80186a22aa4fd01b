"""p(z): the distribution of a latent before any data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowerbound.registry import public_names

if TYPE_CHECKING:
    from lowerbound.distributions.gaussian_mixture import GaussianMixture as GaussianMixture
    from lowerbound.priors.autoregressive_codes import AutoregressiveCodes as AutoregressiveCodes
    from lowerbound.priors.base import (
        PRIORS as PRIORS,
        Encode as Encode,
        Prior as Prior,
        PriorTerms as PriorTerms,
    )
    from lowerbound.priors.codes import (
        CODE_PRIORS as CODE_PRIORS,
        CodeDistribution as CodeDistribution,
        CodePrior as CodePrior,
    )
    from lowerbound.priors.diffusion.prior import DiffusionPrior as DiffusionPrior
    from lowerbound.priors.diffusion.process import (
        DiffusionDistribution as DiffusionDistribution,
    )
    from lowerbound.priors.flow import FlowPrior as FlowPrior, StandardNormal as StandardNormal
    from lowerbound.priors.mixture import MixturePrior as MixturePrior, VampPrior as VampPrior
    from lowerbound.priors.sequential_codes import MarkovCodes as MarkovCodes
    from lowerbound.priors.temporal import (
        Memory as Memory,
        RecurrentPrior as RecurrentPrior,
        TemporalPrior as TemporalPrior,
    )

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        "lowerbound.distributions.gaussian_mixture": "GaussianMixture",
        ".autoregressive_codes": "AutoregressiveCodes",
        ".base": "PRIORS Encode Prior PriorTerms",
        ".codes": "CODE_PRIORS CodeDistribution CodePrior",
        ".diffusion.process": "DiffusionDistribution",
        ".diffusion.prior": "DiffusionPrior",
        ".flow": "FlowPrior StandardNormal",
        ".mixture": "MixturePrior VampPrior",
        ".sequential_codes": "MarkovCodes",
        ".temporal": "Memory RecurrentPrior TemporalPrior",
    },
)
