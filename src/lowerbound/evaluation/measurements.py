"""What a model says of the measurements of rows, in the units of the labels."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.errors import UnsupportedError
from lowerbound.evaluation.passes import batches, evaluation_mode, in_precision
from lowerbound.models import MODELS, Model, SemiSupervisedRegression

ROWS = 1_024  # that are predicted at once


def predictions(model: Model, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of q(y | x) of every row, (rows,) each, float64.

    Raises:
        UnsupportedError: the model has no measurement; the message names the models that have.
    """
    if not isinstance(model, SemiSupervisedRegression):
        able = [name for name in MODELS if issubclass(MODELS[name], SemiSupervisedRegression)]
        raise UnsupportedError(
            f"{type(model).__name__} has no measurement to predict; models that have: "
            f"{', '.join(able)}"
        )
    measurement = dataset.schema.measurement
    assert measurement is not None
    model, means, deviations = in_precision(model, dataset.x.dtype), [], []
    with evaluation_mode(model):
        for _, batch in batches(dataset, model, ROWS):
            said = model.label_posterior(batch)
            means.append(said.mean.flatten().double().cpu())
            deviations.append(said.stddev.flatten().double().cpu())
    mean = measurement.restored(torch.cat(means))
    return mean, torch.cat(deviations) * measurement.deviation
