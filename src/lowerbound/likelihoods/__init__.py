"""Likelihoods p(x | z), whose parameters the decoder returns."""

from lowerbound.likelihoods.autoregressive.columns import AutoregressiveColumns
from lowerbound.likelihoods.autoregressive.emission import AutoregressiveColumnsEmission
from lowerbound.likelihoods.autoregressive.pixels import Autoregressive, AutoregressiveEmission
from lowerbound.likelihoods.autoregressive.tokens import AutoregressiveTokens, TokensEmission
from lowerbound.likelihoods.base import (
    LIKELIHOODS,
    GaussianEmission,
    LearnedScale,
    Likelihood,
    LocationScale,
)
from lowerbound.likelihoods.bernoulli import (
    Bernoulli,
    BernoulliEmission,
    ContinuousBernoulli,
    ContinuousBernoulliEmission,
)
from lowerbound.likelihoods.categorical import (
    Categorical,
    CategoricalEmission,
    LevelsLikelihood,
    Multinomial,
    MultinomialEmission,
)
from lowerbound.likelihoods.discretized_logistic import (
    DiscretizedLogistic,
    DiscretizedLogisticEmission,
)
from lowerbound.likelihoods.discretized_logistic_mixture import (
    DiscretizedLogisticMixture,
    DiscretizedLogisticMixtureEmission,
)
from lowerbound.likelihoods.location_scale import (
    Gaussian,
    Laplace,
    LaplaceEmission,
    StudentT,
    StudentTEmission,
)
from lowerbound.likelihoods.mixed import Mixed, MixedEmission
from lowerbound.likelihoods.self_masked import SelfMaskedEmission

__all__ = [
    "LIKELIHOODS",
    "Autoregressive",
    "AutoregressiveColumns",
    "AutoregressiveColumnsEmission",
    "AutoregressiveEmission",
    "AutoregressiveTokens",
    "Bernoulli",
    "BernoulliEmission",
    "Categorical",
    "CategoricalEmission",
    "ContinuousBernoulli",
    "ContinuousBernoulliEmission",
    "DiscretizedLogistic",
    "DiscretizedLogisticEmission",
    "DiscretizedLogisticMixture",
    "DiscretizedLogisticMixtureEmission",
    "Gaussian",
    "GaussianEmission",
    "Laplace",
    "LaplaceEmission",
    "LearnedScale",
    "LevelsLikelihood",
    "Likelihood",
    "LocationScale",
    "Mixed",
    "MixedEmission",
    "Multinomial",
    "MultinomialEmission",
    "SelfMaskedEmission",
    "StudentT",
    "StudentTEmission",
    "TokensEmission",
]
