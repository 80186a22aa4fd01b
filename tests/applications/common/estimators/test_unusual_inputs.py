"""Inputs that pandas and scikit-learn allow and that are easily taken for others."""

from __future__ import annotations

import datetime as dt
import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from lowerbound import (
    VAE,
    ConditionalVAE,
    ProbabilisticPCA,
    SemiSupervisedRegressor,
    SemiSupervisedVAE,
    TableSynthesizer,
    VAEDetector,
    VAEImputer,
)
from lowerbound.applications.common.estimators.inputs import as_labels
from lowerbound.applications.labels.estimator import given_labels
from lowerbound.applications.restoration.intervals import LEVELS, IntervalCalibration
from lowerbound.data import load, to_frame
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.inference import understood
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.sequences.windows import Windows
from lowerbound.data.tables.completion import completed_frame
from lowerbound.errors import DataError, OptionError
from lowerbound.training.plan import own_settings

ROWS = 60


def numbers(**more: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.normal(size=ROWS), "b": rng.normal(size=ROWS), **more})


def test_dates_of_rows_with_another_index_are_filled_in_place() -> None:
    days = [dt.date(2024, 1, 1 + row % 28) for row in range(ROWS)]
    frame = numbers(day=days).set_axis(range(100, 100 + ROWS))
    frame.loc[103, "day"] = None
    hidden = np.zeros((ROWS, 3), bool)
    hidden[3, 2] = True
    answers = np.where(hidden, pd.Timestamp(2024, 1, 9).timestamp(), 0.0)
    schema = load(frame, missing="model").schema
    whole = completed_frame(frame, schema, answers, hidden, exact=True)
    assert list(whole.index) == list(frame.index)
    assert whole.loc[103, "day"] == dt.date(2024, 1, 9)
    assert whole.loc[104, "day"] == days[4]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:no variation")
def test_the_place_of_a_single_date_changes_no_score() -> None:
    """The density of a column does not depend on where on the axis of time its values are."""
    scores = []
    for date in ("1970-01-01 00:00:00", "2020-05-01 12:34:57"):
        frame = numbers(day=pd.to_datetime([date] * ROWS).where(np.arange(ROWS) % 3 > 0))
        scores.append(VAE(epochs=5, random_state=0).fit(frame).score_samples(frame))
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-6)


def test_bands_are_filled_by_bands() -> None:
    bands = pd.cut(np.linspace(0.1, 29.9, ROWS), [0, 10, 20, 30])
    frame = numbers(band=bands)
    frame.loc[3, "band"] = np.nan
    whole = VAEImputer(epochs=1, calibration=0, random_state=0).fit(frame).transform(frame)
    assert whole["band"].dtype == frame["band"].dtype
    assert not whole["band"].isna().any()


@pytest.mark.filterwarnings("ignore:column 'id'", "ignore:no variation", "ignore:no value")
def test_a_saved_imputer_takes_the_columns_that_it_was_fitted_to(tmp_path: Path) -> None:
    names = [f"k{row * 7919 % 1000:03d}" for row in range(ROWS)]
    frame = numbers(id=names, empty=np.nan)
    frame.loc[3, "a"] = np.nan
    imputer = VAEImputer(epochs=1, calibration=0, random_state=0, add_indicator=True).fit(frame)
    imputer.save(tmp_path / "m")
    again = VAEImputer.load(tmp_path / "m", add_indicator=True)
    assert again.get_feature_names_out().tolist() == imputer.get_feature_names_out().tolist()
    pd.testing.assert_frame_equal(again.transform(frame), imputer.transform(frame))


def test_a_marker_among_categories_is_missing() -> None:
    column = understood(pd.Series(["a", "b", "?", "a", "c"] * 6, dtype="category", name="c"))
    assert column.levels == ("a", "b", "c")


