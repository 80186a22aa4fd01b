"""A tabular VAE starts at the linear solution: exact where that is one, no worse elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications.restoration.filling import impute
from lowerbound.classical.factor_analysis import chosen_ridge, fit_factor_analysis
from lowerbound.data import Dataset, load
from lowerbound.evaluation.likelihood.baselines import column_shares
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.likelihood import score
from lowerbound.models import Model
from lowerbound.models.options import ModelOptions
from tests.tables import KINDS, mixed_frame

RANDOM = np.random.default_rng(0)


def started(data: Dataset, **options: object) -> Model:
    torch.manual_seed(0)
    model = assemble(data.schema, ModelOptions(**options)).double()  # type: ignore[arg-type]
    model.start(data)
    return model.eval()


def reals(rows: int = 300, missing: float = 0.3) -> pd.DataFrame:
    z = RANDOM.normal(size=(rows, 2))
    x = z @ RANDOM.normal(size=(2, 6)) + 0.5 * RANDOM.normal(size=(rows, 6))
    frame = pd.DataFrame(x, columns=list("abcdef"))
    return frame.mask(RANDOM.random(x.shape) < missing)


@pytest.mark.parametrize("source", ["table", "array"])
def test_the_first_bound_is_the_exact_likelihood_of_factor_analysis(source: str) -> None:
    frame = reals()
    data = load(frame) if source == "table" else load(frame.to_numpy(), missing="model")
    assert data.schema.gaussian
    model = started(data, latent_dim=2)
    batch = data.all()
    assert batch.observed is not None
    # the features are standardized once more where the table's columns are
    features = model.seen(batch)[:, :6]
    scale = getattr(model.inputs, "scale", torch.ones(6).double())
    ridge = chosen_ridge(features, batch.observed, 2)
    fitted = fit_factor_analysis(features, batch.observed, 2, ridge=ridge)
    seen = batch.observed.double()
    exact = fitted.log_marginal(features, batch.observed) - (seen * scale.log()).sum(1)
    scores = score(model, data, samples=3)
    expected = exact + data.log_jacobian(mass=False)
    torch.testing.assert_close(scores.bound, expected, rtol=0, atol=2e-3)
    torch.testing.assert_close(scores.effective_sample_size, torch.full((300,), 3.0).double())


def test_a_table_of_every_kind_starts_above_independent_columns() -> None:
    frame = mixed_frame(500, missing=0.1)
    data = load(frame, kinds=KINDS)
    model = started(data, latent_dim=3)
    elbo = float(score(model, data).elbo.mean())
    counts = data.observed.double().mean(0).numpy()  # type: ignore[union-attr]
    independent = float(np.dot(column_shares(model, data).marginal, counts))
    assert elbo > independent + float(data.log_jacobian(mass=False).mean()) + 0.5


@pytest.mark.slow
def test_many_columns_of_levels_are_not_taken_for_more_than_they_tell() -> None:
    """A dozen columns that hang together with nothing: the code must not pay for them."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame({f"c{i}": random.choice(list("uvwxy"), 3000) for i in range(12)})
    data = load(frame)
    model = started(data, latent_dim=8)
    scores = score(model, data)
    independent = sum(column_shares(model, data).marginal)
    assert float(scores.rates.sum(0).mean()) < 1.5
    assert float(scores.elbo.mean()) > independent - 0.5


def test_other_networks_stay_as_they_are() -> None:
    data = load(reals())
    model = started(data, latent_dim=2, network="mlp")
    rates = score(model, data).rates.sum(0)
    assert torch.isfinite(rates).all()


def test_a_column_of_a_dozen_levels_tells_a_number_before_any_training() -> None:
    random = np.random.default_rng(2)
    level = random.integers(12, size=600)
    worth = random.permutation(12)[level].astype(float)
    frame = pd.DataFrame(
        {"level": [f"l{i}" for i in level], "x": worth + 0.3 * random.normal(size=600)}
    )
    data = load(frame, kinds={"x": "real"}, missing="model")
    model = started(data, latent_dim=1)
    asked = load(frame.assign(x=np.nan), schema=data.schema)
    told = impute(model, asked, samples=20).mean[:, 1]
    assert np.corrcoef(told, worth)[0, 1] > 0.9
