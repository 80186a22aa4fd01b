"""Anomaly scores with bounded memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.applications.anomaly import reference as comparison
from lowerbound.applications.anomaly.reference import compared, learn_reference, usual_shares
from lowerbound.applications.anomaly.scores import raw_scores
from lowerbound.data import Dataset
from lowerbound.inference.shares import Shares
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
    # a quarter of a part after the first four draws, and its end
    assert [rows for rows, _ in done] == [1, 7, 8, 14, 15, 21, 22, 28, 29, 35, 36, 40]
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


def test_gaps_cost_what_their_features_usually_do() -> None:
    model = oracle.model("exact")
    usual = usual_shares(model, ROWS)
    reference = learn_reference(model, ROWS, usual=usual)
    observed = torch.ones_like(NEW.x, dtype=torch.bool)
    observed[:5, 0] = False
    gaps = replace(NEW, observed=observed)
    raw, scores = raw_scores(model, gaps), reference.components(raw_scores(model, gaps))
    expected = np.zeros(len(NEW))
    expected[:5] = float(usual.features[0, 0])
    for name, values in (("bound", raw.bound), ("reconstruction", raw.reconstruction)):
        np.testing.assert_allclose(scores[name] - values, expected, atol=1e-12)
    whole = learn_reference(model, ROWS).components(raw)
    np.testing.assert_allclose(whole["bound"], raw.bound)


def test_the_usual_share_of_a_feature_is_that_of_the_rows_that_have_it() -> None:
    features = torch.tensor([[1.0, 2.0], [3.0, 0.0]], dtype=torch.float64)
    found = Shares(features, torch.zeros(2, dtype=torch.float64))
    observed = torch.tensor([[True, True], [True, False]])
    assert found.mean(observed).features.tolist() == [[2.0, 2.0]]
    above = found.above(found.mean(observed), observed)
    assert above.features.tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_longer_rows_have_no_usual_share_at_their_end() -> None:
    rate = torch.zeros(1, dtype=torch.float64)
    usual = Shares(torch.ones(1, 2, dtype=torch.float64), rate)
    longer = Shares(torch.full((1, 3), 5.0, dtype=torch.float64), rate)
    assert longer.above(usual).features.tolist() == [[4.0, 4.0, 5.0]]
    shorter = Shares(torch.full((1, 1), 5.0, dtype=torch.float64), rate)
    assert shorter.above(usual).features.tolist() == [[4.0]]
