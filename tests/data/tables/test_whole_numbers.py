"""Whole numbers keep all their digits, also beside missing cells and above what floats hold."""

from __future__ import annotations

import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lowerbound import VAEImputer
from lowerbound.applications.common.estimators.inputs import as_frame
from lowerbound.applications.restoration.estimator import with_gaps
from lowerbound.data import load, to_frame
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.inference import Sample
from lowerbound.data.tables.chunks import read_chunks
from lowerbound.data.tables.completion import completed_frame
from lowerbound.data.tables.files import read_frame

ROWS = 60
IDS = [None if row == 3 else 2**60 + 1 + row * 7919 % 1000 for row in range(ROWS)]
BEYOND = [None if row == 2 else 2**63 + 1 + row * 11 % 17 for row in range(ROWS)]
SMALL = [None if row % 7 == 0 else row % 11 for row in range(ROWS)]
NUMBERS = np.random.default_rng(0).normal(size=ROWS)
TABLE = pa.table(
    {
        "id": pa.array(IDS, pa.int64()),
        "beyond": pa.array(BEYOND, pa.uint64()),
        "small": pa.array(SMALL, pa.int8()),
        "whole": pa.array(range(ROWS), pa.int64()),
        "number": pa.array(NUMBERS, mask=np.arange(ROWS) % 5 == 1),
    }
)
TYPES = {"id": "Int64", "beyond": "UInt64", "small": "Int8", "whole": "int64", "number": "float64"}


def polars(table: pa.Table) -> Any:
    return pytest.importorskip("polars").from_arrow(table)


FORMS: dict[str, Any] = {
    "table": lambda table: table,
    "batch": lambda table: table.to_batches()[0],
    "reader": lambda table: table.to_reader(),
    "polars": polars,
    "lazy polars": lambda table: polars(table).lazy(),
}


def cells(series: pd.Series) -> list[int | None]:
    return [None if cell is pd.NA else int(cell) for cell in series]


def decimals(numbers: list[int | None]) -> list[Decimal | None]:
    return [None if number is None else Decimal(number) for number in numbers]


def check(frame: pd.DataFrame) -> None:
    assert [cells(frame[name]) for name in ("id", "beyond", "small")] == [IDS, BEYOND, SMALL]


@pytest.mark.parametrize("form", FORMS)
def test_columns_of_arrow_with_gaps(form: str) -> None:
    frame = as_frame(FORMS[form](TABLE))
    check(frame)
    assert frame.dtypes.astype(str).to_dict() == TYPES


@pytest.mark.parametrize("form", FORMS)
def test_decimals_of_arrow_are_whole_numbers_or_floats(form: str) -> None:
    cents = [None if row == 2 else Decimal(row) / 100 for row in range(ROWS)]
    large = [Decimal(10**30 + row) for row in range(ROWS)]
    table = pa.table(
        {
            "id": pa.array(decimals(IDS), pa.decimal128(38, 0)),
            "small": pa.array(decimals(SMALL), pa.decimal128(10, 0)),
            "cents": pa.array(cents, pa.decimal128(5, 2)),
            "large": pa.array(large, pa.decimal128(38, 0)),
        }
    )
    frame = as_frame(FORMS[form](table))
    types = {"id": "Int64", "small": "Int64", "cents": "float64", "large": "object"}
    assert frame.dtypes.astype(str).to_dict() == types
    assert [cells(frame[name]) for name in ("id", "small")] == [IDS, SMALL]
    assert frame["cents"].dropna().tolist() == [float(cell) for cell in cents if cell is not None]
    assert frame["large"].tolist() == large  # digits that no number of 64 bits holds


