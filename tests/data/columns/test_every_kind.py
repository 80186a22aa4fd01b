"""Conventions of column kinds, over the registry: a new kind is checked by code that exists."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lowerbound.data.columns.kind import COLUMN_KINDS
from lowerbound.likelihoods.columns.group import COLUMN_FAMILIES
from tests.data.columns.every_kind import (
    ROWS,
    VALUES,
    check_expectation,
    check_features,
    check_round_trip,
    check_slope,
    column_of,
)

HINTS = {"bounded": {"kind": "bounded", "low": 0, "high": 1}}
MODELED = [kind for kind in COLUMN_KINDS if COLUMN_KINDS[kind].modeled]


def values(kind: str) -> pd.Series:
    """Of a kind that is not named there, numbers between 0 and 1."""
    random = np.random.default_rng(0)
    found = VALUES.get(kind, lambda r: r.uniform(0.05, 0.95, ROWS))(random)
    return pd.Series(found, name="values")


@pytest.mark.parametrize("kind", COLUMN_KINDS)
def test_values_come_back_and_missing_cells_stay_missing(kind: str) -> None:
    check_round_trip(values(kind), HINTS.get(kind, kind))


@pytest.mark.parametrize("kind", COLUMN_KINDS)
def test_the_values_of_the_fit_are_not_unseen(kind: str) -> None:
    given = values(kind).mask(np.arange(ROWS) % 5 == 1)
    assert not column_of(values(kind), HINTS.get(kind, kind)).rules.unseen(given).any()


@pytest.mark.parametrize("kind", MODELED)
def test_the_slope_is_the_derivative_of_the_map(kind: str) -> None:
    check_slope(column_of(values(kind), HINTS.get(kind, kind)))


@pytest.mark.parametrize("kind", MODELED)
def test_features_are_standardized_and_hidden_cells_have_none(kind: str) -> None:
    check_features(column_of(values(kind), HINTS.get(kind, kind)), values(kind))


@pytest.mark.parametrize("kind", MODELED)
def test_expectations_are_the_means_of_draws(kind: str) -> None:
    check_expectation(column_of(values(kind), HINTS.get(kind, kind)))


@pytest.mark.parametrize("kind", COLUMN_KINDS)
def test_what_is_modeled_has_a_family(kind: str) -> None:
    assert (COLUMN_KINDS[kind].family in COLUMN_FAMILIES) == COLUMN_KINDS[kind].modeled


@pytest.mark.parametrize(("low", "high"), [(-3.0, 7.0), (100.0, 100.5)])
def test_the_slope_of_a_bounded_column_contains_the_width_of_its_range(
    low: float, high: float
) -> None:
    inside = low + (high - low) * values("bounded")
    column = column_of(inside, {"kind": "bounded", "low": low, "high": high})
    assert (column.low, column.high) == (low, high)
    check_slope(column)
