"""A matrix of numbers read as a table is: each column through a map of its own.

What lies far out in one column has to be far out in nats too, and the scale of a column's tail is
not that of its middle: a quantile-normal map makes both standard, and its Jacobian keeps the score
a density in the person's own units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from lowerbound.config import construct
from lowerbound.data import Dataset, load
from lowerbound.estimators.inputs.rows import as_numbers


def learn_columns(estimator: BaseEstimator, X: Any, options: Mapping[str, Any]) -> Dataset:
    """Read a matrix (rows, columns) to fit on, by columns; sets ``n_features_in_``.

    Args:
        estimator: which attributes are set on, and who is named in messages.
        X: a matrix, or what scikit-learn makes one of.
        options: keywords of ``lowerbound.data.load``; columns are real unless ``kinds`` says more.

    Raises:
        DataError, ValueError, TypeError: the rows cannot be modeled.
    """
    import pandas as pd

    values = validate_data(estimator, as_numbers(X), ensure_all_finite=False, ensure_min_samples=2)
    names = [f"x{index}" for index in range(values.shape[1])]
    kinds = options.get("kinds", "infer")
    kinds = dict.fromkeys(names, "real") if kinds == "infer" else kinds
    chosen = {"missing": "error", **options, "kinds": kinds}
    dataset: Dataset = construct(load, pd.DataFrame(values, columns=names), options=chosen)
    # answers come as the rows did: without names
    return replace(dataset, schema=replace(dataset.schema, kind="vectors"))
