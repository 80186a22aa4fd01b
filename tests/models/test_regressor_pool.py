"""Regressors beside the network of q(y | x): their weights, their band, and how they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingRegressor
from torch import Tensor

from lowerbound import SemiSupervisedRegressor
from lowerbound.errors import ModelFolderError, OptionError
from lowerbound.fitting import folder as model_folder
from lowerbound.models.labels.ridge_start import LabeledRows, ridge
from lowerbound.models.semi_supervised_regression import (
    ALONE,
    LEAST_DENSITY,
    PRIOR,
    STRENGTH,
    RegressorPool,
    fit_pool,
    widened,
)
from lowerbound.networks import Columns

FEW, COLUMNS = 40, 3
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(600, COLUMNS))
NOISE = RANDOM.normal(size=len(X))
STRAIGHT = X @ [1.0, -2.0, 0.5] + 0.3 * NOISE
BENT = np.sin(2 * X[:, 0]) + 0.2 * NOISE


def labeled(y: Any, few: int = FEW, x: Any = X) -> LabeledRows:
    folds = [np.arange(few)[fold::5] for fold in range(5)]
    scaled = (y[:few] - y[:few].mean()) / y[:few].std()
    return LabeledRows(x[:few], x.mean(0), x.std(0), scaled, folds)


def by_ridge(rows: LabeledRows, x: Any) -> Tensor:
    """Mean and deviation of ridge regression, (rows, 2)."""
    line, errors = ridge(rows.standardized, rows.label)
    return torch.tensor(np.stack((line.predict(x), np.full(len(x), errors.mean() ** 0.5)), 1))


def hidden_by_ridge(rows: LabeledRows) -> Tensor:
    """The same for the hidden labels, fold after fold."""
    parts = []
    for seen, fold in rows.splits():
        others = LabeledRows(rows.x[seen], rows.shift, rows.scale, rows.label[seen], [])
        parts.append(by_ridge(others, rows.standardized[fold]))
    return torch.cat(parts)


def pooled(rows: LabeledRows) -> RegressorPool:
    """A pool fitted with ridge regression in the place of the network."""
    pool = RegressorPool(rows.x.shape[1])
    fit_pool(pool, rows, hidden_by_ridge(rows))
    return pool


def errors(pool: RegressorPool, rows: LabeledRows, y: Any) -> tuple[list[float], float]:
    """Mean squared error on the other rows of each member, and of the pool."""
    x, few = X[len(rows.label) :], len(rows.label)
    truth = torch.from_numpy((y[few:] - y[:few].mean()) / y[:few].std())
    line = by_ridge(rows, (x - rows.shift) / rows.scale)
    each = [line, *pool.member_answers(torch.from_numpy(x)), pool(line, torch.from_numpy(x))]
    *members, found = [float((said[:, 0] - truth).square().mean()) for said in each]
    return members, found


@pytest.mark.parametrize(("y", "best"), [(STRAIGHT, 0), (BENT, 1)])
def test_the_pool_is_as_good_as_its_better_member(y: Any, best: int) -> None:
    rows = labeled(y)
    members, found = errors(pooled(rows), rows, y)
    assert found < 1.15 * min(members)
    assert members[best] < 1.1 * min(members)
    assert found < 0.6 * max(members)  # a pool of equal weights would not be


def test_the_process_has_the_weight_where_it_alone_succeeds() -> None:
    weights = pooled(labeled(BENT)).weights
    assert weights[1] > 0.6
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.slow
def test_a_line_of_many_columns_is_left_to_ridge_regression() -> None:
    x = np.random.default_rng(1).normal(size=(300, 20))
    y = x.sum(1)
    rows = labeled(y, 60, x)
    weights = pooled(rows).weights
    assert weights[0] > weights[2]


@pytest.mark.slow
def test_the_answer_is_the_mixture_of_the_members() -> None:
    rows = labeled(STRAIGHT)
    pool, x = pooled(rows), X[FEW:]
    line = by_ridge(rows, (x - rows.shift) / rows.scale)
    each = torch.stack([line, *pool.member_answers(torch.from_numpy(x))]).numpy()
    draws = np.random.default_rng(0)
    member = draws.choice(3, 200_000, p=pool.weights.numpy())
    row = 7
    deviation = pool.factors.numpy()[member] * each[member, row, 1]
    y = each[member, row, 0] + deviation * draws.normal(size=len(member))
    mean, said = pool(line, torch.from_numpy(x))[row].tolist()
    assert mean == pytest.approx(y.mean(), abs=5 * y.std() / len(y) ** 0.5)
    assert said == pytest.approx(float(pool.widening) * y.std(), rel=0.01)


def test_weights_and_factors_are_those_of_the_hidden_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, given = labeled(BENT), []
    from lowerbound.models import semi_supervised_regression as regressor_fits

    weigh = regressor_fits.averaged_weights

    def kept(right: Tensor, *more: Any) -> Tensor:
        given.append(right.numpy())
        return weigh(right, *more)

    monkeypatch.setattr(regressor_fits, "averaged_weights", kept)
    pool = RegressorPool(COLUMNS)
    found = fit_pool(pool, rows, hidden_by_ridge(rows))
    errors = (found.target - found.mean) / found.deviation
    size = float(errors.square().mean().sqrt())
    assert float(pool.widening) == pytest.approx(size * widened(FEW)) != size
    shares = np.array(PRIOR) / sum(PRIOR)

    def loss(free: Any) -> float:
        weights = np.exp(free) / np.exp(free).sum()
        prior = STRENGTH * (shares * np.log(weights)).sum()
        return -float(np.log(weights @ given[0]).sum() + prior)

    free = minimize(loss, np.zeros(3), tol=1e-12).x
    models = np.vstack([np.exp(free) / np.exp(free).sum(), np.eye(3)])  # the pool, each alone
    belief = np.append(1 - ALONE, ALONE * shares)
    belief *= np.exp(np.log(models @ given[0] + LEAST_DENSITY).sum(1))
    np.testing.assert_allclose(pool.weights, belief @ models / belief.sum(), atol=1e-4)
    hidden, truth = hidden_by_ridge(rows), found.target
    apart = ((truth - hidden[:, 0]) / hidden[:, 1]).square().mean().sqrt()
    torch.testing.assert_close(pool.factors[0], apart)
    density = norm.pdf(truth, hidden[:, 0], apart * hidden[:, 1])
    np.testing.assert_allclose(given[0][0], density)


@pytest.mark.slow
def test_trees_are_those_of_scikit_learn() -> None:
    rows = labeled(BENT, 100)
    pool, x = pooled(rows), torch.from_numpy(X)
    options: dict[str, Any] = {"learning_rate": 0.1, "early_stopping": False, "random_state": 0}
    standardized = (X - rows.shift) / rows.scale
    boosted = [
        HistGradientBoostingRegressor(min_samples_leaf=leaf, max_iter=steps, **options)
        .fit(rows.standardized, rows.label)
        .predict(standardized)
        for leaf in (3, 10)
        for steps in (10, 30, 100)
    ]
    found = pool.member_answers(x)[1][:, 0].numpy()
    assert min(np.abs(found - each).max() for each in boosted) < 1e-9


@pytest.mark.slow
def test_the_band_covers() -> None:
    random, shares, labels = np.random.default_rng(0), [], 30
    for _ in range(8):
        x = random.normal(size=(300, COLUMNS))
        noise = random.normal(size=len(x))
        y = np.sin(x[:, 0]) + x[:, 1] + 0.5 * noise
        rows = labeled(y, labels, x)
        pool = pooled(rows)
        said = pool(by_ridge(rows, (x - rows.shift) / rows.scale), torch.from_numpy(x))[labels:]
        truth = (y[labels:] - y[:labels].mean()) / y[:labels].std()
        shares.append(float((abs(truth - said[:, 0].numpy()) < 1.96 * said[:, 1].numpy()).mean()))
    assert 0.93 < np.mean(shares) < 0.98


def test_the_widening_covers_a_new_error_of_a_gaussian() -> None:
    random = np.random.default_rng(0)
    seen, new = random.normal(size=(20_000, 17)), random.normal(size=20_000)
    size = np.sqrt((seen**2).sum(1) / 20)  # three of twenty are fitted
    covered = (np.abs(new) < 1.959964 * widened(20) * size).mean()
    assert covered == pytest.approx(0.95, abs=0.005)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SemiSupervisedRegressor]:
    given = np.where(np.arange(len(X)) < FEW, BENT, np.nan)
    model = SemiSupervisedRegressor(latent_dim=2, epochs=2, random_state=0).fit(X, given)
    folder = tmp_path_factory.mktemp("pool") / "few.lb"
    model.save(folder)
    return folder, model


def test_a_stored_model_answers_alike(stored: tuple[Path, SemiSupervisedRegressor]) -> None:
    folder, model = stored
    assert model.model_.pool.fitted
    back = SemiSupervisedRegressor.load(folder)
    for one, other in zip(
        back.predict(X, return_std=True), model.predict(X, return_std=True), strict=True
    ):
        assert np.array_equal(one, other)
    np.testing.assert_allclose(back.score_samples(X[:20]), model.score_samples(X[:20]))
    assert model.score(X[FEW:], BENT[FEW:]) > 0.7  # a line has .2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pool.trees.branches", -1),  # nowhere
        ("pool.trees.feature", 99),  # of no column
        ("pool.process.rows", None),  # of fewer columns
        ("pool.weights", None),  # of fewer members
    ],
)
def test_altered_members_are_refused(
    stored: tuple[Path, SemiSupervisedRegressor], tmp_path: Path, name: str, value: int | None
) -> None:
    fitted = stored[1].fitted_
    state = {key: tensor.clone() for key, tensor in fitted.model.state_dict().items()}
    if value is None:
        state[name] = state[name][..., :-1].contiguous()
    else:
        state[name][1:] = value
    with pytest.raises(ModelFolderError, match="do not fit the model"):
        model_folder._load_weights(fitted.model, save(state), tmp_path)


@pytest.mark.slow
def test_a_graph_of_the_pool_takes_any_number_of_rows() -> None:
    rows = labeled(BENT)
    pool, x = pooled(rows), torch.from_numpy(X)
    network = torch.ones(len(X), 2)
    batch = {0: torch.export.Dim("rows")}
    graph = torch.export.export(pool, (network[:5], x[:5]), dynamic_shapes=(batch, batch)).module()
    torch.testing.assert_close(graph(network, x), pool(network, x))


@pytest.mark.parametrize("labels", [2, 5])
def test_next_to_no_labels_have_no_pool(labels: int) -> None:
    given = np.where(np.arange(len(X)) < labels, BENT, np.nan)
    model = SemiSupervisedRegressor(latent_dim=2, epochs=1, random_state=0)
    assert not model.fit(X, given).model_.pool.fitted
    with pytest.raises(OptionError, match=f"{labels} are too few: label 6 rows at least"):
        model.set_params(folds=5).fit(X, given)


def test_folds_are_for_rows_with_columns() -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (20, 8, 8)).astype(np.uint8)
    model = SemiSupervisedRegressor(latent_dim=2, epochs=1, folds=5, random_state=0)
    with pytest.raises(OptionError, match="folds weighs the regressors of rows with columns"):
        model.fit(pictures, np.arange(20.0))


@pytest.mark.slow
def test_an_exact_difference_of_columns_is_found_in_their_own_units() -> None:
    """The model sees normal scores, in which it is no line."""
    random = np.random.default_rng(0)
    skewed = np.exp(random.normal(0, 0.6, (400, 2))) - 4
    rows = pd.DataFrame({"a": skewed[:, 0], "b": skewed[:, 1], "c": [*"xyyz"] * 100})
    change = (rows["a"] - rows["b"]).to_numpy()
    known = np.where(np.arange(400) < 40, change, np.nan)
    made = SemiSupervisedRegressor(epochs=10, random_state=0).fit(rows, known)
    assert isinstance(made.model_.inputs, Columns)
    assert made.model_.inputs.original.count == 2
    error = made.predict(rows)[40:] - change[40:]
    assert error.std() < 0.05 * change.std()