def test_levels_of_decimals_are_filled(tmp_path: Path) -> None:
    level = [None if row % 5 == 0 else Decimal(row % 4) for row in range(ROWS)]
    kinds = {"whole": pa.decimal128(10, 0), "tenths": pa.decimal128(5, 1)}
    table = pa.table({name: pa.array(level, kind) for name, kind in kinds.items()})
    pq.write_table(table, tmp_path / "t.parquet")
    frame = read_frame(tmp_path / "t.parquet")
    schema, hidden = load(frame, missing="model").schema, frame.isna().to_numpy()
    assert all(column.levels for column in schema.columns)
    filled = completed_frame(frame, schema, np.full((ROWS, 2), 2), hidden, exact=True)
    wanted = [2 if cell is None else int(cell) for cell in level]
    assert pa.Table.from_pandas(filled).to_pydict() == {"whole": wanted, "tenths": wanted}


def test_files_with_gaps_at_once_and_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(TABLE, path)
    check(read_frame(path))
    schema = load(NUMBERS[:, None]).schema
    for rows in (1, 7, ROWS):
        check(pd.concat([chunk.frame.astype(object) for chunk in read_chunks(path, schema, rows)]))


def test_names_that_pandas_keeps_in_a_table_are_found() -> None:
    """Names that are numbers, and an index that is no row number."""
    frame = pd.DataFrame({0: IDS, 1: SMALL}, dtype="Int64").set_axis(range(9, 9 + ROWS))
    found = as_frame(pa.Table.from_pandas(frame).replace_schema_metadata(None))
    assert cells(found["0"]) == IDS
    metadata = pa.Table.from_pandas(frame.astype(object)).schema.metadata
    plain = pa.Table.from_pandas(frame).replace_schema_metadata(metadata)
    found = as_frame(plain)
    assert found.index.tolist() == frame.index.tolist()
    assert cells(found[0]) == IDS


def test_cells_with_a_marker_of_their_own_are_taken_out_of_whole_numbers() -> None:
    ids, small = ([-1 if cell is None else cell for cell in each] for each in (IDS, SMALL))
    frame = pd.DataFrame({"id": ids, "small": small, "number": NUMBERS})
    found = with_gaps(frame, -1)
    assert cells(found["id"]) == IDS
    assert cells(found["small"]) == SMALL
    pd.testing.assert_series_equal(found["number"], frame["number"])
    assert frame["id"].tolist() == ids


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:column 'id'", "ignore:columns 'id'")
@pytest.mark.parametrize("strategy", ["mean", "sample"])
def test_completed_rows_have_the_digits_of_the_given_ones(strategy: str) -> None:
    imputer = VAEImputer(epochs=1, calibration=0, random_state=0, strategy=strategy)
    found = imputer.fit(TABLE).transform(TABLE)
    for name, given in {"id": IDS, "beyond": BEYOND, "small": SMALL}.items():
        for before, after in zip(given, found[name], strict=True):
            assert before is None or int(after) == before
    assert not found[["small", "number"]].isna().any(axis=None)


@pytest.mark.parametrize(
    ("fitted", "answer", "dtype"),
    [("int8", 9.0, "Int8"), ("int64", 300.0, "Int64"), ("float64", 0.5, "Float64")],
)
def test_a_column_gets_room_for_answers_that_its_type_cannot_hold(
    fitted: str, answer: float, dtype: str
) -> None:
    values = np.arange(ROWS) * 5 % 101 / (2 if fitted == "float64" else 1)
    fit = pd.DataFrame({"small": values.astype(fitted), "number": NUMBERS})
    schema = load(fit, kinds={"small": "real", "number": "real"}).schema
    later = as_frame(TABLE.select(["small", "number"]))
    hidden = np.stack([later["small"].isna(), np.zeros(ROWS, bool)], axis=1)
    answers = np.full((ROWS, 2), answer)
    filled = completed_frame(later, schema, answers, hidden, exact=True)["small"]
    assert filled.dtype == dtype
    assert filled.tolist() == [answer if cell is None else cell for cell in SMALL]


AMOUNTS = [int(cell) for cell in 1e22 * np.exp(1 + NUMBERS)]  # of the smallest unit of a currency


