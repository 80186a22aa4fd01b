"""The options of a fit whose model draws synthetic rows of a table."""

from __future__ import annotations

import math

from lowerbound.data.dataset import Dataset
from lowerbound.data.synthetic.relations import Relation
from lowerbound.fitting.model import FitOptions
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

EPOCHS, EPOCHS_OF_FEW = 20, 30
FEW_ROWS = 2_000  # below this number, every row is for training
FEWEST_UPDATES = 500  # of a table with many columns, unless it has fewer rows
CELLS = 20_000  # columns times updates; about a minute on one processor core
BATCH_SIZE, SMALLEST_BATCH, BATCHES = 256, 32, 20
DECAY_ROWS = 700  # rows with a weight decay of 1


def synthesis_options(
    dataset: Dataset,
    minutes: float | None = None,
    seed: int = 0,
    device: str = TrainingOptions.device,
    inequalities: tuple[tuple[int, int], ...] = (),
    relations: tuple[Relation, ...] = (),
) -> FitOptions:
    """Options with which draws from the model resemble the rows of a table.

    A VAE whose columns depend on each other (``autoregressive_columns``); encoder and decoder are
    small, because z has little left to explain. Missing cells are drawn as missing.

    Training takes 20 epochs, fewer if that takes more than about a minute. It stops early when a
    tenth of the rows, held out, has no gain. Tables of few rows need every row: all are for
    training, for 30 epochs in small batches. On held-out rows of German credit, more epochs made
    learners better and membership attacks stronger; on Adult and California housing, the held-out
    log p(x) was highest after 10 to 20 epochs. Weight decay, which helps on few rows and hurts on
    many, is inversely proportional to the rows.

    Args:
        dataset: training rows, read with ``missing="model"``.
        minutes: of training; None: the size of the table determines the number of updates.
        seed: of the order of the rows, and the noise.
        device: where the model computes.
        inequalities: places of a modeled column and of another that it is at most.
        relations: of modeled columns that follow another.
    """
    few = len(dataset) < FEW_ROWS
    batch = min(BATCH_SIZE, max(SMALLEST_BATCH, len(dataset) // BATCHES))
    made = updates(len(dataset), len(dataset.schema.modeled), batch)
    return FitOptions(
        ModelOptions(
            model="vae",
            latent_dim=4,
            network="mlp",
            network_options={"hidden": (32,)},
            likelihood="autoregressive_columns",
            likelihood_options={
                "gaps": has_gaps(dataset),
                "inequalities": inequalities,
                "relations": relations,
            },
        ),
        objective="elbo",
        training=TrainingOptions(
            updates=None if minutes is not None else made,
            minutes=minutes,
            batch_size=batch,
            learning_rate=2e-3,
            weight_average=0.98,
            weight_decay=min(1.0, DECAY_ROWS / max(1, len(dataset))),
            masking=0.0,
            validation=0.0 if few else 0.1,
            patience=0 if few else 4,
            seed=seed,
            device=device,
        ),
    )


def updates(rows: int, columns: int, batch: int) -> int:
    """The number of updates: of all epochs, fewer if they would take more than about a minute."""
    epochs = EPOCHS_OF_FEW if rows < FEW_ROWS else EPOCHS
    return min(math.ceil(epochs * rows / batch), max(FEWEST_UPDATES, CELLS // max(1, columns)))


def has_gaps(dataset: Dataset) -> bool:
    """Whether a cell is missing."""
    return dataset.observed is not None and not bool(dataset.observed.all())
