"""Restricted draws: from the exact conditional distribution, and always inside the restriction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import chisquare

from lowerbound.data.arrays import Array
from lowerbound.data.synthetic.form import TableForm, read_for_synthesis
from lowerbound.distributions.reparameterization import seeded
from lowerbound.inference.restrictions import Restrictions
from lowerbound.inference.table_choices import RowChooser

ROWS = 20_000


def restrictions(
    frame: pd.DataFrame,
    sentences: list[str],
    combinations: list[tuple[str, ...]],
    complete: bool = False,
) -> Restrictions:
    compared = [name for name in frame.columns if any(name in each for each in sentences)]
    schema = read_for_synthesis(frame, compared=compared).schema
    form = TableForm.learn(frame, schema, sentences, combinations)
    return Restrictions.of(form, schema.modeled, complete)


def ages(rows: int = 500) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    low = draw.integers(0, 60, rows)
    return pd.DataFrame({"low": low, "high": low + draw.integers(0, 40, rows)})


def drawn(
    chooser: RowChooser, place: int, shares: list[float] | Array, cells: list[tuple[float, float]]
) -> Array:
    """Draws of one column for all rows, in original units; shares are of all or of each row."""
    column = chooser.restrictions.columns[place]
    ends = np.array(cells, dtype=np.float64)
    units = np.stack([column.encode(ends[:, 0].copy()), column.encode(ends[:, 1].copy())])
    weights = torch.from_numpy(np.atleast_2d(shares).astype(np.float64)).expand(ROWS, -1)
    with seeded(0):
        found = chooser.choose(place, torch.arange(ROWS), weights, torch.from_numpy(units))
    again = column.decode(found.numpy())
    assert np.allclose(again, chooser.values[:, place], atol=1e-6, equal_nan=True)
    return chooser.values[:, place]


def given(found: Restrictions, values: list[float]) -> RowChooser:
    cells = np.tile(np.array(values), (ROWS, 1))
    return RowChooser(found, cells, ~np.isnan(cells))


def test_a_window_is_the_exact_conditional() -> None:
    """Cells [0, 10), [10, 20), ... of a known probability: whole numbers >= 25 have their share."""
    found = restrictions(ages(), ["low <= high"], [])
    chooser = given(found, [25.0, np.nan])
    shares = [0.1, 0.2, 0.3, 0.25, 0.15]
    cells = [(-0.5 + 10 * i, 9.5 + 10 * i) for i in range(5)]
    values = drawn(chooser, 1, shares, cells)
    assert values.min() == 25
    expected = np.array(
        [0.3 / 10 if v < 30 else 0.25 / 10 if v < 40 else 0.15 / 10 for v in range(25, 50)]
    )
    counts = np.array([(values == v).sum() for v in range(25, 50)])
    assert chisquare(counts, ROWS * expected / expected.sum()).pvalue > 1e-3


def test_a_strict_inequality_and_a_given_upper_column() -> None:
    found = restrictions(ages().assign(high=lambda f: f.high + 1), ["low < high"], [])
    chooser = given(found, [np.nan, 12.0])
    values = drawn(chooser, 0, [0.5, 0.5], [(-0.5, 9.5), (9.5, 59.5)])
    assert values.max() == 11
    assert set(values) == set(range(12))


def test_values_without_probability_are_at_the_end_of_the_window() -> None:
    found = restrictions(ages(), ["low <= high"], [])
    values = drawn(given(found, [50.0, np.nan]), 1, [1.0, 0.0], [(-0.5, 9.5), (9.5, 19.5)])
    assert set(values) == {50.0}


def test_inequalities_are_transitive() -> None:
    frame = ages().assign(middle=lambda f: (f.low + f.high) // 2)[["low", "middle", "high"]]
    found = restrictions(frame, ["low <= middle <= high"], [])
    values = drawn(
        given(found, [30.0, np.nan, np.nan]), 2, [0.5, 0.5], [(-0.5, 39.5), (39.5, 80.5)]
    )
    assert values.min() == 30


def seconds(rows: int = 500) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    first = draw.integers(0, 20, rows)
    last = first + 2 + draw.integers(0, 10, rows)
    return pd.DataFrame({"first": first, "last": last, "middle": first + 1})


def test_strict_inequalities_leave_room_for_a_column_between() -> None:
    """first < middle < last, drawn in the order first, last, middle: last >= first + 2."""
    found = restrictions(seconds(), ["first < middle < last"], [])
    values = drawn(given(found, [12.0, np.nan, np.nan]), 1, [1.0], [(-0.5, 31.5)])
    assert set(values) == set(range(14, 31))
    values = drawn(given(found, [12.0, 14.0, np.nan]), 2, [1.0], [(-0.5, 31.5)])
    assert set(values) == {13.0}


def test_a_coarser_column_between_leaves_its_values() -> None:
    """Of low <= tens <= high, tens has the values 0, 10, ...: low = 11 makes high at least 20."""
    draw = np.random.default_rng(0)
    tens = 10 * draw.integers(0, 5, 500)
    low, high = tens - draw.integers(0, 10, 500), tens + draw.integers(0, 10, 500)
    frame = pd.DataFrame({"low": low, "high": high, "tens": tens})
    found = restrictions(frame, ["low <= tens <= high"], [])
    values = drawn(given(found, [11.0, np.nan, np.nan]), 1, [1.0], [(-0.5, 49.5)])
    assert values.min() == 20
    assert values.max() == high.max()


def test_a_missing_cell_restricts_no_column() -> None:
    frame = seconds().astype(float)
    frame.loc[::5, "middle"] = np.nan
    found = restrictions(frame, ["first < middle < last"], [])
    known = np.array([[True, False, True]] * ROWS)
    chooser = RowChooser(found, np.tile([12.0, np.nan, np.nan], (ROWS, 1)), known)
    assert drawn(chooser, 1, [1.0], [(-0.5, 31.5)]).min() == frame["last"].min()


def test_a_range_narrower_than_the_cells() -> None:
    found = restrictions(ages(), ["low >= 0", "low <= 59"], [])
    values = drawn(given(found, [np.nan, np.nan]), 0, [1.0], [(-30.5, 90.5)])
    assert (values.min(), values.max()) == (0, 59)


def test_combinations_are_the_exact_conditional() -> None:
    frame = pd.DataFrame(
        {"city": ["Bern", "Basel", "Bonn", "Berlin"] * 30, "land": ["CH", "CH", "DE", "DE"] * 30}
    )
    found = restrictions(frame, [], [("city", "land")])
    germany = float(found.columns[1].rules.read(pd.Series(["DE"]))[0])
    chooser = given(found, [np.nan, germany])
    shares = [0.4, 0.1, 0.2, 0.3]  # Basel, Berlin, Bern, Bonn
    values = drawn(chooser, 0, shares, [(float(i), float(i)) for i in range(4)])
    counts = [(values == code).sum() for code in range(4)]
    assert counts[0] == counts[2] == 0
    assert chisquare([counts[1], counts[3]], [ROWS / 4, 3 * ROWS / 4]).pvalue > 1e-3
    assert found.broken(np.array([[0.0, germany]]), np.ones((1, 2), dtype=bool))
    assert not found.broken(np.array([[1.0, germany]]), np.ones((1, 2), dtype=bool))


@pytest.mark.parametrize("gone", [0.0, 0.3])
def test_missing_cells_have_their_probability(gone: float) -> None:
    frame = ages().astype(float)
    frame.loc[::5, "high"] = np.nan
    found = restrictions(frame, ["low <= high"], [])
    chooser = given(found, [10.0, np.nan])
    values = drawn(chooser, 1, [1 - gone, gone], [(-0.5, 99.5)])
    assert abs(np.isnan(values).mean() - gone) < 0.02


@pytest.mark.parametrize("name", ["levels", "numbers"])
def test_complete_rows_of_a_column_that_is_always_missing_are_its_values(name: str) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"levels": draw.choice(["a", "b", None], 600), "numbers": draw.integers(0, 100, 600)}
    )
    found = restrictions(frame, [], [], complete=True)
    place = list(frame).index(name)
    cells = [[(0.0, 0.0), (1.0, 1.0)], [(-0.5, 49.5), (49.5, 99.5)]][place]
    values = drawn(given(found, [np.nan, np.nan]), place, [0.3, 0.7, 1.0], cells)
    assert abs((values > [0.5, 49.5][place]).mean() - 0.7) < 0.02
    nothing = drawn(given(found, [np.nan, np.nan]), place, [0.0, 0.0, 1.0], cells)
    assert np.isfinite(nothing).all()


def test_complete_rows_have_complete_combinations() -> None:
    draw = np.random.default_rng(0)
    city = draw.choice(["Bern", "Wien", "Rome"], 300)
    land = pd.Series(city).map({"Bern": "Swiss", "Wien": "Austria"})
    frame = pd.DataFrame({"city": city, "land": land})
    schema = read_for_synthesis(frame).schema
    form = TableForm.learn(frame, schema, [], [("city", "land")])
    cells = [(code - 0.5, code + 0.5) for code in range(3)]
    for complete in (False, True):
        found = Restrictions.of(form, schema.modeled, complete)
        nothing = RowChooser(found, np.full((ROWS, 2), np.nan), np.zeros((ROWS, 2), dtype=bool))
        names = np.array(schema.modeled[0].levels)[
            drawn(nothing, 0, [0.3, 0.3, 0.4], cells).astype(int)
        ]
        assert ("Rome" in names) != complete


def schools() -> pd.DataFrame:
    """Schools 10, 11, 12 and 13 with 5, 5, 7 and 9 teachers, and one of 99 with one row."""
    school = np.array([10, 11, 12, 13])[np.arange(400) % 4]
    size = np.array([5, 5, 7, 9])[school - 10]
    return pd.DataFrame({"school": [*school, 99], "size": [*size, 3]})


SCHOOL_CELLS = [(each - 0.5, each + 0.5) for each in (10, 11, 12, 13, 99)]
SIZE_CELLS = [(each - 0.5, each + 0.5) for each in (3, 5, 7, 9)]


def school_restrictions() -> Restrictions:
    kinds = {"school": "real", "size": "real"}
    frame = schools()
    schema = read_for_synthesis(frame, kinds).schema  # type: ignore[arg-type]
    found = Restrictions.of(TableForm.learn(frame, schema), schema.modeled)
    assert [each.columns for _, each in found.lookups] == [("school", "size")]
    return found


def test_a_determined_value_follows_from_its_column() -> None:
    for school, size in ((10, 5), (12, 7), (13, 9)):
        values = drawn(
            given(school_restrictions(), [school, np.nan]), 1, [0.7, 0.1, 0.1, 0.1], SIZE_CELLS
        )
        assert set(values) == {size}


def test_a_value_that_is_not_listed_determines_nothing() -> None:
    chooser = given(school_restrictions(), [99.0, np.nan])
    values = drawn(chooser, 1, [0.4, 0.3, 0.2, 0.1], SIZE_CELLS)
    counts = [(values == each).sum() for each in (3, 5, 7, 9)]
    assert chisquare(counts, ROWS * np.array([0.4, 0.3, 0.2, 0.1])).pvalue > 1e-3


def test_the_column_that_determines_is_drawn_given_what_it_determines() -> None:
    """Of schools with 5 teachers the model has 10 and 11 with .3 and .1; 99 stays as likely."""
    chooser = given(school_restrictions(), [np.nan, 5.0])
    values = drawn(chooser, 0, [0.3, 0.1, 0.2, 0.3, 0.1], SCHOOL_CELLS)
    excluded = 0.5  # of 12 and 13, drawn again
    expected = np.array([0.3 + excluded * 0.75, 0.1 + excluded * 0.25, 0.1])
    counts = np.array([(values == each).sum() for each in (10, 11, 99)])
    assert counts.sum() == ROWS
    assert chisquare(counts, ROWS * expected).pvalue > 1e-3


def test_values_of_a_lookup_are_as_frequent_as_in_the_fitted_rows() -> None:
    """10 and 11 have as many rows; a row may have more of one of them than others by the model."""
    chooser = given(school_restrictions(), [np.nan, np.nan])
    size = drawn(chooser, 1, [0.0, 1.0, 0.0, 0.0], SIZE_CELLS)
    assert set(size) == {5}
    alike = drawn(chooser, 0, [0.3, 0.1, 0.3, 0.3, 0.0], SCHOOL_CELLS)
    assert chisquare([(alike == 10).sum(), (alike == 11).sum()]).pvalue > 1e-3
    chooser.known[:, 0], chooser.values[:, 0] = False, np.nan
    first = np.arange(ROWS) % 2 == 0
    shares = np.where(first[:, None], [0.3, 0.1, 0.3, 0.3, 0.0], [0.1, 0.1, 0.4, 0.4, 0.0])
    found = drawn(chooser, 0, shares, SCHOOL_CELLS)
    # 10 has 0.3 over a mean of 0.2, or 0.1 over it; 11 has 0.1 over 0.1
    for rows, share in ((first, 1.5 / 2.5), (~first, 0.5 / 1.5)):
        counts = np.array([(found[rows] == 10).sum(), (found[rows] == 11).sum()])
        expected = rows.sum() * np.array([share, 1 - share])
        assert chisquare(counts, expected).pvalue > 1e-3


def test_a_determined_value_is_first_one_that_is_listed() -> None:
    chooser = given(school_restrictions(), [np.nan, np.nan])
    values = drawn(chooser, 1, [0.4, 0.3, 0.2, 0.1], SIZE_CELLS)
    assert (values == 3).mean() == pytest.approx(0.4 / 401, abs=3e-3)
    ratio = (values == 5).sum() / (values == 9).sum()
    assert ratio == pytest.approx(3, rel=0.1)


def test_a_strict_order_leaves_out_its_end_and_a_missing_limit_leaves_the_range() -> None:
    frame = ages()
    frame["high"] += 1
    top = float(frame["high"].max())
    values, known = np.array([[20.0, np.nan]]), np.array([[True, False]])
    for sentence, least in (("low <= high", 20.0), ("low < high", 21.0)):
        found = restrictions(frame, [sentence, "high >= 1"], [])
        assert [float(end[0]) for end in found.window(1, values, known)] == [least, top]
        below = [float(end[0]) for end in found.window(0, values[:, ::-1], known[:, ::-1])]
        assert below == [float(frame["low"].min()), 40.0 - least]
