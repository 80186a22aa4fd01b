"""Models: how prior, posterior and likelihood are put together."""

from lowerbound.models.autoencoder import DeterministicAutoencoder
from lowerbound.models.base import (
    MODELS,
    Chains,
    Decodes,
    Encodes,
    HasPrior,
    Imagines,
    Mixes,
    Model,
    Quantizes,
    require,
)
from lowerbound.models.hierarchical import HierarchicalVariationalAutoencoder
from lowerbound.models.ladder import LadderVariationalAutoencoder
from lowerbound.models.noisy import NoisyModel
from lowerbound.models.pca import ProbabilisticPrincipalComponents
from lowerbound.models.semi_supervised import Classifies, SemiSupervisedVariationalAutoencoder
from lowerbound.models.semi_supervised_regression import SemiSupervisedRegression
from lowerbound.models.transform import TransformCoder
from lowerbound.models.vae import VariationalAutoencoder
from lowerbound.models.vq_vae import VectorQuantizedVariationalAutoencoder

__all__ = [
    "MODELS",
    "Chains",
    "Classifies",
    "Decodes",
    "DeterministicAutoencoder",
    "Encodes",
    "HasPrior",
    "HierarchicalVariationalAutoencoder",
    "Imagines",
    "LadderVariationalAutoencoder",
    "Mixes",
    "Model",
    "NoisyModel",
    "ProbabilisticPrincipalComponents",
    "Quantizes",
    "SemiSupervisedRegression",
    "SemiSupervisedVariationalAutoencoder",
    "TransformCoder",
    "VariationalAutoencoder",
    "VectorQuantizedVariationalAutoencoder",
    "require",
]
