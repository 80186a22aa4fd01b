"""Sequences as rows (time, features), from memory and from files, in model units and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lowerbound.data import Schema, Sequences, load
from lowerbound.errors import DataError

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.normal(size=(20, 6, 3)) * [1.0, 10.0, 0.1] + [5.0, 0.0, -3.0]


def test_a_feature_has_the_same_units_at_all_times() -> None:
    data = load(Sequences(VALUES))
    assert data.schema.kind == "sequences"
    assert data.schema.event_shape == (6, 3)
    x = data.all().filled.reshape(-1, 3)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(x.std(0, correction=0), 1)
    np.testing.assert_allclose(data.schema.decode(data.x), VALUES)
    jacobian = -6 * np.log(VALUES.reshape(-1, 3).std(0)).sum()
    np.testing.assert_allclose(data.log_jacobian(mass=False), np.full(20, jacobian))
    assert data.schema.data_kind.feature_names(data.schema)[:4] == ["x0@0", "x1@0", "x2@0", "x0@1"]


def test_the_schema_comes_back_from_its_mapping_and_encodes_alike() -> None:
    data = load(Sequences(VALUES))
    schema = Schema.from_mapping(data.schema.to_mapping())
    assert schema == data.schema
    np.testing.assert_array_equal(load(Sequences(VALUES[:4]), schema=schema).x, data.x[:4])
    np.testing.assert_array_equal(load(VALUES[:4], schema=schema).x, data.x[:4])


def test_missing_cells_and_constant_features() -> None:
    values = VALUES.copy()
    values[..., 1] = 7.0
    values[3, 2, 0] = np.nan
    with pytest.warns(UserWarning, match="no variation in column 'x1'"):
        data = load(Sequences(values))
    assert data.schema.event_shape == (6, 2)
    assert data.schema.missing
    assert data.observed is not None
    assert (~data.observed).nonzero().tolist() == [[3, 2, 0]]
    decoded = data.schema.decode(data.x)
    np.testing.assert_allclose(decoded[:3], values[:3])
    hidden = data.schema.data_kind.laid_out(data.schema, ~data.observed.numpy())
    np.testing.assert_array_equal(hidden, np.isnan(values))
    again = data.schema.data_kind.as_event(data.schema, hidden)
    np.testing.assert_array_equal(again, ~data.observed.numpy())
    complete = load(Sequences(VALUES)).schema
    with pytest.raises(DataError, match="missing"):
        load(Sequences(np.where(np.isnan(values), np.nan, VALUES)), schema=complete)


def test_a_file_says_that_it_holds_sequences(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", sequences=VALUES)
    np.savez(tmp_path / "b.npz", x=VALUES)
    data = load(tmp_path / "a.npz")
    assert data.schema.event_shape == (6, 3)
    np.testing.assert_array_equal(data.x, load(Sequences(VALUES)).x)
    assert load(tmp_path / "b.npz", schema=data.schema).schema.kind == "sequences"
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "damaged.npz")


@pytest.mark.parametrize("shape", [(6, 3), (2, 6, 3, 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="sequences need shape"):
        load(Sequences(np.zeros(shape)))


def test_another_length_is_refused() -> None:
    schema = load(Sequences(VALUES)).schema
    with pytest.raises(DataError, match="6 times of 3 features"):
        load(Sequences(VALUES[:, :5]), schema=schema)


@pytest.mark.parametrize("dtype", ["int32", "float32", "float64"])
def test_decoded_rows_have_the_type_of_the_fitted_ones(dtype: str) -> None:
    values = (10 * VALUES).round().astype(dtype)
    data = load(Sequences(values))
    rounded, exact = (data.schema.decode(data.x, rounded=rounded) for rounded in (True, False))
    assert rounded.dtype == dtype
    np.testing.assert_allclose(rounded, values, rtol=1e-6, atol=1e-6)
    assert exact.dtype.kind == "f"
