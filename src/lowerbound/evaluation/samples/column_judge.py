"""The two-sample test of drawn rows of a table: boosting on the values that would be written."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.schema import Schema
from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.release.utility.boosting import MOST_CODES
from lowerbound.evaluation.release.utility.distinguishing import boosted_area


def judged_columns(schema: Schema, real: Tensor, samples: Tensor, seed: int = 0) -> Interval:
    """AUROC of boosting that distinguishes samples from real rows, with its 95 % interval.

    0.5: it cannot; 1: always. Numbers have the resolution of the table, so that rounding alone
    tells no row. If no cell of the samples is missing, they are compared in the cells that the real
    rows have.

    Args:
        schema: of the rows, with columns.
        real, samples: (rows, columns) in model units, as many of each; NaN if missing.
        seed: of the folds and the classifiers.
    """
    unordered = np.array([bool(c.levels) and not c.rules.ordered for c in schema.columns])
    samples = in_cells_of(real, samples)
    tables = [_values(schema, rows, unordered, rows.isnan()) for rows in (real, samples)]
    return boosted_area(tables[0], tables[1], unordered, seed)


def in_cells_of(real: Tensor, samples: Tensor) -> Tensor:
    """Samples in the cells that the real rows have, (rows, columns); NaN elsewhere.

    Samples with missing cells of their own are unchanged: the model draws which are missing.
    """
    return samples if samples.isnan().any() else samples.masked_fill(real.isnan(), float("nan"))


def _values(schema: Schema, rows: Tensor, unordered: Array, hidden: Tensor) -> Array:
    """Values and codes for boosted trees; NaN where hidden."""
    values = np.array(schema.decode(rows.nan_to_num(nan=0.0), rounded=True), dtype=np.float64)
    values[:, unordered] = np.minimum(values[:, unordered], MOST_CODES)
    values[schema.data_kind.laid_out(schema, hidden.numpy())] = np.nan
    return values
