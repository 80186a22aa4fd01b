"""The four learners that are trained on released rows: scikit-learn's, with usual settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.release.coded_columns import MOST_INDICATORS, CodedColumns
from lowerbound.evaluation.release.utility.boosting import boosted_classifier, boosted_regressor

HIDDEN = (64,)
TREES = 100


@dataclass(frozen=True)
class Learner:
    """A learner by its name.

    Attributes:
        name: in reports.
        classifier, regressor: functions of (unordered columns, seed) that make it.
        dense: whether its input is indicators and standardized numbers, not codes.
    """

    name: str
    classifier: Callable[[Array, int], Any]
    regressor: Callable[[Array, int], Any]
    dense: bool

    def input(self, codes: CodedColumns, values: Array) -> Array:
        """Encoded rows as the learner's input."""
        return indicators(codes, values) if self.dense else codes.for_trees(values)[0]


def indicators(codes: CodedColumns, values: Array) -> Array:
    """Numbers, NaN if missing, and one indicator per level, (rows, width)."""
    parts: list[Array] = []
    for i, column in enumerate(codes.columns):
        own = values[:, i]
        if column.column.levels:
            width = min(len(column.levels), MOST_INDICATORS)
            places = range(1, width) if len(column.levels) == 2 else range(width)
            parts.append((own[:, None] == np.array(places)).astype(np.float64))
        else:
            parts.append(own[:, None])
    return np.concatenate(parts, axis=1)


def _scaled(model: Any) -> Any:
    """A model behind imputation by the median and standardization."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    filled = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(filled, StandardScaler(), model)


def _logistic(unordered: Array, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return _scaled(LogisticRegression(max_iter=500, random_state=seed))


def _ridge(unordered: Array, seed: int) -> Any:
    from sklearn.linear_model import Ridge

    return _scaled(Ridge(random_state=seed))


def _forest(unordered: Array, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, min_samples_leaf=2, random_state=seed, n_jobs=1)


def _forest_of_numbers(unordered: Array, seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(TREES, min_samples_leaf=2, random_state=seed, n_jobs=1)


def _network(unordered: Array, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return _scaled(
        MLPClassifier(hidden_layer_sizes=HIDDEN, alpha=1e-3, max_iter=60, random_state=seed)
    )


def _network_of_numbers(unordered: Array, seed: int) -> Any:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPRegressor
    from sklearn.preprocessing import StandardScaler

    model = MLPRegressor(hidden_layer_sizes=HIDDEN, alpha=1e-3, max_iter=60, random_state=seed)
    return TransformedTargetRegressor(_scaled(model), transformer=StandardScaler())


LINEAR = Learner("linear model", _logistic, _ridge, dense=True)
FOREST = Learner("random forest", _forest, _forest_of_numbers, dense=False)
BOOSTING = Learner("gradient boosting", boosted_classifier, boosted_regressor, dense=False)
NETWORK = Learner("neural network", _network, _network_of_numbers, dense=True)
LEARNERS = (LINEAR, FOREST, BOOSTING, NETWORK)
"""Logistic or ridge regression, a forest, boosting, and a network of one layer."""