@pytest.mark.parametrize("kind", [int, str])
def test_numbers_above_64_bits_are_floats(kind: type) -> None:
    """As int64, all of them would be -2**63."""
    given = pd.Series(map(kind, AMOUNTS), dtype=object)
    frame = pd.DataFrame({"amount": given, "number": NUMBERS})
    dataset = load(frame, missing="model")
    back = to_frame(dataset.schema, dataset.x)["amount"]
    np.testing.assert_allclose(back, np.array(AMOUNTS, dtype=float), rtol=1e-12)
    hidden = np.zeros((ROWS, 2), bool)
    hidden[4, 0] = True
    frame.loc[4, "amount"] = None
    filled = completed_frame(frame, dataset.schema, np.full((ROWS, 2), 3e22), hidden, exact=True)
    assert filled["amount"][4] == 3e22


@pytest.mark.parametrize(
    ("last", "dtype"), [(2**63 - 2**10, "int64"), (2**63, "uint64"), (2**64, "float64")]
)
def test_texts_are_whole_numbers_as_far_as_64_bits_go(last: int, dtype: str) -> None:
    assert Sample.of(pd.Series(["1", "20", str(last)], name="n")).column.dtype == dtype


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_values_beyond_a_type_are_the_last_that_it_holds(dtype: str) -> None:
    rules = Column("n", dtype=dtype).rules
    low, high = (int(cell) for cell in rules.typed(rules.rounded(np.array([-1e30, 1e30]))))
    limits = np.iinfo(dtype)
    assert low == limits.min
    assert high <= limits.max
    assert limits.max - high < max(limits.max / 2**52, 1)


def test_long_whole_numbers_beside_a_gap_keep_their_digits(tmp_path: Path) -> None:
    """A float has 53 binary digits, and pandas reads a column with a gap as floats."""
    accounts = [10**17 + 7 * (row % 4) for row in range(40)]
    frame = pd.DataFrame({"x": [row % 7 for row in range(40)], "account": accounts})
    whole, gaps = tmp_path / "whole.csv", tmp_path / "gaps.csv"
    frame.to_csv(whole, index=False)
    some = pd.array([None, *accounts[1:]], dtype="Int64")
    frame.assign(account=some).to_csv(gaps, index=False)
    levels = {10**17 + 7 * code for code in range(4)}
    for path in (whole, gaps):
        assert set(load(path).schema.columns[1].levels or ()) == levels
    schema = load(whole).schema
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no level is unknown
        (chunk,) = read_chunks(gaps, schema)
        found = load(chunk.frame, schema=schema)
    assert found.observed is not None
    assert (~found.observed).sum() == 1


@pytest.mark.parametrize("dtype", ["UInt8", "Int8", "uint8", "float16"])
def test_answers_beyond_the_type_of_a_column_do_not_wrap_around(dtype: str) -> None:
    frame = pd.DataFrame({"small": pd.Series([3, 4, 100, 2] * 10).astype(dtype)})
    rules = load(frame).schema.columns[0].rules
    low, high = rules.type_range
    beyond = np.array([-1e6, 7.0, 1e6])
    assert rules.typed(beyond).tolist() == [low, 7.0, high]
    assert list(rules.filling(beyond, frame["small"], exact=True)) == [low, 7.0, high]


def test_long_whole_numbers_in_a_column_of_text_are_levels(tmp_path: Path) -> None:
    """In a file with decimal commas every column is read as text."""
    ids = [str(10**17 + row % 5) for row in range(40)]
    frame = pd.DataFrame({"x": [row % 7 for row in range(40)], "id": ids})
    found = load(frame).schema.columns[1]
    assert found.levels == tuple(10**17 + code for code in range(5))
    assert found.dtype == "int64"
    frame["x"] = [f"{row % 7},5" for row in range(40)]
    frame.loc[3, "id"] = None
    frame.to_csv(tmp_path / "x.csv", index=False, sep=";")
    with pytest.warns(UserWarning, match="decimal commas"):
        again = load(tmp_path / "x.csv").schema.columns[1]
    assert set(again.levels or ()) == set(found.levels or ())
