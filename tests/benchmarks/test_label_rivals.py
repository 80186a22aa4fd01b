"""Rivals of learning from few labels: what they see while their settings are chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _record
import numpy as np
import pandas as pd
import pytest
from _few_labels import Rows, digits, small_table
from _label_rivals import LEARNERS, accuracies, choice, numbers, validation


def test_rows_for_choosing_are_training_rows_without_a_label() -> None:
    rows = Rows(np.arange(100)[:, None], np.arange(100) % 2, np.arange(20), -np.ones((9, 1)), None)
    found = validation(rows, 0)
    assert found.complete is False
    assert set(found.test_x.ravel()) <= set(range(20, 100))
    assert set(found.labeled_x.ravel()) == set(range(20))
    assert not set(found.x.ravel()) & set(found.test_x.ravel())
    assert len(found.x) + len(found.test_x) == 100
    np.testing.assert_array_equal(found.test_y, found.test_x.ravel() % 2)


def test_rows_for_choosing_are_labeled_ones_where_all_are() -> None:
    rows = Rows(np.arange(100)[:, None], np.arange(100) % 2, np.arange(100), None, None)
    found = validation(rows, 0)
    assert found.complete
    assert sorted([*found.x.ravel(), *found.test_x.ravel()]) == list(range(100))


def test_settings_are_chosen_without_the_test_rows() -> None:
    """Test rows that nothing can be learned from change no choice."""
    draws = {1_000: digits(62, 1_000)}

    def spoiled(number: int) -> Rows:
        rows = draws[number]
        return Rows(rows.x, rows.y, rows.labeled, rows.test_x * 0, rows.test_y * 0)

    names = ("majority class", "logistic regression", "label spreading")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("_label_rivals.LEARNERS", {name: LEARNERS[name] for name in names})
        patch.setattr("_label_rivals.CHOOSING", (1_000,))
        chosen = choice(draws.__getitem__)
        assert choice(spoiled) == chosen
    found = accuracies(draws[1_000], chosen)
    assert found["majority class"] < 0.15
    assert found["label spreading"] > found["logistic regression"] > 0.75


def test_the_majority_class_has_its_share() -> None:
    rows = small_table("breast_cancer", 0.05, 0)
    assert accuracies(rows, {"majority class": {"settings": {}}})[
        "majority class"
    ] == pytest.approx((rows.test_y == 1).mean())


def test_gaps_and_levels_become_numbers() -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0, 5.0], "b": ["x", None, "y", "x"]}).astype(
        {"b": object}
    )
    rows = numbers(Rows(frame, np.array([0, 1, 0, 1]), np.arange(4), frame, None))
    assert np.isfinite(rows.x).all()
    assert rows.x.shape == (4, 4)  # the number, and an indicator of x, y and no answer


def test_a_part_of_a_cell_is_measured_once(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(_record, "RESULTS", tmp_path)
    calls = []

    def measure() -> dict[str, int]:
        calls.append(0)
        return {"value": len(calls)}

    for _ in range(2):
        assert _record.part_of("claim", "cell", "part", measure) == {"value": 1}
    assert _record.part_of("claim", "cell", "other", measure) == {"value": 2}
