"""Medians and intervals of missing cells, from draws, one block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from lowerbound.data.arrays import Array
from lowerbound.data.columns.values import value_quantiles
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.errors import OptionError
from lowerbound.inference.restoration.imputation import SAMPLES, Imputation, impute
from lowerbound.models import Model

DRAWS = 200  # of each row; the shares of 90% intervals are then accurate to two percent
CELLS = 4_000_000  # drawn at once: 32 MB


def imputed_quantiles(
    model: Model,
    dataset: Dataset,
    shares: Sequence[float],
    *,
    samples: int = SAMPLES,
    draws: int = DRAWS,
    seed: int = 0,
) -> Array:
    """Quantiles of p(x_m | x_o) in the data's units, (shares, rows, ...).

    For a column of whole numbers or ordered levels, the quantiles are values of the column. For
    unordered levels, every quantile is the most probable level.

    Args:
        model, dataset, samples, seed: as for ``impute``.
        shares: between 0 and 1.
        draws: number of draws of each row.

    Raises:
        OptionError: no draws.
    """
    if draws < 1:
        raise OptionError(f"draws must be at least 1, not {draws}")
    found = [
        quantiles(imputation.draws, dataset.schema, shares)
        for imputation in _blocks(model, dataset, samples, draws, seed)
        if imputation.draws is not None
    ]
    return np.concatenate(found, 1)


def quantiles(draws: Array, schema: Schema, shares: Sequence[float]) -> Array:
    """Quantiles of draws in the data's units, (draws, rows, ...), for each cell."""
    if not schema.columns:
        return value_quantiles(draws, shares, schema.levels is not None)
    if schema.binary:
        return value_quantiles(draws, shares, whole=True)
    each = [c.rules.quantiles(draws[..., i], shares) for i, c in enumerate(schema.columns)]
    return np.stack(each, -1)


def _blocks(
    model: Model, dataset: Dataset, samples: int, draws: int, seed: int
) -> Iterator[Imputation]:
    rows = max(1, CELLS // (draws * dataset.schema.dimension))
    for start in range(0, len(dataset), rows):
        block = dataset.subset(torch.arange(start, min(start + rows, len(dataset))))
        yield impute(model, block, samples=samples, draws=draws, seed=seed)
