"""Fit a variational autoencoder to your own data, measure how good it is, and use it::

    from lowerbound import VAE
    vae = VAE(latent_dim=16).fit(X)     # numpy, pandas, torch, or a folder of images
    vae.score_samples(X_new)            # lower bound on log p(x), nats per example

A name's module is imported when the name is first used, so that ``import lowerbound`` is immediate
and a command that needs no network does not wait for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowerbound._version import __version__ as __version__
from lowerbound.registry import public_names

if TYPE_CHECKING:  # the same names again, for editors and type checkers
    from lowerbound.data.dataset import Dataset as Dataset
    from lowerbound.data.loading import load as load
    from lowerbound.data.schema import Schema as Schema
    from lowerbound.estimators import (
        VAE as VAE,
        VQVAE as VQVAE,
        Autoencoder as Autoencoder,
        ConditionalVAE as ConditionalVAE,
        HierarchicalVAE as HierarchicalVAE,
        LadderVAE as LadderVAE,
        ProbabilisticPCA as ProbabilisticPCA,
        PyODDetector as PyODDetector,
        SemiSupervisedRegressor as SemiSupervisedRegressor,
        SemiSupervisedVAE as SemiSupervisedVAE,
        TableSynthesizer as TableSynthesizer,
        VAEDetector as VAEDetector,
        VAEImputer as VAEImputer,
    )
    from lowerbound.fitting.assembly import (
        assemble as assemble,
        initialize as initialize,
        resolve as resolve,
    )
    from lowerbound.fitting.fitted import Fitted as Fitted
    from lowerbound.fitting.folder import read as read, write as write
    from lowerbound.fitting.model import fit as fit
    from lowerbound.fitting.options import FitOptions as FitOptions
    from lowerbound.models.base import Model as Model
    from lowerbound.models.options import ModelOptions as ModelOptions
    from lowerbound.objectives.elbo import ELBO as ELBO
    from lowerbound.training.options import TrainingOptions as TrainingOptions

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        ".applications.common.estimators.vae": "VAE",
        ".applications.fit.estimators": "ConditionalVAE HierarchicalVAE LadderVAE VQVAE "
        "Autoencoder ProbabilisticPCA",
        ".applications.anomaly.estimator": "VAEDetector PyODDetector",
        ".applications.labels.estimator": "SemiSupervisedVAE SemiSupervisedRegressor",
        ".applications.restoration.estimator": "VAEImputer",
        ".applications.release.estimator": "TableSynthesizer",
        ".data.loading": "load",
        ".data.dataset": "Dataset",
        ".data.schema": "Schema",
        ".fitting.model": "fit",
        ".fitting.fitted": "Fitted",
        ".fitting.options": "FitOptions",
        ".models.options": "ModelOptions",
        ".training.options": "TrainingOptions",
        ".fitting.folder": "read write",
        ".fitting.assembly": "resolve assemble initialize",
        ".objectives.elbo": "ELBO",
        ".models.base": "Model",
    },
)
__all__ += ["__version__"]
