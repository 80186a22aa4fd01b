"""Models: how prior, posterior and likelihood are put together."""

from lowerbound.models.autoencoder import DeterministicAutoencoder
from lowerbound.models.base import MODELS, Model
from lowerbound.models.hierarchical import HierarchicalVariationalAutoencoder
from lowerbound.models.ladder import LadderVariationalAutoencoder
from lowerbound.models.pca import ProbabilisticPrincipalComponents
from lowerbound.models.picture_denoiser import NoisyModel
from lowerbound.models.powers import (
    Calibrates,
    Chains,
    Classifies,
    Decodes,
    Encodes,
    HasCovariance,
    HasLabel,
    HasMarginal,
    HasNoisyPosterior,
    HasPrior,
    Imagines,
    ImaginesLatents,
    LabelFirst,
    LearnsPrior,
    Mixes,
    Quantizes,
    Regresses,
    WorldModel,
    models_with,
    name_of,
    require,
)
from lowerbound.models.semi_supervised import SemiSupervisedVariationalAutoencoder
from lowerbound.models.semi_supervised_regression import SemiSupervisedRegression
from lowerbound.models.sequences.event_history import EventHistory
from lowerbound.models.sequences.linear_state_space import LinearStateSpace
from lowerbound.models.sequences.recurrent_state_space import RecurrentStateSpace
from lowerbound.models.transform import TransformCoder
from lowerbound.models.vae import VariationalAutoencoder
from lowerbound.models.vq_vae import VectorQuantizedVariationalAutoencoder

__all__ = [
    "MODELS",
    "Calibrates",
    "Chains",
    "Classifies",
    "Decodes",
    "DeterministicAutoencoder",
    "Encodes",
    "EventHistory",
    "HasCovariance",
    "HasLabel",
    "HasMarginal",
    "HasNoisyPosterior",
    "HasPrior",
    "HierarchicalVariationalAutoencoder",
    "Imagines",
    "ImaginesLatents",
    "LabelFirst",
    "LadderVariationalAutoencoder",
    "LearnsPrior",
    "LinearStateSpace",
    "Mixes",
    "Model",
    "NoisyModel",
    "ProbabilisticPrincipalComponents",
    "Quantizes",
    "RecurrentStateSpace",
    "Regresses",
    "SemiSupervisedRegression",
    "SemiSupervisedVariationalAutoencoder",
    "TransformCoder",
    "VariationalAutoencoder",
    "VectorQuantizedVariationalAutoencoder",
    "WorldModel",
    "models_with",
    "name_of",
    "require",
]
