"""Training can only add: factor analysis, where it is the start, is judged as later weights are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowerbound.data import load
from lowerbound.fitting import FitOptions, fit
from lowerbound.inference.likelihood import score
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

CORRELATED = np.random.default_rng(0).multivariate_normal(np.zeros(4), 0.8 + 0.2 * np.eye(4), 400)
ROWS = load(CORRELATED, missing="model")  # so that the network is tabular


def bound(**options: float) -> float:
    training = TrainingOptions(epochs=2, seed=0, validation=0.2, **options)  # type: ignore[arg-type]
    made = fit(ROWS, FitOptions(ModelOptions(latent_dim=1), training=training))
    return float(score(made.model, ROWS, samples=1, seed=0).elbo.mean())


def test_updates_that_only_harm_are_undone() -> None:
    untouched = bound(learning_rate=1e-12)
    assert bound(learning_rate=0.05) == pytest.approx(untouched, abs=1e-6)


def test_the_history_says_so() -> None:
    training = TrainingOptions(epochs=2, seed=0, validation=0.2, learning_rate=0.05)
    made = fit(ROWS, FitOptions(ModelOptions(latent_dim=1), training=training))
    assert made.history.best == 0
    assert all(torch.isfinite(value).all() for value in made.model.state_dict().values())
