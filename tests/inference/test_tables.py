"""Whole synthetic tables: types, gaps, constraints, conditions and seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.release.synthesizer_fit import SynthesizerOptions, fit_synthesizer
from lowerbound.data import load
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.fitting import FitOptions, fit
from lowerbound.inference.table_draws import BLOCK
from lowerbound.inference.tables import TableSource
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions
from tests.data.synthetic.tables import every_type


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return every_type(400)


@pytest.fixture(scope="module")
def source(frame: pd.DataFrame) -> TableSource:
    with (
        pytest.warns(UserWarning, match="no variation"),
        pytest.warns(UserWarning, match="no value in column 'never'"),
    ):
        fitted = fit_synthesizer(
            frame,
            SynthesizerOptions(
                constraints=["age <= end", "age >= 18"],
                combinations=[("city", "land")],
                prior="standard_normal",
                least_people=1,
            ),
        )
    return TableSource(fitted)


def whole(blocks: object) -> pd.DataFrame:
    return pd.concat(list(blocks), ignore_index=True)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def made(source: TableSource) -> pd.DataFrame:
    return whole(source.blocks(2 * BLOCK + 10, seed=1))


@pytest.mark.slow
def test_types_and_ranges(frame: pd.DataFrame, made: pd.DataFrame) -> None:
    assert made.dtypes.equals(frame.dtypes)
    for name in ("age", "cents", "tenths", "fives", "day", "moment", "end"):
        assert made[name].min() >= frame[name].min(), name
        assert made[name].max() <= frame[name].max(), name
    for name in ("grade", "kids", "flag", "maybe", "postcode", "city"):
        assert set(made[name].dropna()) <= set(frame[name].dropna()), name


def test_resolution(made: pd.DataFrame) -> None:
    assert np.array_equal(made["cents"], made["cents"].round(2))
    assert (made["fives"].dropna() % 5 == 0).all()
    assert (made["day"].dropna() == made["day"].dropna().dt.normalize()).all()
    assert made["written"].str.fullmatch(r"\d\d/\d\d/\d{4}").all()


def test_the_pattern_of_missing_cells(frame: pd.DataFrame, made: pd.DataFrame) -> None:
    for name in frame.columns:
        assert abs(frame[name].isna().mean() - made[name].isna().mean()) < 0.08, name
        assert frame[name].isna().any() == made[name].isna().any(), name


@pytest.mark.slow
def test_missing_cells_depend_on_the_other_columns() -> None:
    """A column that is missing in 95 % of the rows, and in 80 % of those with a large size; another
    is missing exactly where that one is."""
    draw = np.random.default_rng(0)
    size = draw.normal(size=2_000)
    gone = draw.random(2_000) > np.where(size > 1, 0.2, 0.02)
    rare = np.where(gone, np.nan, draw.integers(20, 90, 2_000))
    test = np.where(gone, None, draw.choice(["a", "b"], 2_000))
    frame = pd.DataFrame({"size": size, "rare": rare, "test": test})
    fitted = fit_synthesizer(frame, SynthesizerOptions(prior="standard_normal"))
    rows = whole(TableSource(fitted).blocks(4_000))
    for large in (False, True):
        real, made = (each[each["size"].gt(1) == large] for each in (frame, rows))
        assert abs(made["rare"].isna().mean() - real["rare"].isna().mean()) < 0.06, large
    assert (rows["rare"].isna() == rows["test"].isna()).mean() > 0.98
    full = whole(TableSource(fitted, complete=True).blocks(1_000))
    assert full.notna().all(axis=None)
    assert full["rare"].between(20, 89).all()


@pytest.mark.slow
def test_complete_rows_have_no_missing_cell(source: TableSource) -> None:
    complete = TableSource(source.fitted, complete=True)
    rows = whole(complete.blocks(300)).drop(columns="never")
    assert rows.notna().all(axis=None)
    given = whole(complete.completed(pd.DataFrame({"city": ["z", None]}), 100))
    assert given.drop(columns="never").notna().all(axis=None)
    assert (rows["age"] <= rows["end"]).all()


def test_constraints_hold_in_every_row(frame: pd.DataFrame, made: pd.DataFrame) -> None:
    assert (made["age"] <= made["end"]).all()
    pairs = {tuple(pair) for pair in frame[["city", "land"]].to_numpy()}
    assert {tuple(pair) for pair in made[["city", "land"]].to_numpy()} == pairs


def test_identifiers_are_unique_and_fresh(frame: pd.DataFrame, made: pd.DataFrame) -> None:
    for name in ("number", "code"):
        assert made[name].is_unique
        assert not set(made[name]) & set(frame[name])


def test_a_row_depends_on_seed_and_number_only(source: TableSource, made: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(whole(source.blocks(7, seed=1)), made.head(7))
    assert not whole(source.blocks(7, seed=2))["cents"].equals(made["cents"].head(7))


def test_blocks_are_drawn_one_by_one(source: TableSource) -> None:
    assert len(next(iter(source.blocks(10**9)))) == BLOCK


def test_the_last_block_ends_with_the_last_row(source: TableSource) -> None:
    assert [len(block) for block in source.blocks(BLOCK + 10, seed=1)] == [BLOCK, 10]


def test_given_values_are_in_every_row(source: TableSource) -> None:
    rows = whole(source.completed(source.given({"city": "z", "end": 40}), 300))
    assert rows["city"].eq("z").all()
    assert rows["land"].eq("B").all()
    assert rows["end"].eq(40).all()
    assert rows["age"].between(18, 40).all()
    assert rows["cents"].nunique() > 100
    pd.testing.assert_frame_equal(
        whole(source.completed(source.given({"city": "z", "end": 40}), 5)), rows.head(5)
    )


@pytest.mark.slow
def test_given_cells_are_kept_and_the_others_drawn(
    frame: pd.DataFrame, source: TableSource
) -> None:
    partial = frame[["end", "grade", "cents", "number", "day"]].copy()
    rows = whole(source.completed(partial))
    there = partial.notna()
    assert rows[partial.columns].where(there).equals(partial.where(there))
    assert rows["land"].notna().all()
    assert (rows["age"] <= rows["end"]).all()


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"city": "q"}, "unknown level of column 'city'"),
        ({"towns": "x"}, "unknown column 'towns'"),
        ({"age": 300}, "'age' lies between 18 and 8"),
        ({"age": 50, "end": 20}, "cannot occur"),
        ({"city": "x", "land": "B"}, "this combination of city, land does not occur"),
        ({}, "no column is given"),
    ],
)
def test_bad_conditions(source: TableSource, conditions: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        list(source.completed(source.given(conditions), 3))


def test_bad_requests(source: TableSource, frame: pd.DataFrame) -> None:
    with pytest.raises(OptionError, match="whole number from 0"):
        list(source.blocks(-1))
    with pytest.raises(DataError, match="no rows"):
        list(source.completed(frame.iloc[:0]))
    with pytest.raises(DataError, match="holds numbers, but not"):
        list(source.completed(pd.DataFrame({"cents": ["many"]})))
    empty = whole(source.blocks(0))
    assert list(empty.columns) == list(frame.columns)
    assert not len(empty)


def test_fresh_identifiers_differ_from_given_ones(source: TableSource) -> None:
    number = next(iter(source.blocks(1)))["number"].iloc[0]
    cells = pd.DataFrame({"number": [number, None, str(number + 1), None, number + 3.0]})
    made = whole(source.completed(cells))["number"]
    assert made.tolist() == [number, number + 4, number + 1, number + 6, number + 3]
    assert made.dtype == "int64"


@pytest.mark.parametrize("cell", ["abc", 1.5, "1e30"])
def test_given_identifiers_are_whole_numbers_if_the_fitted_ones_are(
    source: TableSource, cell: object
) -> None:
    with pytest.raises(DataError, match="'number' holds whole numbers, but not in row 1"):
        source.with_cells(pd.DataFrame({"number": [7, cell]}))


@pytest.mark.parametrize("cell", [40.5, "40.5"])
def test_given_values_of_whole_numbers_are_whole(source: TableSource, cell: object) -> None:
    with pytest.raises(DataError, match=r"'age' holds whole numbers.*40\.5"):
        source.with_cells(source.given({"age": cell}))


@pytest.mark.slow
def test_dependent_columns_stay_dependent() -> None:
    draw = np.random.default_rng(0)
    a = draw.choice(list("abcd"), 1_000)
    frame = pd.DataFrame({"a": a, "noise": draw.normal(size=1_000), "copy": a})
    rows = whole(
        TableSource(fit_synthesizer(frame, SynthesizerOptions(prior="standard_normal"))).blocks(
            1_000
        )
    )
    assert (rows["a"] == rows["copy"]).mean() > 0.98


def test_pictures_are_not_a_table() -> None:
    rows = load("digits").thinned(60)
    fitted = fit(rows, FitOptions(ModelOptions(latent_dim=2), training=TrainingOptions(updates=1)))
    with pytest.raises(UnsupportedError, match="lowerbound sample"):
        TableSource(fitted)


@pytest.fixture(scope="module")
def stays() -> TableSource:
    """Of wards with a floor each, and stays with a start and an end, all found."""
    draw = np.random.default_rng(0)
    start = draw.integers(0, 60, 800)
    ward = draw.choice(list("abcdef"), 800)
    frame = pd.DataFrame(
        {
            "ward": ward,
            "end": start + draw.integers(0, 15, 800),
            "floor": pd.Series(ward).map(dict(zip("abcdef", "xxyyzz", strict=True))),
            "start": start,
        }
    )
    return TableSource(
        fit_synthesizer(frame, SynthesizerOptions(prior="standard_normal", minutes=0.02))
    )


def test_rows_have_what_all_fitted_rows_have(stays: TableSource) -> None:
    assert [each.summary for each in stays.form.orders] == ["start <= end"]
    assert [each.summary for each in stays.form.dependencies.lookups] == ["ward determines floor"]
    rows = whole(stays.blocks(2_000))
    assert (rows["start"] <= rows["end"]).all()
    assert rows.groupby("ward")["floor"].nunique().eq(1).all()
    assert set(whole(stays.completed(stays.given({"floor": "y"}), 200))["ward"]) == {"c", "d"}


def test_a_given_number_that_its_column_cannot_hold_is_refused(source: TableSource) -> None:
    """Read as a new row, it would be set to the bound."""
    with pytest.raises(DataError, match=r"column 'cents' holds positive numbers, but not in row 0"):
        source.with_cells(source.given({"cents": -5}))


def test_given_cells_may_break_an_order_that_was_found(stays: TableSource) -> None:
    with pytest.warns(
        UserWarning, match="given cells are in an order that no fitted row has: 'end'"
    ):
        rows = whole(stays.completed(stays.given({"start": 50, "end": 20}), 5))
    assert rows["start"].eq(50).all()
    assert rows["end"].eq(20).all()
    with pytest.warns(UserWarning, match="given cells break ward determines floor, which"):
        kept = whole(stays.completed(stays.given({"ward": "a", "floor": "z"}), 5))
    assert kept["ward"].eq("a").all()
    assert kept["floor"].eq("z").all()


@pytest.fixture(scope="module")
def work() -> TableSource:
    """Of pay that is hours times a wage, which only those with hours have, and of years, with an
    error."""
    draw = np.random.default_rng(0)
    hours = np.where(draw.random(800) < 0.4, 0, draw.integers(5, 60, 800))
    wage = np.where(hours > 0, draw.gamma(5, 3, 800).round(2) + 1, np.nan)
    school, years = draw.integers(0, 16, 800), draw.integers(0, 50, 800)
    pay = (hours * np.nan_to_num(wage)).round(2)
    frame = pd.DataFrame({"pay": pay, "hours": hours, "wage": wage})
    frame = frame.assign(school=school, years=years)
    frame["age"] = frame["school"] + frame["years"] + 6
    frame.loc[7, "age"] += 1  # an error
    return TableSource(
        fit_synthesizer(frame, SynthesizerOptions(prior="standard_normal", minutes=0.06))
    )


def test_rows_fulfill_the_formulas_of_the_fitted_rows(work: TableSource) -> None:
    assert work.form.dependencies.summaries == (
        "pay = hours * wage",
        "age = years + school + 6 (1 row breaks it)",
    )
    rows = whole(work.blocks(3_000))
    assert (rows["years"] == rows["age"] - rows["school"] - 6).all()
    paid = rows.dropna()
    assert len(paid) > 1_000
    np.testing.assert_allclose(paid["pay"], (paid["hours"] * paid["wage"]).round(2), atol=0.0051)
    for form in work.form.columns:
        if form.low is not None:
            assert rows[form.name].dropna().between(form.low, form.high).all()


def test_given_cells_stay_and_others_are_computed(work: TableSource) -> None:
    with pytest.warns(UserWarning, match=r"given cells were found .* \(age = years \+ sch"):
        rows = whole(work.completed(work.given({"years": 2, "age": 48}), 50))
    assert rows[["years", "age"]].eq([2, 48]).all(axis=None)  # no school lasts 40 years
    rows = whole(work.completed(work.given({"years": 20, "age": 30}), 200))
    assert rows["school"].eq(4).all()


def test_given_cells_that_break_a_formula_stay_and_are_named(work: TableSource) -> None:
    given = work.given({"years": 2, "age": 16, "school": 7})  # by one
    with pytest.warns(UserWarning, match=r"given cells break age = years \+ school \+ 6, which"):
        rows = whole(work.completed(given, 5))
    assert rows[["years", "age", "school"]].eq([2, 16, 7]).all(axis=None)


def test_given_cells_are_used_in_every_formula_of_theirs() -> None:
    """Days by three columns: what is given comes first, and then what follows from it."""
    draw = np.random.default_rng(0)
    days = draw.integers(1, 400, 500)
    frame = pd.DataFrame({"days": days, "hours": 24 * days, "weeks": (days / 7).round(4)})
    frame["size"] = draw.normal(size=500).round(2) + days / 100
    fitted = TableSource(
        fit_synthesizer(frame, SynthesizerOptions(prior="standard_normal", minutes=0.02))
    )
    assert len(fitted.form.dependencies.formulas) == 2
    for name in ("days", "hours", "weeks"):
        given = frame[[name]].iloc[:40]
        rows = whole(fitted.completed(given))
        assert rows["days"].equals(frame["days"].iloc[:40]), name
        assert rows["hours"].equals(24 * rows["days"]), name


def test_a_column_that_may_be_missing_leaves_no_window_before_it_is_drawn(
    work: TableSource,
) -> None:
    """Pay of 0 is below every wage, but it is that of rows without a wage."""
    assert "wage <= pay" in [each.summary for each in work.form.orders]
    rows = whole(work.blocks(3_000))
    none = rows["pay"].eq(0)
    assert 0.3 < none.mean() < 0.5
    assert rows.loc[none, "wage"].isna().all()
