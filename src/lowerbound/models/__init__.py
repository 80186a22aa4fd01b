"""Models: how prior, posterior and likelihood are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowerbound.registry import public_names

if TYPE_CHECKING:
    from lowerbound.models.autoencoder import DeterministicAutoencoder as DeterministicAutoencoder
    from lowerbound.models.base import MODELS as MODELS, Model as Model
    from lowerbound.models.hierarchical import (
        HierarchicalVariationalAutoencoder as HierarchicalVariationalAutoencoder,
    )
    from lowerbound.models.ladder import (
        LadderVariationalAutoencoder as LadderVariationalAutoencoder,
    )
    from lowerbound.models.pca import (
        ProbabilisticPrincipalComponents as ProbabilisticPrincipalComponents,
    )
    from lowerbound.models.picture_denoiser import NoisyModel as NoisyModel
    from lowerbound.models.powers import (
        Calibrates as Calibrates,
        Chains as Chains,
        Classifies as Classifies,
        Decodes as Decodes,
        Encodes as Encodes,
        HasCovariance as HasCovariance,
        HasLabel as HasLabel,
        HasMarginal as HasMarginal,
        HasNoisyPosterior as HasNoisyPosterior,
        HasPrior as HasPrior,
        Imagines as Imagines,
        ImaginesLatents as ImaginesLatents,
        LabelFirst as LabelFirst,
        LearnsPrior as LearnsPrior,
        Mixes as Mixes,
        Quantizes as Quantizes,
        Regresses as Regresses,
        WorldModel as WorldModel,
        models_with as models_with,
        name_of as name_of,
        require as require,
    )
    from lowerbound.models.semi_supervised import (
        SemiSupervisedVariationalAutoencoder as SemiSupervisedVariationalAutoencoder,
    )
    from lowerbound.models.semi_supervised_regression import (
        SemiSupervisedRegression as SemiSupervisedRegression,
    )
    from lowerbound.models.sequences.event_history import EventHistory as EventHistory
    from lowerbound.models.sequences.linear_state_space import LinearStateSpace as LinearStateSpace
    from lowerbound.models.sequences.recurrent_state_space import (
        RecurrentStateSpace as RecurrentStateSpace,
    )
    from lowerbound.models.transform import TransformCoder as TransformCoder
    from lowerbound.models.vae import VariationalAutoencoder as VariationalAutoencoder
    from lowerbound.models.vq_vae import (
        VectorQuantizedVariationalAutoencoder as VectorQuantizedVariationalAutoencoder,
    )

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        ".autoencoder": "DeterministicAutoencoder",
        ".base": "MODELS Model",
        ".hierarchical": "HierarchicalVariationalAutoencoder",
        ".ladder": "LadderVariationalAutoencoder",
        ".pca": "ProbabilisticPrincipalComponents",
        ".picture_denoiser": "NoisyModel",
        ".powers": "Calibrates Chains Classifies Decodes Encodes HasCovariance HasLabel "
        "HasMarginal HasNoisyPosterior HasPrior Imagines ImaginesLatents LabelFirst LearnsPrior "
        "Mixes Quantizes Regresses WorldModel models_with name_of require",
        ".semi_supervised": "SemiSupervisedVariationalAutoencoder",
        ".semi_supervised_regression": "SemiSupervisedRegression",
        ".sequences.event_history": "EventHistory",
        ".sequences.linear_state_space": "LinearStateSpace",
        ".sequences.recurrent_state_space": "RecurrentStateSpace",
        ".transform": "TransformCoder",
        ".vae": "VariationalAutoencoder",
        ".vq_vae": "VectorQuantizedVariationalAutoencoder",
    },
)
