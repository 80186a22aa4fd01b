"""Verdicts against rivals, and the rules that committed results keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _page import broken, check
from _record import Metric
from _rivals import Better, apart, paired
from scipy import stats

RNG = np.random.default_rng(0)
OURS, THEIRS = RNG.normal(1.0, 1.0, 12).tolist(), RNG.normal(0.5, 1.0, 12).tolist()


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_the_interval_is_that_of_the_paired_test(better: Better) -> None:
    found = paired("rival", "plain", OURS, THEIRS, better, "table")
    first, second = (OURS, THEIRS) if better == "higher" else (THEIRS, OURS)
    low, high = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.value == pytest.approx(np.mean(THEIRS))


def test_the_interval_of_other_units_is_that_of_welch() -> None:
    found = apart("rival", "plain", OURS, THEIRS[:7], "higher", "seed")
    low, high = stats.ttest_ind(OURS, THEIRS[:7], equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_a_tie_is_no_win() -> None:
    same = paired("same", "plain", [1.0, 2.0, 3.0], [1.1, 1.9, 3.0], "higher", "seed")
    worse = paired("worse", "plain", [1.0, 2.0, 3.0], [0.5, 1.4, 2.6], "higher", "seed")
    assert (same.verdict, worse.verdict) == ("tied", "ahead")
    metric = Metric("x", 2.0, "", "higher", rivals=[same, worse], beats=["worse"])
    assert metric.reached
    assert not Metric("x", 2.0, "", "higher", rivals=[same], beats=["same"]).reached
    assert not Metric("x", 2.0, "", "higher", target=3.0, rivals=[worse], beats=["worse"]).reached


@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        ([1.0], [1.0], "plain"),
        ([1.0, 2.0], [1.0], "plain"),
        ([1.0, 2.0], [1.0, np.nan], "plain"),
        ([1.0, 2.0], [0.0, 0.0], " "),
    ],
)
def test_what_says_nothing_is_refused(
    ours: list[float], theirs: list[float], settings: str
) -> None:
    with pytest.raises(ValueError, match=r"rival|finite"):
        paired("rival", settings, ours, theirs, "higher", "seed")


def result(**changes: Any) -> dict[str, Any]:
    rival = paired("rival", "plain", OURS, THEIRS, "higher", "table")
    metric = Metric("x", 1.0, "", "higher", rivals=[rival], beats=["rival"]).as_mapping()
    known = {"name": "made", "commit": "abc", "minutes": 1.0, "cell_commits": ["abc"]}
    return {**known, "metrics": [metric | changes.pop("metric", {})], **changes}


def test_a_sound_result_keeps_the_rules() -> None:
    assert not list(broken(result()))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"commit": "abc-dirty"}, "clean checkout"),
        ({"cell_commits": ["abc", "def-dirty"]}, "def-dirty"),
        ({"minutes": 0.0}, "no time"),
        ({"metric": {"baselines": {"rival": 1.0}}}, "baselines"),
        ({"metric": {"beats": ["another"]}}, "another"),
        (
            {
                "metric": {
                    "rivals": [{"name": "rival", "settings": "", "low": 0, "gain": 1, "high": 2}]
                }
            },
            "settings",
        ),
        (
            {
                "metric": {
                    "rivals": [{"name": "rival", "settings": "a", "low": 3, "gain": 1, "high": 2}]
                }
            },
            "interval",
        ),
    ],
)
def test_what_breaks_a_rule_is_named(changes: dict[str, Any], words: str) -> None:
    (found,) = broken(result(**changes))
    assert words in found


def test_each_result_is_checked() -> None:
    assert not check([result(), result()])
    assert check([result(), result(name="other", minutes=0.0)]) == [
        "other: it says that it took no time"
    ]
