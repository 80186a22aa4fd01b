"""Rows decoded from their mean code: their reconstruction loss, and coordinates for distances.

For every model that encodes and decodes, with or without a prior, with one level or several.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.inference.passes import MEMORY, ChunkPlan, collected
from lowerbound.inference.reconstruction import MEAN_COST
from lowerbound.likelihoods.mixed import MixedEmission
from lowerbound.models import Model
from lowerbound.networks.processor.precision import in_precision
from lowerbound.trace import Batch, Emission, Mean

MOST_LEVELS = 32  # of an unordered column with one coordinate for each level


@dataclass(frozen=True)
class Rebuilt:
    """Rows and their reconstructions through the mean code.

    ``row`` and ``place`` are coordinates for distances, (rows, numbers): the data's own units, and
    for a categorical column the probabilities of its levels.

    Attributes:
        log_loss: -log p(x | z = mean code), nats per row in the data's own units, (rows,).
        row: the row itself, with the decoded value in hidden cells.
        place: the decoded mean code.
    """

    log_loss: Array
    row: Array
    place: Array


@torch.no_grad()
def rebuild(model: Model, dataset: Dataset, *, memory: int = MEMORY) -> Rebuilt:
    """Encode each row to its mean code and decode it; float64."""
    model = in_precision(model, dataset.x.dtype)
    plan = ChunkPlan.of(model, dataset, memory=max(1, memory // MEAN_COST))

    def through_mean(_: slice, batch: Batch) -> list[Tensor]:
        emission = model(batch, Mean()).likelihood
        loss = -emission.log_prob(batch.filled, batch.observed)[0].double()
        return [loss, *map(torch.from_numpy, _numbers(emission, batch, dataset.schema))]

    losses, row, place = collected(model, dataset, plan.rows, through_mean)
    nats = losses - dataset.log_jacobian(model.mass)
    return Rebuilt(nats.numpy(), row.numpy(), place.numpy())


def _numbers(emission: Emission, batch: Batch, schema: Schema) -> tuple[Array, Array]:
    """(coordinates of the rows, of their reconstructions), (rows, numbers) each.

    Rows between which there is no distance have the same coordinates.
    """
    if not schema.columns and not bool(schema.metric.any()):
        return np.zeros((len(batch), 1)), np.zeros((len(batch), 1))
    mean, x = emission.mean[0].double(), batch.filled.double()
    if batch.observed is not None:
        x = torch.where(batch.observed, x, mean)
    if not schema.columns:
        return x.flatten(1).cpu().numpy(), mean.flatten(1).cpu().numpy()
    before, after = (schema.data_kind.features(schema, values) for values in (x, mean))
    pairs = []
    for place, column in enumerate(schema.modeled):
        row = column.rules.coordinates(before[:, place])
        if column.rules.ordered or not column.levels:
            pairs.append((row, column.rules.coordinates(after[:, place])))
        elif isinstance(emission, MixedEmission) and row.shape[1] <= MOST_LEVELS:
            pairs.append((row, emission.probabilities(place)[0].double().cpu().numpy()))
    if not pairs:
        pairs = [(np.zeros((len(x), 1)), np.zeros((len(x), 1)))]
    row, decoded = (np.concatenate(parts, axis=1) for parts in zip(*pairs, strict=True))
    return row, decoded
