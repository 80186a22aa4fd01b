"""Errors of the strength of association between two columns, the trends of a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.release.coded_columns import CodedColumns
from lowerbound.evaluation.release.utility.margins import BINS, column_sets


@dataclass(frozen=True)
class TrendError:
    """Differences between the associations of pairs of columns in two tables.

    Attributes:
        mean: mean absolute difference over the pairs.
        worst: the largest difference.
        columns: the pair with the largest difference.
        first, second: the association of that pair in either table.
    """

    mean: float
    worst: float
    columns: tuple[str, ...]
    first: float
    second: float


def trend_error(
    codes: CodedColumns, first: Array, second: Array, seed: int = 0
) -> TrendError | None:
    """Mean |a_1 - a_2| over pairs; a is Spearman's correlation of two numbers, else Cramér's V.

    Returns:
        None if fewer than two columns vary.
    """
    varied = [i for i, column in enumerate(codes.columns) if not column.constant]
    if len(varied) < 2:
        return None
    sets, _ = column_sets(len(varied), 2, seed)
    pairs = [(varied[i], varied[j]) for i, j in sets]
    a, b = (_associations(codes, rows, pairs) for rows in (first, second))
    off = np.abs(a - b)
    k = int(np.argmax(off))
    names = tuple(codes.names[i] for i in pairs[k])
    return TrendError(float(off.mean()), float(off[k]), names, float(a[k]), float(b[k]))


def _associations(codes: CodedColumns, rows: Array, pairs: list[tuple[int, int]]) -> Array:
    bins, sizes = codes.bins(rows, BINS[2])
    number = [not column.column.levels for column in codes.columns]
    return np.array(
        [
            spearman(rows[:, i], rows[:, j])
            if number[i] and number[j]
            else cramers_v(bins[:, i], bins[:, j], int(sizes[i]), int(sizes[j]))
            for i, j in pairs
        ]
    )


def spearman(x: Array, y: Array) -> float:
    """The correlation of ranks over the rows that have both; 0 if one does not vary."""
    from scipy.stats import rankdata

    both = ~(np.isnan(x) | np.isnan(y))
    if both.sum() < 2:
        return 0.0
    a, b = rankdata(x[both]), rankdata(y[both])
    scale = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean() / scale) if scale else 0.0


def cramers_v(a: Array, b: Array, rows: int, columns: int) -> float:
    """Cramér's V of two columns of codes, 0 (independent) to 1 (one determines the other)."""
    table = np.bincount(a * columns + b, minlength=rows * columns).reshape(rows, columns)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0].astype(np.float64)
    least = min(table.shape) - 1
    if least < 1:
        return 0.0
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    return float(np.sqrt(((table - expected) ** 2 / expected).sum() / table.sum() / least))
