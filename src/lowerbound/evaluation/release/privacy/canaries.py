"""Canaries: rows planted before training, each by a fair coin, and searched for in the release.

If the planted canaries can be distinguished from the others, training depends on single rows. The
number of right guesses gives a lower bound on epsilon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.identifiers import IdentifierFormat
from lowerbound.data.columns.inference import numpy_name
from lowerbound.data.columns.values import missing
from lowerbound.data.tables.numbers import found_notations, with_numbers
from lowerbound.errors import DataError, OptionError
from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.release.coded_columns import CodedColumns
from lowerbound.evaluation.release.privacy.empirical_epsilon import CONFIDENCE, epsilon_of_one_run
from lowerbound.evaluation.release.privacy.neighbors import nearest_distances
from lowerbound.evaluation.release.privacy.shadow_models import FitAndSample
from lowerbound.evaluation.release.ranking import area_interval


@dataclass(frozen=True, eq=False)
class Canaries:
    """Rows that may be planted.

    Attributes:
        rows: frame of all canaries.
        included: whether each is planted, (canaries,) bool.
    """

    rows: Any
    included: Array


@dataclass(frozen=True)
class CanaryFindings:
    """What canaries show.

    Attributes:
        canaries: how many there are.
        included: how many of them were planted.
        area: AUROC of distinguishing the planted ones, with its 95 % interval.
        epsilon: lower bound on epsilon.
        delta: for which the bound holds.
        confidence: that the bound is not too high.
    """

    canaries: int
    included: int
    area: Interval
    epsilon: float
    delta: float
    confidence: float


def make_canaries(rows: Any, count: int, seed: int = 0) -> Canaries:
    """Make odd but valid rows: each cell is drawn from the distinct values of its column.

    Columns are independent, and rare values are as frequent as others, so a canary is unlike any
    person. Columns that identify rows receive new values in the format of theirs.

    Args:
        rows: frame of training rows; numbers may be text, such as "1.234,50".
        count: number of canaries; about half of them will be planted.
        seed: of values and coins.

    Raises:
        OptionError: fewer than 2 canaries.
        DataError: no rows.
    """
    import pandas as pd

    if count < 2:
        raise OptionError(f"at least 2 canaries are needed, not {count}")
    if not len(rows):
        raise DataError("the table has no rows, from whose values canaries are made")
    random = np.random.default_rng(seed)
    identifiers = CodedColumns.learn(with_numbers(rows, found_notations(rows, None, ()))).left_out
    columns = {
        name: _fresh(rows[name], count)
        if str(name) in identifiers
        else _cells(rows[name], count, random)
        for name in rows.columns
    }
    return Canaries(pd.DataFrame(columns), random.random(count) < 0.5)


def plant(rows: Any, canaries: Canaries, seed: int = 0) -> Any:
    """The training rows and the included canaries, in random order."""
    import pandas as pd

    both = pd.concat([rows, canaries.rows[canaries.included]], ignore_index=True)
    return both.sample(frac=1, random_state=seed).reset_index(drop=True)


def find_canaries(
    codes: CodedColumns,
    canaries: Canaries,
    synthetic: Array,
    *,
    delta: float = 0.0,
    confidence: float = CONFIDENCE,
) -> CanaryFindings:
    """Guess which canaries were planted, by the distance to the nearest released row.

    Args:
        codes: the columns of the training rows.
        canaries: all canaries.
        synthetic: coordinates of the released rows, (rows, width).
        delta: of the claimed guarantee.
        confidence: that the bound on epsilon is not too high.

    Raises:
        DataError: the canaries have other columns, or all of them or none were planted.
    """
    included = canaries.included
    if included.all() or not included.any():
        raise DataError("all canaries were planted, or none: there is no control; make more")
    there = set(map(str, canaries.rows.columns))
    lacking = [name for name in codes.names if name not in there]
    if lacking:
        raise DataError(f"the canaries have no column {lacking[0]!r}: they are of another table")
    own = codes.coordinates(codes.encode(canaries.rows))[0]
    scores = -nearest_distances(own, synthetic)[:, 0]
    return CanaryFindings(
        len(included),
        int(included.sum()),
        area_interval(scores[included], scores[~included]),
        epsilon_of_one_run(scores, included, delta=delta, confidence=confidence),
        delta,
        confidence,
    )


def canary_audit(
    fit_and_sample: FitAndSample,
    rows: Any,
    *,
    canaries: int = 200,
    count: int | None = None,
    delta: float = 0.0,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> CanaryFindings:
    """Plant canaries, train once, and bound epsilon from below.

    Args:
        fit_and_sample: trains the synthesizer and draws rows.
        rows: frame of training rows.
        canaries: number of canaries.
        count: number of rows to draw; None: as many as there are training rows.
        delta, confidence: as in ``find_canaries``.
        seed: of canaries and training.
    """
    made = make_canaries(rows, canaries, seed)
    training = plant(rows, made, seed)
    released = fit_and_sample(training, len(training) if count is None else count, seed)
    codes = CodedColumns.learn(rows)
    drawn = codes.coordinates(codes.encode(released))[0]
    return find_canaries(codes, made, drawn, delta=delta, confidence=confidence)


def _cells(series: Any, count: int, random: np.random.Generator) -> Any:
    """Random distinct values of a column."""
    distinct = series.dropna().drop_duplicates()
    if not len(distinct):
        return series.iloc[np.zeros(count, dtype=int)].reset_index(drop=True)
    return distinct.iloc[random.integers(0, len(distinct), count)].reset_index(drop=True)


def _fresh(series: Any, count: int) -> Any:
    """New values of a column that identifies rows."""
    import pandas as pd

    present = series[~missing(series)]
    if pd.api.types.is_numeric_dtype(series.dtype):
        whole = "uint64" if numpy_name(series.dtype) == "uint64" else "int64"
        values = present.astype(whole).to_numpy()
    else:
        values = present.astype(str).to_numpy(dtype=str)
    return pd.Series(IdentifierFormat.of(values).fresh(0, count))
