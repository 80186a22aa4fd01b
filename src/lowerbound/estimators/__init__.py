"""scikit-learn estimators of models and applications."""

from lowerbound.estimators.autoencoder import Autoencoder
from lowerbound.estimators.conditional_vae import ConditionalVAE
from lowerbound.estimators.detector import VAEDetector
from lowerbound.estimators.imputer import VAEImputer
from lowerbound.estimators.probabilistic_pca import ProbabilisticPCA
from lowerbound.estimators.pyod import PyODDetector
from lowerbound.estimators.semi_supervised import SemiSupervisedVAE
from lowerbound.estimators.semi_supervised_regression import SemiSupervisedRegressor
from lowerbound.estimators.several_latents import VQVAE, HierarchicalVAE, LadderVAE
from lowerbound.estimators.table_synthesizer import TableSynthesizer
from lowerbound.estimators.vae import VAE

__all__ = [
    "VAE",
    "VQVAE",
    "Autoencoder",
    "ConditionalVAE",
    "HierarchicalVAE",
    "LadderVAE",
    "ProbabilisticPCA",
    "PyODDetector",
    "SemiSupervisedRegressor",
    "SemiSupervisedVAE",
    "TableSynthesizer",
    "VAEDetector",
    "VAEImputer",
]
