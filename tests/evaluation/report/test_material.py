"""The rows that a report shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowerbound.data import load
from lowerbound.evaluation.report.subjects import EXAMPLES, Material


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_examples_are_equally_many_of_each_class(classes: int) -> None:
    """Also if the rows of a class stand together, and of rows without a label none."""
    labels = np.repeat(np.arange(classes + 1), 40).astype(object)
    labels[labels == classes] = None
    rows = load(np.random.default_rng(0).normal(size=(len(labels), 2)), label=labels)
    shown = Material([], rows, rows).examples.label
    assert shown is not None
    assert torch.bincount(shown, minlength=classes).tolist() == [EXAMPLES // classes] * classes


def test_without_labels_the_examples_are_spread() -> None:
    rows = load(np.arange(200.0)[:, None])
    shown = Material([], rows, rows).examples
    values = shown.schema.decode(shown.x)[:, 0]
    assert len(values) == EXAMPLES
    assert np.ptp(values) > 150
