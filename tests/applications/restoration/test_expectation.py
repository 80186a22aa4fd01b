"""E[x | z] in the person's units against draws of p(x | z), and resampling against plain sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowerbound.applications.restoration.column_trees import ByColumn, InUnits, expectation
from lowerbound.data import Column, load
from lowerbound.distributions.keyed_noise import row_keys
from lowerbound.fitting.assembly import assemble, resolve
from lowerbound.inference.table_draws import Antithetic, Resampled
from lowerbound.likelihoods.columns.continuous import ExpectationCurve
from lowerbound.models import VariationalAutoencoder
from lowerbound.models.options import ModelOptions
from tests.evaluation.incomplete_rows import every_kind


def test_every_column_s_expectation_is_the_mean_of_its_draws() -> None:
    data = load(every_kind())
    options = resolve(data.schema, ModelOptions(latent_dim=2))
    model = assemble(data.schema, options)
    model.start(data)
    assert isinstance(model, VariationalAutoencoder)
    with torch.no_grad():
        emission = model.double().decode(torch.tensor([[[0.3, -1.0], [-0.8, 0.2]]]).double())
    expected = expectation(data.schema, emission)
    assert isinstance(expected, ByColumn)
    found = expected.answer(expected.given(emission)[0])
    draws = data.schema.decode(emission.sample((20_000,))[:, 0].flatten(0, 1), rounded=False)
    draws = draws.reshape(20_000, 2, -1)
    for i, column in enumerate(data.schema.columns):
        if column.kind == "ordinal":
            text = isinstance(column.levels[0], str)
            levels = np.arange(len(column.levels)) if text else np.array(column.levels)
            means = levels[draws[..., i].astype(int)].mean(0)
            nearest = [abs(levels - mean).argmin() for mean in means]
            np.testing.assert_array_equal(found[:, i], nearest)
        elif column.levels:
            counts = [np.bincount(draws[:, row, i].astype(int)).argmax() for row in range(2)]
            np.testing.assert_array_equal(found[:, i], counts)
        else:
            error = draws[..., i].std(0) / np.sqrt(20_000)
            assert (abs(found[:, i] - draws[..., i].mean(0)) < 4.5 * error).all(), column.name


@pytest.mark.parametrize("sigma", [0.01, 0.5, 1.5])
def test_the_mean_of_a_log_normal(sigma: float) -> None:
    column = Column("x", "positive", shift=0.2, scale=0.7)
    curve = ExpectationCurve([column], torch.tensor([sigma]))
    mu = torch.linspace(-3, 3, 50).unsqueeze(1)
    exact = torch.exp(0.2 + 0.7 * mu + 0.5 * (0.7 * sigma) ** 2)
    torch.testing.assert_close(curve(mu), exact.double(), rtol=1e-4, atol=0)


def test_affine_columns_are_exact_however_far_out() -> None:
    curve = ExpectationCurve([Column("x", "real", 5.0, 3.0)], torch.tensor([1.0]))
    torch.testing.assert_close(curve(torch.tensor([[1e4]])), torch.tensor([[30_005.0]]).double())


def test_vectors_are_averaged_in_model_units() -> None:
    data = load(np.random.default_rng(0).normal(size=(20, 3)))
    assert isinstance(expectation(data.schema, None), InUnits)  # type: ignore[arg-type]


def test_chunks_add_up_to_the_weighted_mean() -> None:
    keys = torch.arange(3)
    log_weights = 3 * torch.randn(50, 3, dtype=torch.float64) + 700  # overflows unless shifted
    values = torch.randn(50, 3, 4, dtype=torch.float64)
    resampled = Resampled(keys, 0, 0)
    for start in (0, 1, 20):
        part = slice(start, {0: 1, 1: 20, 20: 50}[start])
        resampled.add(log_weights[part], values[part], [])
    weights = torch.softmax(log_weights, 0)
    assert resampled.mean is not None
    torch.testing.assert_close(resampled.mean, (weights.unsqueeze(2) * values).sum(0))
    torch.testing.assert_close(resampled.effective_sample_size, 1 / weights.square().sum(0))


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_latents_are_drawn_by_their_weights(chunk: int) -> None:
    rows = 20_000
    weights = torch.tensor([0.1, 0.4, 0.05, 0.25, 0.2], dtype=torch.float64)
    resampled = Resampled(row_keys(torch.arange(rows).unsqueeze(1)), 2, 0)
    z = torch.arange(5.0).reshape(5, 1, 1).expand(5, rows, 1)
    for start in range(0, 5, chunk):
        part = slice(start, min(start + chunk, 5))
        log_weights = weights[part].log().unsqueeze(1).expand(-1, rows)
        resampled.add(log_weights, z[part].double(), [z[part]])
    (chosen,) = resampled.latents
    shares = torch.bincount(chosen.flatten().long(), minlength=5) / (2 * rows)
    torch.testing.assert_close(shares.double(), weights, atol=0.01, rtol=0)
    assert abs(float(torch.corrcoef(chosen[..., 0])[0, 1])) < 0.03


def test_noise_comes_in_pairs_whatever_the_chunks() -> None:
    keys, like = row_keys(torch.randn(4, 2)), torch.zeros(1, dtype=torch.float64)
    whole = Antithetic(keys).normal((7, 4, 3), like, 0)
    torch.testing.assert_close(whole[0:6:2], -whole[1:6:2])
    parts = [Antithetic(keys, 0, first).normal((n, 4, 3), like, 0) for first, n in ((0, 3), (3, 4))]
    torch.testing.assert_close(torch.cat(parts), whole)
    assert len(torch.unique(whole.abs())) == 4 * 12
