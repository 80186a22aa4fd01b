"""A schema takes data into model units and back without losing anything, and knows its Jacobian."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats

from lowerbound.data import RawData, Schema, load
from lowerbound.data.reading import Reading
from lowerbound.errors import DataError, OptionError

PICTURES = {
    "squeezed": (5, 8, 6),
    "first": (5, 3, 8, 6),
    "last": (5, 8, 6, 3),
}


def uint8_pictures(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("layout", PICTURES)
def test_pictures_come_back_exactly_in_the_layout_they_came_in(layout: str) -> None:
    pictures = uint8_pictures(PICTURES[layout])
    schema = load(pictures).schema
    assert schema.event_shape == ((1, 8, 6) if layout == "squeezed" else (3, 8, 6))
    restored = schema.decode(schema.encode(pictures))
    assert restored.dtype == np.uint8
    np.testing.assert_array_equal(restored, pictures)


@pytest.mark.parametrize("layout", PICTURES)
def test_every_layout_of_the_fitted_size_is_understood(layout: str) -> None:
    pictures = uint8_pictures((5, 8, 6))
    schema = load(pictures).schema
    other = {"squeezed": pictures, "first": pictures[:, None], "last": pictures[..., None]}[layout]
    torch.testing.assert_close(schema.encode(other), schema.encode(pictures), rtol=0, atol=0)


@given(
    arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5)),
)
def test_any_uint8_pictures_survive_the_round_trip(pictures: np.ndarray[Any, Any]) -> None:
    schema = load(pictures).schema
    np.testing.assert_array_equal(schema.decode(schema.encode(pictures)), pictures)


@given(
    st.lists(
        st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 300)), min_size=2, max_size=20
    ).filter(lambda rows: all(len(set(column)) > 1 for column in zip(*rows, strict=True)))
)
def test_whole_numbers_in_columns_survive_standardization(rows: list[tuple[int, int]]) -> None:
    x = np.array(rows, dtype=np.int64)
    schema = load(x).schema
    restored = schema.decode(schema.encode(x))
    assert restored.dtype == np.int64
    np.testing.assert_array_equal(restored, x)


def test_real_columns_enter_with_mean_zero_and_variance_one() -> None:
    x = np.random.default_rng(0).normal([3.0, -50.0], [0.01, 7.0], (200, 2))
    units = load(x).x
    assert units.dtype == torch.float64
    torch.testing.assert_close(
        units.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-9, rtol=0
    )
    torch.testing.assert_close(units.var(0, correction=0), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("size", [1e308, 1e-300])
def test_extreme_sizes_neither_overflow_nor_vanish(size: float) -> None:
    x = np.array([[-1.0], [0.5], [1.0]]) * size
    dataset = load(x)
    assert torch.isfinite(dataset.x).all()
    np.testing.assert_allclose(dataset.schema.decode(dataset.x), x, rtol=1e-12)


def test_a_value_beyond_what_networks_compute_is_moved_and_named() -> None:
    schema = load(np.array([[-1.0, 2.0], [0.5, 3.0], [1.0, 4.0]])).schema
    with pytest.warns(UserWarning, match=r"column 'x1' has 1.7e\+308 in row 1, counted from 0"):
        units = schema.encode(np.array([[0.0, 2.0], [0.0, 1.7e308]]))
    assert float(units[1, 1]) == 1e18


def test_log_jacobian_of_columns_gives_the_density_in_their_own_units() -> None:
    """log N(v; shift, scale) = log N(u; 0, 1) + log_jacobian, by scipy's density."""
    x = np.random.default_rng(0).normal([3.0, -50.0], [0.01, 7.0], (50, 2))
    schema = load(x).schema
    units = schema.encode(x)
    jacobian = schema.log_jacobian(units, mass=False).numpy()
    inside = stats.norm.logpdf(units.numpy()).sum(1) + jacobian
    shift, scale = (np.array([getattr(c, n) for c in schema.columns]) for n in ("shift", "scale"))
    np.testing.assert_allclose(inside, stats.norm.logpdf(x, shift, scale).sum(1), rtol=1e-12)


@pytest.mark.parametrize(
    "x",
    [
        np.random.default_rng(0).normal(size=(9, 3)) * [1, 20, 0.3],
        uint8_pictures((4, 3, 5)),
        np.random.default_rng(0).random((4, 3, 5)),
        np.random.default_rng(0).integers(0, 2, (9, 3)),
    ],
    ids=["columns", "uint8", "floats", "bits"],
)
def test_log_jacobian_is_the_determinant_of_the_map(x: np.ndarray[Any, Any]) -> None:
    """-log |d decode / d units| by central differences; decode without rounding is the map."""
    schema = load(x).schema
    point = torch.full((1, *schema.event_shape), 0.4, dtype=torch.float64)
    flat = schema.dimension
    steps = 1e-3 * torch.eye(flat, dtype=torch.float64).reshape(flat, *schema.event_shape)
    above, below = (
        schema.decode(point + s, rounded=False).reshape(flat, -1) for s in (steps, -steps)
    )
    _, log_determinant = np.linalg.slogdet((above - below) / 2e-3)
    (found,) = schema.log_jacobian(point, mass=False).tolist()
    assert found == pytest.approx(-log_determinant, abs=1e-9)


