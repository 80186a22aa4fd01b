"""What a model knows of each column: sums to the gain of the bound, nothing of a random column."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import Dataset, load
from lowerbound.errors import UnsupportedError
from lowerbound.evaluation.likelihood.baselines import DRAWS, column_shares
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.likelihood import score
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions


def table(rows: int = 600) -> pd.DataFrame:
    random = np.random.default_rng(0)
    z = random.normal(size=rows)
    return pd.DataFrame(
        {
            "tied": z + 0.3 * random.normal(size=rows),
            "also": -z + 0.3 * random.normal(size=rows),
            "sure": np.where(z > 0, "yes", "no"),
            "alone": random.normal(size=rows),
        }
    )


@pytest.fixture(scope="module")
def fitted() -> tuple[Fitted, Dataset]:
    data = load(table())
    options = FitOptions(ModelOptions(latent_dim=1), training=TrainingOptions(epochs=20))
    return fit(data, options), data


def test_tied_columns_are_known_and_the_one_alone_is_not(fitted: tuple[Fitted, Dataset]) -> None:
    shares = column_shares(fitted[0].model, fitted[1])
    gains = dict(zip(shares.names, shares.gains, strict=True))
    assert min(gains["tied"], gains["also"]) > 0.5
    assert gains["sure"] > 0.2
    assert shares.ignored == ("alone",)


def test_shares_and_rate_sum_to_the_elbo(fitted: tuple[Fitted, Dataset]) -> None:
    model, data = fitted[0].model, fitted[1]
    scores = score(model, data, samples=DRAWS)
    shares = column_shares(model, data)
    assert math.isclose(-sum(shares.nats), float(scores.distortion.mean()), rel_tol=1e-6)
    elbo = sum(shares.nats) - float(scores.rates.sum(0).mean())
    assert math.isclose(elbo, float(scores.elbo.mean()), rel_tol=1e-6)


def test_the_marginals_are_closed_forms(fitted: tuple[Fitted, Dataset]) -> None:
    shares = column_shares(fitted[0].model, fitted[1])
    marginal = dict(zip(shares.names, shares.marginal, strict=True))
    variance = table()["alone"].var(ddof=0)  # in the units of the table
    expected = -0.5 * math.log(2 * math.pi * math.e * variance)
    assert math.isclose(marginal["alone"], expected, rel_tol=1e-5)
    p = (table()["sure"] == "yes").mean()
    assert math.isclose(marginal["sure"], p * math.log(p) + (1 - p) * math.log(1 - p), rel_tol=1e-3)


def test_hidden_cells_do_not_count(fitted: tuple[Fitted, Dataset]) -> None:
    hidden = table().mask(np.random.default_rng(1).random((600, 4)) < 0.3)
    data = load(hidden, schema=fitted[1].schema)
    gains = column_shares(fitted[0].model, data).gains
    assert all(math.isfinite(gain) for gain in gains)
    assert gains[0] > 0.3


@pytest.mark.slow
def test_why_a_cell_is_missing_is_no_share() -> None:
    x = np.random.default_rng(0).normal(size=(200, 1)) @ np.ones((1, 3))
    x += np.random.default_rng(1).normal(size=x.shape)
    x[x[:, 0] > 0, 0] = np.nan
    data = load(x, missing="model")
    model = assemble(data.schema, ModelOptions(latent_dim=1, missingness="self_masking_high"))
    model.start(data)
    shares = column_shares(model.eval(), data)
    assert data.observed is not None
    some = data.subset(data.observed.all(1).nonzero().flatten())
    complete = column_shares(model, some)
    assert shares.nats[0] == pytest.approx(complete.nats[0], abs=0.1)


def test_pictures_have_no_columns() -> None:
    data = load(np.random.default_rng(0).integers(0, 256, (9, 5, 5), dtype=np.uint8))
    model = torch.nn.Module()
    with pytest.raises(UnsupportedError, match="only rows of columns"):
        column_shares(model, data)  # type: ignore[arg-type]
