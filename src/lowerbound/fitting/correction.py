"""Learn the correction of drawn rows after a fit to a table.

Draws of the columns of a table are independent given z, and come from a few distributions, so they
lack the shares of repeated values, and missing cells. The correction takes both from the training
rows, and is matched to draws of the model. A fit under differential privacy has none, because it
would be made from rows without noise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset, spread_rows
from lowerbound.distributions.reparameterization import seeded
from lowerbound.models.base import Model
from lowerbound.models.correction import RowCorrection
from lowerbound.models.powers import Imagines
from lowerbound.trace import Batch, Draw

if TYPE_CHECKING:  # a name for annotations
    from lowerbound.fitting.fitted import Fitted
    from lowerbound.fitting.options import FitOptions

MOST_ROWS = 20_000  # that the correction is learned from
DRAWS, ROWS_AT_ONCE = 8_192, 1_024


def corrected(fitted: Fitted, rows: Dataset) -> Fitted:
    """The same model with a correction learned from training rows, if it can have one.

    A correction that the model has stays.
    """
    model = fitted.model
    if not is_corrected(model, rows, fitted.options):
        return fitted
    if model.correction is None:
        model.correction = _learned(fitted, rows)
    chosen = replace(fitted.options.model, correction=model.correction.options)
    return replace(fitted, options=replace(fitted.options, model=chosen))


def _learned(fitted: Fitted, rows: Dataset) -> RowCorrection:
    correction = RowCorrection(fitted.schema.modeled)
    few = rows.subset(spread_rows(len(rows), MOST_ROWS)).to("cpu")
    with seeded(fitted.options.training.seed):
        batch = few.batch(torch.arange(len(few)))
        correction.learn(batch.filled, few.mask)
        correction.match(drawn(fitted.model))
    return correction


def rematched(fitted: Fitted) -> Fitted:
    """The model, its correction matched anew after its prior has changed.

    A prior with prompts keeps the former match: what it draws depends on the prompt.
    """
    if fitted.model.correction is not None and not fitted.options.model.prompts:
        with seeded(fitted.options.training.seed):
            fitted.model.correction.match(drawn(fitted.model))
    return fitted


def is_corrected(model: Model, rows: Dataset, options: FitOptions) -> bool:
    """Whether rows that the model draws are corrected.

    They are those of a table with named columns, whose likelihood does not draw missing cells
    itself. Where cells are missing because of what they hold, observed cells do not show the
    distribution of all; and draws of a conditional model are of the classes that are asked for.
    """
    schema, likelihood = rows.schema, model.declared_likelihood
    table = schema.data_kind.named_columns and bool(schema.modeled) and schema.windows is None
    plain = not (options.privacy.private or options.model.conditional)
    draws = isinstance(model, Imagines) and len(schema.event_shape) == 1
    return (
        table
        and plain
        and draws
        and options.model.normal_scores
        and likelihood is not None
        and not likelihood.draws_as_rows
    )


@torch.no_grad()
def drawn(model: Model) -> Tensor:
    """Rows from the prior, (DRAWS, columns), model units, on the processor."""
    assert isinstance(model, Imagines)
    was = model.training
    model.eval()
    parts = [
        model.imagine(Batch(), Draw(ROWS_AT_ONCE)).likelihood.sample().flatten(0, 1).cpu()
        for _ in range(DRAWS // ROWS_AT_ONCE)
    ]
    model.train(was)
    return torch.cat(parts)
