"""Released rows that equal or nearly equal training rows, and a holdout that overlaps these.

Some tables have equal rows that are different people. The rate at which a training row has a twin
among the other training rows shows how often a fresh row of the source has one by chance.

Distances to the nearest training row are a smoke test, not evidence of privacy. A table can pass it
and still reveal training rows (Yao et al. 2025, arXiv 2505.01524). It finds plain copies only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lowerbound.applications.release.attacks import nearest, nearest_distances
from lowerbound.data.arrays import Array
from lowerbound.evaluation.intervals import LEVEL, Interval, normal_quantile, wilson

OVERLAP = 1e-4  # p-value below which a holdout has more twins than chance explains


@dataclass(frozen=True)
class NearestRecords:
    """Distances to the closest record (DCR) and their ratio to the second closest (NNDR).

    Attributes:
        released: 5 % quantile and median of the distance of released rows to training rows.
        holdout: the same of holdout rows.
        released_ratio: median of nearest over second nearest distance, of released rows.
        holdout_ratio: the same of holdout rows.
        nearer: share of released rows that are nearer to a training row than to a holdout row, of
            as many of each, ties by halves; 0.5 without memorization. Its interval has the
            standard deviation that the share has if these rows are exchanged at random: they vary
            too, and one of them may be the nearest of many released rows.
    """

    released: tuple[float, float]
    holdout: tuple[float, float]
    released_ratio: float
    holdout_ratio: float
    nearer: Interval


def nearest_records(
    training: Array, synthetic: Array, holdout: Array, seed: int = 0
) -> NearestRecords:
    """Measure distances between coordinates, (rows, width), of the three tables."""
    random = np.random.default_rng(seed)
    count = min(len(training), len(holdout))
    half = training[random.permutation(len(training))[:count]]
    other = holdout[random.permutation(len(holdout))[:count]]
    drawn, fresh = (nearest_distances(rows, half, 2) for rows in (synthetic, holdout))
    return NearestRecords(
        _quantiles(drawn[:, 0]),
        _quantiles(fresh[:, 0]),
        _ratio(drawn),
        _ratio(fresh),
        _nearer(synthetic, half, other),
    )


def _nearer(synthetic: Array, first: Array, second: Array) -> Interval:
    """The share of released rows that are nearer to the first rows than to the second."""
    (a, own), (b, theirs) = (nearest(synthetic, rows) for rows in (first, second))
    near = np.where(a == b, 0.5, a < b)
    count = len(first)
    owned = [np.bincount(own, near, count), np.bincount(theirs, 1 - near, count)]
    # of the sum over a random half of the rows, drawn without replacement
    deviation = math.sqrt(count / 2 * np.concatenate(owned).var(ddof=1)) / len(synthetic)
    value, spread = float(near.mean()), normal_quantile(LEVEL) * deviation
    return Interval(value, max(value - spread, 0.0), min(value + spread, 1.0))


def _quantiles(distances: Array) -> tuple[float, float]:
    low, middle = np.quantile(distances, [0.05, 0.5])
    return float(low), float(middle)


def _ratio(distances: Array) -> float:
    first, second = distances[:, 0], distances[:, 1]
    return float(np.median(np.divide(first, second, out=np.ones_like(first), where=second > 0)))


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
        p_value: probability of at least this many if the holdout is fresh: if all rows that are
            equal are assigned to the two tables at random.
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
    known, fresh = row_keys(training), row_keys(holdout)
    found, usual = int(np.isin(fresh, known).sum()), int(_with_twin(known).sum())
    sizes = np.unique(np.concatenate([known, fresh]), return_counts=True)[1]
    chance = _chance_of_twins(sizes[sizes > 1], len(fresh) / (len(known) + len(fresh)))
    p_value = min(max(float(chance[found:].sum()), 0.0), 1.0)
    return Overlap(found, len(fresh) * usual / len(known), p_value)


def _chance_of_twins(sizes: Array, share: float) -> Array:
    """Probability of 0, 1, ... holdout rows that equal a training row.

    Of a group of c equal rows, a binomial number h goes to the holdout. All h have a twin among the
    training rows, unless h is c. The distribution of the sum over groups is a product of
    characteristic functions.

    Args:
        sizes: of the groups of equal rows, (groups,).
        share: probability that a row goes to the holdout.
    """
    from scipy.fft import irfft, next_fast_len, rfft
    from scipy.stats import binom

    total = int(sizes.sum()) + 1
    length = next_fast_len(total, real=True)
    product = np.ones(length // 2 + 1, dtype=np.complex128)
    for size, groups in zip(*np.unique(sizes, return_counts=True), strict=True):
        each = binom.pmf(np.arange(size), size, share)
        each[0] += share**size
        product *= rfft(each, length) ** groups
    return np.asarray(irfft(product, length)[:total])


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
