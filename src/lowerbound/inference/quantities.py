r"""Quantities that a model predicts from codes, in their own units.

.. math:: p(v \mid x) = E_{q(z \mid x)}\, p(v \mid z)

by draws of z that depend on the row's content only.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.distributions.reparameterization import draw
from lowerbound.errors import UnsupportedError
from lowerbound.inference.codes import posteriors
from lowerbound.inference.regression import RegressionQuality, quality_of
from lowerbound.models import Model
from lowerbound.models.quantity_head import QuantityHead

DRAWS = 16


def quantity_head_of(model: Model) -> QuantityHead:
    """p(v | z) of a model.

    Raises:
        UnsupportedError: the model predicts no quantities.
    """
    head = getattr(model, "head", None)
    if not isinstance(head, QuantityHead):
        raise UnsupportedError("the model predicts no quantities: fit it with --predict NAME")
    return head


@torch.no_grad()
def predicted_quantities(model: Model, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of p(v | x), (rows, quantities) each, float64.

    Raises:
        UnsupportedError: the model predicts no quantities.
    """
    head, means, deviations = quantity_head_of(model), [], []
    for batch, posterior in posteriors(model, dataset):
        found = head(draw(posterior, DRAWS, KeyedNoise(row_keys(batch.filled))))
        variance = found.variance.mean(0) + found.mean.var(0, correction=0)
        means.append(found.mean.mean(0).double().cpu())
        deviations.append(variance.sqrt().double().cpu())
    scales = [quantity.scale for quantity in dataset.schema.quantities]
    center = torch.tensor([scale.mean for scale in scales], dtype=torch.float64)
    unit = torch.tensor([scale.deviation for scale in scales], dtype=torch.float64)
    return center + unit * torch.cat(means), unit * torch.cat(deviations)


def quantity_quality(model: Model, dataset: Dataset) -> Mapping[str, RegressionQuality]:
    """Errors of the predictions by name of the quantity, on rows where it is known.

    Raises:
        UnsupportedError: the model predicts no quantities.
    """
    if dataset.quantities is None:
        return {}
    mean, deviation = predicted_quantities(model, dataset)
    found = {}
    for i, quantity in enumerate(dataset.schema.quantities):
        values = dataset.quantities[:, i].double().cpu()
        known = ~values.isnan()
        if known.sum() > 1:
            truth = quantity.scale.restored(values[known])
            found[quantity.name] = quality_of(mean[known, i], deviation[known, i], truth)
    return found
