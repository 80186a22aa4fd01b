"""A few values far from the others leave the others their resolution, and come back themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lowerbound import TableSynthesizer, VAEImputer
from lowerbound.data import history_frame, load
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import bulk_of, resolved
from lowerbound.errors import OptionError
from tests.data.columns.every_kind import (
    VALUES,
    check_expectation,
    check_features,
    check_round_trip,
    check_slope,
    column_of,
)

KINDS = ("real", "positive", "mixed")
FAR = 1e12


def values(kind: str) -> pd.Series:
    found = np.array(VALUES[kind](np.random.default_rng(0)), dtype=float)
    if kind == "positive":
        found **= 0.05  # their logarithms too have a far value
    found[7] = FAR
    return pd.Series(found, name=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_numbers_has_a_map_for_far_values(kind: str) -> None:
    column = column_of(values(kind), kind)
    assert column.bulk is not None
    assert not column.affine
    check_round_trip(values(kind), kind)
    check_slope(column)
    check_features(column, values(kind))
    check_expectation(column)
    near = column_of(values(kind)[8:], kind)
    assert near.bulk is None
    given = values(kind)[8:].to_numpy()
    own, other = column.encode(given), near.encode(given)
    there = other > -30  # beside the atom
    assert np.std(own[there]) > 0.25 * np.std(other[there])


def test_the_bulk_is_where_the_quantiles_differ() -> None:
    random = np.random.default_rng(0)
    normal = random.normal(3, 2, 1_000)
    assert bulk_of(normal) is None
    middle, spread = bulk_of(np.append(normal, [1e6, -1e9])) or (0.0, 0.0)
    assert abs(middle - 3) < 0.2
    assert abs(spread - 2) < 0.2
    assert bulk_of(np.array([1.0] * 99 + [1e9])) is None  # nothing else varies
    assert bulk_of(np.array([1.0] * 80 + [2.0] * 19 + [1e9])) is not None
    assert bulk_of(random.standard_t(3, 1_000)) is None
    with pytest.raises(OptionError, match="is not a median and a spread"):
        Column("x", bulk=(0.0, 0.0))


def test_quantities_of_different_sizes_keep_their_resolution() -> None:
    random = np.random.default_rng(0)
    percent, price = random.normal(3, 4, 300), random.lognormal(8, 1, 300)
    people = random.lognormal(20, 2, 300)
    mixed = pd.Series(np.concatenate([percent, price, people]), name="value")
    column = column_of(mixed, "real")
    units = column.encode(mixed.to_numpy())
    for part in (units[:300], units[300:600], units[600:]):
        assert np.std(part) > 0.1
    check_round_trip(mixed, "real")
    check_slope(column)
    back = column.decode(units.astype(np.float32).astype(float))
    np.testing.assert_allclose(back[:300], percent, atol=0.01)


def test_the_part_needs_a_much_higher_density() -> None:
    random = np.random.default_rng(0)
    normal, skewed = random.normal(3, 2, 1_000), random.lognormal(0, 1, 1_000)
    for some in (normal, skewed, random.standard_t(3, 1_000), np.append(normal, [1e6, -1e9])):
        assert resolved(some, bulk_of(some)) == bulk_of(some)
    assert resolved(np.array([2.0, 2.0]), None) is None
    # most values are equal up to rounding, and the others differ
    equal = 3.0 + 1e-15 * random.integers(0, 5, 600)
    assert resolved(np.append(equal, random.normal(3, 1, 100)), None) is None
    huge = np.array([-1.7e308, 1e-300, 2e-300, 3e-300, 1.7e308] * 9)
    assert resolved(huge, None) is None
    two = np.concatenate([normal, 1e9 * skewed])
    middle, spread = resolved(two, bulk_of(two)) or (0.0, 0.0)
    assert abs(middle - 3) < 2
    assert spread < 10


@pytest.mark.slow
def test_a_far_value_changes_neither_draws_nor_other_columns() -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"v": random.normal(size=400), "w": random.normal(size=400)})
    table.loc[random.random(400) < 0.25, "w"] = np.nan
    share = table["w"].isna().mean()
    table.loc[7, "v"] = FAR
    made = TableSynthesizer(random_state=0, minutes=0.05).fit(table).sample(1_000)
    quartiles = made["v"].quantile([0.25, 0.5, 0.75]).to_numpy()
    np.testing.assert_allclose(quartiles, [-0.67, 0.0, 0.67], atol=0.25)
    assert abs(made["w"].isna().mean() - share) < 0.06


@pytest.mark.slow
def test_a_far_value_does_not_decide_what_is_imputed() -> None:
    """The mean is that of h: one draw of the far value would move a mean by thousands."""
    random = np.random.default_rng(0)
    z = random.normal(size=400)
    complete = np.c_[z, z + 0.1 * random.normal(size=400), z + 0.3 * random.normal(size=400)]
    complete[5, 0] = FAR
    rows = pd.DataFrame(complete, columns=[*"abc"])
    rows.loc[10:79, "a"] = np.nan
    imputer = VAEImputer(epochs=60, random_state=0)
    found = imputer.fit_transform(rows)["a"]
    assert np.abs(found - complete[:, 0])[10:80].mean() < 0.2
    low, high = imputer.interval(rows, 0.9)
    assert np.median((high - low)["a"][10:80]) < 1.5


def test_rows_with_far_values_come_back() -> None:
    frame = pd.DataFrame({"v": values("real"), "w": values("mixed")})
    dataset = load(frame)
    back = dataset.schema.decode(dataset.schema.units(dataset.x))
    np.testing.assert_allclose(back, frame.to_numpy(), rtol=1e-9, atol=1e-9)


def test_numbers_of_events_keep_their_step() -> None:
    """Cells of a histogram take them as they are, and h would undo the step."""
    table = pd.DataFrame({"who": np.arange(300) // 5, "day": np.arange(300)})
    table["paid"] = np.random.default_rng(0).gamma(2, 3, 300).round(2)
    table.loc[7, ["day", "paid"]] = [10**7, 10**6]
    dataset = load(table, entity="who", time="day")
    assert all(feature.bulk is None for feature in dataset.schema.features)
    back = history_frame(dataset.schema, dataset.x.numpy(), dataset.mask.numpy())
    assert sorted(back["paid"]) == sorted(table["paid"])
    assert sorted(back["day"]) == sorted(table["day"])


def test_far_values_keep_their_line_without_normal_scores() -> None:
    found = load(pd.DataFrame({"v": values("real")}), normal_scores=False)
    assert found.schema.columns[0].affine


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_a_far_value_of_an_array_leaves_the_others_their_resolution(dtype: str) -> None:
    heights = np.random.default_rng(0).normal(170, 8, (300, 2)).astype(dtype)
    heights[7, 0] = 10**9
    dataset = load(heights)
    units = dataset.schema.units(dataset.x).numpy()
    assert units[np.arange(300) != 7, 0].std() > 0.3
    back = np.asarray(dataset.schema.decode(units, rounded=True))
    np.testing.assert_allclose(back, heights, rtol=1e-6 if dtype == "float32" else 1e-9)


def test_pixels_and_numbers_of_a_linear_model_stay_as_they_are() -> None:
    heights = np.random.default_rng(0).normal(170, 8, (300, 2))
    heights[7, 0] = 1e9
    mostly_black = np.where(np.random.default_rng(0).random((300, 2)) < 0.04, 16.0, 0.0)
    mostly_black[:20] = 1.0
    for rows, options in (
        (mostly_black, {}),
        (heights, {"kinds": "real"}),
        (heights, {"normal_scores": False}),
    ):
        schema = load(rows, **options).schema
        assert [column.bulk for column in schema.columns] == [None, None]
        assert not schema.mixed


@pytest.mark.parametrize("kind", ["positive", "mixed"])
def test_a_draw_of_zero_leaves_a_finite_mean(kind: str) -> None:
    """The exponential of a draw far below is 0 in float64, and 0 has no logarithm."""
    column = column_of(values(kind), kind)
    drawn = np.array([0.0, 1.0, 2.0])
    averaged = column.rules.averaged(drawn)
    assert np.isfinite(averaged).all()
    mean = column.rules.decided(np.array([[averaged.mean()]]))
    assert np.isfinite(mean).all()
    assert np.isnan(column.rules.averaged(np.array([np.nan]))).all()
