"""Gradient boosting on encoded tables: the judge of released rows."""

from __future__ import annotations

from typing import Any

from lowerbound.data.arrays import Array

ROUNDS = 200
LEAF = 20  # rows of a leaf at least, as is scikit-learn's default
MOST_CODES = 250  # levels of a column that a boosted tree splits; the others count as one


def boosted_classifier(unordered: Array, seed: int, leaf: int = LEAF) -> Any:
    """scikit-learn's histogram gradient boosting with 200 trees for each class.

    Args:
        unordered: mask of the columns whose codes have no order.
        seed: of its draws.
        leaf: rows of a leaf at least.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        learning_rate=0.1,
        categorical_features=unordered,
        min_samples_leaf=leaf,
        random_state=seed,
    )


def boosted_regressor(unordered: Array, seed: int) -> Any:
    """The same for a number; ``unordered`` and ``seed`` as for the classifier."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=ROUNDS, learning_rate=0.1, categorical_features=unordered, random_state=seed
    )
