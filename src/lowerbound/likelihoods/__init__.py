"""Likelihoods p(x | z), whose parameters the decoder returns."""

from lowerbound.likelihoods.autoregressive.columns import AutoregressiveColumns
from lowerbound.likelihoods.autoregressive.emission import AutoregressiveColumnsEmission
from lowerbound.likelihoods.autoregressive.pixels import Autoregressive, AutoregressiveEmission
from lowerbound.likelihoods.autoregressive.tokens import AutoregressiveTokens, TokensEmission
from lowerbound.likelihoods.base import LIKELIHOODS, LearnedScale, Likelihood, LocationScale
from lowerbound.likelihoods.bernoulli import Bernoulli, BernoulliEmission
from lowerbound.likelihoods.categorical import Categorical, CategoricalEmission
from lowerbound.likelihoods.continuous_bernoulli import (
    ContinuousBernoulli,
    ContinuousBernoulliEmission,
)
from lowerbound.likelihoods.discretized_logistic import (
    DiscretizedLogistic,
    DiscretizedLogisticEmission,
)
from lowerbound.likelihoods.discretized_logistic_mixture import (
    DiscretizedLogisticMixture,
    DiscretizedLogisticMixtureEmission,
)
from lowerbound.likelihoods.gaussian import Gaussian
from lowerbound.likelihoods.gaussian_emission import GaussianEmission
from lowerbound.likelihoods.laplace import Laplace, LaplaceEmission
from lowerbound.likelihoods.levels import LevelsLikelihood
from lowerbound.likelihoods.mixed import Mixed, MixedEmission
from lowerbound.likelihoods.self_masked import SelfMaskedEmission
from lowerbound.likelihoods.simplex.multinomial import Multinomial, MultinomialEmission
from lowerbound.likelihoods.student_t import StudentT, StudentTEmission

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
