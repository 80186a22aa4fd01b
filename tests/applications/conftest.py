"""Small data and models that are fitted once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from sklearn.utils import estimator_checks

from lowerbound import VAE

# of scikit-learn's own estimators it asks these too
MORE_CHECKS: list[Callable[[str, BaseEstimator], None]] = [
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
    estimator_checks.check_get_feature_names_out_error,
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_global_output_transform_pandas,
    estimator_checks.check_inplace_ensure_writeable,
]


def rows(count: int = 120, seed: int = 0) -> np.ndarray[Any, Any]:
    """Five columns that two latents explain, each in units of its own."""
    rng = np.random.default_rng(seed)
    weight = np.random.default_rng(3).normal(size=(2, 5))
    noisy = rng.normal(size=(count, 2)) @ weight + 0.3 * rng.normal(size=(count, 5))
    return noisy * [1.0, 10.0, 0.01, 1.0, 100.0] + [0.0, 5.0, 1.0, -3.0, 1000.0]


@pytest.fixture(scope="session")
def X() -> np.ndarray[Any, Any]:
    return rows()


@pytest.fixture(scope="session")
def vae(X: np.ndarray[Any, Any]) -> VAE:
    return VAE(latent_dim=2, epochs=200, random_state=0).fit(X)


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """500 handwritten digits as 8x8 pictures of whole numbers, and what they show."""
    found = load_digits()
    return found.images[:500].astype(np.uint8), found.target[:500]
