"""Anomaly scores with bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lowerbound.data import Dataset
from lowerbound.inference.anomaly import comparison
from lowerbound.inference.anomaly.comparison import compared, learn_reference
from lowerbound.inference.anomaly.scores import raw_scores
from tests.evaluation.small_models import vectors
from tests.oracles import linear_gaussian as oracle

ROWS = vectors(oracle.data(300))
NEW = vectors(oracle.data(40, seed=5))


def test_parts_change_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    model = oracle.model("mean_field")
    reference = learn_reference(model, ROWS)
    whole = reference.components(raw_scores(model, NEW))
    monkeypatch.setattr(comparison, "PART_NUMBERS", 7 * NEW.schema.dimension)
    done: list[tuple[int, int]] = []
    found = compared(model, reference, NEW, progress=lambda *seen: done.append(seen))
    assert list(found) == list(whole)
    for name, scores in whole.items():
        np.testing.assert_allclose(found[name], scores, rtol=1e-9, atol=1e-9)
    assert [rows for rows, _ in done] == [7, 14, 21, 28, 35, 40]
    assert {rows for _, rows in done} == {40}


def test_no_part_is_larger_than_the_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sizes = oracle.model("exact"), []

    def measured(model: Any, rows: Dataset, **options: Any) -> Any:
        sizes.append(len(rows))
        return raw_scores(model, rows, **options)

    monkeypatch.setattr(comparison, "raw_scores", measured)
    numbers = ROWS.schema.dimension
    monkeypatch.setattr(comparison, "PART_NUMBERS", 9 * numbers)
    monkeypatch.setattr(comparison, "REFERENCE_NUMBERS", 30 * numbers)
    monkeypatch.setattr(comparison, "LEAST_REFERENCES", 20)
    reference = learn_reference(model, ROWS, NEW)
    assert sizes == [30, 30]
    compared(model, reference, NEW)
    assert sizes[2:] == [9, 9, 9, 9, 4]
    monkeypatch.setattr(comparison, "REFERENCE_NUMBERS", 1)
    learn_reference(model, ROWS, NEW)
    assert sizes[-2:] == [20, 20]
