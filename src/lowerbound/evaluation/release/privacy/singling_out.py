"""Singling out: a condition that is true of one person only, found in the released table.

An attacker picks a released row and some columns, and makes a condition that holds for this
released row only: a level is equal, a number is at most (or at least) this value. The attack
succeeds if exactly one training row fulfills the condition. The control is the success rate on as
many rows of the same source that were not used. Source: Giomi et al. 2023 (anonymeter).
"""

from __future__ import annotations

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.release.coded_columns import CodedColumns
from lowerbound.evaluation.release.privacy.attack_rates import AttackRate

ATTEMPTS = 500
COLUMNS = 4  # columns in a condition, if the table has as many
TRIES = 10  # conditions tried for each that holds for one released row only
SPLITS = 200


def singling_out(
    codes: CodedColumns, training: Array, holdout: Array, synthetic: Array, seed: int = 0
) -> AttackRate | None:
    """Attack with up to 500 conditions of up to 4 columns.

    Several conditions may single out the same person, so the successes depend on each other. The
    interval of the excess is therefore from random exchanges of training and holdout rows.

    Args:
        codes: the columns.
        training, holdout, synthetic: encoded rows, (rows, columns). As many training rows are used
            as there are holdout rows, because the rate depends on the number of rows.
        seed: of rows, columns and conditions.

    Returns:
        None if no condition holds for one released row only.
    """
    random = np.random.default_rng(seed)
    count = min(len(training), len(holdout))
    groups = [rows[random.permutation(len(rows))[:count]] for rows in (training, holdout)]
    matches = _matches(codes, np.concatenate(groups), synthetic, random)
    tried = len(matches)
    if not tried:
        return None
    own = np.array([(found < count).sum() for found in matches])
    other = np.array([len(found) for found in matches]) - own
    hits = [int((each == 1).sum()) for each in (own, other)]
    rate = AttackRate.of("singling out", "one person", (hits[0], tried), (hits[1], tried))
    return rate.with_spread(_spread(matches, 2 * count, random))


def _matches(
    codes: CodedColumns, rows: Array, synthetic: Array, random: np.random.Generator
) -> list[Array]:
    """For each condition that holds for one released row only, the numbers of the rows that fulfill
    it."""
    middles = np.nan_to_num(np.nanmedian(_filled(synthetic), axis=0))
    size = min(COLUMNS, len(codes.columns))
    found: list[Array] = []
    for _ in range(TRIES * ATTEMPTS):
        like = synthetic[random.integers(len(synthetic))]
        columns = random.choice(len(codes.columns), size, replace=False)
        if _fulfilled(codes, synthetic, like, columns, middles).sum() == 1:
            found.append(np.flatnonzero(_fulfilled(codes, rows, like, columns, middles)))
        if len(found) == ATTEMPTS:
            break
    return found


def _spread(matches: list[Array], rows: int, random: np.random.Generator) -> float:
    """Standard deviation of the excess if training and holdout rows are exchanged at random."""
    from scipy.sparse import csr_array

    lengths = np.array([len(found) for found in matches])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    places = np.concatenate(matches)
    fulfilled = csr_array((np.ones(len(places)), places, starts), shape=(len(matches), rows))
    half = np.arange(rows) < rows // 2
    excesses = []
    for _ in range(SPLITS):  # one at a time, because each is as long as the table
        own = fulfilled @ random.permutation(half).astype(np.float64)
        excesses.append((own == 1).mean() - (lengths - own == 1).mean())
    return float(np.std(excesses))


def _fulfilled(
    codes: CodedColumns, rows: Array, like: Array, columns: Array, middles: Array
) -> Array:
    """Mask of the rows that fulfill the condition made of a row's values in some columns."""
    left = np.ones(len(rows), dtype=bool)
    for i in columns:
        value, own = like[i], rows[:, i]
        if np.isnan(value):
            left &= np.isnan(own)
        elif codes.columns[i].column.levels:
            left &= own == value
        else:
            left &= (own >= value) if value > middles[i] else (own <= value)
    return left


def _filled(values: Array) -> Array:
    """The rows, with zeros in columns without any value."""
    empty = np.isnan(values).all(axis=0)
    return np.where(empty, 0.0, values)
