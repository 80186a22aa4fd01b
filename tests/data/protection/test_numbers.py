"""Bounds of numbers, isolated values, and values that are drawn as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.protection.numbers import bounds, protected_numbers
from lowerbound.data.protection.record import People

CENTS, WHOLE, REAL = Lattice(0.01, decimals=2), Lattice(1.0), Lattice()


def each(rows: int, least: int = 10) -> People:
    return People(np.arange(rows), least)


@pytest.mark.parametrize("lattice", [CENTS, WHOLE, REAL])
@pytest.mark.parametrize("seed", range(5))
def test_bounds_lie_inside_the_kth_person_and_are_no_ones_value(
    lattice: Lattice, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    values = lattice.nearest(np.exp(draw.normal(8, 1.5, 700)))
    low, high = bounds(values, each(700), lattice)
    assert (values > high).sum() >= 10
    assert (values < low).sum() >= 10
    assert (values > high).sum() < 20
    assert lattice.nearest(np.array([low, high])).tolist() == [low, high]
    if lattice is REAL:
        assert not np.isin([low, high], values).any()


def test_a_bound_that_k_people_have_stays() -> None:
    values = np.r_[np.zeros(50), np.arange(1, 101), np.full(10, 200.0)]
    assert bounds(values, each(len(values)), WHOLE) == (0.0, 200.0)


def test_people_count_and_not_rows() -> None:
    """One person has the 30 largest values."""
    values = np.r_[np.arange(300.0), 1_000 + np.arange(30)]
    owner = np.r_[np.arange(300), np.full(30, 300)]
    assert bounds(values, People(owner, 10), WHOLE)[1] < 300
    assert bounds(values, each(330), WHOLE)[1] > 1_000


def test_isolated_values_are_moved() -> None:
    draw = np.random.default_rng(0)
    values = np.r_[draw.normal(0, 1, 300), [20.0, 20.5, 21.0], draw.normal(40, 1, 297)]
    found = protected_numbers(values, each(600), REAL)
    assert found is not None
    assert found.isolated == 3
    assert not ((found.values > 10) & (found.values < 30)).any()


def test_an_amount_of_one_person_among_zeros_is_not_kept() -> None:
    """A histogram would draw each of so few values exactly."""
    draw = np.random.default_rng(0)
    amounts = np.exp(draw.normal(8, 1, 60)).round()
    values = np.r_[np.zeros(540), amounts]
    found = protected_numbers(values, each(600), WHOLE)
    assert found is not None
    assert set(found.values) & set(values) == {0.0}


def test_a_dense_value_of_few_people_is_a_number() -> None:
    ages = np.repeat(np.arange(20.0, 70.0), 8)
    found = protected_numbers(ages, each(400), WHOLE)
    assert found is not None
    assert 37 in found.values
    assert found.isolated == 0


def test_too_few_people_have_a_value() -> None:
    values = np.full(100, np.nan)
    values[:9] = 1.0
    assert protected_numbers(values, each(100), WHOLE) is None


def test_an_odd_value_of_few_people_among_tenths_is_moved() -> None:
    values = np.random.default_rng(0).normal(50, 10, 1000).round(1)
    values[:9] = 53.17
    found = protected_numbers(values, People(np.arange(1000), 10), Lattice.of(values))
    assert found is not None
    assert not np.isin(found.values, 53.17).any()
    assert found.isolated < 50  # tenths stay