@pytest.mark.parametrize("cell", [pd.NA, None, np.nan], ids=str)
def test_a_column_without_a_value_stays_empty(cell: Any) -> None:
    cells: Any = pd.array([cell] * ROWS, dtype="Int64") if cell is pd.NA else [cell] * ROWS
    frame = numbers(empty=cells)
    with pytest.warns(UserWarning, match="no value in column 'empty'"):
        dataset = load(frame, missing="model")
    assert len(dataset.schema.modeled) == 2
    assert to_frame(dataset.schema, dataset.x)["empty"].isna().all()
    assert np.isnan(dataset.schema.decode(dataset.x)[:, 2]).all()


@pytest.mark.parametrize("cell", [dt.time(8, 30), dt.date(2024, 2, 29), dt.timedelta(hours=1)])
def test_a_value_that_is_there_or_missing_comes_back_in_its_type(cell: Any) -> None:
    cells = [cell if row % 3 else None for row in range(ROWS)]
    frame = numbers(only=pd.Series(cells, dtype=object))
    drawn = TableSynthesizer(minutes=0.001, random_state=0).fit(frame).sample(40)["only"]
    assert drawn.isna().any()
    assert {
        pd.Timedelta(each) if isinstance(cell, dt.timedelta) else each for each in drawn.dropna()
    } == {cell}


def test_masked_cells_of_numpy_are_missing() -> None:
    values = np.random.default_rng(0).normal(size=(ROWS, 3))
    gaps = np.arange(3 * ROWS).reshape(ROWS, 3) % 7 == 0
    masked = np.ma.array(np.where(gaps, -9999.0, values), mask=gaps)
    completed = VAEImputer(epochs=1, calibration=0, random_state=0).fit(masked).transform(masked)
    assert np.abs(completed).max() < 100
    np.testing.assert_array_equal(completed[~gaps], values[~gaps])
    with pytest.raises(DataError, match="column 'x0' has NaN in rows 0, 7"):
        VAE(epochs=1).fit(masked)
    whole = load(np.ma.array(np.arange(60).reshape(20, 3), mask=gaps[:20]), missing="model")
    assert whole.observed is not None
    np.testing.assert_array_equal(whole.observed.numpy(), ~gaps[:20])
    np.testing.assert_array_equal(load(np.ma.array(values)).x, load(values).x)
    for other in (values.astype(complex), values.astype(str)):
        with pytest.raises(DataError, match="only real numbers can be modeled"):
            load(np.ma.array(other, mask=gaps))


def test_complex_numbers_are_refused() -> None:
    frame = numbers().astype(complex)
    with pytest.raises(DataError, match="column 'a' holds complex numbers"):
        VAE(epochs=1).fit(frame)
    with pytest.raises(DataError, match="column 'a' holds complex numbers"):
        VAE(epochs=1, random_state=0).fit(numbers()).score(frame)


@pytest.mark.slow
def test_the_settings_of_torch_around_a_call_change_nothing() -> None:
    def scores() -> Any:
        return VAE(latent_dim=1, epochs=1, random_state=0).fit(numbers()).score_samples(numbers())

    expected = scores()
    torch.set_default_dtype(torch.float64)
    try:
        np.testing.assert_array_equal(scores(), expected)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.no_grad():
        np.testing.assert_array_equal(scores(), expected)
        assert not torch.is_grad_enabled()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(scores(), expected)
        assert torch.is_autocast_enabled("cpu")
    with torch.inference_mode(), pytest.raises(OptionError, match=r"outside of torch\.inference"):
        scores()
    with torch.inference_mode():  # which needs no gradients
        ProbabilisticPCA(latent_dim=1).fit(numbers())


