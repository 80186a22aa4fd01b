"""Dependencies that normal rows fulfill: they are found, and a row that breaks one is odd."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound import VAEDetector, cli
from lowerbound.applications.anomaly.broken import FOLDS, Broken, NormalDependencies
from lowerbound.data import load
from lowerbound.data.dataset import joined
from lowerbound.data.sequences.windows import Windows

pytestmark = pytest.mark.filterwarnings("ignore:column")
COUNTRIES = {"Rom": "Italien", "Mailand": "Italien", "Paris": "Frankreich", "Bonn": "Deutschland"}
FOUND = ["city determines country", "total = net + shipping", "ordered <= shipped"]


def sales(count: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    city = rng.choice(list(COUNTRIES), count)
    net = np.round(rng.lognormal(3, 0.6, count), 2)
    shipping = np.round(2 + rng.exponential(5, count), 2)
    ordered = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 200, count), unit="D")
    return pd.DataFrame(
        {
            "net": net,
            "shipping": shipping,
            "total": np.round(net + shipping, 2),
            "city": city,
            "country": [COUNTRIES[each] for each in city],
            "ordered": ordered,
            "shipped": ordered + pd.to_timedelta(rng.integers(0, 30, count), unit="D"),
        }
    )


def broken_sales() -> pd.DataFrame:
    """Rows 0, 1 and 2 break one dependency each; 3 to 6 have nothing that breaks one."""
    new = sales(8, seed=1)
    new.loc[0, "country"] = "Deutschland" if new.country[0] != "Deutschland" else "Italien"
    new.loc[1, "total"] += 0.05
    new.loc[2, "shipped"] = new.ordered[2] - pd.Timedelta(days=1)
    new.loc[3, "total"] = np.nan
    new.loc[4, "city"] = "Graz"
    new.loc[5, "country"] = None
    new.loc[6, ["net", "total"]] = 5e5, 5e5 + new.shipping[6]
    return new


def known_of(frame: pd.DataFrame) -> NormalDependencies:
    known = NormalDependencies.of(load(frame))
    assert known is not None
    return known


@pytest.fixture(scope="module")
def detector() -> VAEDetector:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return VAEDetector(epochs=3, random_state=0).fit(sales())


def summaries(known: NormalDependencies, frame: pd.DataFrame) -> list[str]:
    return [
        each.dependency.summary for each in known.broken(load(frame, schema=load(sales()).schema))
    ]


def test_they_are_found_and_the_rows_that_break_them_too() -> None:
    known = known_of(sales())
    places = [summaries(known, sales()).index(name) for name in FOUND]
    rows = load(broken_sales(), schema=load(sales()).schema)
    found = np.stack([each.rows for each in known.broken(rows)], 1)[:, places]
    expected = np.zeros((8, 3), dtype=bool)
    expected[[0, 1, 2], [0, 1, 2]] = True
    assert found.tolist() == expected.tolist()
    assert NormalDependencies.of(load(np.random.default_rng(0).normal(size=(200, 3)))) is None


def test_held_out_rows_that_break_an_order_make_it_cheap() -> None:
    data = load(sales())
    fresh = sales(100, seed=3)
    costs = []
    for wrong in (0, 10):
        rows = fresh.copy()
        rows.loc[: wrong - 1, "shipped"] = rows["ordered"] - pd.Timedelta(days=1)
        known = NormalDependencies.of(data, load(rows, schema=data.schema))
        assert known is not None
        costs.append(known.costs[2])
    # counts of broken rows, one added to each
    by_chance = 401 / np.exp(costs[0]) - 1
    assert 401 / np.exp(costs[1]) - 1 == pytest.approx(by_chance + 10)


def test_new_normal_rows_break_none() -> None:
    schema = load(sales()).schema
    rows = load(sales(2_000, seed=2), schema=schema)
    wrong = {
        each.dependency.summary: int(each.rows.sum()) for each in known_of(sales()).broken(rows)
    }
    assert {name: wrong[name] for name in FOUND} == dict.fromkeys(FOUND, 0)


def test_the_cost_is_by_the_rows_that_break_one() -> None:
    data = load(sales())
    alone, held_out = NormalDependencies.of(data), load(sales(100, seed=3), schema=data.schema)
    assert alone is not None
    assert alone.costs[:2] == (np.log(301), np.log(301))
    wrong = sales(100, seed=3)
    wrong.loc[:1, "total"] += 9.0
    both = [
        NormalDependencies.of(data, rows) for rows in (held_out, load(wrong, schema=data.schema))
    ]
    assert both[0] is not None
    assert both[1] is not None
    assert np.allclose(both[0].costs[:2], np.log(401))
    assert np.allclose(both[1].costs[:2], [np.log(401), np.log(401 / (1 + 2 * 400 / 100))])


def test_a_few_errors_in_the_fitted_rows_hide_no_dependency() -> None:
    frame = sales(2_000)
    wrong = np.random.default_rng(1).choice(2_000, 10, replace=False)
    frame.loc[wrong[:6], "total"] += 3.0
    other = frame.country[wrong[6:]].map({"Italien": "Frankreich"}).fillna("Italien")
    frame.loc[wrong[6:], "country"] = other
    known = known_of(frame)
    found = {each.dependency.summary: each.rows for each in known.broken(load(frame))}
    assert set(FOUND) <= set(found)
    assert set(np.flatnonzero(found["total = net + shipping"])) == set(wrong[:6])
    assert set(np.flatnonzero(found["city determines country"])) == set(wrong[6:])
    assert np.allclose(known.costs[:2], [np.log(2001 / 5), np.log(2001 / 7)])
    # with many of them, it is no dependency
    frame.loc[:200, "total"] += 3.0
    assert "total = net + shipping" not in {
        each.formula.summary for each in known_of(frame).formulas
    }


def test_zeros_of_many_rows_are_numbers_of_a_formula() -> None:
    """Most orders have no discount, so 0 is an atom, apart from the other numbers."""
    rng = np.random.default_rng(0)
    list_price, share = np.round(rng.lognormal(3, 0.6, 400), 2), rng.choice([0, 0, 0.1, 0.3], 400)
    frame = pd.DataFrame({"list": list_price, "off": np.round(share * list_price, 2)})
    frame["paid"] = (frame["list"] - frame["off"]).round(2)
    data = load(frame)
    assert data.schema.columns[1].atom == 0
    known = NormalDependencies.of(data)
    assert known is not None
    (formula,) = known.formulas
    assert set(formula.columns) == {"list", "off", "paid"}
    new = frame.iloc[:6].copy()
    new.loc[[1, 4], "off"], new.loc[[1, 4], "paid"] = 0.0, new["list"][[1, 4]] + 1.0
    found = {
        each.dependency.summary: each.rows for each in known.broken(load(new, schema=data.schema))
    }
    assert np.flatnonzero(found[formula.formula.summary]).tolist() == [1, 4]


def test_an_order_by_chance_costs_less() -> None:
    rng = np.random.default_rng(0)
    first, low = rng.normal(size=(2, 400))
    frame = pd.DataFrame({"first": first, "second": first + rng.exponential(size=400)})
    certain = known_of(frame)
    assert [each.summary for each in certain.orders] == ["first <= second"]
    assert certain.costs[2] == np.log(401)
    # all rows that break another order are in one fold, whose complement shows that order
    frame["low"], frame["high"] = low, low + rng.exponential(size=400)
    frame.loc[[2, 2 + FOLDS, 2 + 2 * FOLDS], "high"] -= 9.0
    found = known_of(frame)
    assert [each.summary for each in found.orders] == ["first <= second"]
    assert found.costs[2] == pytest.approx(np.log(401 / 4))


def test_every_score_with_nats_rises_and_the_shares_are_the_cost(detector: VAEDetector) -> None:
    known = detector.reference_.dependencies
    assert known is not None
    right, wrong = sales(8, seed=1), broken_sales()
    before, after = detector.components(right), detector.components(wrong)
    assert (before["unseen"] == 0).all()
    costs = [known.costs[sort] for sort in range(3)]
    assert np.allclose(after["unseen"][:3], costs)
    assert (after["unseen"][[3, 5, 6]] == 0).all()
    assert (after["combined"][:2] > before["combined"].max()).all()
    assert (after["combined"][:3] > before["combined"][:3]).all()
    odder = wrong.copy()
    odder.loc[:1, "shipping"] = 0.0
    again = detector.components(odder)
    assert again["combined"][0] > after["combined"][0]
    shares = detector.explain(wrong, excess=False)
    whole = wrong.notna().all(axis=1)  # a missing cell adds its usual nats
    assert np.allclose(shares.sum(axis=1)[whole], after["bound"][whole])
    added = detector.reference_.nats_of_columns(detector._read(wrong))
    assert np.allclose(added.sum(1), after["unseen"])
    assert np.allclose(added[0], np.isin(right.columns, ["city", "country"]) * costs[0] / 2)


def test_a_saved_detector_knows_them(detector: VAEDetector, tmp_path: Path) -> None:
    detector.save(tmp_path / "model")
    loaded = VAEDetector.load(tmp_path / "model")
    assert loaded.reference_.dependencies == detector.reference_.dependencies
    broken_sales().to_csv(tmp_path / "new.csv", index=False)
    frame = broken_sales()
    assert np.array_equal(loaded.score_samples(frame), detector.score_samples(frame))
    written = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", written)
        cli.main(["detect", str(tmp_path / "model"), str(tmp_path / "new.csv"), "--explain", "8"])
    country, total = frame.country[0], frame.total[1]
    text = written.getvalue()
    right = COUNTRIES[frame.city[0]]
    cells = f"(city = {frame.city[0]}, country = {country}, not {right})"
    assert f"breaks city determines country {cells}" in text
    cells = f"(total = {total:.2f}, not {total - 0.05:.2f}, net = {frame.net[1]}, "
    assert f"breaks total = net + shipping {cells}" in text
    assert "breaks ordered <= shipped (ordered = 2026-" in text
    assert text.count("breaks ") == 3


def test_what_a_formula_gives_may_lie_beyond_the_ends_of_its_column() -> None:
    """The larger of the addends is wrong by far; the sum is named, with what the addends give."""
    draw = np.random.default_rng(0)
    part, other = (np.exp(draw.normal(3, 0.5, 400)).round(2) for _ in range(2))
    rows = load(pd.DataFrame({"part": part, "other": other, "total": (part + other).round(2)}))
    known = NormalDependencies.of(rows)
    assert known is not None
    (formula,) = known.formulas
    assert formula.formula.summary == "total = part + other"
    for other, sum_of_both in ((5e6, "5000017.57"), (-40.0, "-22.43")):
        cells = np.array([[17.57, other, 69.51]])
        found = Broken(formula.formula, 1.0, np.array([True]), cells).in_words(rows.schema, 0)
        assert found["total"] == f"69.51, not {sum_of_both}"


def test_a_cell_beyond_the_ends_of_model_units_breaks_what_its_number_breaks() -> None:
    """Model units end, so x does not hold the number or the date; a missing cell breaks nothing."""
    frame = sales()
    data, new = load(frame), frame.head(6).copy()
    new.loc[0, "total"] = 5e9
    new.loc[1, ["net", "total"]] = 5e9, 5e9 + new.shipping[1]
    new.loc[2, ["net", "total"]] = 5e9, np.nan
    new.loc[3, "ordered"] = pd.Timestamp("2250-01-01")
    new.loc[4, ["ordered", "shipped"]] = pd.Timestamp("2250-01-01"), pd.NaT
    rows = load(new, schema=data.schema)
    assert rows.beyond is not None
    assert rows.subset([0]).beyond is not None
    known = NormalDependencies.of(data)
    assert known is not None
    found = {each.dependency.summary: each for each in known.broken(rows)}
    of_sum, of_order = found["total = net + shipping"], found["ordered <= shipped"]
    assert np.flatnonzero(of_sum.rows).tolist() == [0]
    assert np.flatnonzero(of_order.rows).tolist() == [3]
    assert "2250-01-01" in of_order.in_words(rows.schema, 3)["ordered"]
    new.loc[0, "total"] = -5.0  # is set to the bound, with one warning
    with pytest.warns(UserWarning, match="set to the bound") as caught:
        below = load(new.head(1), schema=data.schema).beyond
    assert len(caught) == 1
    assert below is not None
    assert below[0, list(frame).index("total")] == -5
    again = joined([load(frame.head(2), schema=data.schema), rows])
    assert [int(each.rows.sum()) for each in known.broken(again)] == [
        int(each.rows.sum()) for each in found.values()
    ]


def test_among_anomalies_none_are_known() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = VAEDetector(epochs=1, random_state=0, contamination="auto").fit(sales())
    assert found.reference_.dependencies is None


@pytest.mark.slow
def test_formulas_of_a_series_are_those_of_neighboring_times() -> None:
    """total = net + tax at each time, and the level is that of the time before plus the inflow."""
    rng = np.random.default_rng(0)
    net, tax, inflow = (rng.integers(1, 900, 400) for _ in range(3))
    series = pd.DataFrame(
        {"net": net, "tax": tax, "total": net + tax, "inflow": inflow, "level": inflow.cumsum()}
    )
    data = load(series, windows=Windows(4))
    found = NormalDependencies.of(data)
    assert found is not None
    sets = {frozenset(known.formula.columns) for known in found.formulas}
    for time in range(4):
        assert {f"net@{time}", f"tax@{time}", f"total@{time}"} in sets
    for time in range(3):
        assert {f"level@{time}", f"level@{time + 1}", f"inflow@{time + 1}"} in sets
    wrong = series.head(12).copy()
    wrong.loc[6, "total"] += 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nats = found.nats(load(wrong, schema=data.schema))[:, 0]
    assert (nats > 0).tolist() == [start <= 6 <= start + 3 for start in range(9)]
