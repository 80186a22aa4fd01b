"""Equal rows: exact copies of training rows, and a holdout that overlaps the training rows.

Some tables have equal rows that are different people. The rate at which a training row has a twin
among the other training rows shows how often a fresh row of the source has one by chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.intervals import Interval, wilson

OVERLAP = 1e-4  # p-value below which a holdout has more twins than chance explains


@dataclass(frozen=True)
class Copies:
    """Rows that equal a training row.

    Attributes:
        synthetic: released rows that equal a training row.
        synthetic_rows: released rows.
        holdout: rows of the holdout that equal a training row.
        holdout_rows: rows of the holdout; 0 without one.
        repeated: training rows that equal another training row.
        training_rows: training rows.
        unique: training rows without a twin among the training rows that were released.
    """

    synthetic: int
    synthetic_rows: int
    holdout: int
    holdout_rows: int
    repeated: int
    training_rows: int
    unique: int

    @property
    def released(self) -> Interval:
        """The share of released rows that are copies."""
        return wilson(self.synthetic, self.synthetic_rows)

    @property
    def by_chance(self) -> Interval:
        """The share of fresh rows that equal a training row: of the holdout, else of twins."""
        if self.holdout_rows:
            return wilson(self.holdout, self.holdout_rows)
        return wilson(self.repeated, self.training_rows)


@dataclass(frozen=True)
class Overlap:
    """Rows of the holdout that equal a training row.

    Attributes:
        rows: how many there are.
        expected: how many fresh rows of the source would have, from twins among training rows.
        p_value: probability of at least this many if the holdout is fresh (Fisher's exact test).
    """

    rows: int
    expected: float
    p_value: float

    @property
    def refused(self) -> bool:
        """Whether chance does not explain them."""
        return self.p_value < OVERLAP


def copies(training: Array, synthetic: Array, holdout: Array | None) -> Copies:
    """Count the rows that equal a training row, of encoded tables (rows, columns)."""
    known, drawn = row_keys(training), row_keys(synthetic)
    fresh = row_keys(holdout) if holdout is not None else known[:0]
    twins = _with_twin(known)
    return Copies(
        int(np.isin(drawn, known).sum()),
        len(drawn),
        int(np.isin(fresh, known).sum()),
        len(fresh),
        int(twins.sum()),
        len(known),
        int(np.isin(known[~twins], drawn).sum()),
    )


def overlap(training: Array, holdout: Array) -> Overlap:
    """Compare the twins of holdout rows with the twins among training rows."""
    from scipy.stats import fisher_exact

    known, fresh = row_keys(training), row_keys(holdout)
    found, usual = int(np.isin(fresh, known).sum()), int(_with_twin(known).sum())
    table: Any = [[found, len(fresh) - found], [usual, len(known) - usual]]
    p_value = float(fisher_exact(table, alternative="greater")[1])
    return Overlap(found, len(fresh) * usual / len(known), p_value)


def row_keys(values: Array) -> Array:
    """A 64-bit hash of each row; equal rows have equal hashes, missing cells included."""
    import pandas as pd

    plain = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, no negative zero
    keys: Array = pd.util.hash_pandas_object(pd.DataFrame(plain), index=False).to_numpy()
    return keys


def _with_twin(keys: Array) -> Array:
    """Mask of the keys that occur more than once."""
    _, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.asarray(counts[place] > 1)