def test_the_default_type_is_restored_after_the_last_of_several_fits() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        one, two = own_settings(), own_settings()
        one.__enter__()
        two.__enter__()
        one.__exit__(None, None, None)
        assert torch.get_default_dtype() == torch.float32
        two.__exit__(None, None, None)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_saved_imputer_fills_as_before(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(ROWS, 3))
    values[np.arange(ROWS) % 5 == 0, 1] = -1.0
    options: Any = {"missing_values": -1, "strategy": "median", "add_indicator": True}
    imputer = VAEImputer(epochs=1, calibration=0, random_state=0, n_importance=7, **options)
    imputer.fit(values).save(tmp_path / "m")
    again = VAEImputer.load(tmp_path / "m")
    np.testing.assert_array_equal(again.transform(values), imputer.transform(values))
    assert (again.n_importance, again.strategy) == (7, "median")
    assert VAEImputer.load(tmp_path / "m", strategy="mean").strategy == "mean"
    endless = VAEImputer(epochs=1, calibration=0, random_state=0, missing_values=-np.inf)
    endless.fit(values).save(tmp_path / "inf")
    assert VAEImputer.load(tmp_path / "inf").missing_values == -np.inf
    said = tmp_path / "m" / "imputer_columns.json"
    content = json.loads(said.read_text())
    del content["parameters"]  # as written before
    said.write_text(json.dumps(content))
    assert VAEImputer.load(tmp_path / "m").strategy == "mean"


def test_conditions_without_a_value_and_parts_of_rows_are_refused() -> None:
    model = TableSynthesizer(minutes=0.001, random_state=0).fit(numbers())
    for nothing in (None, np.nan, "NA"):
        with pytest.raises(OptionError, match="'a' is given without a value"):
            model.sample(2, given={"a": nothing})
    with pytest.raises(OptionError, match=r"whole number from 0, not 2\.5"):
        model.sample(2.5)
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(OptionError, match="whole number from 0"):
            model.sample(wrong)
    assert len(model.sample(2.0)) == 2


def test_columns_are_given_by_name() -> None:
    rows = numbers().to_numpy()
    model = VAE(epochs=2, random_state=0).fit(rows)
    with pytest.raises(OptionError, match=r"values by name, .* not ndarray"):
        model.sample(3, given=rows[:3])  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"columns of an array have no names .* or fit a frame"):
        model.sample(3, given={"x0": 1})


def test_a_given_number_beyond_the_type_of_its_column_is_refused() -> None:
    small = np.random.default_rng(1).integers(150, 250, ROWS).astype("uint8")
    model = VAE(latent_dim=1, epochs=1, random_state=0).fit(numbers(u=small))
    assert model.sample(2, given={"u": 255})["u"].tolist() == [255, 255]
    for wrong in (300, -3):
        with pytest.raises(DataError, match=f"'u' holds uint8, 0 to 255, but not {wrong}"):
            model.sample(2, given={"u": wrong})


