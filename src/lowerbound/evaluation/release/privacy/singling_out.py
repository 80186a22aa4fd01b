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
    hits = [sum(int(found[part].sum()) == 1 for found in matches) for part in _halves(count)]
    rate = AttackRate.of("singling out", "one person", (hits[0], tried), (hits[1], tried))
    return rate.with_spread(_spread(matches, random))


def _matches(
    codes: CodedColumns, rows: Array, synthetic: Array, random: np.random.Generator
) -> list[Array]:
    """For each condition that holds for one released row only, the mask of rows that fulfill it."""
    middles = np.nan_to_num(np.nanmedian(_filled(synthetic), axis=0))
    size = min(COLUMNS, len(codes.columns))
    found: list[Array] = []
    for _ in range(TRIES * ATTEMPTS):
        like = synthetic[random.integers(len(synthetic))]
        columns = random.choice(len(codes.columns), size, replace=False)
        if _fulfilled(codes, synthetic, like, columns, middles).sum() == 1:
            found.append(_fulfilled(codes, rows, like, columns, middles))
        if len(found) == ATTEMPTS:
            break
    return found


def _spread(matches: list[Array], random: np.random.Generator) -> float:
    """Standard deviation of the excess if training and holdout rows are exchanged at random."""
    from scipy.sparse import csr_array

    fulfilled = csr_array(np.array(matches)).astype(np.float64)
    total = fulfilled.shape[1]
    half = np.arange(total)[:, None].repeat(SPLITS, axis=1) < total // 2
    first = random.permuted(half, axis=0).astype(np.float64)
    own, other = fulfilled @ first, fulfilled @ (1 - first)
    return float(((own == 1).mean(0) - (other == 1).mean(0)).std())


def _halves(count: int) -> tuple[slice, slice]:
    return slice(0, count), slice(count, None)


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
