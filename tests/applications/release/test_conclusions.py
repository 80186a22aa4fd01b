"""What counts as a leak: attacks beyond chance, with the confidence that is stated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from lowerbound.applications.release.conclusions import _copied, _recognized, _verdict
from lowerbound.applications.release.copies import Copies
from lowerbound.applications.release.membership import Membership
from lowerbound.applications.release.release_audit import _some, mismatch
from lowerbound.evaluation.intervals import Interval, difference, wilson
from lowerbound.evaluation.samples.column_judge import AtFalsePositives


def attack(value: float, error: float, *tails: AtFalsePositives) -> Any:
    """An audit with one membership attack."""
    half = norm.ppf(0.975) * error
    area = Interval(value, value - half, value + half)
    return SimpleNamespace(membership=(Membership("distance", area, 90, 90, tails),))


def test_an_attack_is_above_chance_with_confidence_for_three_attacks_at_once() -> None:
    needed = norm.ppf(1 - 0.05 / 6)  # standard errors, Bonferroni
    for errors, verdict in ((needed - 0.01, "no leak found"), (needed + 0.01, "leak")):
        audit = attack(0.5 + 0.01 * errors, 0.01)
        assert _verdict(audit, tuple(_recognized(audit))) == verdict
        below = attack(0.5 - 0.01 * errors, 0.01)
        assert not _recognized(below)
        expected = "suspicious" if verdict == "leak" else verdict
        assert _verdict(below, ()) == expected


@pytest.mark.parametrize(("low", "high", "leak"), [(0.03, 0.05, False), (0.06, 0.05, True)])
def test_few_false_alarms_are_compared_by_the_near_ends(
    low: float, high: float, leak: bool
) -> None:
    tail = AtFalsePositives(0.01, Interval(0.01, 0.0, high), Interval(0.2, low, 0.4))
    assert bool(_recognized(attack(0.5, 0.1, tail))) is leak


def test_copies_count_where_chance_does_not_explain_them() -> None:
    few, many = Copies(3, 100, 1, 100, 0, 300, 300), Copies(30, 100, 1, 100, 0, 300, 300)
    assert few.released.value > few.by_chance.value
    for copies, found in ((few, 0), (many, 1)):
        assert len(_copied(SimpleNamespace(copies=copies))) == found  # type: ignore[arg-type]


def test_a_holdout_differs_only_where_its_interval_says_so() -> None:
    for low, differs in ((0.4, False), (0.9, True)):
        floor: Any = SimpleNamespace(two_sample=Interval(0.95, low, 0.99))
        assert bool(mismatch(floor)) is differs


def test_some_rows_are_random_ones() -> None:
    rows = np.arange(1_000.0)[:, None]
    some = _some(rows, 100, np.random.default_rng(0))
    assert len(np.unique(some)) == 100
    assert 400 < some.mean() < 600
    assert len(_some(rows, 0, np.random.default_rng(0))) == 1_000


def test_a_difference_of_shares_has_unequal_ends() -> None:
    """Newcombe 1998, method 10, by its formula."""
    one, other = wilson(9, 10), wilson(3, 30)
    found = difference(one, other)
    down = ((one.value - one.low) ** 2 + (other.high - other.value) ** 2) ** 0.5
    up = ((one.high - one.value) ** 2 + (other.value - other.low) ** 2) ** 0.5
    assert (found.low, found.high) == pytest.approx((0.8 - down, 0.8 + up))
    assert abs(down - up) > 0.1
