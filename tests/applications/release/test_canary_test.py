"""Lower bounds on epsilon: below a known epsilon and close to it, broken by a planted leak."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from lowerbound.applications.release.canary_test import (
    Canaries,
    canary_audit,
    epsilon_of_one_run,
    epsilon_of_rates,
    find_canaries,
    make_canaries,
    one_run_p_value,
    plant,
)
from lowerbound.applications.release.membership import shadow_membership
from lowerbound.errors import DataError, OptionError
from lowerbound.evaluation.samples.column_judge import CodedColumns
from tests.applications.release.people import fresh, noisy, parts, people


def randomized_response(canaries: int, epsilon: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are the true bit with probability e^epsilon / (1 + e^epsilon)."""
    rng = np.random.default_rng(seed)
    included = rng.random(canaries) < 0.5
    true = rng.random(canaries) < 1 / (1 + math.exp(-epsilon))
    return np.where(true, included, ~included).astype(float), included


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0])
def test_one_run_is_below_the_true_epsilon_and_close_to_it(epsilon: float) -> None:
    found = [epsilon_of_one_run(*randomized_response(4000, epsilon, s)) for s in range(100)]
    assert np.mean([bound <= epsilon for bound in found]) >= 0.9  # 95 % confidence
    assert np.median(found) > 0.8 * epsilon


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0])
def test_many_runs_are_below_the_true_epsilon_and_close_to_it(epsilon: float) -> None:
    rng = np.random.default_rng(0)
    share = 1 / (1 + math.exp(-epsilon))
    found = [
        epsilon_of_rates(rng.binomial(4000, share), 4000, rng.binomial(4000, 1 - share), 4000)
        for _ in range(100)
    ]
    assert np.mean([bound <= epsilon for bound in found]) >= 0.9
    assert np.median(found) > 0.8 * epsilon


def test_the_p_value_is_that_of_the_theorem_at_delta_zero() -> None:
    # all of 10 guesses right: (e / (1 + e))^10
    expected = (math.e / (1 + math.e)) ** 10
    assert one_run_p_value(10, 10, 10, 1.0, 0.0) == pytest.approx(expected)


def test_delta_lowers_the_bound() -> None:
    scores, included = randomized_response(500, 3.0, 0)
    bounds = [epsilon_of_one_run(scores, included, delta=delta) for delta in (0.0, 1e-5, 1e-3)]
    assert bounds[0] > bounds[1] > bounds[2]
    assert epsilon_of_rates(90, 100, 10, 100, delta=0.5) < epsilon_of_rates(90, 100, 10, 100)


def test_fewer_guesses_help_if_most_canaries_show_nothing() -> None:
    rng = np.random.default_rng(0)
    included = rng.random(400) < 0.5
    scores = rng.normal(size=400)
    scores[:60] += np.where(included[:60], 10.0, -10.0)
    few = epsilon_of_one_run(scores, included, guesses=60)
    assert few > 2.0 > epsilon_of_one_run(scores, included)


def test_names_of_columns_may_be_numbers() -> None:
    rows = people(60, 0)[["size", "city"]].set_axis([0, 1], axis=1)
    found = canary_audit(lambda frame, count, seed: frame.head(count), rows, canaries=20)
    assert found.canaries == 20
    found_by_shadows = shadow_membership(
        lambda frame, count, seed: frame.head(count), rows, models=4
    )
    assert found_by_shadows.area.value > 0.9


def test_guessing_proves_nothing() -> None:
    scores, included = randomized_response(500, 0.0, 0)
    assert epsilon_of_one_run(scores, included) == 0.0
    assert epsilon_of_rates(50, 100, 50, 100) == 0.0


def test_a_planted_leak_breaks_a_claimed_epsilon() -> None:
    real = people(300, 0)
    assert canary_audit(noisy, real, canaries=200).epsilon > 2.0
    harmless = canary_audit(fresh, real, canaries=200)
    assert harmless.epsilon < 0.3
    assert harmless.area.low <= 0.5 <= harmless.area.high


