"""Default training and network options of the imputer.

They were chosen on tables of 178 to 1,797 rows, by hiding observed cells.
"""

from __future__ import annotations

import math
from typing import Any

from sklearn.base import BaseEstimator

from lowerbound.config import from_mapping
from lowerbound.data import Dataset
from lowerbound.estimators.base import chosen
from lowerbound.fitting import FitOptions
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

MOST_FACTORS = 16
HIDDEN = (256, 256)
TRAINING: dict[str, Any] = {"weight_decay": 0.1, "weight_average": 0.99, "gradient_clip": 5.0}
PASSES, MOST_PASSES = 60, 300  # over a table of middle size, over a small one
FEWEST_UPDATES, MOST_UPDATES = 1_400, 3_000


def fit_options(imputer: BaseEstimator, dataset: Dataset, seed: int) -> FitOptions:
    """The complete options for the fit of an imputer to ``dataset``.

    Raises:
        OptionError: a parameter has an unknown name or an invalid value.
    """
    model = {**chosen(ModelOptions, imputer), "model": "vae", "network": "tabular"}
    model["network_options"] = {"hidden": HIDDEN, **(imputer.network_options or {})}
    if imputer.latent_dim is None:
        model["latent_dim"] = max(1, min(dataset.schema.dimension - 1, MOST_FACTORS))
    training = chosen(TrainingOptions, imputer)
    if imputer.epochs is None and imputer.minutes is None:
        training["updates"] = updates(len(dataset), imputer.batch_size)
    training = {**training, **TRAINING, **(imputer.training_options or {}), "seed": seed}
    rest = {"model": model, "training": training, **chosen(FitOptions, imputer)}
    return from_mapping(FitOptions, rest)


def updates(rows: int, batch_size: int) -> int:
    """The number of updates: many passes over a small table, few over a large one."""
    passes = PASSES * rows / batch_size
    most = math.ceil(MOST_PASSES * rows / batch_size)
    return max(1, min(round(max(passes, FEWEST_UPDATES)), MOST_UPDATES, most))
