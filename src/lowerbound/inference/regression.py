r"""What a model predicts beside rows, in its own units: regression targets and quantities.

A quantity is predicted by

.. math:: p(v \mid x) = E_{q(z \mid x)}\, p(v \mid z)

by draws of z that depend on the row's content only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.distributions.reparameterization import draw
from lowerbound.errors import UnsupportedError
from lowerbound.inference.codes import posteriors
from lowerbound.inference.passes import collected
from lowerbound.models.base import Model
from lowerbound.models.heads import QuantityHead
from lowerbound.models.powers import Regresses, require
from lowerbound.networks.processor import in_precision
from lowerbound.trace import Batch

ROWS = 1_024  # rows in a batch
BAND = 1.96  # standard deviations on either side of a 95 % band
DRAWS = 16


@dataclass(frozen=True)
class RegressionQuality:
    """Errors of predicted regression targets.

    Attributes:
        r2: explained share of the targets' variance; NaN if all targets are equal.
        rmse: root mean square error, in the targets' units.
        covered: share of the rows whose target lies in the 95 % band.
    """

    r2: float
    rmse: float
    covered: float


def predictions(model: Model, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of q(y | x) of every row, (rows,) each, float64.

    Raises:
        UnsupportedError: the model is not a regression model; the message names models that are.
    """
    model = in_precision(model, dataset.x.dtype)
    regressor = require(model, Regresses, "predict a number")
    scale = dataset.schema.target
    assert scale is not None

    def moments(_: slice, batch: Batch) -> list[Tensor]:
        said = regressor.target_posterior(batch)
        return [said.mean.flatten().double(), said.stddev.flatten().double()]

    mean, deviation = collected(model, dataset, ROWS, moments)
    return scale.restored(mean), deviation * scale.deviation


def judged(
    mean: Tensor, deviation: Tensor, dataset: Dataset
) -> tuple[int, RegressionQuality | None]:
    """(number of rows with a known target, errors of the predictions on them).

    Args:
        mean, deviation: of every row, (rows,), in the units of the labels.
        dataset: the rows.
    """
    scale, target = dataset.schema.target, dataset.target
    if target is None or scale is None or bool(target.isnan().all()):
        return 0, None
    known = ~target.isnan().cpu()
    y = scale.restored(target.double().cpu()[known])
    return int(known.sum()), quality_of(mean[known], deviation[known], y)


def quality_of(mean: Tensor, deviation: Tensor, truth: Tensor) -> RegressionQuality:
    """Errors of predictions, (rows,) each."""
    squared = (truth - mean).square()
    spread = (truth - truth.mean()).square().mean()
    r2 = float(1 - squared.mean() / spread) if spread > 0 else float("nan")
    covered = (squared.sqrt() <= BAND * deviation).double().mean()
    return RegressionQuality(r2, float(squared.mean().sqrt()), float(covered))


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