def test_canaries_are_valid_and_planted_by_coins() -> None:
    real = people(300, 0).assign(number=range(300))
    made = make_canaries(real, 400, seed=1)
    assert list(made.rows.columns) == list(real.columns)
    assert set(made.rows["city"]) == {"Bern", "Basel", "Genf", "Chur"}
    assert (made.rows["city"] == "Chur").mean() > 0.15  # rare values are as frequent as others
    assert made.rows["size"].isin(real["size"]).all()
    assert made.rows["number"].min() == 300
    assert 0.4 < made.included.mean() < 0.6
    planted = plant(real, made)
    assert len(planted) == 300 + made.included.sum()
    assert planted.dtypes.equals(real.dtypes)


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        ([f"{row:05d}" for row in range(100)], ["00100", "00101"]),
        (np.arange(100, dtype=np.uint64) + np.uint64(2**63), [2**63 + 100, 2**63 + 101]),
        (np.where(np.arange(100) < 3, np.nan, np.arange(100)), [100, 101]),
        (pd.array([None, *range(99)], dtype="Int64"), [99, 100]),
    ],
)
def test_canaries_have_identifiers_of_the_same_format(column: Any, wanted: list[Any]) -> None:
    real = people(100, 0).assign(id=column)
    made = make_canaries(real, 2)
    assert made.rows["id"].tolist() == wanted


def test_numbers_with_decimal_commas_are_no_identifiers() -> None:
    size = [f"{1000 + row},{row:02d}" for row in range(100)]
    real = people(100, 0).assign(size=size)
    assert set(make_canaries(real, 30).rows["size"]) <= set(size)


def test_canaries_without_a_control_are_refused() -> None:
    real, _, other = parts(60)
    codes = CodedColumns.learn(real)
    drawn = codes.coordinates(codes.encode(other))[0]
    all_planted = Canaries(real, np.ones(60, dtype=bool))
    with pytest.raises(DataError, match="no control"):
        find_canaries(codes, all_planted, drawn)
    with pytest.raises(OptionError, match="at least 2"):
        make_canaries(real, 1)
    with pytest.raises(OptionError, match="between 1 and 60"):
        epsilon_of_one_run(np.zeros(60), all_planted.included, guesses=61)


@pytest.mark.parametrize(("canaries", "guesses", "right"), [(40, 20, 17), (12, 12, 9), (30, 8, 8)])
@pytest.mark.parametrize("delta", [1e-4, 1e-3])
def test_the_p_value_is_that_of_the_theorem_with_delta(
    canaries: int, guesses: int, right: int, delta: float
) -> None:
    """Theorem 5.2, by exact sums: beta + 2 m delta max_i P(v > W >= v - i) / i."""
    for epsilon in (0.5, 2.0):
        p = math.exp(epsilon) / (1 + math.exp(epsilon))
        mass = [math.comb(guesses, k) * p**k * (1 - p) ** (guesses - k) for k in range(guesses + 1)]
        alpha = max(sum(mass[right - i : right]) / i for i in range(1, right + 1))
        expected = min(sum(mass[right:]) + 2 * canaries * delta * alpha, 1.0)
        found = one_run_p_value(canaries, guesses, right, epsilon, delta)
        assert found == pytest.approx(expected, rel=1e-9)


def test_the_bound_of_one_run_is_where_the_p_value_is_the_level() -> None:
    scores, included = randomized_response(200, 2.0, 1)
    scores = scores + 1e-3 * np.random.default_rng(0).random(200)  # no two are equal
    order = np.argsort(-scores)
    for guesses in (200, 61):
        accused, acquitted = order[: (guesses + 1) // 2], order[200 - guesses // 2 :]
        right = int(included[accused].sum() + (~included[acquitted]).sum())
        bound = epsilon_of_one_run(scores, included, guesses=guesses, delta=1e-5, confidence=0.9)
        assert bound > 0.5
        assert one_run_p_value(200, guesses, right, bound, 1e-5) == pytest.approx(0.1, abs=1e-9)


@pytest.mark.parametrize("delta", [0.0, 0.01])
@pytest.mark.parametrize("rates", [(90, 10), (50, 1), (99, 60)])
def test_the_bound_of_rates_is_by_the_inner_ends_of_exact_intervals(
    rates: tuple[int, int], delta: float
) -> None:
    (hits, alarms), total = rates, 100
    low = binomtest(hits, total).proportion_ci(0.95, method="exact").low
    high = binomtest(alarms, total).proportion_ci(0.95, method="exact").high
    expected = max(math.log((low - delta) / high), math.log((1 - high - delta) / (1 - low)), 0.0)
    assert epsilon_of_rates(hits, total, alarms, total, delta) == pytest.approx(expected, abs=1e-9)
