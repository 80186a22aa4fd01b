"""The form of a table: given values become the same cells, of the same types, again."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lowerbound.config import from_mapping, to_mapping
from lowerbound.data import load, to_frame
from lowerbound.data.dataset import Dataset
from lowerbound.data.dependencies.lookups import Inequality
from lowerbound.data.synthetic.constraints import ConstraintReader
from lowerbound.data.synthetic.form import TableForm, kind_hints, read_for_synthesis
from lowerbound.errors import DataError, OptionError
from tests.data.synthetic.tables import every_type

CONSTRAINTS = ("age <= end", "age >= 18", "day >= 2020-01-01")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return every_type()


@pytest.fixture(scope="module")
def dataset(frame: pd.DataFrame) -> Dataset:
    with (
        pytest.warns(UserWarning, match="no variation in column 'constant'"),
        pytest.warns(UserWarning, match="no value in column 'never'"),
    ):
        return read_for_synthesis(frame, compared=["age", "end"])


def test_every_cell_and_type_returns(frame: pd.DataFrame, dataset: Dataset) -> None:
    form = TableForm.learn(frame, dataset.schema)
    values = {c.name: c.rules.read(frame[c.name]) for c in dataset.schema.modeled}
    made = form.frame(dataset.schema, values, len(frame))
    assert made.dtypes.equals(frame.dtypes)
    same = frame.columns.drop(["number", "code"])
    given = frame[same].fillna(np.nan)  # pandas 2 tells a missing cell None from NaN
    pd.testing.assert_frame_equal(made[same].fillna(np.nan), given)


def test_a_schema_alone_has_the_types_of_the_table() -> None:
    rows = np.arange(120)
    gap, words, days = rows % 9 == 0, np.array(["a", "b", "c"])[rows % 3], pd.Timestamp(2020, 1, 1)
    frame = pd.DataFrame(
        {
            "small": (rows // 2).astype("int16"),
            "whole": pd.Series(rows // 2, dtype="Int32").mask(gap),
            "single": pd.Series(rows / 7, dtype="Float32").mask(gap),
            "city": pd.Series(pd.Categorical(words)).mask(gap),
            "order": pd.Categorical(words, list("cab"), ordered=True),
            "range": pd.cut(rows % 10, [-1, 3, 10]),
            "text": pd.Series(words, dtype="string").mask(gap),
            "written": pd.Series((rows / 4).astype(str), dtype="string"),
            "day": (days + pd.to_timedelta(rows, "D")).date,
            "zone": pd.date_range(days, periods=120, freq="h", tz="Europe/Vienna").as_unit("ms"),
            "month": pd.period_range(days, periods=120, freq="M"),
        }
    )
    data = load(frame)
    values = {column.name: column.rules.read(frame[column.name]) for column in data.schema.columns}
    made = TableForm.of(data.schema).frame(data.schema, values, 120)
    assert made.dtypes.equals(frame.dtypes)
    assert made.dtypes.equals(to_frame(data.schema, data.x).dtypes)
    assert made["day"].tolist() == frame["day"].tolist()


def test_missing_cells_are_written_as_the_table_writes_them() -> None:
    cells = ["high", "None", "low", "None"] * 20
    frame = pd.DataFrame({"test": cells, "kind": pd.Categorical(cells), "size": ["3", "?"] * 40})
    with pytest.warns(UserWarning, match="'None' in 40 rows, taken for missing"):
        dataset = read_for_synthesis(frame)
    form = TableForm.learn(frame, dataset.schema)
    values = {c.name: c.rules.read(frame[c.name]) for c in dataset.schema.modeled}
    assert np.isnan(values["test"]).sum() == np.isnan(values["size"]).sum() == 40
    pd.testing.assert_frame_equal(form.frame(dataset.schema, values, 80), frame)


def test_identifiers_are_fresh(frame: pd.DataFrame, dataset: Dataset) -> None:
    form = TableForm.learn(frame, dataset.schema)
    made = form.frame(dataset.schema, {}, 1000, first=50)
    assert made["number"].tolist() == list(range(100 + 300 + 50, 100 + 300 + 1050))
    assert made["code"].str.fullmatch("[0-9a-f]{16}").all()
    assert made["code"].is_unique
    assert not set(made["code"]) & set(frame["code"])


@pytest.mark.parametrize("dtype", ["float64", "Int64", "str", "object"])
def test_as_many_identifiers_are_missing(dtype: str) -> None:
    numbers = pd.Series(np.arange(200), dtype="Int64").where(np.arange(200) % 4 > 0)
    numbers = "C" + numbers.astype("string") if dtype in ("str", "object") else numbers
    frame = pd.DataFrame({"id": numbers.astype(dtype), "x": np.linspace(0, 1, 200)})
    schema = read_for_synthesis(frame).schema
    assert schema.left_out == ("id",)
    form = TableForm.learn(frame, schema)
    made = form.frame(schema, {}, 100)["id"]
    assert made.dtype == frame["id"].dtype
    assert abs(made.isna().sum() - 25) <= 1
    parts = [form.frame(schema, {}, 50, first)["id"] for first in (0, 50)]
    pd.testing.assert_series_equal(pd.concat(parts, ignore_index=True), made)
    assert form.frame(schema, {}, 100, complete=True)["id"].notna().all()


@pytest.mark.parametrize("dtype", ["uint8", "UInt8"])
def test_identifiers_beyond_the_type_of_the_column_have_a_wider_one(dtype: str) -> None:
    frame = pd.DataFrame({"id": np.arange(200), "x": np.linspace(0, 1, 200)})
    frame["id"] = frame["id"].astype(dtype)
    schema = read_for_synthesis(frame).schema
    form = TableForm.learn(frame, schema)
    assert form.frame(schema, {}, 100)["id"].tolist() == list(range(200, 300))
    assert form.frame(schema, {}, 50)["id"].dtype == dtype


def test_the_form_is_kept_in_the_schema(frame: pd.DataFrame, dataset: Dataset) -> None:
    form = TableForm.learn(frame, dataset.schema, CONSTRAINTS, [("city", "land")])
    schema = form.on(dataset.schema)
    kept = json.loads(json.dumps(to_mapping(schema)))
    assert TableForm.of(from_mapping(type(schema), kept)) == form
    assert len(form.constraints.combinations[0].rows) == 4


def test_kinds_that_would_lose_something_are_given(frame: pd.DataFrame) -> None:
    assert kind_hints(frame, {"age": "count"}, ["age", "end"]) == {
        "age": "count",
        "end": "real",
        "sometimes": "categorical",
    }


@pytest.mark.parametrize(
    ("sentence", "error", "words"),
    [
        ("age <= agee", OptionError, "neither a value of column 'age' nor the name of a column"),
        ("aged <= 5", OptionError, "did you mean 'age'"),
        ("age", OptionError, "is not understood"),
        ("age <=", OptionError, "is not understood"),
        ("age < 200", OptionError, "write <= or >= instead"),
        ("age <= 17", DataError, "300 of the fitted rows do not fulfill 'age <= 17'"),
        ("end < age", DataError, "of the fitted rows do not fulfill 'end < age'"),
        ("grade <= age", OptionError, "has levels"),
    ],
)
def test_bad_constraints(
    frame: pd.DataFrame, dataset: Dataset, sentence: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        TableForm.learn(frame, dataset.schema, [sentence])


def test_bad_combinations(frame: pd.DataFrame, dataset: Dataset) -> None:
    with pytest.raises(OptionError, match="two columns or more"):
        TableForm.learn(frame, dataset.schema, [], [("city",)])
    with pytest.raises(OptionError, match="did you mean 'land'"):
        TableForm.learn(frame, dataset.schema, [], [("city", "lands")])
    with pytest.raises(OptionError, match="'land' is in two combinations"):
        TableForm.learn(frame, dataset.schema, [], [("city", "land"), ("land", "grade")])
    with pytest.raises(OptionError, match="'age' is in a combination and compared"):
        TableForm.learn(frame, dataset.schema, ["age <= end"], [("city", "age")])


@pytest.mark.parametrize(
    ("sentence", "lower", "upper", "strict"),
    [
        ("a < b", "a", "b", True),
        ("a <= b", "a", "b", False),
        ("b > a", "a", "b", True),
        ("b >= a", "a", "b", False),
    ],
)
def test_each_sign_is_an_inequality_of_its_own(
    sentence: str, lower: str, upper: str, strict: bool
) -> None:
    frame = pd.DataFrame({"a": np.arange(90) / 7, "b": np.arange(90) / 7 + 1})
    columns = load(frame, kinds="infer").schema.columns
    values = {name: frame[name].to_numpy() for name in frame}
    found = ConstraintReader(columns, values).read([sentence], [])
    assert found.inequalities == (Inequality(lower, upper, strict),)
