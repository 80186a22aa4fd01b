"""Columns of types that numpy has not: they are read, and come back as what they were."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lowerbound import TableSynthesizer, VAEImputer
from lowerbound.data import Schema, load, to_frame
from lowerbound.data.columns.inference import numpy_name

ROWS = 60
RNG = np.random.default_rng(0)
PLACE = np.arange(ROWS)
NUMBERS = RNG.integers(1, 10_000, ROWS)
BANDS = pd.arrays.IntervalArray.from_breaks([0, 1 / 3, 20, 30])
MOMENTS = pd.to_datetime(["2020-01-01 00:00", "2020-01-02 09:00", "2020-01-03 18:00"])
KEPT: dict[str, Any] = {
    "months": pd.period_range("2015-01", periods=ROWS, freq="M"),
    "quarters": pd.period_range("2015-01", periods=4, freq="Q")[PLACE % 4],
    "bands": BANDS.take(PLACE % 3),
    "cut": pd.cut(np.linspace(0.1, 29.9, ROWS), [0, 10, 20, 30]),
    "bands of time": pd.Categorical(pd.arrays.IntervalArray.from_breaks(MOMENTS).take(PLACE % 2)),
    "category of moments": pd.Categorical(MOMENTS[PLACE % 3], MOMENTS, ordered=True),
    "category in a zone": pd.Categorical(MOMENTS.tz_localize("Europe/Vienna")[PLACE % 3]),
    "category of dates": pd.Categorical(list(MOMENTS.date[PLACE % 3])),
    "category of durations": pd.Categorical(pd.to_timedelta(PLACE % 3, unit="h")),
    "category of months": pd.Categorical(pd.period_range("2020-01", periods=3, freq="M")),
}
KEPT["category of months"] = KEPT["category of months"].take(PLACE % 3)
HELD = {name: pd.Series(cells) for name, cells in KEPT.items()}
HOURS = pd.Series(pd.to_timedelta(NUMBERS, unit="s"))
TIMES = pd.Series(pd.date_range("2020-01-01", periods=ROWS, freq="23min").time)
CENTS = pd.Series(NUMBERS / 100.0)


def of_arrow(values: Any, kind: Any) -> Any:
    return pd.Series(pd.array(pa.array(list(values), kind), dtype=pd.ArrowDtype(kind)))


UNPACKED: dict[str, tuple[Any, Any]] = {
    "dictionary": (
        of_arrow(["xyz"[i % 3] for i in PLACE], pa.dictionary(pa.int32(), pa.string())),
        pd.Series(["xyz"[i % 3] for i in PLACE], dtype="category"),
    ),
    "decimals": (
        of_arrow([Decimal(int(n)) / 100 for n in NUMBERS], pa.decimal128(10, 2)),
        CENTS,
    ),
    "durations": (of_arrow(HOURS, pa.duration("ms")), HOURS.astype("timedelta64[ms]")),
    "times": (of_arrow(TIMES, pa.time64("us")), TIMES),
    "sparse": (CENTS.where(PLACE % 2 > 0, 0.0).astype("Sparse[float]"), CENTS * (PLACE % 2)),
    "sparse bits": (pd.Series(PLACE % 3 > 0).astype("Sparse[bool]"), pd.Series(PLACE % 3 > 0)),
}


def again(cells: Any) -> Any:
    """A column after it was read, and its schema was written and read."""
    dataset = load(pd.DataFrame({"real": RNG.normal(size=ROWS), "c": cells}))
    schema = Schema.from_mapping(dataset.schema.to_mapping())
    return to_frame(schema, schema.units(dataset.x))["c"]


@pytest.mark.parametrize("name", HELD)
def test_a_column_comes_back_in_its_type(name: str) -> None:
    pd.testing.assert_series_equal(again(HELD[name]), HELD[name], check_names=False)


@pytest.mark.parametrize("name", UNPACKED)
def test_packed_columns_are_those_of_plain_types(name: str) -> None:
    packed, plain = UNPACKED[name]
    pd.testing.assert_series_equal(again(packed), plain, check_names=False)


def test_missing_cells_of_packed_columns_are_missing() -> None:
    gone = PLACE % 7 == 0
    arrow = ("dictionary", "decimals", "durations", "times")
    gaps = {name: UNPACKED[name][0].mask(gone) for name in arrow}
    gaps["sparse"] = CENTS.mask(gone).astype("Sparse[float]")
    observed = load(pd.DataFrame(gaps)).observed
    assert observed is not None
    np.testing.assert_array_equal(~observed, np.tile(gone[:, None], len(gaps)))


def test_text_of_arrow_comes_back_as_text() -> None:
    text = [f"{'xyz'[i % 3]}" for i in PLACE]
    assert again(of_arrow(text, pa.large_string())).tolist() == text


def test_numpy_names_of_types_that_numpy_has_not() -> None:
    for kind in ("interval[int64, right]", "large_string[pyarrow]", "binary[pyarrow]"):
        assert numpy_name(pd.api.types.pandas_dtype(kind)) == "str"
    assert numpy_name(pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string()))) == "str"
    assert numpy_name(pd.ArrowDtype(pa.decimal128(10, 2))) == "float64"
    assert numpy_name(pd.ArrowDtype(pa.float16())) == "float64"


@pytest.mark.slow
def test_synthetic_rows_and_filled_rows_have_the_types() -> None:
    frame = pd.DataFrame({**HELD, "arrow": of_arrow(NUMBERS, pa.int32())})
    kinds = frame.dtypes.to_dict()
    drawn = TableSynthesizer(minutes=0.001, random_state=0).fit(frame).sample(5)
    assert drawn.dtypes.to_dict() == kinds
    gaps = frame.mask(RNG.random(frame.shape) < 0.1)
    gaps["bands"] = gaps["bands"].astype(kinds["bands"])
    filled = VAEImputer(epochs=1, calibration=0, random_state=0).fit(gaps).transform(gaps)
    for name in HELD:
        assert filled[name].dtype == kinds[name]
        assert not filled[name].isna().any()
        seen = gaps[name].notna()
        assert filled[name][seen].tolist() == frame[name][seen].tolist()


@pytest.mark.slow
def test_packed_columns_are_drawn_and_filled() -> None:
    frame = pd.DataFrame({name: packed for name, (packed, _) in UNPACKED.items()})
    frame["sparse"] = CENTS.mask(PLACE % 5 == 0).astype("Sparse[float]")
    frame["durations"] = frame["durations"].mask(PLACE % 4 == 0)
    plain = {name: plain.dtype for name, (_, plain) in UNPACKED.items()}
    drawn = TableSynthesizer(minutes=0.001, random_state=0).fit(frame).sample(5)
    assert drawn.dtypes.to_dict() == plain
    filled = VAEImputer(epochs=1, calibration=0, random_state=0).fit(frame).transform(frame)
    assert filled.dtypes.to_dict() == plain
    assert not filled.isna().any().any()
