"""Ranges and categories that are measured with noise: what is found, and what it costs."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import dp_accounting
import numpy as np
import pandas as pd
import pytest
from dp_accounting import pld, rdp
from scipy.stats import norm

from lowerbound.applications.release.marginals import schema_measuring
from lowerbound.applications.release.marginals.charged_schema import delta_of, epsilon_of, rho_for
from lowerbound.applications.release.marginals.correction import CorrectionOptions
from lowerbound.applications.release.marginals.model import MarginalModel, fit_marginals
from lowerbound.applications.release.marginals.schema_measuring import (
    SchemaBudget,
    SchemaMeasuring,
    measure_schema,
)
from lowerbound.data import load
from lowerbound.data.tables.declared import declared_schema
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting import FitOptions, fit
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions
from lowerbound.training.private.copied_schema import declarations_of
from lowerbound.training.private.declarations import Declarations
from lowerbound.training.private.engine import SeededRandomness
from lowerbound.training.private.grid import (
    CELLS,
    QUERIES,
    Grid,
    NumberRange,
    _short,
    _short_end,
    measured_range,
    occupied,
    octave_cells,
)
from lowerbound.training.private.options import PrivacyOptions

HUGE = 1e7  # epsilon, so that the noise is below a row
ROWS = 6_000


def table(rows: int = ROWS) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    paid = np.where(draw.random(rows) < 0.6, 0, draw.gamma(0.4, 900, rows).round() + 1)
    town = draw.choice(["A", "B", "C"], rows, p=[0.5, 0.3, 0.2]).astype(object)
    town[::50] = None
    return pd.DataFrame(
        {
            "age": draw.integers(17, 91, rows),
            "height": draw.normal(1.7, 0.1, rows),
            "debt": -draw.gamma(2.0, 100, rows),
            "paid": np.where(draw.random(rows) < 0.1, np.nan, paid),
            "town": town,
            "member": draw.random(rows) < 0.3,
            "visit": pd.Timestamp("2019-03-01")
            + pd.to_timedelta(draw.integers(0, 900, rows), unit="D"),
        }
    )


def measured(frame: Any, epsilon: float = HUGE, seed: int = 1, **given: Any) -> Declarations:
    return measure_schema(frame, epsilon, randomness=SeededRandomness(seed), **given)


# what is found ------------------------------------------------------------------------------------


def test_without_noise_the_declarations_are_those_of_the_data() -> None:
    frame = table()
    found, exact = measured(frame).columns, declarations_of(frame, 1).columns
    for name in ("town", "member"):
        assert found[name]["levels"] == exact[name]["levels"]
        assert found[name].get("missing", False) == exact[name].get("missing", False)
    for name in ("age", "height", "debt", "paid"):
        said, true = dict(found[name]), dict(exact[name])
        width = 0.0 if name == "age" else (true["high"] - true["low"]) / 10
        assert true["low"] - width <= said.pop("low") <= true["low"]
        assert true["high"] <= said.pop("high") <= true["high"] + width
        del true["low"], true["high"], said["kind"], true["kind"]
        assert said == true, name
    first, last = frame["visit"].min(), frame["visit"].max()
    low, high = pd.Timestamp(found["visit"]["low"]), pd.Timestamp(found["visit"]["high"])
    assert first - pd.Timedelta(days=60) <= low <= first
    assert last <= high <= last + pd.Timedelta(days=60)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(500),
        np.full(500, 7.0),
        np.full(500, -7.5),
        np.arange(500.0) - 250,
        np.r_[np.full(400, 0.25), np.full(100, 1e9)],
        np.r_[np.full(400, 1e-30), np.full(100, -np.inf)],
        np.arange(500.0) * 1e15,
        1_600_000_000 + np.arange(500.0),
    ],
)
def test_every_range_holds_its_numbers(values: Any) -> None:
    found = measured_range(values, lambda exact: exact, 1e-9)
    assert found is not None
    finite = values[np.isfinite(values)]
    assert found.low <= finite.min()
    assert finite.max() <= found.high
    assert found.low < found.high
    assert found.whole == bool((finite == np.rint(finite)).all())
    Grid.of("x", {"low": found.low, "high": found.high, "whole": found.whole, "log": found.log})


def test_a_narrow_range_far_from_zero_is_narrowed_twice() -> None:
    found = measured_range(1990 + np.arange(500.0) % 31, lambda exact: exact, 1e-9)
    assert found is not None
    assert (found.low, found.high) == (1990, 2020)


def test_ends_of_fractions_are_short_numbers() -> None:
    for values in (0.23 + np.arange(500.0) % 78 / 100, np.exp(np.arange(500.0) / 50)):
        for each in (values, -values, 1e-7 * values, values + 1e6):
            found = measured_range(each, lambda exact: exact, 1e-9)
            assert found is not None
            for end in (found.low, found.high):
                assert end == float(f"{end:.10g}")
                assert np.sign(end) == np.sign(each[0])
            assert found.low <= each.min()
            assert each.max() <= found.high


@pytest.mark.parametrize(
    ("end", "short"),
    [
        (1.0000000000000002, 1.0),
        (0.9999999999999998, 1.0),
        (0.30859375, 0.3086),
        (-0.30859375, -0.3085),
        (0.0, 0.0),
        (123456.78912, 123456.7892),
        (2.0**61 + 512, 2.0**61 + 512),
    ],
)
def test_an_end_moves_outwards_to_few_digits(end: float, short: float) -> None:
    assert _short_end(end, 0.7) == short


@pytest.mark.parametrize("deviation", [44.0, 25.0])
def test_much_noise_leaves_a_range_wide(deviation: float) -> None:
    """A few bins that exceed noise by chance do not become the range."""
    shares = []
    for seed in range(25):
        draw = np.random.default_rng(seed)
        for values in (
            draw.uniform(112, 2366, 1_000),
            draw.integers(18, 90, 1_000).astype(float),
            np.exp(draw.normal(6.5, 0.5, 1_000)),
        ):
            found = measured_range(
                values,
                lambda exact: exact + deviation * draw.normal(size=exact.shape),  # noqa: B023
                deviation,
            )
            if found is not None:
                shares.append(((values >= found.low) & (values <= found.high)).mean())
    assert len(shares) >= 70
    assert min(shares) > 0.5
    assert np.mean(shares) > 0.75


def test_noise_in_octaves_without_a_whole_number_is_no_whole_number() -> None:
    def noisy(exact: Any) -> Any:
        return exact + 900.0 * (np.arange(exact.size) == octave_cells(np.array([3.0]))[0] - 9)

    assert measured_range(np.full(100, np.nan), noisy, 1.0) is None
    found = measured_range(np.full(100, 3.0), noisy, 1.0)
    assert found is not None
    assert (found.low, found.high) == (3, 4)


def test_cells_of_octaves_are_disjoint_and_in_order() -> None:
    values = np.array([-np.inf, -3.0, -2.0, -1.0, -0.0, 0.0, 1.0, 1.5, 2.0, 3.9, np.inf, np.nan])
    cells = octave_cells(values)
    assert cells.max() == CELLS - 1
    whole = cells[[0, 1, 3, 4, 6, 8, 10]]
    assert (np.diff(whole) > 0).all()
    assert cells[1] == cells[2]  # (-4, -2]
    assert cells[4] == cells[5]
    assert cells[9] - cells[8] == cells[7] - cells[6]  # fractions stand apart from whole numbers


def test_a_thin_tail_is_seen_in_wide_windows_and_not_in_noise() -> None:
    noise = np.random.default_rng(2).normal(size=(400, 64))
    body = np.r_[np.full(20, 40.0), np.full(12, 2.0), np.zeros(32)]
    lasts = np.array([occupied(body + row, 1.0)[1] for row in noise])
    assert np.median(lasts) >= 24  # single bins of the tail are below the limit of 4
    assert (lasts < 40).mean() > 0.95
    empty = [occupied(row, 1.0) for row in noise]
    assert sum(found != (0, 63) for found in empty) / len(empty) < 0.1


def test_public_columns_are_neither_measured_nor_changed() -> None:
    known = {"age": {"low": 0, "high": 120, "whole": True}, "town": {"kind": "ordinal"}}
    found = measured(table(), known=known)
    assert found.columns["age"] == known["age"]
    assert found.columns["town"] == {**measured(table()).columns["town"], "kind": "ordinal"}
    assert found.measured is not None
    assert "age" not in found.measured.columns
    assert found.measured.declared == ("age",)
    assert "town" in found.measured.columns


def test_types_of_pandas_and_of_parquet_are_measured() -> None:
    frame = table()[["age", "member", "visit"]]
    other = frame.assign(
        age=frame["age"].astype("Int64"),
        member=frame["member"].astype("boolean"),
        visit=frame["visit"].dt.date,
    )
    same = measured(frame)
    assert measured(other).columns == same.columns
    text = frame.astype(str)
    assert measured(text).columns["age"] == same.columns["age"]
    assert measured(text).columns["visit"]["low"] == same.columns["visit"]["low"]
    other.loc[0, "age"], other.loc[0, "member"], other.loc[0, "visit"] = None, None, None
    made = fit_marginals(other, same, 10 * HUGE).sample(50)
    assert made["age"].between(17, 90).all()
    assert made.notna().all(axis=None)


# what it costs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.3, 2.0])
def test_rho_of_the_parts_is_the_rho_of_the_epsilon(epsilon: float) -> None:
    """And it is that of another library for as many noisy counts."""
    budget = SchemaBudget(epsilon, 1e-6, 7, 2)
    measuring = SchemaMeasuring(budget, SeededRandomness(0))
    for name, series in table().items():
        type_ = "levels" if name in ("town", "member") else "numbers"
        measuring.declaration(series if name != "visit" else table()["age"], type_, {})
    assert measuring.rho == pytest.approx(budget.rho, rel=1e-12)
    noise_delta = budget.delta - budget.threshold_delta
    assert delta_of(measuring.rho, epsilon) <= noise_delta
    events = [dp_accounting.GaussianDpEvent(budget.deviation(1))] * 2
    events += [dp_accounting.GaussianDpEvent(budget.deviation(QUERIES))] * (5 * QUERIES)
    accountants = [pld.PLDAccountant(), rdp.RdpAccountant([1 + x / 50 for x in range(1, 6000)])]
    exact, renyi = (
        each.compose(dp_accounting.ComposedDpEvent(events)).get_epsilon(noise_delta)
        for each in accountants
    )
    assert exact <= epsilon
    assert renyi == pytest.approx(epsilon, rel=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 2])
def test_a_level_of_one_row_is_released_with_probability_delta(rows: int) -> None:
    """With a large delta, by many draws; a level of two rows is released more often."""
    budget = SchemaBudget(2.0, 0.4, 2, 2)
    series = pd.Series(["A"] * 300 + ["B"] * rows, name="town")
    deviation, threshold = budget.deviation(1), budget.level_threshold
    exact = norm.sf((threshold - rows) / deviation)
    draws = 4_000
    seen = 0
    for seed in range(draws):
        found = SchemaMeasuring(budget, SeededRandomness(seed)).declaration(series, "levels", {})
        seen += found is not None and "B" in found["levels"]
    error = math.sqrt(exact * (1 - exact) / draws)
    assert seen / draws == pytest.approx(exact, abs=4 * error)
    if rows == 1:
        assert exact == pytest.approx(budget.threshold_delta / budget.leveled)
    assert budget.leveled * norm.sf((threshold - 1) / deviation) <= budget.threshold_delta * 1.0001


@pytest.mark.parametrize("hybrid", [None, CorrectionOptions()])
def test_the_epsilon_of_a_fit_contains_that_of_its_schema(
    hybrid: CorrectionOptions | None,
) -> None:
    frame = table()[["age", "paid", "town", "member"]]
    schema = measured(frame, 1.5)
    assert schema.measured is not None
    made = fit_marginals(frame, schema, 4.0, target="member", hybrid=hybrid)
    alone = fit_marginals(frame, schema.columns, 4.0, target="member", hybrid=hybrid)
    record = made.release
    assert record.rho is not None
    assert 3.9 < record.epsilon <= 4.0
    assert delta_of(record.rho, 4.0) + schema.measured.threshold_delta <= record.delta
    assert schema.measured.rho < record.rho
    assert record.charged == (schema.measured.charged,)
    assert any("types" in text for text in record.public)
    assert "charged" in "\n".join(record.lines())
    assert not alone.release.charged
    assert MarginalModel.from_mapping(json.loads(json.dumps(made.to_mapping()))).release == record


@pytest.mark.slow
def test_a_private_fit_spends_what_the_schema_left(tmp_path: Path) -> None:
    frame = table(1_500)[["age", "member"]]
    schema = measured(frame, 2.0)
    assert schema.measured is not None
    schema.write(tmp_path / "columns.json")
    assert Declarations.read(tmp_path / "columns.json") == schema
    rows = load(schema.admitted(frame), schema=declared_schema(schema.columns))
    model = ModelOptions(latent_dim=2, network="mlp", network_options={"hidden": (8,)})
    training = TrainingOptions(updates=4, batch_size=100)
    for privacy in (
        PrivacyOptions(epsilon=5.0, public_schema=str(tmp_path / "columns.json")),
        PrivacyOptions(epsilon=5.0, public_schema="measured", measured=schema.measured),
    ):
        record = fit(rows, FitOptions(model, training=training, privacy=privacy)).options.release
        assert record is not None
        assert record.rdp is not None
        by_noise = max(record.rdp, record.prv or 0.0)
        assert record.epsilon == pytest.approx(by_noise + schema.measured.epsilon, rel=1e-12)
        assert by_noise <= 3.0
        assert 4.9 < record.epsilon <= 5.0
        assert record.delta == pytest.approx(1_500**-1.5)
        assert record.charged == (schema.measured.charged,)
    spent = PrivacyOptions(epsilon=2.0, public_schema="measured", measured=schema.measured)
    with pytest.raises(OptionError, match="leaves nothing"):
        fit(rows, FitOptions(model, training=training, privacy=spent))


@pytest.mark.parametrize("change", [{"epsilon": 1.3}, {"epsilon": 1.0}, {"delta": 1e-9}])
def test_a_schema_that_spent_all_leaves_no_fit(change: dict[str, float]) -> None:
    frame = table()[["age", "town"]]
    schema = measured(frame, 1.5)
    with pytest.raises(OptionError, match="leaves nothing"):
        fit_marginals(frame, schema, **{"epsilon": 4.0, **change})


# no cell raises, and none is told apart -----------------------------------------------------------


def odd() -> tuple[Declarations, pd.DataFrame]:
    """Declarations without "missing", and rows with cells that they do not have."""
    frame = table()[["age", "height", "member", "visit"]].assign(
        town=np.where(np.arange(ROWS) % 2, "A", "B"), day=table()["visit"].dt.strftime("%d.%m.%Y")
    )
    schema = measured(frame)
    assert not any(said.get("missing") for said in schema.columns.values())
    rows = frame.astype({"age": object, "height": object, "member": object, "visit": object})
    rows.loc[0, "town"], rows.loc[1, "town"] = "Atlantis", None
    rows.loc[0, "age"], rows.loc[1, "age"], rows.loc[2, "age"] = "seven", None, 1_000
    rows.loc[0, "height"], rows.loc[1, "height"] = np.inf, "?"
    rows.loc[0, "member"], rows.loc[1, "member"] = "perhaps", None
    rows.loc[0, "visit"], rows.loc[1, "visit"] = "never", None
    rows.loc[2, "visit"] = pd.Timestamp("1900-01-01")
    rows.loc[0, "day"], rows.loc[1, "day"] = "31.02.2020", None
    return schema, rows


@pytest.mark.slow
def test_cells_outside_the_declarations_raise_and_warn_of_nothing() -> None:
    schema, rows = odd()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = fit_marginals(rows, schema, 1e8, target="member").sample(200)
        dataset = load(schema.admitted(rows), schema=declared_schema(schema.columns))
        again = measured(rows)
    assert again.columns["town"]["levels"] == ["A", "B"]
    assert len(dataset) == ROWS
    assert dataset.observed is None or bool(dataset.observed.all())
    assert set(made["town"]) == {"A", "B"}
    assert made["age"].between(17, 90).all()
    assert made["visit"].between(pd.Timestamp("2019-01-01"), pd.Timestamp("2021-12-31")).all()
    assert pd.to_datetime(made["day"], format="%d.%m.%Y").dt.year.between(2018, 2022).all()


def test_an_admitted_cell_depends_on_its_row_alone() -> None:
    schema, rows = odd()
    whole = schema.admitted(rows)
    for part in (rows.iloc[:3], rows.iloc[[0]], rows.iloc[3:]):
        pd.testing.assert_frame_equal(
            schema.admitted(part), whole.loc[part.index], check_dtype=False
        )
    assert whole.loc[:2, "age"].tolist() == [17, 17, 90]
    assert whole.loc[:1, "town"].tolist() == ["A", "A"]


def test_a_cell_that_is_not_released_changes_no_other_level() -> None:
    """Neither their order, by size or by name, nor their type."""
    many = [2, 10, 100] * 1_000
    said = [
        measured(pd.DataFrame({"code": pd.Series(rows, dtype=object)}), 1.0, known=kinds)
        for kinds in [{"code": {"kind": "categorical"}}]
        for rows in (many, [*many, "x"], [*many, "10"])
    ]
    levels = [each.columns["code"]["levels"] for each in said]
    assert levels == [["2", "10", "100"]] * 3


def test_rare_levels_are_missing_where_cells_may_be() -> None:
    frame = pd.DataFrame({"town": ["A"] * 3_000 + ["B"] * 900 + [f"rare {n}" for n in range(600)]})
    schema = measured(frame, 1.0)
    assert schema.columns["town"] == {"kind": "binary", "levels": ["A", "B"], "missing": True}
    admitted = schema.admitted(frame)["town"]
    assert admitted.isna().sum() == 600
    assert set(admitted.dropna()) == {"A", "B"}


# bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "given", "words"),
    [
        (table(), {"epsilon": 0.0}, "epsilon must be positive"),
        (table(), {"delta": 1.5}, "delta"),
        (table(), {"epsilon": 0.01}, "would show only values that at least [0-9,]+ rows have"),
        (table()[:0], {}, "no rows"),
        (table()[["age"]], {"known": {"age": {"low": 0, "high": 99}}}, "every column is declared"),
        (table(), {"known": {"agee": {"levels": [1]}}}, "did you mean 'age'"),
        (table(), {"known": {"age": {"kind": "nonsense"}}}, "nonsense"),
        (
            table().assign(shop=np.arange(ROWS) % 2_000).astype({"shop": str}),
            {"epsilon": 3.0, "known": {"shop": {"kind": "categorical"}}},
            "'shop'.*spent",
        ),
        (
            table().assign(name=np.arange(ROWS).astype(str) + "x"),
            {"epsilon": 3.0},
            "leave it out with --leave-out name",
        ),
    ],
)
def test_bad_input(frame: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises((DataError, OptionError), match=words):
        measure_schema(frame, **{"epsilon": 1.0, **given})


def test_measured_declarations_are_not_public() -> None:
    schema = measured(table())
    with pytest.raises(OptionError, match="measured already"):
        measure_schema(table(), 1.0, known=schema)


@pytest.mark.parametrize(
    "change", [{"epsilon": -1.0}, {"rho": 0.0}, {"threshold_delta": 1.0}, {"columns": ()}]
)
def test_an_impossible_record_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    schema = measured(table())
    assert schema.measured is not None
    replace(schema, measured=replace(schema.measured, **change)).write(tmp_path / "c.json")
    with pytest.raises(DataError, match="measured"):
        Declarations.read(tmp_path / "c.json")


def excess_delta(rho: float, epsilon: float) -> float:
    """Canonne, Kamath & Steinke 2020, corollary 13, by trying many orders."""
    a = 1 + np.geomspace(1e-4, 1e5, 40_000)
    logs = (a - 1) * (a * rho - epsilon) - np.log(a - 1) + a * np.log1p(-1 / a)
    return float(np.exp(logs.min()))


def test_an_epsilon_is_claimed_at_the_delta_that_categories_leave() -> None:
    frame = table(1_500)[["age", "member"]]
    schema = measured(frame, 2.0)
    assert schema.measured is not None
    made = fit_marginals(frame, schema, 4.0, target="member").release
    assert made.rho is not None
    for found in (schema.measured, made):
        left = found.delta - schema.measured.threshold_delta
        assert excess_delta(found.rho, found.epsilon) == pytest.approx(left, rel=1e-5)
    assert schema.measured.threshold_delta == 0.5 * schema.measured.delta
    alone = fit_marginals(frame, schema.columns, 4.0, target="member").release
    assert excess_delta(alone.rho, alone.epsilon) == pytest.approx(alone.delta, rel=1e-5)


def test_levels_share_the_delta_of_categories() -> None:
    for leveled in (1, 4):
        budget = SchemaBudget(1.0, 1e-6, 6, leveled)
        beyond = norm.sf((budget.level_threshold - 1) / budget.deviation(1))
        assert beyond == pytest.approx(0.5e-6 / leveled)
    assert SchemaBudget(1.0, 1e-6, 6, 0).threshold_delta == 0.0


def test_rho_is_rounded_down_and_epsilon_up() -> None:
    for epsilon in (0.1, 1.0, 7.0):
        rho = rho_for(epsilon, 1e-6)
        assert excess_delta(rho, epsilon) == pytest.approx(1e-6, rel=1e-5)
        assert delta_of(rho, epsilon) <= 1e-6 < delta_of(rho * (1 + 1e-8), epsilon)
        assert delta_of(rho, epsilon_of(rho, 1e-6)) <= 1e-6
        assert epsilon_of(rho, 1e-6) <= epsilon


def test_days_of_a_range_are_rounded_outward(monkeypatch: pytest.MonkeyPatch) -> None:
    found = NumberRange(100.5, 200.5, whole=False, log=False, missing=False)
    monkeypatch.setattr(schema_measuring, "measured_range", lambda *given: found)
    measuring = SchemaMeasuring(SchemaBudget(1.0, 1e-6, 1, 0), SeededRandomness(0))
    dates = pd.Series(["1970-05-01", "1970-06-01"], name="visit")
    said = measuring.declaration(dates, "dates", {"format": "%Y-%m-%d"})
    assert said is not None
    assert (said["low"], said["high"]) == ("1970-04-11", "1970-07-21")


def test_both_ends_of_a_range_of_fractions_move_outwards() -> None:
    for low, high in ((0.12345, 0.98761), (-0.98761, -0.12345), (-3.14159, 2.71828)):
        found = _short(low, high)
        assert low - 1e-3 * (high - low) <= found[0] < low
        assert high < found[1] <= high + 1e-3 * (high - low)


def test_noise_of_many_levels_is_no_gap() -> None:
    """The rows of no level are the rest of a sum, whose noise grows with the root of its terms."""
    frame = pd.DataFrame({"town": [f"t{row % 60:02d}" for row in range(60 * 300)]})
    found = [measure_schema(frame, 2.0).columns["town"] for _ in range(12)]
    assert all(len(said["levels"]) == 60 for said in found)
    assert not any("missing" in said for said in found)
    frame.loc[::6, "town"] = None
    assert measure_schema(frame, 2.0).columns["town"]["missing"]
