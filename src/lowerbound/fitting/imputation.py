"""The options of a fit whose model fills the missing cells of a table.

They were chosen on tables of 178 to 1,797 rows, by hiding observed cells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lowerbound.config import from_mapping
from lowerbound.data.dataset import Dataset
from lowerbound.fitting.model import FitOptions

MOST_FACTORS = 16
HIDDEN = (256, 256)
BATCH_SIZE, LEARNING_RATE = 64, 2e-3
TRAINING: dict[str, Any] = {
    "batch_size": BATCH_SIZE,
    "learning_rate": LEARNING_RATE,
    "validation": 0.0,  # small tables need every row
    "weight_decay": 0.1,
    "weight_average": 0.99,
    "gradient_clip": 5.0,
}
PASSES, MOST_PASSES = 60, 300  # over a table of middle size, over a small one
FEWEST_UPDATES, MOST_UPDATES = 1_400, 3_000


def imputation_options(
    dataset: Dataset, model: Mapping[str, Any], training: Mapping[str, Any], **rest: Any
) -> FitOptions:
    """The complete options for the fit of an imputer.

    Args:
        dataset: the rows.
        model: fields of ``ModelOptions``; ``latent_dim`` None: one fewer than columns, 16 at most.
        training: fields of ``TrainingOptions``; without epochs and minutes, the number of rows
            determines the number of updates.
        rest: further fields of ``FitOptions``.

    Raises:
        OptionError: a field has an unknown name or an invalid value.
    """
    network = {"hidden": HIDDEN, **model.get("network_options", {})}
    model = {**model, "model": "vae", "network": "tabular", "network_options": network}
    if model.get("latent_dim") is None:
        model["latent_dim"] = max(1, min(dataset.schema.dimension - 1, MOST_FACTORS))
    chosen = {**TRAINING, **training}
    if training.get("epochs") is None and training.get("minutes") is None:
        chosen = {"updates": updates(len(dataset), chosen["batch_size"]), **chosen}
    return from_mapping(FitOptions, {"model": model, "training": chosen, **rest})


def updates(rows: int, batch_size: int) -> int:
    """The number of updates: many passes over a small table, few over a large one."""
    passes = PASSES * rows / batch_size
    most = math.ceil(MOST_PASSES * rows / batch_size)
    return max(1, min(round(max(passes, FEWEST_UPDATES)), MOST_UPDATES, most))