@pytest.mark.parametrize("binarize", ["none", "dynamic", "threshold"])
def test_probabilities_of_values_need_no_jacobian(binarize: Any) -> None:
    dataset = load(uint8_pictures((4, 3, 5)), binarize=binarize)
    assert dataset.log_jacobian(mass=True).tolist() == [0] * 4
    if binarize != "none":
        assert dataset.log_jacobian(mass=False).tolist() == [0] * 4


def schemas() -> dict[str, Schema]:
    names = ["ja", "nein", "ja", "nein", "ja"]
    with pytest.warns(UserWarning, match="no variation"):
        constant = load(np.array([[0.1, 7, 3], [0.7, 7, 2], [1 / 3, 7, 1]])).schema
    return {
        "columns": constant,
        "pictures": load(uint8_pictures((5, 8, 6)), label=names, binarize="dynamic").schema,
        "conditional": load(uint8_pictures((5, 8, 6)), label=names).conditioned_on_label().schema,
        "digits": load("digits").schema,
        "table": load("wine").schema,
    }


@pytest.mark.parametrize("name", ["columns", "pictures", "conditional", "digits", "table"])
def test_json_gives_back_the_same_schema(name: str) -> None:
    schema = schemas()[name]
    restored = Schema.from_mapping(json.loads(json.dumps(schema.to_mapping(), allow_nan=False)))
    assert restored == schema


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(OptionError, match="did you mean 'levels'"):
        Schema.from_mapping({**schemas()["digits"].to_mapping(), "level": 3})


def test_decode_takes_samples_by_rows() -> None:
    schema = load("digits").schema
    x = torch.rand(3, 4, 1, 8, 8)
    decoded = schema.decode(x)
    assert decoded.shape == (3, 4, 8, 8)
    np.testing.assert_array_equal(decoded[1], schema.decode(x[1]))


def test_decode_rounds_to_the_nearest_level_and_keeps_fractions_on_demand() -> None:
    schema = load("digits").schema
    x = torch.tensor([-0.2, 0.0, 0.47 / 16, 7.6 / 16, 1.0, 3.0]).reshape(6, 1, 1, 1)
    np.testing.assert_array_equal(schema.decode(x).ravel(), [0, 0, 0, 8, 16, 16])
    fractions = schema.decode(x, rounded=False).ravel()
    np.testing.assert_allclose(fractions, x.ravel().numpy() * 16.0, rtol=1e-6)


def test_a_picture_of_another_size_is_refused_with_both_sizes() -> None:
    schema = load(uint8_pictures((5, 8, 6))).schema
    with pytest.raises(DataError, match=r"8 high and 6 wide.*\(5, 6, 8\)"):
        schema.encode(uint8_pictures((5, 6, 8)))


@pytest.mark.parametrize("width", [2, 4])
def test_another_number_of_columns_is_refused_with_both_numbers(width: int) -> None:
    schema = load(np.random.default_rng(0).normal(size=(9, 3))).schema
    with pytest.raises(DataError, match=f"has {width} columns, expected 3"):
        schema.encode(np.zeros((4, width)))


def test_values_between_the_levels_are_refused() -> None:
    schema = load(np.array([[[0, 1], [1, 0]]], dtype=np.uint8)).schema
    assert schema.levels == 2
    with pytest.raises(DataError, match="only 0 and 1; found whole numbers from 0 to 9"):
        schema.encode(np.array([[[0, 9], [1, 0]]], dtype=np.uint8))


def test_floats_and_whole_numbers_are_not_confused() -> None:
    grey = uint8_pictures((4, 3, 5))
    with pytest.raises(DataError, match=r"256 levels from 0 to 255; found numbers from 0"):
        load(grey).schema.encode(grey / 255)
    with pytest.raises(DataError, match=r"floats in \[0, 1\]; found whole numbers"):
        load(grey / 255).schema.encode(grey)


def test_whole_numbers_stored_as_floats_fit_a_schema_of_integers() -> None:
    grey = uint8_pictures((4, 3, 5))
    schema = load(grey).schema
    torch.testing.assert_close(schema.encode(grey.astype(np.float64)), schema.encode(grey))


def test_the_persons_array_is_neither_changed_nor_shared() -> None:
    pictures = np.random.default_rng(0).random((4, 3, 5))
    before = pictures.copy()
    dataset = Reading().encoded(RawData(pictures))
    dataset.x.zero_()
    dataset.schema.encode(pictures).zero_()
    np.testing.assert_array_equal(pictures, before)
