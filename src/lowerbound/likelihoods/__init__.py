"""Likelihoods p(x | z), whose parameters the decoder returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowerbound.registry import public_names

if TYPE_CHECKING:
    from lowerbound.likelihoods.autoregressive.columns import (
        AutoregressiveColumns as AutoregressiveColumns,
    )
    from lowerbound.likelihoods.autoregressive.emission import (
        AutoregressiveColumnsEmission as AutoregressiveColumnsEmission,
    )
    from lowerbound.likelihoods.autoregressive.pixels import (
        Autoregressive as Autoregressive,
        AutoregressiveEmission as AutoregressiveEmission,
    )
    from lowerbound.likelihoods.autoregressive.tokens import (
        AutoregressiveTokens as AutoregressiveTokens,
        TokensEmission as TokensEmission,
    )
    from lowerbound.likelihoods.base import (
        LIKELIHOODS as LIKELIHOODS,
        GaussianEmission as GaussianEmission,
        LearnedScale as LearnedScale,
        Likelihood as Likelihood,
        LocationScale as LocationScale,
    )
    from lowerbound.likelihoods.bernoulli import (
        Bernoulli as Bernoulli,
        BernoulliEmission as BernoulliEmission,
        ContinuousBernoulli as ContinuousBernoulli,
        ContinuousBernoulliEmission as ContinuousBernoulliEmission,
    )
    from lowerbound.likelihoods.categorical import (
        Categorical as Categorical,
        CategoricalEmission as CategoricalEmission,
        LevelsLikelihood as LevelsLikelihood,
        Multinomial as Multinomial,
        MultinomialEmission as MultinomialEmission,
    )
    from lowerbound.likelihoods.discretized_logistic import (
        DiscretizedLogistic as DiscretizedLogistic,
        DiscretizedLogisticEmission as DiscretizedLogisticEmission,
    )
    from lowerbound.likelihoods.discretized_logistic_mixture import (
        DiscretizedLogisticMixture as DiscretizedLogisticMixture,
        DiscretizedLogisticMixtureEmission as DiscretizedLogisticMixtureEmission,
    )
    from lowerbound.likelihoods.location_scale import (
        Gaussian as Gaussian,
        Laplace as Laplace,
        LaplaceEmission as LaplaceEmission,
        SelfMaskedEmission as SelfMaskedEmission,
        StudentT as StudentT,
        StudentTEmission as StudentTEmission,
    )
    from lowerbound.likelihoods.mixed import Mixed as Mixed, MixedEmission as MixedEmission

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        ".autoregressive.columns": "AutoregressiveColumns",
        ".autoregressive.emission": "AutoregressiveColumnsEmission",
        ".autoregressive.pixels": "Autoregressive AutoregressiveEmission",
        ".autoregressive.tokens": "AutoregressiveTokens TokensEmission",
        ".base": "LIKELIHOODS GaussianEmission LearnedScale Likelihood LocationScale",
        ".bernoulli": "Bernoulli BernoulliEmission ContinuousBernoulli ContinuousBernoulliEmission",
        ".categorical": "Categorical CategoricalEmission "
        "LevelsLikelihood Multinomial MultinomialEmission",
        ".discretized_logistic": "DiscretizedLogistic DiscretizedLogisticEmission",
        ".discretized_logistic_mixture": "DiscretizedLogisticMixture "
        "DiscretizedLogisticMixtureEmission",
        ".location_scale": "Gaussian Laplace LaplaceEmission "
        "StudentT StudentTEmission SelfMaskedEmission",
        ".mixed": "Mixed MixedEmission",
    },
)
