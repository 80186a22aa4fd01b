"""Rows with missing cells from a model that is solved on paper, and a table of every kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lowerbound.classical.factor_analysis import FactorAnalysis
from lowerbound.data import Column, Dataset, Schema
from lowerbound.fitting.assembly import assemble
from lowerbound.models import VariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.networks.tabular import TabularDecoder, TabularEncoder

FEATURES, LATENT = 6, 2


def factors(seed: int = 0) -> FactorAnalysis:
    """Weights of order one, noise of its own for each feature."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(FEATURES, LATENT, generator=generator, dtype=torch.float64)
    offset = torch.randn(FEATURES, generator=generator, dtype=torch.float64)
    noise = 0.1 + torch.rand(FEATURES, generator=generator, dtype=torch.float64)
    return FactorAnalysis(weight, offset, noise)


def drawn(fa: FactorAnalysis, rows: int, seed: int = 1) -> Tensor:
    """Rows of the model."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, fa.latent_dim, generator=generator, dtype=torch.float64)
    eps = torch.randn(rows, len(fa.offset), generator=generator, dtype=torch.float64)
    return z @ fa.weight.T + fa.offset + fa.noise.sqrt() * eps


def model_of(fa: FactorAnalysis) -> VariationalAutoencoder:
    """The same as a variational autoencoder, whose posterior is exact for every pattern."""
    model = assemble(_schema(len(fa.offset)), ModelOptions(latent_dim=fa.latent_dim)).double()
    assert isinstance(model, VariationalAutoencoder)
    assert isinstance(model.encoder, TabularEncoder)
    assert isinstance(model.decoder, TabularDecoder)
    model.encoder.start_from(fa)
    model.decoder.start_from(torch.arange(len(fa.offset)), fa.weight, fa.offset)
    model.likelihood.scale.set(fa.noise.sqrt())  # type: ignore[operator, union-attr]
    return model.eval()


def dataset_of(x: Tensor, observed: Tensor, scale: float = 1.0) -> Dataset:
    """Rows in model units, some cells of which nobody has seen."""
    schema = _schema(x.shape[1])
    columns = tuple(replace(column, scale=scale) for column in schema.columns)
    return Dataset(replace(schema, columns=columns), x.where(observed, 0.0), observed=observed)


def seen(rows: int, features: int = FEATURES, share: float = 0.5, seed: int = 0) -> Tensor:
    """A mask, completely at random."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(rows, features, generator=generator) < share


def conditional(fa: FactorAnalysis, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the hidden cells of one row, by the formula for a Gaussian."""
    covariance = fa.weight @ fa.weight.T + torch.diag(fa.noise)
    o, m = observed.nonzero().flatten(), (~observed).nonzero().flatten()
    gain = torch.linalg.solve(covariance[o][:, o], covariance[o][:, m]).T
    mean = fa.offset[m] + gain @ (x[o] - fa.offset[o])
    return mean, covariance[m][:, m] - gain @ covariance[o][:, m]


def every_kind(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """A table with a column of each kind, all of them tied to one cause."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=rows)
    near = z + 0.5 * rng.normal(size=rows)
    return pd.DataFrame(
        {
            "real": 3 * near + 50,
            "skewed": np.exp(1.5 * near),
            "share": 1 / (1 + np.exp(-2.5 * near)),
            "spend": np.where(rng.random(rows) < 0.3, 0.0, np.exp(near)),
            "visits": rng.poisson(np.exp(0.5 * z + 1)),
            "member": np.where(z + rng.normal(size=rows) > 0, "yes", "no"),
            "grade": pd.Categorical.from_codes(
                np.digitize(near, [-0.7, 0.7]), ["low", "mid", "high"], ordered=True
            ),
            "town": np.array(["ash", "elm", "oak"])[np.digitize(near, [-0.5, 0.5])],
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.rint(near * 20), unit="D"),
        }
    )


def with_holes(frame: pd.DataFrame, share: float = 0.3, seed: int = 0) -> pd.DataFrame:
    """The frame with cells missing completely at random."""
    hidden = np.random.default_rng(seed).random(frame.shape) < share
    return frame.mask(hidden)


def _schema(features: int) -> Schema:
    columns = tuple(Column(f"x{i}") for i in range(features))
    return Schema("vectors", (features,), columns, missing=True)
