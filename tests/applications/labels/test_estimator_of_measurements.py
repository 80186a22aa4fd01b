"""Few measurements by scikit-learn's conventions: what counts as one, and what is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound import VAE, SemiSupervisedRegressor
from lowerbound.errors import DataError

ROWS = 160
RANDOM = np.random.default_rng(0)
PRICE = 50 + 10 * RANDOM.normal(size=ROWS)
X = (PRICE[:, None] - 50) / 10 * [1.0, -2.0, 0.5] + 0.3 * RANDOM.normal(size=(ROWS, 3))
FEW = np.where(np.arange(ROWS) < 16, PRICE, np.nan)


def small(**changes: Any) -> SemiSupervisedRegressor:
    return SemiSupervisedRegressor(
        latent_dim=2, epochs=300, learning_rate=0.01, random_state=0, **changes
    )


@pytest.fixture(scope="module")
def fitted() -> SemiSupervisedRegressor:
    return small().fit(X, FEW)


@pytest.mark.long
def test_sixteen_labels_tell_prices_in_their_own_units(fitted: SemiSupervisedRegressor) -> None:
    assert fitted.score(X[16:], PRICE[16:]) > 0.8
    mean, deviation = fitted.predict(X, return_std=True)
    assert mean.shape == deviation.shape == (ROWS,)
    np.testing.assert_array_equal(mean, fitted.predict(X))
    assert 0.05 < np.median(deviation) < 10


@pytest.mark.slow
@pytest.mark.parametrize("unknown", [None, pd.NA, ""])
def test_labels_may_be_missing_in_any_way(unknown: Any, fitted: SemiSupervisedRegressor) -> None:
    y = FEW.astype(object)
    y[16:] = unknown
    np.testing.assert_array_equal(small().fit(X, y).predict(X), fitted.predict(X))


@pytest.mark.slow
def test_a_column_of_a_frame_is_the_label(fitted: SemiSupervisedRegressor) -> None:
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    np.testing.assert_allclose(small().fit(frame, FEW).predict(frame), fitted.predict(X))
    model = small().fit(frame.assign(price=FEW), "price")
    assert model.score(frame[16:], PRICE[16:]) > 0.7


@pytest.mark.slow
def test_rows_are_made_of_a_label(fitted: SemiSupervisedRegressor) -> None:
    low, high = (fitted.sample(300, y=price, random_state=0) for price in (40, 60))
    np.testing.assert_allclose((high - low).mean(0), [2, -4, 1], rtol=0.35)
    each = fitted.sample(2, y=[40, 60], mean=True, random_state=0)
    assert each[0, 0] < each[1, 0]
    assert np.isfinite(fitted.sample(5)).all()
    for wrong in ([1.0, 2.0, 3.0], np.nan):
        with pytest.raises(DataError):
            fitted.sample(2, y=wrong)


@pytest.mark.slow
def test_a_saved_model_says_the_same(tmp_path: Path) -> None:
    vae = VAE(3, network="mlp", posterior="gaussian", epochs=30, random_state=0).fit(X)
    model = small(stacked=True, features=vae).fit(X, FEW)
    np.testing.assert_allclose(model.transform(X), vae.transform(X), rtol=1e-6)
    model.save(tmp_path / "m.lb")
    back = SemiSupervisedRegressor.load(tmp_path / "m.lb")
    assert back.stacked
    np.testing.assert_array_equal(back.predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.full(ROWS, np.nan), "no row has a label"),
        (np.where(np.isnan(FEW), FEW, 3.0), "are 3: a regression needs two different ones"),
        (FEW[:-1], "160 rows of X but 159 labels in y"),
        (np.where(np.isnan(FEW), np.inf, FEW), "infinity"),
        (np.full(ROWS, "dear", object), "are text, such as 'dear', and a regression needs numbers"),
        (None, "requires y to be passed"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        small().fit(X, y)
