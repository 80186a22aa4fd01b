"""Sentences say which side is better, and when a difference is none."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lowerbound.applications.common.sentences import (
    about_bound,
    about_complete_rows,
    about_difference,
    about_explained,
    about_likelihood,
    about_quality,
)
from lowerbound.evaluation.samples.distances import DRAWN, Neighborhoods, Quality, SampleQuality
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.inference.reconstruction import ReconstructionError


@pytest.mark.parametrize(
    ("difference", "sentence"),
    [
        (Estimate(3.0, 1.0), "3.00 ± 1.00 nats per row above other"),
        (Estimate(-3.0, 1.0), "3.00 ± 1.00 nats per row below other"),
        (Estimate(1.9, 1.0), "does not differ significantly from other"),
        (Estimate(-1.9, 1.0), "does not differ significantly from other"),
    ],
)
def test_differences(difference: Estimate, sentence: str) -> None:
    assert about_difference("other", difference).startswith(sentence)


def test_reconstructions_worse_than_the_mean_are_called_so() -> None:
    assert about_explained(0.25) == "reconstructions keep 25.0% of the variance"
    worse = "reconstructions keep none of the variance: the mean row has a smaller error"
    assert about_explained(-1.5) == worse
    assert about_explained(-math.inf) == worse
    assert about_explained(math.nan).startswith("the rows have no variance")


def test_rows_without_distances_have_no_sentence_on_variance() -> None:
    none, loss = Estimate(math.nan, None), Estimate(3.0, 0.1)
    found: Any = SimpleNamespace(
        scores=Skipped("no prior"), error=ReconstructionError(none, loss, math.nan)
    )
    assert about_likelihood(found) == ["no likelihood: no prior"]
    found.error = ReconstructionError(Estimate(0.0, 0.0), loss, math.nan)
    assert len(about_likelihood(found)) == 2


@pytest.mark.parametrize(
    ("bound", "elbo", "words"),
    [
        (-18.0, -19.0, "-18 nats per row (L_10; ELBO -19)"),
        (-8.0, -7.0, "-7 nats per row (ELBO; L_10 -8)"),
    ],
)
def test_the_higher_bound_is_the_one_on_log_p(bound: float, elbo: float, words: str) -> None:
    row = torch.ones(2, dtype=torch.float64)
    scores: Any = SimpleNamespace(
        bound=bound * row,
        elbo=elbo * row,
        samples=10,
        protocol=SimpleNamespace(quantity="log p(x)"),
    )
    assert about_bound(scores).replace(".00 ± 0.00", "") == f"log p(x) is at least {words}"


@pytest.mark.parametrize("gaps", [False, True])
def test_complete_rows_of_a_model_that_draws_missing_cells_need_no_note(gaps: bool) -> None:
    column = SimpleNamespace(name="pay", missing_share=0.2)
    model = SimpleNamespace(correction=None, likelihood=SimpleNamespace(gaps=gaps))
    fitted: Any = SimpleNamespace(model=model, schema=SimpleNamespace(modeled=[column]))
    assert ("20% of the fitted cells of column 'pay'" in about_complete_rows(fitted)) != gaps


@pytest.mark.parametrize(
    ("unseen", "rows"),
    [
        (True, "60 held-out rows, column"),
        (False, "60 rows of the data, some of which the model was fitted to, column"),
    ],
)
def test_only_unseen_rows_are_called_held_out(unseen: bool, rows: str) -> None:
    none, near = Skipped("none"), Neighborhoods(0.9, 0.9, 1.0, 0.9)
    line = Quality(Estimate(1.0, 0.1), Estimate(0.1, 0.1), near, none, none, none)
    found = SampleQuality("columns", None, 60, {"prior": {DRAWN: line}}, {}, {}, "cells")
    assert rows in about_quality(found, unseen=unseen)[0]
