"""The options of a fit whose model draws synthetic rows of a table."""

from __future__ import annotations

from lowerbound.data.dataset import Dataset
from lowerbound.fitting.model import FitOptions
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

UPDATES = 600
BATCH_SIZE = 256


def synthesis_options(dataset: Dataset, minutes: float | None = None, seed: int = 0) -> FitOptions:
    """Options with which draws from the model resemble the rows of a table.

    A VAE whose columns depend on each other (``autoregressive_columns``); encoder and decoder are
    small, because z has little left to explain. Missing cells are drawn as missing.

    Args:
        dataset: training rows, read with ``missing="model"``.
        minutes: a limit of the time of training; None: the number of rows determines it.
        seed: of the order of the rows, and the noise.
    """
    return FitOptions(
        ModelOptions(
            model="vae",
            latent_dim=4,
            network="mlp",
            network_options={"hidden": (32,)},
            likelihood="autoregressive_columns",
            likelihood_options={"gaps": has_gaps(dataset)},
        ),
        objective="elbo",
        training=TrainingOptions(
            updates=UPDATES,
            minutes=minutes,
            batch_size=min(BATCH_SIZE, max(32, len(dataset) // 50)),
            learning_rate=2e-3,
            weight_average=0.99,
            masking=0.0,
            validation=0.1,
            patience=5,
            seed=seed,
            threads=1,
        ),
    )


def has_gaps(dataset: Dataset) -> bool:
    """Whether a cell is missing."""
    return dataset.observed is not None and not bool(dataset.observed.all())
