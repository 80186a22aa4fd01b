"""The classifier two-sample test by boosting: can released rows be distinguished from real ones?

AUROC 0.5: no better than guessing. 1: every released row can be recognized. This test is harder
than errors of margins, because boosting finds any combination of columns that differs.
Source: Lopez-Paz & Oquab 2017.
"""

from __future__ import annotations

import math

import numpy as np

from lowerbound.classical.small_fits import small_fit
from lowerbound.data.arrays import Array
from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.release.coded_columns import CodedColumns
from lowerbound.evaluation.release.ranking import area
from lowerbound.evaluation.release.utility.boosting import LEAF, boosted_classifier

FOLDS = 5
LEAVES, LEAST_LEAF = 16, 2  # of few rows; in each leaf at least so many


def distinguished(
    codes: CodedColumns, first: Array, second: Array, seed: int = 0, folds: int = FOLDS
) -> Interval:
    """AUROC of boosting that distinguishes two tables, with its 95 % interval.

    Args:
        codes: the columns.
        first, second: encoded rows; surplus rows of the larger table are left out at random.
        seed, folds: as for ``boosted_area``.
    """
    x, unordered = codes.for_trees(np.concatenate([first, second]))
    return boosted_area(x[: len(first)], x[len(first) :], unordered, seed, folds)


def boosted_area(
    first: Array, second: Array, unordered: Array, seed: int = 0, folds: int = FOLDS
) -> Interval:
    """AUROC of boosting that distinguishes two sets of rows, with its 95 % interval.

    Each row is scored by a classifier that was trained without it. AUROC is the mean over the
    folds. Its variance is that of DeLong in each fold, times 1 + folds / (folds - 1), because the
    classifiers share training rows (Nadeau & Bengio 2003). Trees of few rows have small leaves,
    since they could not split these rows otherwise.

    Args:
        first, second: rows for trees, NaN if missing; surplus rows of the larger set are left out
            at random.
        unordered: mask of the columns whose codes have no order.
        seed: of the rows that are used, the folds and the classifiers.
        folds: parts of the rows, each scored by a classifier that was trained on the others.
    """
    random = np.random.default_rng(seed)
    count = min(len(first), len(second))
    tables = [rows[random.permutation(len(rows))[:count]] for rows in (first, second)]
    x = np.concatenate(tables)
    y = np.repeat([0, 1], count)
    fold = np.concatenate([random.permutation(np.arange(count) % folds) for _ in tables])
    areas = []
    for part in range(folds):
        learn, test = fold != part, fold == part
        with small_fit():
            seen = ~np.isnan(x[learn]).all(0)  # the library refuses a column without a value
            leaf = min(LEAF, max(LEAST_LEAF, int(learn.sum()) // LEAVES))
            model = boosted_classifier(unordered[seen], seed, leaf)
            model.fit(x[learn][:, seen], y[learn])
            scores = model.predict_proba(x[test][:, seen])[:, 1]
        areas.append(area(scores[y[test] == 1], scores[y[test] == 0]))
    value = float(np.mean([mean for mean, _ in areas]))
    error = math.sqrt(sum(error**2 for _, error in areas) * (1 + folds / (folds - 1))) / folds
    return Interval(value, max(value - 1.96 * error, 0.0), min(value + 1.96 * error, 1.0))