@pytest.mark.parametrize("estimator", [SemiSupervisedVAE, SemiSupervisedRegressor])
def test_columns_are_given_without_a_label(estimator: type[Any]) -> None:
    y = np.tile([1, 2, 3, 4], ROWS // 4)
    options = {"latent_dim": 1, "epochs": 1, "folds": 0, "random_state": 0}
    frame = numbers()
    frame.iloc[0, 0] = np.nan  # which a model of complete rows would refuse
    model = estimator(data_options={"missing": "model"}, **options).fit(frame, y)
    name = numbers().columns[0]
    assert model.sample(2, given={name: 0.5})[name].tolist() == [0.5, 0.5]
    with pytest.raises(OptionError, match="columns are given without y"):
        model.sample(2, y=1, given={name: 0.5})


def test_given_dates_without_a_zone_are_in_that_of_their_column() -> None:
    """The oracle is pandas: summer and winter time, and the hours at which they change."""
    frame = numbers()
    frame["at"] = pd.date_range("2024-01-01", periods=ROWS, freq="37h", tz="Europe/Vienna")
    model = TableSynthesizer(minutes=0.001, random_state=0).fit(frame)
    clocks = [
        "2024-03-31 02:30",
        "2024-03-31 04:00",
        "2024-02-01",
        pd.Timestamp("2024-03-01 12:00"),
    ]
    expected = pd.to_datetime(clocks, format="mixed").tz_localize(
        "Europe/Vienna", nonexistent="shift_forward"
    )
    zoned = ["2024-03-01 12:00Z", "2024-03-01T05:00:00+02:00", "2024-03-01T12:00+02"]
    for given, wanted in zip(
        [*clocks, *zoned], [*expected, *map(pd.Timestamp, zoned)], strict=True
    ):
        assert model.sample(1, given={"at": given})["at"][0] == wanted


def test_drawn_text_has_the_notation_of_the_frame() -> None:
    price = [f"${1000 + 7 * row:,}.50" for row in range(ROWS)]
    frame = numbers(price=price, month=[f"{1 + row % 12:02d}" for row in range(ROWS)])
    model = TableSynthesizer(minutes=0.001, least_people=1, random_state=0).fit(frame)
    drawn = model.sample(20, random_state=0)
    assert all(re.fullmatch(r"\$\d,\d{3}\.\d0", cell) for cell in drawn["price"])
    assert set(drawn["month"]) <= set(frame["month"])
    given = model.sample(2, given={"price": "$1,070.50", "month": "07"})
    assert given[["price", "month"]].to_numpy().tolist() == [["$1,070.50", "07"]] * 2


@pytest.mark.filterwarnings("ignore:y contains only -1 and 1")
def test_minus_one_is_a_class_if_another_value_means_unlabeled() -> None:
    x, y = numbers().to_numpy(), np.tile([-1, 1, 2, 0], ROWS // 4)
    options = {"latent_dim": 1, "epochs": 1, "folds": 0, "random_state": 0}
    model = SemiSupervisedVAE(unlabeled_value=0, **options).fit(x, y)
    assert model.classes_.tolist() == [-1, 1, 2]
    sure = SemiSupervisedVAE(abstain_below=1.0, **options).fit(x, np.where(y > 0, 1, -1))
    with pytest.raises(OptionError, match="both a class and an unsure row"):
        sure.predict(x)


def test_labels_in_a_list_of_numpy_numbers() -> None:
    labels, known = given_labels(list(np.array([0, 1, 1, -1])), None)
    assert labels.tolist() == [0, 1, 1]
    assert known.tolist() == [True, True, True, False]


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_masked_labels_are_unknown() -> None:
    mask = np.arange(ROWS) >= 20
    classes = np.where(mask, 7, np.arange(ROWS) % 2)
    for hidden in (np.ma.array(classes, mask=mask), np.ma.array(classes, mask=mask)[:, None]):
        labels, known = given_labels(hidden)
        assert known.tolist() == (~mask).tolist()
        assert labels.tolist() == classes[:20].tolist()
    assert as_labels(np.ma.array(classes)).tolist() == classes.tolist()
    with pytest.raises(DataError, match="no class is known for rows 20, 21"):
        ConditionalVAE(epochs=1).fit(numbers(), np.ma.array(classes, mask=mask))
    targets = np.ma.array(np.where(mask, 1e6, np.arange(ROWS)), mask=mask)
    model = SemiSupervisedRegressor(latent_dim=1, epochs=1, folds=0).fit(numbers(), targets)
    assert model.fitted_.schema.target.mean == pytest.approx(9.5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ConditionalVAE, SemiSupervisedVAE])
def test_classes_keep_their_type_when_a_prior_is_fitted(kind: type[Any]) -> None:
    model = kind(latent_dim=1, epochs=1, random_state=0)
    model.fit(numbers(), np.where(np.arange(ROWS) % 2, "0", "1"))
    before = model.classes_.tolist()
    model._adopt(model.fitted_)
    assert model.classes_.tolist() == before == ["0", "1"]


@pytest.mark.filterwarnings("ignore:no variation")
def test_a_constant_of_another_precision_is_no_anomaly() -> None:
    frame = numbers(k=0.1)
    detector = VAEDetector(epochs=1, network="mlp", random_state=0).fit(frame)
    assert detector.components(frame.astype("float32"))["unseen"].max() == 0
    with pytest.warns(UserWarning, match="did not vary"):
        assert detector.components(frame.assign(k=0.2))["unseen"].min() > 0


def test_a_column_named_rate_keeps_its_share() -> None:
    frame = numbers().rename(columns={"a": "rate"})
    detector = VAEDetector(epochs=1, network="mlp", random_state=0).fit(frame)
    assert list(detector.explain(frame).columns) == ["rate", "b", "rate_"]


def test_calibrated_intervals_stay_inside_the_support() -> None:
    columns = (
        Column("p", "positive", observed=(0.1, 9.0)),
        Column("n", "count", dtype="int64", lattice=Lattice(1.0), observed=(0, 9)),
    )
    twice, none = np.full((len(LEVELS), 2), 2.0), np.zeros((len(LEVELS), 2))
    wide = IntervalCalibration(twice, none, none[:, 0], 50)
    quantiles = np.array([[[1.0, 1.0]], [[0.2, 0.0]], [[5.0, 4.0]]])
    low, high = wide.interval(quantiles, 0.9, columns)
    assert low.min() == 0
    assert (high == [[9.0, 7.0]]).all()


@pytest.mark.parametrize("names", [["x1", "x2", "x3"], ["a", "b", "x0"], ["x0", "x1", "x2"]])
def test_a_frame_goes_by_place_through_a_model_of_an_array(names: list[str]) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    model = VAE(1, epochs=1, random_state=0).fit(rows)
    frame = pd.DataFrame(rows[:4], columns=names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that the fit did not see
        np.testing.assert_array_equal(model.transform(frame), model.transform(rows[:4]))
        holes = frame.mask(np.eye(4, 3, dtype=bool))
        filled = VAEImputer(epochs=1, random_state=0).fit(rows).transform(holes)
    assert np.isfinite(np.asarray(filled)).all()


@pytest.mark.slow
def test_frames_of_polars_are_tables_for_the_imputer_and_the_synthesizer() -> None:
    polars = pytest.importorskip("polars", reason="pip install polars")
    place = pd.Series(["low", "high", None] * 20)
    frame = numbers(place=place)
    other = polars.from_pandas(frame)
    imputer = VAEImputer(epochs=1, calibration=0, random_state=0)
    found = imputer.fit(other).transform(other)
    expected = imputer.fit(frame).transform(frame)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    synthesizer = TableSynthesizer(least_people=1, minutes=0.01, random_state=0).fit(other)
    drawn = synthesizer.sample(3)
    assert list(drawn.columns) == ["a", "b", "place"]
    assert drawn["a"].dtype == float
    whole = synthesizer.complete(other.select("a"))
    np.testing.assert_allclose(whole["a"], frame["a"])


@pytest.mark.slow
def test_a_filled_frame_of_polars_has_the_types_of_the_given_one() -> None:
    polars = pytest.importorskip("polars", reason="pip install polars")
    days = pd.Series(pd.date_range("2020-01-01", periods=ROWS)).dt.date
    days.iloc[3] = None
    other = polars.from_pandas(numbers(day=days, whole=days))
    assert other.schema["day"] == polars.Date
    imputer = VAEImputer("median", epochs=1, calibration=0, random_state=0)
    filled = imputer.set_output(transform="polars").fit(other).transform(other)
    assert filled.schema == other.schema
    assert filled["day"].null_count() == 0
    assert filled["day"][:3].to_list() == other["day"][:3].to_list()


@pytest.mark.parametrize("kind", [object, str])
@pytest.mark.parametrize("estimator", [VAE, VAEDetector, VAEImputer])
def test_text_in_a_matrix_is_refused_with_advice(estimator: type[Any], kind: type) -> None:
    rows = np.array([[1.0, "a"], [2.0, "b"]] * 4, dtype=kind)
    with pytest.raises(ValueError, match=r"pass columns of text as a frame, such as pandas"):
        estimator(epochs=1).fit(rows)


@pytest.mark.parametrize("estimator", [VAE, VAEDetector, VAEImputer, TableSynthesizer])
def test_a_single_series_is_no_table(estimator: type[Any]) -> None:
    series = numbers()["a"]
    with pytest.raises(ValueError, match=r"2-dimensional container but got .*Series"):
        estimator().fit(series)
    with pytest.raises(DataError, match=r"an array of shape \(60,\)\. Reshape your data"):
        load(series)


@pytest.mark.slow
def test_a_name_that_two_columns_have_is_named() -> None:
    frame, words = numbers(), "several columns are named b; rename them"
    twice = frame.iloc[:, [0, 1, 1]]
    options: dict[str, Any] = {"epochs": 1, "random_state": 0}
    model = VAE(latent_dim=1, **options).fit(frame)
    imputer = VAEImputer(calibration=0, **options).fit(frame.mask(np.eye(ROWS, 2, dtype=bool)))
    detector = VAEDetector(network="mlp", **options).fit(frame)
    synthesizer = TableSynthesizer(minutes=0.001, random_state=0).fit(frame)
    calls = (model.score_samples, model.transform, imputer.transform, detector.score_samples)
    for call in (*calls, synthesizer.complete, imputer.fit, model.fit):
        with pytest.raises(DataError, match=words):
            call(twice)


@pytest.mark.parametrize("count", [0, -1, 1.5, "3", None])
def test_a_number_of_samples_is_whole_and_positive(count: Any) -> None:
    x, y = numbers().to_numpy(), np.arange(ROWS) % 2
    message = f"number of samples must be a whole number from 1, not {count!r}"
    for model in (ProbabilisticPCA(1).fit(x), ConditionalVAE(1, epochs=1).fit(x, y)):
        with pytest.raises(OptionError, match=re.escape(message)):
            model.sample(count)
    few = SemiSupervisedVAE(latent_dim=1, epochs=1, folds=0).fit(x, y)
    with pytest.raises(OptionError, match=re.escape(message)):
        few.sample(count, y=1)


@pytest.mark.parametrize(
    "model",
    [
        ConditionalVAE(1, epochs=1, random_state=0),
        SemiSupervisedVAE(latent_dim=1, epochs=1, folds=0, random_state=0),
        SemiSupervisedRegressor(latent_dim=1, epochs=1, folds=0, random_state=0),
    ],
)
def test_labels_of_batches_are_the_labels(model: Any) -> None:
    x, y = torch.tensor(numbers().to_numpy()), torch.arange(ROWS) % 2
    expected = model.fit(x.numpy(), y.numpy()).transform(x)
    for source in (TensorDataset(x, y), DataLoader(TensorDataset(x, y), batch_size=7)):
        np.testing.assert_array_equal(model.fit(source).transform(x), expected)
    with pytest.raises(DataError, match="requires y to be passed"):
        model.fit(TensorDataset(x))


def test_no_latents_are_refused() -> None:
    model = ProbabilisticPCA(1).fit(numbers())
    with pytest.raises(DataError, match="the latents have 0 rows"):
        model.inverse_transform(np.zeros((0, 1)))


def test_windows_of_a_frame_are_refused_with_advice() -> None:
    frame = pd.DataFrame({"x": np.sin(np.arange(40) / 4), "y": np.arange(40.0)})
    estimator = VAE(latent_dim=1, epochs=1, data_options={"windows": Windows(6)})
    with pytest.raises(OptionError, match=r"pass Windows\(length\)\.frame\(X\)"):
        estimator.fit(frame)
