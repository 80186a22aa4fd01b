"""Constant columns, missing values and the match by name or position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, strategies as st

from lowerbound.data import load, to_frame
from lowerbound.errors import DataError


def with_constant(value: float = 4.25) -> np.ndarray[Any, Any]:
    x = np.random.default_rng(0).normal(size=(6, 3))
    x[:, 1] = value
    return x


def test_a_constant_column_is_named_left_out_and_put_back() -> None:
    x = with_constant()
    with pytest.warns(UserWarning, match="no variation in column 'x1'") as caught:
        dataset = load(x)
    assert len(caught) == 1
    assert dataset.schema.event_shape == (2,)
    assert dataset.x.shape == (6, 2)
    restored = dataset.schema.decode(dataset.x)
    np.testing.assert_array_equal(restored[:, 1], x[:, 1])
    np.testing.assert_allclose(restored, x, rtol=1e-14)


def test_a_constant_column_that_changes_later_is_named() -> None:
    with pytest.warns(UserWarning, match="no variation"):
        schema = load(with_constant()).schema
    with pytest.warns(UserWarning, match="column 'x1' did not vary"):
        schema.encode(with_constant(5.0))


def test_a_constant_column_in_another_precision_is_still_the_same() -> None:
    with pytest.warns(UserWarning, match="no variation"):
        schema = load(with_constant(0.1)).schema
    schema.encode(with_constant(0.1).astype(np.float32))  # a warning would fail the test


def test_nothing_but_constants_is_refused() -> None:
    with pytest.raises(DataError, match="no column varies over the 5 rows"):
        load(np.ones((5, 2)))
    with pytest.raises(DataError, match=r"1 sample \(n_samples = 1\)"):
        load(np.array([[1.0, 2.0]]))


ONE_DATE = pd.Timestamp("2020-05-01 12:34:57")
OF_ONE_VALUE: dict[str, tuple[list[Any], str]] = {
    "date": ([ONE_DATE] * 6, "datetime"),
    "date or gap": ([ONE_DATE, pd.NaT] * 3, "datetime"),
    "one date": ([ONE_DATE, *[pd.NaT] * 5], "datetime"),
    "real": ([1.6e9 + 37] * 6, "real"),
    "one real": ([1.6e9 + 37, *[np.nan] * 5], "real"),
    "positive": ([1.6e9 + 37] * 6, "positive"),
    "mixed": ([0.0, 0.0, 1.6e9 + 37] * 2, "mixed"),
}


@pytest.mark.parametrize("case", OF_ONE_VALUE)
def test_a_modeled_column_of_one_value_is_0_in_model_units(case: str) -> None:
    """Raw, its square would be all that a model of float32 sees."""
    cells, kind = OF_ONE_VALUE[case]
    frame = pd.DataFrame({"a": np.arange(6) / 7, "c": cells})
    dataset = load(frame, missing="model", kinds={"a": "real", "c": kind})
    column = dataset.schema.columns[1]
    assert (column.kind, column.scale) == (kind, 1.0)
    present = frame["c"].notna() & (frame["c"] != column.atom)
    assert not dataset.x[:, 1].numpy()[present].any()
    back = to_frame(dataset.schema, dataset.x)["c"]
    given = frame["c"][present]
    pd.testing.assert_series_equal(back[present], given, rtol=1e-12, check_dtype=False)


@pytest.mark.slow
@given(
    st.integers(2, 30),
    st.integers(1, 6),
    st.data(),
    st.sampled_from([np.nan, np.inf, -np.inf]),
    st.sampled_from([np.float32, np.float64]),
)
def test_the_place_of_a_bad_value_is_named(
    rows: int, columns: int, data: st.DataObject, bad: float, dtype: Any
) -> None:
    row = data.draw(st.integers(0, rows - 1))
    column = data.draw(st.integers(0, columns - 1))
    x = np.random.default_rng(0).normal(size=(rows, columns)).astype(dtype)
    schema = load(x).schema
    x[row, column] = bad
    for read in (load, schema.encode):
        with pytest.raises(DataError) as caught:
            read(x)
        kind = "NaN" if np.isnan(bad) else "inf"
        assert f"column 'x{column}' has {kind} in row {row}, counted from 0" in str(caught.value)


def test_large_finite_values_are_not_taken_for_infinite() -> None:
    dataset = load(np.array([[1.7e308, 1.0], [1.6e308, 2.0], [1.5e308, 3.0]]))  # their sum is inf
    assert torch.isfinite(dataset.x).all()


def test_many_bad_rows_are_counted() -> None:
    x = np.ones((50, 2))
    x[10:40, 1] = np.nan
    with pytest.raises(DataError, match="rows 10, 11, 12, 13, 14 and 25 more, counted from 0"):
        load(x)


def test_columns_are_matched_by_name_whatever_their_order() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [3, 5, 4], "c": [0.5, 0.25, 0.125]})
    schema = load(frame).schema
    expected = schema.encode(frame)
    torch.testing.assert_close(schema.encode(frame[["c", "a", "b"]]), expected, rtol=0, atol=0)
    torch.testing.assert_close(schema.encode(frame.to_numpy()), expected, rtol=0, atol=0)


def test_a_missing_column_is_named() -> None:
    frame = pd.DataFrame({"age": [1.0, 2.0, 4.0], "height": [3, 5, 4]})
    schema = load(frame).schema
    with pytest.raises(DataError, match="column 'height' missing; the data has age, hight"):
        schema.encode(frame.rename(columns={"height": "hight"}))


def test_unknown_columns_are_ignored_and_named() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [3, 5, 4]})
    dataset = load(frame)
    with pytest.warns(UserWarning, match="not fitted on column 'new': ignored"):
        again = load(frame.assign(new=[9, 9, 9]), schema=dataset.schema)
    torch.testing.assert_close(again.x, dataset.x, rtol=0, atol=0)


def test_a_frame_comes_back_with_names_types_and_values() -> None:
    frame = pd.DataFrame(
        {
            "real": [0.1, 0.2, 0.4],
            "count": np.array([3, 500, 41], dtype=np.int64),
            "small": np.array([1, 2, 200], dtype=np.uint8),
            "flag": [True, False, True],
        }
    )
    dataset = load(frame)
    pd.testing.assert_frame_equal(to_frame(dataset.schema, dataset.x), frame)


def test_float32_columns_stay_float32() -> None:
    x = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    dataset = load(x)
    assert dataset.x.dtype == torch.float32
    assert dataset.schema.decode(dataset.x).dtype == np.float32


def test_binary_columns_are_recognized_whatever_their_type() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (20, 4))
    for x in (bits, bits.astype(bool), bits.astype(np.float32)):
        dataset = load(x)
        assert dataset.schema.levels == 2
        assert dataset.x.dtype == torch.uint8
        batch = dataset.all()
        assert batch.x is not None
        np.testing.assert_array_equal(batch.x.numpy(), bits)
        np.testing.assert_array_equal(dataset.schema.decode(batch.x), bits)


def test_a_few_whole_numbers_are_still_real() -> None:
    assert load(np.random.default_rng(0).integers(0, 3, (30, 2))).schema.levels is None


def test_columns_can_keep_their_units() -> None:
    x = np.random.default_rng(0).normal(5, 3, (9, 2))
    dataset = load(x, standardize=False)
    np.testing.assert_array_equal(dataset.x.numpy(), x)
    assert dataset.log_jacobian(mass=False).tolist() == [0] * 9


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_value_beyond_float32_is_moved_and_named(dtype: str) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 2)).astype(dtype)
    schema, far = load(rows).schema, rows[:3].copy()
    far[1, 1] = -1e25
    with pytest.warns(UserWarning, match=r"'x1' has -1e\+25 in row 1, .* counts as 1e\+18"):
        units = schema.encode(far)
    assert float(units[1, 1]) == pytest.approx(-1e18)
    assert torch.isfinite(units.float().square().sum())
    assert torch.equal(units[[0, 2]], schema.encode(rows[[0, 2]]))
