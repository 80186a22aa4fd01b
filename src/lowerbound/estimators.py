"""scikit-learn estimators of models and applications."""

from __future__ import annotations

from lowerbound.applications.anomaly.estimator import PyODDetector, VAEDetector
from lowerbound.applications.common.estimators.vae import VAE
from lowerbound.applications.fit.estimators import (
    VQVAE,
    Autoencoder,
    ConditionalVAE,
    HierarchicalVAE,
    LadderVAE,
    ProbabilisticPCA,
)
from lowerbound.applications.labels.estimator import SemiSupervisedRegressor, SemiSupervisedVAE
from lowerbound.applications.release.estimator import TableSynthesizer
from lowerbound.applications.restoration.estimator import VAEImputer

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
