"""Predicted regression targets of rows, in the units of the labels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.inference.passes import collected
from lowerbound.models import Model, Regresses, require
from lowerbound.networks.processor.precision import in_precision
from lowerbound.trace import Batch

ROWS = 1_024  # rows in a batch
BAND = 1.96  # standard deviations on either side of a 95 % band


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
