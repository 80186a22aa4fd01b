"""The imputer: what goes in comes out completed, in its own types, and the rest untouched."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from lowerbound import VAE, VAEImputer
from lowerbound.applications.restoration import estimator as incomplete, filling, imputer_fit
from lowerbound.applications.restoration.imputer_fit import updates
from lowerbound.data import load
from lowerbound.data.dependencies.determined import Dependencies, with_dependencies
from lowerbound.errors import DataError, ModelFolderError, OptionError
from lowerbound.fitting.manifest import IMPUTER, INTERVALS
from tests.applications.conftest import MORE_CHECKS, rows
from tests.evaluation.incomplete_rows import every_kind, with_holes

QUICK = VAEImputer(epochs=3, random_state=0)


@parametrize_with_checks([VAEImputer(epochs=3)])
def test_scikit_learns_checks(estimator: BaseEstimator, check: Callable[..., None]) -> None:
    check(estimator)


@pytest.mark.long
@parametrize_with_checks([VAEImputer()])
def test_scikit_learns_checks_with_defaults(
    estimator: BaseEstimator, check: Callable[..., None]
) -> None:
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("check", MORE_CHECKS, ids=lambda c: c.__name__)
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
def test_more_of_scikit_learns_checks(check: Callable[[str, BaseEstimator], None]) -> None:
    check("VAEImputer", VAEImputer(epochs=3))


def test_tags_say_that_nan_is_taken_and_hide_nothing() -> None:
    tags = get_tags(VAEImputer())
    assert tags.input_tags.allow_nan
    assert tags.requires_fit
    assert not any([tags.no_validation, tags.non_deterministic, tags._skip_test])


def test_every_parameter_is_documented() -> None:
    text = inspect.getdoc(VAEImputer) or ""
    for name in VAEImputer().get_params():
        assert f"\n    {name}: " in text, name


def holes(X: np.ndarray[Any, Any], share: float = 0.3, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)


@pytest.fixture(scope="module")
def complete() -> np.ndarray[Any, Any]:
    return rows(200)


@pytest.fixture(scope="module")
def X(complete: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return holes(complete)


@pytest.fixture(scope="module")
def imputer(X: np.ndarray[Any, Any]) -> VAEImputer:
    return clone(QUICK).fit(X)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    found = with_holes(every_kind(160))
    found["whole"] = np.arange(160) % 7  # complete
    return found.set_index(pd.Index(np.arange(160) + 1000, name="person"))


@pytest.fixture(scope="module")
def frame_imputer(frame: pd.DataFrame) -> VAEImputer:
    return clone(QUICK).fit(frame)


# arrays ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["mean", "median", "sample"])
def test_observed_cells_are_bit_identical_and_none_is_missing(
    imputer: VAEImputer, X: np.ndarray[Any, Any], strategy: str
) -> None:
    found = clone_fitted(imputer, strategy=strategy).transform(X)
    seen = ~np.isnan(X)
    np.testing.assert_array_equal(found[seen].view(np.int64), X[seen].view(np.int64))
    assert np.isfinite(found).all()


@pytest.mark.slow
def test_what_is_missing_is_told_by_the_other_columns(
    imputer: VAEImputer, X: np.ndarray[Any, Any], complete: np.ndarray[Any, Any]
) -> None:
    gone = np.isnan(X)
    error = (imputer.transform(X) - complete) / complete.std(0)
    mean = (np.nanmean(X, 0) - complete) / complete.std(0)
    assert (error[gone] ** 2).mean() < 0.5 * (mean[gone] ** 2).mean()


def test_new_rows_after_the_fit_one_by_one_as_together(imputer: VAEImputer) -> None:
    new = holes(rows(20, seed=5))
    together = imputer.transform(new)
    alone = np.vstack([imputer.transform(new[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(alone, together, rtol=1e-9)


def test_complete_rows_and_types_stay(imputer: VAEImputer, complete: Any) -> None:
    np.testing.assert_array_equal(imputer.transform(complete), complete)
    whole = np.arange(15).reshape(3, 5)
    answer = imputer.transform(whole)
    assert answer.dtype == whole.dtype
    np.testing.assert_array_equal(answer, whole)
    single = holes(complete).astype(np.float32)
    assert imputer.transform(single).dtype == np.float32


def test_a_row_with_nothing_in_it_gets_the_marginal_mean(
    imputer: VAEImputer, X: np.ndarray[Any, Any]
) -> None:
    answer = imputer.transform(np.full((1, 5), np.nan))[0]
    np.testing.assert_array_less(abs(answer - np.nanmean(X, 0)), 0.25 * np.nanstd(X, 0))


def test_a_single_column_gets_its_marginal_mean() -> None:
    x = holes(np.random.default_rng(0).normal(3.0, 2.0, (300, 1)))
    answer = clone(QUICK).fit_transform(x)
    assert abs(answer[np.isnan(x)] - np.nanmean(x)).max() < 0.3


@pytest.mark.slow
def test_draws_differ_and_their_mean_is_the_mean(
    imputer: VAEImputer, X: np.ndarray[Any, Any]
) -> None:
    draws = imputer.sample(X, 300)
    assert draws.shape == (300, *X.shape)
    gone, scale = np.isnan(X), np.nanstd(X, 0)
    assert (draws.std(0)[gone] > 0).all()
    assert (draws[:, ~gone] == X[~gone]).all()
    apart = abs(draws.mean(0) - imputer.transform(X)) / scale
    assert apart[gone].max() < 0.35
    np.testing.assert_array_equal(imputer.sample(X, 2), imputer.sample(X, 2))
    assert (imputer.sample(X, 2, random_state=1) != imputer.sample(X, 2))[:, gone].all()


@pytest.mark.slow
def test_intervals_hold_the_hidden_values(
    imputer: VAEImputer, X: np.ndarray[Any, Any], complete: np.ndarray[Any, Any]
) -> None:
    low, high = imputer.interval(X, 0.9)
    gone = np.isnan(X)
    inside = (low <= complete) & (complete <= high)
    assert 0.8 < inside[gone].mean() < 0.97
    np.testing.assert_array_equal(low[~gone], X[~gone])
    narrow, wide = imputer.interval(X, 0.5)
    assert ((wide - narrow)[gone] < (high - low)[gone]).mean() > 0.99


@pytest.mark.slow
def test_a_marker_of_missing_cells(X: np.ndarray[Any, Any], imputer: VAEImputer) -> None:
    marked = np.where(np.isnan(X), -999.0, X)
    answer = VAEImputer(epochs=3, random_state=0, missing_values=-999.0).fit_transform(marked)
    np.testing.assert_allclose(answer, imputer.transform(X))
    frame = pd.DataFrame(marked).round(2)
    found = VAEImputer(epochs=3, random_state=0, missing_values=-999).fit_transform(frame)
    assert not found.isin([-999]).any(axis=None)


@pytest.mark.slow
def test_a_marker_is_no_truth_value() -> None:
    """0 and False are equal, and so are 1 and True."""
    rows = pd.DataFrame({"a": [1, 0, 3, 4, 5, 0] * 20, "f": [True, False] * 60})
    for marker in (0, 1):
        imputer = VAEImputer(epochs=1, random_state=0, missing_values=marker)
        filled = imputer.fit_transform(rows)
        assert filled["f"].tolist() == rows["f"].tolist()
        assert (filled["a"][rows["a"] != marker] == rows["a"][rows["a"] != marker]).all()


@pytest.mark.slow
def test_empty_columns_are_dropped_or_zeros(X: np.ndarray[Any, Any]) -> None:
    wide = np.insert(X, 1, np.nan, axis=1)
    with pytest.warns(UserWarning, match="no value was observed in column 'x1': dropped"):
        dropped = clone(QUICK).fit(wide)
    assert dropped.transform(wide).shape == X.shape
    assert list(dropped.get_feature_names_out()) == ["x0", "x2", "x3", "x4", "x5"]
    keeping = clone(QUICK).set_params(keep_empty_features=True).fit(wide)
    kept = keeping.transform(wide)
    assert (kept[:, 1] == 0).all()
    np.testing.assert_allclose(np.delete(kept, 1, 1), dropped.transform(wide))
    wide[3, 1] = 7.0
    assert keeping.transform(wide)[3, 1] == 7.0
    with pytest.warns(UserWarning, match="dropped"):
        framed = clone(QUICK).fit_transform(pd.DataFrame({"a": X[:, 0], "b": None, "c": X[:, 2]}))
    assert list(framed) == ["a", "c"]


@pytest.mark.parametrize("shape", [(0, 2), (3, 0)])
def test_a_frame_without_rows_or_columns_is_empty(shape: tuple[int, int]) -> None:
    frame = pd.DataFrame(np.empty(shape)).rename(columns=str)
    with pytest.raises(DataError, match=f"the table is empty: {shape[0]} rows, {shape[1]} col"):
        VAEImputer().fit(frame)


def test_empty_columns_keep_their_type_and_are_zeros_where_it_has_one() -> None:
    numbers = {"float64": 0.0, "float32": 0.0, "Float64": 0.0, "Int64": 0, "boolean": False}
    others = ["object", "str", "category", "datetime64[ns]"]
    empty = {kind: pd.Series([None] * 9).astype(kind) for kind in [*numbers, *others]}
    X = pd.DataFrame({"a": np.arange(9.0), **empty}, index=range(1, 10))
    filled = incomplete.with_zeros(X[["a"]] + 1, X, np.array([False] + [True] * len(empty)))
    pd.testing.assert_series_equal(filled.dtypes, X.dtypes)
    pd.testing.assert_series_equal(filled["a"], X["a"] + 1)
    for kind, zero in numbers.items():
        assert (filled[kind] == zero).all()
    pd.testing.assert_frame_equal(filled[others], X[others])


@pytest.mark.slow
def test_the_indicator_says_what_was_missing(X: np.ndarray[Any, Any]) -> None:
    X = X.copy()
    X[:, 2] = np.sin(np.arange(len(X)))
    imputer = clone(QUICK).set_params(add_indicator=True).fit(X)
    answer = imputer.transform(X)
    assert answer.shape[1] == 9
    np.testing.assert_array_equal(answer[:, 5:], np.isnan(np.delete(X, 2, 1)))
    told = ["missingindicator_x0", "missingindicator_x1", "missingindicator_x3"]
    assert list(imputer.get_feature_names_out())[5:8] == told
    frame = pd.DataFrame(X, columns=list("abcde"))
    framed = imputer.fit(frame).set_output(transform="pandas").transform(frame)
    assert list(framed)[-1] == "missingindicator_e"
    assert framed["missingindicator_e"].dtype == bool


# frames ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*imputed means were far outside")
@pytest.mark.parametrize("strategy", ["mean", "median", "sample"])
def test_a_frame_comes_back_as_a_frame(
    frame_imputer: VAEImputer, frame: pd.DataFrame, strategy: str
) -> None:
    before = frame.copy()
    found = clone_fitted(frame_imputer, strategy=strategy).transform(frame)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_index_equal(found.index, frame.index)
    assert list(found) == list(frame)
    assert not found.isna().any(axis=None)
    assert (found.dtypes == frame.dtypes).all()
    for name in frame:
        seen = frame[name].notna()
        pd.testing.assert_series_equal(found[name][seen], frame[name][seen])
    assert set(found["town"]) == {"ash", "elm", "oak"}
    assert (found["skewed"] > 0).all()
    if strategy != "mean":
        assert (found["visits"] % 1 == 0).all()


@pytest.mark.slow
def test_types_that_can_hold_missing_cells_stay() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=90)
    n = np.where(rng.random(90) < 0.2, np.nan, rng.poisson(30, 90))
    frame = pd.DataFrame(
        {
            "n": pd.array(n, dtype="Int64"),
            "yes": pd.array(np.where(rng.random(90) < 0.2, None, n > 30), dtype="boolean"),
            "object": pd.Series(np.where(rng.random(90) < 0.2, None, n > 30), dtype=object),
            "text": pd.Series(np.where(np.isnan(n), "?", (n / 7 + z).astype(str)), dtype=object),
            "codes": pd.Series(np.where(rng.random(90) < 0.2, "?", "1"), dtype=object).where(
                np.arange(90) % 2 > 0, "2"
            ),
            "day": pd.date_range("2024-01-01", periods=90, tz="Europe/Berlin").where(
                rng.random(90) > 0.2
            ),
        }
    )
    drawn = clone(QUICK).set_params(strategy="sample").fit(frame).transform(frame)
    assert not drawn.isna().any(axis=None)
    assert drawn["n"].dtype == "Int64"
    assert drawn["yes"].dtype == "boolean"
    assert set(drawn["object"]) == {True, False}
    assert set(drawn["codes"]) == {"1", "2"}
    assert pd.api.types.is_numeric_dtype(drawn["text"])
    assert drawn["day"].dtype == frame["day"].dtype
    mean = clone(QUICK).fit(frame).transform(frame)
    assert mean["n"].dtype == "Float64"
    assert (mean["n"][frame["n"].notna()] == frame["n"].dropna()).all()


@pytest.mark.slow
def test_an_unseen_level_stays_and_a_warning_names_it(
    frame_imputer: VAEImputer, frame: pd.DataFrame
) -> None:
    new = frame.head(5).copy()
    new["town"] = "fir"
    with pytest.warns(UserWarning, match="'town' has levels that the model was not fitted on"):
        found = frame_imputer.transform(new)
    assert set(found["town"]) == {"fir"}


@pytest.mark.slow
def test_samples_and_intervals_of_a_frame(frame_imputer: VAEImputer, frame: pd.DataFrame) -> None:
    tables = frame_imputer.sample(frame, 3)
    assert len(tables) == 3
    assert all((table.dtypes == frame.dtypes).all() for table in tables)
    low, high = frame_imputer.interval(frame, 0.8)
    pd.testing.assert_series_equal(low["town"], frame["town"])  # levels without order
    assert (low["real"] <= high["real"]).all()
    assert (low["day"] <= high["day"]).all()


def test_an_array_of_a_table_has_its_levels() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"stars": rng.integers(1, 6, 100), "price": rng.normal(size=100)})
    imputer = clone(QUICK).fit(with_holes(frame))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        found = imputer.transform(np.array([[np.nan, 0.5], [4.0, np.nan]]))
    assert found[0, 0] in {1, 2, 3, 4, 5}
    assert found[1, 0] == 4.0


def test_pandas_out_of_arrays(imputer: VAEImputer, X: np.ndarray[Any, Any]) -> None:
    found = clone_fitted(imputer).set_output(transform="pandas").transform(X)
    assert list(found) == ["x0", "x1", "x2", "x3", "x4"]


def test_lists_with_none_are_filled_as_their_array() -> None:
    lists = [[float(k), 2.5 * k + 0.3, None if k % 3 == 0 else 0.7 * k] for k in range(1, 31)]
    array, quick = np.array(lists, dtype=float), VAEImputer(epochs=1, calibration=0, random_state=0)
    fitted = quick.fit(lists)
    for one, other in (
        (fitted.transform(lists), fitted.transform(array)),
        (fitted.sample(lists, 2), fitted.sample(array, 2)),
        (fitted.interval(lists), fitted.interval(array)),
    ):
        assert np.asarray(one).dtype == np.float64
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*imputed means were far outside")
def test_an_identifier_is_left_as_it_is(frame: pd.DataFrame) -> None:
    named = frame.assign(name=[f"person {i}" for i in range(len(frame))])
    with pytest.warns(UserWarning, match="column 'name': no value repeats"):
        imputer = clone(QUICK).fit(named)
    named.loc[1003, "name"] = None
    found = imputer.transform(named)
    pd.testing.assert_series_equal(found["name"], named["name"])


# bad input -------------------------------------------------------------------------------------


def test_infinite_values_are_refused_by_name(imputer: VAEImputer, X: np.ndarray[Any, Any]) -> None:
    bad = X.copy()
    bad[4, 3] = np.inf
    with pytest.raises(DataError, match="column 'x3' has inf in row 4"):
        clone(QUICK).fit(bad)
    with pytest.raises(DataError, match="column 'x3' has inf in row 4"):
        imputer.transform(bad)


def test_parameters_that_make_no_sense(imputer: VAEImputer, X: np.ndarray[Any, Any]) -> None:
    with pytest.raises(OptionError, match="did you mean 'mean'"):
        VAEImputer("means").fit(X)
    with pytest.raises(OptionError, match="unknown strategy 'modus'"):
        clone_fitted(imputer, strategy="modus").transform(X)
    with pytest.raises(OptionError, match="imputations must be a whole number from 1, not 0"):
        imputer.sample(X, 0)
    with pytest.raises(OptionError, match="whole number from 1, not '3'"):
        imputer.sample(X, "3")
    with pytest.raises(OptionError, match="between 0 and 1, not 90"):
        imputer.interval(X, 90)
    with pytest.raises(DataError, match="every value is missing"):
        clone(QUICK).fit(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="1 sample"):
        clone(QUICK).fit(X[:1])


# folders ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_saved_imputer_is_the_same(
    imputer: VAEImputer, X: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    imputer.save(tmp_path / "imputer.lb")
    again = VAEImputer.load(tmp_path / "imputer.lb", strategy="median")
    assert again.strategy == "median"
    median = clone_fitted(imputer, strategy="median").transform(X)
    np.testing.assert_array_equal(again.interval(X), imputer.interval(X))
    np.testing.assert_array_equal(again.transform(X), median)


@pytest.mark.parametrize("name", [INTERVALS, IMPUTER])
def test_what_is_beside_a_model_goes_with_it(
    imputer: VAEImputer, X: np.ndarray[Any, Any], tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "imputer.lb"
    imputer.save(folder)
    kept = (folder / name).read_bytes()
    other = VAE(epochs=1, random_state=3, data_options={"missing": "model"}).fit(X)
    other.save(folder)
    assert not (folder / name).exists()
    (folder / name).write_bytes(kept)
    with pytest.raises(ModelFolderError, match=f"{name} belongs to another model"):
        VAEImputer.load(folder)


def test_a_model_of_complete_rows_is_refused(complete: Any, tmp_path: Path) -> None:
    VAE(epochs=1, random_state=0).fit(complete).save(tmp_path / "vae.lb")
    with pytest.raises(DataError, match=r"complete rows or to pictures; .* --missing model"):
        VAEImputer.load(tmp_path / "vae.lb")


@pytest.mark.slow
def test_fitting_and_using_leaves_global_random_state(
    X: np.ndarray[Any, Any], untouched_random_state: None
) -> None:
    imputer = VAEImputer(epochs=1).fit(X)
    imputer.transform(X)
    imputer.sample(X, 2)
    imputer.interval(X)


def clone_fitted(imputer: VAEImputer, **parameters: Any) -> VAEImputer:
    """The same fit under other parameters."""
    other: VAEImputer = clone(imputer).set_params(**parameters)
    for name, value in vars(imputer).items():
        if name.endswith("_") or name == "n_features_in_":
            setattr(other, name, value)
    return other


@pytest.mark.parametrize(("rows", "expected"), [(20, 94), (178, 835), (569, 1400), (10**6, 3000)])
def test_small_tables_are_visited_more_often(rows: int, expected: int) -> None:
    assert updates(rows, 64) == expected


@pytest.mark.long
@pytest.mark.parametrize("level", [0.8, 0.9])
def test_intervals_of_an_overconfident_model_cover_as_promised(
    level: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(600, 2)) @ rng.normal(size=(2, 6)) + 0.5 * rng.normal(size=(600, 6))
    hidden = rng.random(whole.shape) < 0.2
    holes = np.where(hidden, np.nan, whole)
    made = filling.quantiles

    def too_narrow(draws: Any, schema: Any, shares: Any) -> np.ndarray[Any, Any]:
        found, median = made(draws, schema, shares), made(draws, schema, (0.5,))
        return np.asarray(median + 0.5 * (found - median))

    for module in (filling, imputer_fit):
        monkeypatch.setattr(module, "quantiles", too_narrow)
    covered = {}
    for calibration in (0.0, 0.1):
        imputer = VAEImputer(epochs=3, calibration=calibration, random_state=0).fit(holes)
        low, high = imputer.interval(holes, level)
        covered[calibration] = ((low <= whole) & (whole <= high))[hidden].mean()
    assert covered[0.0] < level - 0.15
    assert covered[0.1] == pytest.approx(level, abs=0.045)


@pytest.mark.slow
@pytest.mark.parametrize(("trained", "updates_made"), [(0.9, 40), (1.0, 1), (1.1, 1)])
def test_training_that_does_not_gain_is_left_out(
    trained: float, updates_made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(self: imputer_fit.HiddenCells, model: Any, samples: int) -> float:
        return 1.0 if not errors.append(model) and len(errors) == 1 else trained

    errors: list[Any] = []
    monkeypatch.setattr(imputer_fit.HiddenCells, "error", error)
    holes = np.where(np.random.default_rng(1).random((256, 5)) < 0.2, np.nan, rows(256))
    imputer = VAEImputer(epochs=10, random_state=0).fit(holes)
    assert imputer.errors_ == (1.0, trained)
    assert imputer.history_.records[-1].updates == updates_made


def test_no_dependency_of_the_rows_with_hidden_cells_knows_them() -> None:
    rng = np.random.default_rng(0)
    town = rng.integers(0, 6, 400)
    frame = pd.DataFrame({"town": town, "land": town // 2 + 10, "size": rng.normal(size=400)})
    data = with_dependencies(load(frame, kinds="infer", missing="model"))
    test = imputer_fit.HiddenCells.of(data, 0.2, 0)
    assert test is not None
    rows = [Dependencies.of(one.schema).lookups for one in (data, test.every)]
    assert rows[0] != rows[1]
    again = Dependencies.of(with_dependencies(test.every).schema).lookups
    assert rows[1] == again != ()


def test_the_error_of_hidden_cells_is_in_variances_and_levels_are_wrong_or_right() -> None:
    rng = np.random.default_rng(0)
    size = 10 * rng.normal(size=400)
    frame = pd.DataFrame({"a": size, "b": 5 * size, "c": np.where(size > 0, "up", "down")})
    test = imputer_fit.HiddenCells.of(load(frame), 0.1, 0)
    assert test is not None
    assert int(test.hidden.sum()) == 160  # a fifth, without the cell that each row keeps
    assert (test.hidden.sum(1) < 3).all()
    perfect, at_zero = test.truth, np.zeros_like(test.truth)

    def answer(values: np.ndarray[Any, Any]) -> float:
        with pytest.MonkeyPatch.context() as patch:
            made = SimpleNamespace(mean=values)
            patch.setattr(imputer_fit, "impute", lambda *_, **__: made)
            return test.error(object(), 1)  # type: ignore[arg-type]

    assert answer(perfect) == 0
    spread = np.square(test.truth / test.scale)
    levels = test.truth[:, 2] != 0
    expected = [*spread[:, :2][test.hidden[:, :2]], *levels[test.hidden[:, 2]]]
    assert answer(at_zero) == pytest.approx(np.mean(expected))
    np.testing.assert_allclose(test.scale[:2], [size.std(), 5 * size.std()])


def test_too_few_cells_to_hide_are_not_hidden() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 3))
    rows[::4, 0] = np.nan
    imputer = VAEImputer(epochs=1, random_state=0).fit(rows)
    assert imputer.calibration_ is None
    assert imputer.errors_ is None
    assert np.isfinite(imputer.interval(rows)[0]).all()


def test_hidden_cells_are_the_same_for_every_default_type_of_torch() -> None:
    observed = torch.ones(100, 4, dtype=torch.bool)
    expected = imputer_fit.drawn_cells(observed, 0.1, 0)
    assert expected is not None
    torch.set_default_dtype(torch.float64)
    try:
        found = imputer_fit.drawn_cells(observed, 0.1, 0)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found is not None
    assert torch.equal(found, expected)


@pytest.mark.slow
def test_a_column_that_another_determines_is_exact(tmp_path: Path) -> None:
    """Pupils of 30 schools: a school has one town and one size, and hidden cells of them follow."""
    draw = np.random.default_rng(0)
    school = draw.integers(0, 30, 600)
    frame = pd.DataFrame(
        {
            "score": draw.normal(size=600),
            "size": draw.integers(80, 400, 30)[school] / 7,
            "school": [f"S{each:02d}" for each in school],
            "town": draw.choice(["Bern", "Wien", "Rome"], 30)[school],
        }
    )
    hidden = draw.random(frame.shape) < 0.15
    hidden[:, 0] = False
    given = frame.mask(hidden)
    imputer = VAEImputer(epochs=1, random_state=0).fit(given)
    known = ~hidden[:, 2]
    for filled in (imputer.transform(given), imputer.sample(given, 1)[0], *imputer.interval(given)):
        np.testing.assert_allclose(filled["size"][known], frame["size"][known], rtol=1e-5)
    for filled in (imputer.transform(given), imputer.sample(given, 1)[0]):
        assert filled["town"][known].equals(frame["town"][known])
    # a size is that of one school
    by_size = hidden[:, 2] & ~hidden[:, 1]
    assert (imputer.transform(given)["school"] == frame["school"])[by_size].mean() > 0.9
    imputer.save(tmp_path / "imputer.lb")
    again = VAEImputer.load(tmp_path / "imputer.lb").transform(given)
    pd.testing.assert_frame_equal(again, imputer.transform(given))


@pytest.mark.slow
def test_a_column_that_others_give_is_exact() -> None:
    """A bill of the parts and the rate: any one hidden cell follows; mean, draw and interval."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.gamma(4, 20, (500, 2)).round(2), columns=["work", "parts"])
    frame["net"] = (frame["work"] + frame["parts"]).round(2)
    frame["tax"] = (0.2 * frame["net"]).round(2)
    hidden = draw.random(frame.shape) < 0.15
    given = frame.mask(hidden)
    imputer = VAEImputer(epochs=1, random_state=0).fit(given)
    alone = hidden[:, :3].sum(1) == 1
    for filled in (imputer.transform(given), imputer.sample(given, 1)[0], *imputer.interval(given)):
        apart = (filled - frame).abs()[["work", "parts", "net"]]
        np.testing.assert_allclose(apart[alone], 0, atol=0.0051)
        known = hidden[:, 3] & (hidden[:, :3].sum(1) <= 1)
        np.testing.assert_allclose(filled["tax"][known], frame["tax"][known], atol=0.0051)
    # of several hidden cells, one is computed from the others
    several = hidden.sum(1) > 1
    assert several.sum() > 40
    for filled in (imputer.transform(given), *imputer.sample(given, 3)):
        apart = (filled["work"] + filled["parts"] - filled["net"]).abs() + (
            0.2 * filled["net"] - filled["tax"]
        ).abs()
        assert (apart[several] < 0.03).mean() > 0.95  # the others would leave a range
        assert filled.mask(hidden).equals(given)
        for name in frame:
            assert filled[name].between(0, 1.5 * frame[name].max()).all()
