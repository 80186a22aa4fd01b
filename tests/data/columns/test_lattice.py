"""The resolution of numbers: the coarsest lattice that has every value, and its neighbors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice, significant_digits
from lowerbound.errors import OptionError


@pytest.mark.parametrize(
    ("values", "step", "offset"),
    [
        ([3.0, 8.0, 20.0], 1.0, 0.0),
        ([500.0, 2500.0, 1000.0], 500.0, 0.0),
        ([7.0, 17.0, 47.0], 10.0, 7.0),
        ([19.99, 0.5, 3.0, 3.01], 0.01, 0.0),
        ([-0.75, 0.5, 1.0], 0.25, 0.0),
        ([1.5, np.nan, 2.0], 0.5, 0.0),
        ([np.pi, np.e], 0.0, 0.0),
    ],
)
def test_the_coarsest_lattice(values: list[float], step: float, offset: float) -> None:
    found = Lattice.of(np.array(values))
    assert (found.step, found.offset) == (step, offset)


def test_numbers_of_single_precision() -> None:
    values = np.array([0.1, 0.7, 2.3], dtype=np.float32).astype(np.float64)
    assert Lattice.of(values, "float32").step == 0.2
    assert Lattice.of(values).step == 0.0


@pytest.mark.parametrize("digits", [0, 15])
def test_float32_numbers_that_were_written_in_decimals(digits: int) -> None:
    random = np.random.default_rng(0)
    plain = np.round(random.uniform(600, 700, 300), 1)
    narrow = plain.astype(np.float32).astype(np.float64)
    written = np.array([float(f"{value:.15g}") for value in narrow]) if digits else narrow
    assert Lattice.of(written).step == 0 or Lattice.of(written).decimals > 8
    found = Lattice.found(written)
    assert (found.step, found.decimals, found.single) == (0.1, 1, True)
    assert np.array_equal(found.nearest(written), written)
    assert np.array_equal(found.nearest(plain + random.uniform(-0.04, 0.04, 300)), written)
    assert np.array_equal(found.at_least(written), written)
    assert np.array_equal(found.at_most(written), written)
    steps = np.round(found.at_least(written, strictly=True) - found.at_most(written, True), 3)
    assert (steps == 0.2).all()
    logs = np.log(plain).astype(np.float32).astype(np.float64)
    assert np.array_equal(Lattice.found(logs).nearest(np.log(plain)), logs)
    for other in (plain, np.log(plain), np.arange(9.0), np.array([1.5, 2.25])):
        assert not Lattice.found(other).single
        assert Lattice.found(other) == Lattice.of(other)


def test_neighbors_are_exact_decimals() -> None:
    cents = Lattice.of(np.array([0.01, 0.02, 0.07]))
    values = np.random.default_rng(0).uniform(0, 1000, 5_000)
    near = cents.nearest(values)
    assert np.array_equal(near, np.round(values, 2))
    assert (cents.at_least(values) >= values).all()
    assert (cents.at_most(values) <= values).all()
    assert np.allclose(cents.at_least(values) - cents.at_most(values), 0.01)


def test_strict_neighbors_differ() -> None:
    fives = Lattice(5.0)
    ends = np.array([10.0, 11.0])
    assert fives.at_least(ends).tolist() == [10.0, 15.0]
    assert fives.at_least(ends, strictly=True).tolist() == [15.0, 15.0]
    assert fives.at_most(ends).tolist() == [10.0, 10.0]
    assert fives.at_most(ends, strictly=True).tolist() == [5.0, 10.0]
    free = Lattice()
    assert (free.at_least(ends, strictly=True) > ends).all()
    assert (free.at_most(ends, strictly=True) < ends).all()


@pytest.mark.parametrize(
    "fields", [{"step": -1.0}, {"step": np.inf}, {"offset": np.nan}, {"decimals": 400}]
)
def test_numbers_from_a_strange_file_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="resolution of a column"):
        Lattice(**fields)


@pytest.mark.parametrize("ends", [(2.0, 1.0), (np.nan, 1.0), (0.0, np.inf)])
def test_a_strange_range_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(OptionError, match="not a range of numbers"):
        Column("a", observed=ends)


def test_draws_of_decimal_numbers_have_their_digits() -> None:
    """Numbers of 15 digits are on no lattice; draws of the frequent ones still equal them."""
    values = np.array([9.0, 10.5, 11.8182401657104, 18.0])
    found = Lattice.of(values)
    assert (found.step, found.digits) == (0.0, 15)
    near = np.nextafter(values, np.inf)
    assert not np.isin(near, values).any()
    assert np.array_equal(found.nearest(near), values)
    assert np.array_equal(found.nearest(-np.array([[0.0, 1 / 3]])), [[0.0, -0.333333333333333]])
    assert np.isnan(found.nearest(np.array([np.nan]))).all()
    assert Lattice.of(np.append(values, 1 / 3)).digits == 0  # 16 digits
    assert Lattice.of(np.append(values, 0.1 + 0.2)).digits == 0
    assert Lattice.of(np.array([1.25e-12, 3e300])).digits == 3


def test_all_numbers_count_and_not_only_the_first_ones() -> None:
    draw = np.random.default_rng(0)
    single = draw.normal(0, 500, 400).astype(np.float32).astype(np.float64)
    assert Lattice.found(single).single
    later = single.copy()
    later[-1] = 0.1234567890123
    assert not Lattice.found(later).single
    few = np.array([float(f"{value:.3e}") * 1e-12 for value in draw.normal(0, 5, 400)])
    few = np.array([float(f"{value:.3e}") for value in few])
    assert significant_digits(few) == 4
    assert significant_digits(np.append(few, 1.23456789e-12)) == 9
    assert significant_digits(np.append(few, 0.1 + 0.2)) == 0
    tenths = np.append(np.arange(300) / 10, 7.25)
    assert Lattice.of(tenths).step == 0.05
