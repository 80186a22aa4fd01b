"""Errors of margins against closed forms, trends, categories, and the two-sample test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.release.margins import (
    column_errors,
    coverage,
    cramers_v,
    margin_error,
    spearman,
    trend_error,
)
from lowerbound.evaluation.samples import column_judge
from lowerbound.evaluation.samples.column_judge import CodedColumns, boosted_area, distinguished
from tests.applications.release.people import parts, people


def table(counts: np.ndarray) -> pd.DataFrame:
    """Rows whose joint table is ``counts``."""
    cells = np.argwhere(counts >= 0).repeat(counts.ravel(), axis=0)
    return pd.DataFrame({name: [f"{name}{c}" for c in cells[:, i]] for i, name in enumerate("abc")})


def test_independent_columns_have_the_error_of_the_closed_form() -> None:
    joint = np.array([[[60, 0], [0, 20]], [[0, 20], [40, 60]]]) * 2
    p = joint / joint.sum()
    margins = [p.sum((1, 2)), p.sum((0, 2)), p.sum((0, 1))]
    product = np.einsum("i,j,k->ijk", *margins)
    counts = np.rint(product * 100**3).astype(int)
    assert np.allclose(counts / 100**3, product)  # whole numbers, so the draw is exact
    real, drawn = table(joint), table(counts // np.gcd.reduce(counts.ravel()))
    codes = CodedColumns.learn(real)
    a, b = codes.encode(real), codes.encode(drawn)
    assert margin_error(codes, a, b, 1).mean == pytest.approx(0.0, abs=1e-12)
    pairs = [0.5 * np.abs(p.sum(k) - product.sum(k)).sum() for k in range(3)]
    assert margin_error(codes, a, b, 2).mean == pytest.approx(np.mean(pairs), abs=1e-12)
    assert margin_error(codes, a, b, 2).worst == pytest.approx(max(pairs), abs=1e-12)
    triple = 0.5 * np.abs(p - product).sum()
    assert margin_error(codes, a, b, 3).mean == pytest.approx(triple, abs=1e-12)


def test_equal_tables_have_no_error_and_disjoint_ones_the_largest() -> None:
    real = people(200, 0)
    codes = CodedColumns.learn(real)
    other = real.assign(size=real["size"] + 1e4, city="Zug")
    a, b = codes.encode(real), codes.encode(other)
    assert all(margin_error(codes, a, a, size).worst == 0 for size in (1, 2, 3))
    found = column_errors(codes, a, b)
    assert found["size"] == pytest.approx(0.95, abs=0.01)  # all in the highest of 20 bins
    assert found["city"] == 1.0
    assert found["weight"] == 0.0


def test_missing_cells_are_a_value() -> None:
    real = people(200, 0)
    gone = real.assign(income=real["income"].where(np.arange(200) >= 50))
    codes = CodedColumns.learn(real)
    found = column_errors(codes, codes.encode(real), codes.encode(gone))
    assert found["income"] == pytest.approx(0.25, abs=1e-12)


def test_trends_are_those_of_scipy() -> None:
    from scipy.stats import spearmanr
    from scipy.stats.contingency import association

    real = people(300, 0)
    assert spearman(*real[["size", "income"]].to_numpy().T) == pytest.approx(
        spearmanr(real["size"], real["income"]).statistic
    )
    a, b = (pd.factorize(real[name])[0] for name in ("city", "kind"))
    expected = association(pd.crosstab(a, b).to_numpy(), method="cramer", correction=False)
    assert cramers_v(a, b, 6, 3) == pytest.approx(expected)


def test_shuffled_columns_lose_their_trend() -> None:
    real = people(2000, 0)
    codes = CodedColumns.learn(real)
    drawn = real.assign(weight=np.random.default_rng(0).permutation(real["weight"]))
    found = trend_error(codes, codes.encode(real), codes.encode(drawn))
    assert found is not None
    assert set(found.columns) == {"size", "weight"}
    assert abs(found.second) < 0.1 < 0.7 < found.first


def test_lost_rare_and_new_categories_are_named() -> None:
    real = people(2000, 0)
    drawn = people(2000, 1)
    drawn.loc[drawn["city"] == "Chur", "city"] = "Zug"
    drawn.loc[:9, "size"] = 1e6
    codes = CodedColumns.learn(real)
    found = coverage(codes, drawn, codes.encode(drawn))
    assert (found.rare, found.covered) == (1, 0)
    assert found.lost == (("city", "Chur"),)
    assert found.new == {"city": ("Zug",)}
    assert found.outside["size"] >= 10 / 2000
    few = drawn.iloc[:20]  # so few rows need not have a level of 2 %
    assert coverage(codes, few, codes.encode(few)).rare == 0


@pytest.mark.slow
def test_two_samples_of_one_source_cannot_be_distinguished() -> None:
    real, other, _ = parts(600)
    codes = CodedColumns.learn(real)
    found = distinguished(codes, codes.encode(real), codes.encode(other), folds=3)
    assert found.low <= 0.5 <= found.high
    assert found.high - found.low < 0.2


@pytest.mark.slow
def test_boosting_distinguishes_columns_without_their_relation() -> None:
    real, other, _ = parts(600)
    codes = CodedColumns.learn(real)
    drawn = other.assign(weight=np.random.default_rng(0).permutation(other["weight"]))
    found = distinguished(codes, codes.encode(real), codes.encode(drawn), folds=3)
    assert found.low > 0.6


def test_a_few_rows_of_another_source_are_distinguished() -> None:
    """Trees with leaves of twenty rows could split none of these, and every score would be 0.5."""
    random = np.random.default_rng(0)
    few, other = random.normal(size=(20, 3)), random.normal(2.0, 1.0, (20, 3))
    found = boosted_area(few, other, np.zeros(3, dtype=bool))
    assert found.low > 0.7
    same = boosted_area(few, random.normal(size=(20, 3)), np.zeros(3, dtype=bool))
    assert same.low < 0.5 < same.high


def test_the_error_of_an_area_over_folds_is_that_of_overlapping_training_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nadeau & Bengio 2003: the variance of the mean over k folds, times 1 + k / (k - 1)."""
    monkeypatch.setattr(column_judge, "area", lambda *scores: (0.7, 0.04))
    rows = np.random.default_rng(0).normal(size=(60, 1))
    found = column_judge.boosted_area(rows[:30], rows[30:], np.array([False]), folds=5)
    half = 1.96 * 0.04 * ((1 + 5 / 4) / 5) ** 0.5
    assert (found.low, found.high) == pytest.approx((0.7 - half, 0.7 + half), rel=1e-3)


def test_the_worst_trend_is_named_beside_columns_that_do_not_vary() -> None:
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(2, 400))
    real = pd.DataFrame({"same": 1.0, "a": a, "other": 2.0, "b": a, "c": b})
    codes = CodedColumns.learn(real)
    found = trend_error(
        codes, codes.encode(real), codes.encode(real.assign(b=draw.normal(size=400)))
    )
    assert found is not None
    assert found.columns == ("a", "b")
    assert (found.first, abs(found.second) < 0.2) == (pytest.approx(1.0), True)
