"""Canaries: rows planted before training, each by a fair coin, and searched for in the release.

If the planted canaries can be distinguished from the others, training depends on single rows. The
number of right guesses gives a lower bound on epsilon: if training is (epsilon,
delta)-differentially private, no attack can be better than a limit. An attack that is better
proves, with the stated confidence, that epsilon is larger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.applications.release.attacks import nearest_distances
from lowerbound.applications.release.membership import FitAndSample
from lowerbound.data.arrays import Array
from lowerbound.data.columns.identifiers import IdentifierFormat
from lowerbound.data.columns.inference import numpy_name
from lowerbound.data.columns.values import missing
from lowerbound.data.tables.numbers import found_notations, with_numbers
from lowerbound.errors import DataError, OptionError
from lowerbound.evaluation.intervals import Interval, clopper_pearson
from lowerbound.evaluation.samples.column_judge import CodedColumns, area_interval

CONFIDENCE = 0.95
HIGHEST = 50.0  # epsilon above which no bound is searched


def epsilon_of_rates(
    true_positives: int,
    members: int,
    false_positives: int,
    controls: int,
    delta: float = 0.0,
    confidence: float = CONFIDENCE,
) -> float:
    r"""A lower bound on epsilon from many trainings, one attacked row in each.

    (epsilon, delta) limits TPR \le e^epsilon FPR + delta, and the same for the complements. The
    rates are replaced by the ends of their exact intervals (Clopper & Pearson 1934), which hold
    together with the stated confidence. Set the threshold of the attack on other trainings.

    Args:
        true_positives, members: trainings with the row that the attack recognized, and all of them.
        false_positives, controls: trainings without the row that it accused, and all of them.
        delta: of the claimed guarantee.
        confidence: that the bound is not too high.

    Returns:
        The bound, at least 0.
    """
    _check(delta, confidence)
    hit = clopper_pearson(true_positives, members, confidence)
    alarm = clopper_pearson(false_positives, controls, confidence)
    return max(
        _log_ratio(hit.low - delta, alarm.high),
        _log_ratio(1 - alarm.high - delta, 1 - hit.low),
        0.0,
    )


def epsilon_of_one_run(
    scores: Array,
    included: Array,
    *,
    guesses: int | None = None,
    delta: float = 0.0,
    confidence: float = CONFIDENCE,
) -> float:
    """A lower bound on epsilon from one training with many canaries.

    Each canary was included by a fair coin. The attacker accuses the canaries with the highest
    scores, acquits those with the lowest, and is silent about the others. If training is
    (epsilon, 0)-private, the number of right guesses is at most Binomial(guesses, e^epsilon /
    (1 + e^epsilon)); delta adds at most a small term. Source: Steinke, Nasr & Jagielski 2023,
    theorem 5.2.

    Args:
        scores: higher where the canary seems to be included, (canaries,).
        included: whether it was, (canaries,) bool.
        guesses: number of canaries that the attacker decides about, half of them accused; it must
            be chosen before the scores are seen. None: all.
        delta: of the claimed guarantee.
        confidence: that the bound is not too high.

    Raises:
        OptionError: there are no canaries, or more guesses than canaries.
    """
    _check(delta, confidence)
    canaries = len(scores)
    guesses = canaries if guesses is None else guesses
    if not 0 < guesses <= canaries:
        raise OptionError(f"guesses must be between 1 and {canaries:,}, the number of canaries")
    order = np.random.default_rng(0).permutation(canaries)  # equal scores in a random order
    order = order[np.argsort(-np.asarray(scores)[order], kind="stable")]
    accused, acquitted = order[: (guesses + 1) // 2], order[canaries - guesses // 2 :]
    right = int(included[accused].sum() + (~included[acquitted]).sum())
    return _largest_refuted(canaries, guesses, right, delta, 1 - confidence)


def one_run_p_value(canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """The largest probability of at least ``right`` right guesses under (epsilon, delta)."""
    from scipy.stats import binom

    share = 1 / (1 + math.exp(-epsilon))
    beta = float(binom.sf(right - 1, guesses, share))
    if not delta:
        return beta
    masses = np.cumsum(binom.pmf(np.arange(right - 1, -1, -1), guesses, share))
    alpha = float((masses / np.arange(1, right + 1)).max(initial=0.0))
    return min(beta + 2 * canaries * delta * alpha, 1.0)


def _largest_refuted(canaries: int, guesses: int, right: int, delta: float, level: float) -> float:
    """The largest epsilon whose p-value is below ``level``, by bisection; 0 if none is."""
    low, high = 0.0, HIGHEST
    if one_run_p_value(canaries, guesses, right, low, delta) > level:
        return 0.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        refuted = one_run_p_value(canaries, guesses, right, middle, delta) <= level
        low, high = (middle, high) if refuted else (low, middle)
    return low


def _log_ratio(above: float, below: float) -> float:
    if above <= 0:
        return 0.0
    return math.log(above / below) if below > 0 else HIGHEST


def _check(delta: float, confidence: float) -> None:
    if not 0 <= delta < 1 or not 0 < confidence < 1:
        raise OptionError(
            f"delta must be from 0 to below 1 and the confidence between 0 and 1, not {delta:g} "
            f"and {confidence:g}"
        )


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
