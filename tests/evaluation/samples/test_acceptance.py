"""The classifier that judges samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sklearn.neural_network  # noqa: F401 - its first import moves the state of random
import torch

from lowerbound.data import load
from lowerbound.evaluation.samples.acceptance import (
    Acceptance,
    RealismClassifier,
    fit_realism_classifier,
    real_rows,
)
from lowerbound.inference.estimate import Skipped
from tests.evaluation.small_models import vectors


class Reader:
    """A classifier that reads the class probabilities off the row."""

    def __init__(self) -> None:
        self.classes_ = np.arange(2)
        self.rows = 0

    def fit(self, x: np.ndarray, y: np.ndarray) -> Reader:
        self.rows = len(x)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x[:, :2], dtype=float)


def sure(confidence: torch.Tensor) -> torch.Tensor:
    """Rows that the reader takes for class 0 with that probability."""
    return torch.stack([confidence, 1 - confidence], 1)


def labelled(confidence: torch.Tensor) -> torch.Tensor:
    return torch.arange(len(confidence)) % 2


def test_the_threshold_is_the_fifth_percentile_on_rows_it_has_not_seen() -> None:
    confidence = torch.linspace(0.5, 1, 101)
    reader = Reader()
    training = vectors(sure(torch.full((40,), 0.9)), label=labelled(torch.zeros(40)))
    held_out = vectors(sure(confidence), label=torch.zeros(101).long())
    judge = fit_realism_classifier(training, held_out, classifier=reader)
    assert isinstance(judge, RealismClassifier)
    assert reader.rows == 40
    assert judge.threshold == pytest.approx(0.525)
    assert judge.accuracy == 1.0
    assert judge.accept(held_out.x).rate.mean == pytest.approx(0.95, abs=0.01)


def test_what_is_accepted_and_which_classes_it_is() -> None:
    judge = RealismClassifier(Reader(), 0.8, 1.0)
    verdict = judge.accept(sure(torch.tensor([0.9, 0.95, 0.1, 0.5, 0.7])))
    assert verdict.rate.mean == pytest.approx(0.6)
    assert verdict.rate.standard_error == pytest.approx((0.6 * 0.4 / 5) ** 0.5)
    assert verdict.shares == pytest.approx((2 / 3, 1 / 3))
    assert verdict.least_share == pytest.approx(1 / 3)


def test_shares_are_of_the_classes_of_the_data() -> None:
    """The classifier has seen classes 1 and 3 of four."""
    x, label = blobs(60, 0)
    training = vectors(x, label=torch.where(label == 0, 1, 3))
    schema = replace(training.schema, class_names=("a", "b", "c", "d"))
    training = replace(training, schema=schema)
    judge = fit_realism_classifier(training, training)
    assert isinstance(judge, RealismClassifier)
    shares = judge.accept(training.x).shares
    assert shares == pytest.approx((0, 1 / 3, 0, 2 / 3), abs=0.06)


def test_nothing_accepted_is_no_error() -> None:
    verdict = RealismClassifier(Reader(), 0.99, 1.0).accept(sure(torch.tensor([0.6, 0.5])))
    assert verdict.rate.mean == 0
    assert verdict.least_share == 0


def blobs(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(rows) % 3
    center = torch.tensor([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0]])
    return center[label] + torch.randn(rows, 2, generator=generator), label


@pytest.mark.usefixtures("untouched_random_state")
def test_the_default_judge_tells_real_from_between() -> None:
    judge = fit_realism_classifier(vectors(*blobs(300, 0)), vectors(*blobs(150, 1)))
    assert isinstance(judge, RealismClassifier)
    assert judge.accuracy > 0.95
    real = judge.accept(blobs(300, 2)[0])
    assert real.rate.mean > 0.88
    assert real.least_share > 0.25
    noise = torch.randn(300, 2, generator=torch.Generator().manual_seed(3))
    between = judge.accept(torch.tensor([0.0, 1.0]) + 0.2 * noise)
    assert between.rate.mean < 0.3


def test_one_class_made_well_shows_in_the_shares() -> None:
    judge = fit_realism_classifier(vectors(*blobs(300, 0)), vectors(*blobs(150, 1)))
    assert isinstance(judge, RealismClassifier)
    x, label = blobs(300, 2)
    verdict = judge.accept(x[label == 1])
    assert isinstance(verdict, Acceptance)
    assert verdict.rate.mean > 0.85
    assert verdict.least_share == 0


def test_without_labels_there_is_no_judge() -> None:
    x, label = blobs(30, 0)
    found = fit_realism_classifier(vectors(x), vectors(x, label=label))
    assert found == Skipped("the data has no labels, so no classifier can be fitted")


def test_with_few_rows_there_is_no_judge() -> None:
    x, label = blobs(15, 0)
    found = fit_realism_classifier(vectors(x, label=label), vectors(x, label=label))
    assert isinstance(found, Skipped)
    assert "at least 10 rows" in found.reason


def test_dynamically_binarized_rows_are_judged_as_grey_values() -> None:
    digits = load("digits", binarize="dynamic").subset(range(20))
    rows = real_rows(digits)
    assert len(rows.unique()) > 2
    assert float(rows.max()) <= 1
