"""Fit a variational autoencoder to your own data, measure how good it is, and use it::

    from lowerbound import VAE
    vae = VAE(latent_dim=16).fit(X)     # numpy, pandas, torch, or a folder of images
    vae.score_samples(X_new)            # lower bound on log p(x), nats per example

A name's module is imported when the name is first used, so that ``import lowerbound`` is immediate
and a command that needs no network does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names again, for editors and type checkers
    from lowerbound.data import Dataset as Dataset, Schema as Schema
    from lowerbound.data.load import load as load
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
    from lowerbound.fitting import FitOptions as FitOptions, Fitted as Fitted, fit as fit
    from lowerbound.fitting.assembly import (
        assemble as assemble,
        initialize as initialize,
        resolve as resolve,
    )
    from lowerbound.fitting.folder import read as read, write as write
    from lowerbound.models import Model as Model
    from lowerbound.models.options import ModelOptions as ModelOptions
    from lowerbound.objectives import ELBO as ELBO
    from lowerbound.training import TrainingOptions as TrainingOptions

__version__ = "0.1.0"

_MODULE_OF = {
    "VAE": "lowerbound.estimators",
    "ConditionalVAE": "lowerbound.estimators",
    "HierarchicalVAE": "lowerbound.estimators",
    "LadderVAE": "lowerbound.estimators",
    "VQVAE": "lowerbound.estimators",
    "Autoencoder": "lowerbound.estimators",
    "ProbabilisticPCA": "lowerbound.estimators",
    "VAEDetector": "lowerbound.estimators",
    "PyODDetector": "lowerbound.estimators",
    "SemiSupervisedVAE": "lowerbound.estimators",
    "SemiSupervisedRegressor": "lowerbound.estimators",
    "VAEImputer": "lowerbound.estimators",
    "TableSynthesizer": "lowerbound.estimators",
    "load": "lowerbound.data",
    "Dataset": "lowerbound.data",
    "Schema": "lowerbound.data",
    "fit": "lowerbound.fitting",
    "Fitted": "lowerbound.fitting",
    "FitOptions": "lowerbound.fitting",
    "ModelOptions": "lowerbound.models.options",
    "TrainingOptions": "lowerbound.training",
    "read": "lowerbound.fitting.folder",
    "write": "lowerbound.fitting.folder",
    "resolve": "lowerbound.fitting.assembly",
    "assemble": "lowerbound.fitting.assembly",
    "initialize": "lowerbound.fitting.assembly",
    "ELBO": "lowerbound.objectives",
    "Model": "lowerbound.models",
}

__all__ = [*_MODULE_OF, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__() -> list[str]:
    return __all__
