"""Attribute inference: a secret value is guessed from everything else that is known of a person.

An attacker knows all columns but one. The attack finds the released row that is nearest in the
known columns, and guesses its value of the secret column. A level is right if it is equal, a number
if it differs by at most 2.5 % of the range. Correct guesses alone prove nothing, because columns
are related: the control is the success rate on rows of the same source that were not used.
Source: Giomi et al. 2023 (anonymeter).
"""

from __future__ import annotations

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.release.coded_columns import CodedColumn, CodedColumns
from lowerbound.evaluation.release.privacy.attack_rates import AttackRate
from lowerbound.evaluation.release.privacy.neighbors import squared_between, squared_distances

TOLERANCE = 0.025  # of the range between the 1 % and the 99 % quantile


def attribute_inference(
    codes: CodedColumns, training: Array, holdout: Array, synthetic: Array
) -> tuple[AttackRate, ...]:
    """Attack each column that varies, with intervals that hold for all of them together.

    Args:
        codes: the columns.
        training, holdout, synthetic: encoded rows, (rows, columns).
    """
    secrets = [i for i, column in enumerate(codes.columns) if not column.constant]
    if len(codes.columns) < 2:
        return ()
    right = [_right_guesses(codes, rows, synthetic, secrets) for rows in (training, holdout)]
    return tuple(
        AttackRate.of(
            "attribute inference",
            codes.names[secret],
            (int(right[0][:, k].sum()), len(training)),
            (int(right[1][:, k].sum()), len(holdout)),
            len(secrets),
        )
        for k, secret in enumerate(secrets)
    )


def _right_guesses(codes: CodedColumns, rows: Array, synthetic: Array, secrets: list[int]) -> Array:
    """Mask of the right guesses, (rows, secrets)."""
    (own, owner), (others, _) = codes.coordinates(rows), codes.coordinates(synthetic)
    found = np.empty((len(rows), len(secrets)), dtype=bool)
    for part, squared in squared_distances(own, others):
        for k, secret in enumerate(secrets):
            at = owner == secret
            known = squared - squared_between(own[part][:, at], others[:, at])
            guess = synthetic[known.argmin(axis=1), secret]
            found[part, k] = _right(codes.columns[secret], rows[part, secret], guess)
    return found


def _right(column: CodedColumn, true: Array, guess: Array) -> Array:
    """Mask of the guesses that are right; missing is a value."""
    both_missing = np.isnan(true) & np.isnan(guess)
    if column.column.levels:
        return np.asarray((true == guess) | both_missing)
    low, high = np.quantile(column.values, [0.01, 0.99])
    near = np.abs(true - guess) <= TOLERANCE * (high - low)
    return np.asarray(near | both_missing)
