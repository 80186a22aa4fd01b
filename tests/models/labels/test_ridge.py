"""A regressor that starts as ridge regression: scikit-learn's, and rows left out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV

from lowerbound import SemiSupervisedRegressor
from lowerbound.models import SemiSupervisedRegression
from lowerbound.models.labels.ridge_start import LEAST, PENALTIES, is_nonlinear, ridge
from lowerbound.networks.mlp import GatedResidual

ROWS, LABELED = 200, 40
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(ROWS, 3))
NOISE = 0.1 * RANDOM.normal(size=ROWS)
STRAIGHT = 5 + 2 * (X @ [1.0, -2.0, 0.5] + NOISE)
BENT = 3 * np.sin(2 * X[:, 0]) + NOISE


def few(y: Any, labels: int = LABELED) -> Any:
    return np.where(np.arange(ROWS) < labels, y, np.nan)


def fitted(y: Any, **options: Any) -> SemiSupervisedRegressor:
    return SemiSupervisedRegressor(
        latent_dim=2, learning_rate=0.01, epochs=200, folds=0, random_state=0, **options
    ).fit(X, y)


def path(model: SemiSupervisedRegressor) -> GatedResidual:
    assert isinstance(model.model_, SemiSupervisedRegression)
    assert isinstance(model.model_.regressor, GatedResidual)
    return model.model_.regressor


def test_errors_of_rows_left_out_of_a_line_are_those_of_fits_without_them() -> None:
    x, y = X[:20], STRAIGHT[:20]
    line, errors = ridge(x, y)
    for row in (0, 7):
        others = np.arange(20) != row
        center = x.mean(0)  # scikit-learn centers once, with the row that is left out
        without = Ridge(line.alpha_).fit(x[others] - center, y[others])
        assert errors[row] == pytest.approx((without.predict(x[[row]] - center) - y[row]) ** 2, 0.2)
    assert line.alpha_ in PENALTIES


@pytest.mark.slow
def test_what_is_straight_is_answered_by_ridge_regression() -> None:
    assert not is_nonlinear(X[:LABELED], STRAIGHT[:LABELED])
    model = fitted(few(STRAIGHT))
    assert path(model).gate.item() == 0
    known = X[:LABELED]
    center, scale = X.mean(0), X.std(0)
    line = RidgeCV(PENALTIES).fit((known - center) / scale, STRAIGHT[:LABELED])
    mean, deviation = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, line.predict((X - center) / scale), atol=0.05)
    assert np.ptp(deviation) == pytest.approx(0, abs=1e-6)
    assert 0.15 < deviation[0] < 0.3  # the noise is 0.2


@pytest.mark.slow
def test_what_is_bent_is_left_to_the_network() -> None:
    assert is_nonlinear(X[:LABELED], BENT[:LABELED])
    model = fitted(few(BENT))
    assert path(model).gate.item() != 0
    line = RidgeCV(PENALTIES).fit(X[:LABELED], BENT[:LABELED])
    assert model.score(X[LABELED:], BENT[LABELED:]) > line.score(X[LABELED:], BENT[LABELED:]) + 0.2


@pytest.mark.slow
def test_next_to_no_labels_are_asked_nothing() -> None:
    model = fitted(few(STRAIGHT, LEAST - 1))
    assert not path(model).weight.any()
    assert path(model).gate.requires_grad


@pytest.mark.slow
def test_the_line_can_be_left_out() -> None:
    model = fitted(few(STRAIGHT), model_options={"line": False})
    assert isinstance(model.model_, SemiSupervisedRegression)
    assert not isinstance(model.model_.regressor, GatedResidual)


@pytest.mark.slow
def test_the_deviation_is_that_of_rows_left_out_however_small() -> None:
    y = X @ [1.0, -2.0, 0.5] + 0.5 * NOISE
    model = fitted(few(y))
    known = few(y)[:LABELED]
    center, scale = X.mean(0), X.std(0)
    errors = ridge((X[:LABELED] - center) / scale, (known - known.mean()) / known.std())[1]
    _, deviation = model.predict(X, return_std=True)
    np.testing.assert_allclose(deviation, errors.mean() ** 0.5 * known.std(), rtol=0.05)
