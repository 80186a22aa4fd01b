"""Baselines against models that are solvable on paper, and against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

from lowerbound.data import Dataset, load
from lowerbound.evaluation.likelihood.baselines import (
    INDEPENDENT,
    NATS,
    VARIANCE,
    Baselines,
    Margin,
    RowNumbers,
    baselines,
    linear_errors,
)
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.likelihood import score
from lowerbound.models.options import ModelOptions
from tests.data.sequences.tables import visits
from tests.evaluation.small_models import bits, linear_autoencoder, vectors


def correlated(rows: int = 400, columns: int = 5) -> torch.Tensor:
    noise = torch.Generator().manual_seed(0)
    mixing = torch.randn(columns, columns, generator=noise, dtype=torch.float64)
    return torch.randn(rows, columns, generator=noise, dtype=torch.float64) @ mixing


def compared(
    training: Dataset, held_out: Dataset, name: str = "vae", **options: object
) -> Baselines:
    torch.manual_seed(0)
    chosen = ModelOptions(model=name, latent_dim=2, **options)  # type: ignore[arg-type]
    model = assemble(training.schema, chosen)
    model.start(training)
    scores = score(model.eval(), held_out, samples=2)
    return baselines(model, training, held_out, scores)


def margin(found: Margin | Skipped) -> Margin:
    assert isinstance(found, Margin), found
    return found


def test_histories_have_no_fixed_number_of_values() -> None:
    data = load(visits(), entity="patient", time="day", kinds={"day": "datetime:%d.%m.%Y"})
    model, unscored = assemble(data.schema, ModelOptions()), Skipped("not measured")
    for training in (data, Skipped("the rows of the fit are needed")):
        found = baselines(model, training, data, unscored)
        for each in (found.independent, found.pca):
            assert isinstance(each, Skipped)
            assert each.reason.startswith("a history has no fixed number of values")


def test_without_training_rows_the_reason_is_kept() -> None:
    _, held_out = vectors(correlated(), scale=3.0).split(0.3, 0)
    model, none = assemble(held_out.schema, ModelOptions(latent_dim=2)), Skipped("no rows")
    found = baselines(model, none, held_out, Skipped("not measured"))
    assert (found.independent, found.pca) == (none, none)


def test_pca_is_the_density_of_the_model_pca() -> None:
    training, held_out = vectors(correlated(), scale=3.0).split(0.3, 0)
    model = assemble(training.schema, ModelOptions(model="pca", latent_dim=2))
    model.start(training)
    exact = score(model.eval(), held_out, samples=2).log_marginal
    assert exact is not None
    found = margin(compared(training, held_out, likelihood="gaussian", network="mlp").pca)
    assert found.unit == NATS
    assert found.name == "PCA of 2 numbers"
    assert found.baseline == pytest.approx(float(exact.mean()), abs=1e-8)
    itself = compared(training, held_out, "pca").pca
    assert isinstance(itself, Skipped)
    assert "closed form" in itself.reason


def test_independent_columns_are_normal_densities_in_the_units_of_the_data() -> None:
    x = correlated() / correlated().std(0)
    training, held_out = vectors(x, scale=3.0).split(0.3, 0)
    found = margin(compared(training, held_out, likelihood="gaussian", network="mlp").independent)
    mean = training.x.mean(0)
    variance = float((training.x - mean).square().mean())  # one learned scale
    expected = multivariate_normal(mean.numpy(), variance * np.eye(5)).logpdf(held_out.x.numpy())
    assert found.name == INDEPENDENT
    assert found.baseline == pytest.approx(expected.mean() - 5 * np.log(3.0), abs=0.02)


def test_independent_bits_have_the_frequencies_of_the_training_rows() -> None:
    noise = torch.Generator().manual_seed(0)
    x = (torch.rand(500, 4, generator=noise) < torch.tensor([0.1, 0.3, 0.5, 0.8])).float()
    training, held_out = bits(x).split(0.3, 0)
    found = compared(training, held_out, likelihood="bernoulli", network="mlp")
    share, rows = training.x.double().mean(0), held_out.x.double()
    nats = (rows * share.log() + (1 - rows) * (1 - share).log()).sum(1)
    assert margin(found.independent).baseline == pytest.approx(float(nats.mean()), abs=0.01)
    assert margin(found.pca).unit == VARIANCE  # a density of bits is no bound on their mass


def test_the_dequantized_bound_of_all_rows_is_a_probability() -> None:
    grid = torch.cartesian_prod(torch.arange(8), torch.arange(8), torch.arange(8))
    center = torch.exp(-0.2 * (grid.double() - 3.5).square().sum(1))
    rows = grid[torch.multinomial(center, 2_000, True, generator=torch.Generator().manual_seed(0))]
    every = torch.cat([rows, grid]).numpy().astype(np.uint8)
    data = load(every, levels=8)
    training, held_out = data.subset(range(2_000)), data.subset(range(2_000, len(data)))
    model = assemble(training.schema, ModelOptions(latent_dim=2, network="mlp")).eval()
    scores = score(model, held_out, samples=2)
    each = margin(baselines(model, training, held_out, scores).pca)
    # the mean over the uniform grid of a normal density with these moments, and its cells' volume
    found = training.all().filled.double()
    noisy = found.var(0).mean() + (1 / 7) ** 2 / 12
    cells = held_out.all().filled.double() - found.mean(0)
    expected = -0.5 * (cells.square().sum(1) + 3 * (1 / 7) ** 2 / 12) / noisy
    expected = expected - 1.5 * torch.log(2 * torch.pi * noisy) + 3 * np.log(1 / 7)
    assert each.baseline == pytest.approx(float(expected.mean()), rel=0.02)


def test_linear_errors_are_those_of_scikit_learn() -> None:
    training, held_out = vectors(correlated()).split(0.3, 0)
    made = PCA(2).fit(training.x.numpy())
    rebuilt = made.inverse_transform(made.transform(held_out.x.numpy()))
    expected = np.square(rebuilt - held_out.x.numpy()).sum(1)
    np.testing.assert_allclose(linear_errors(training, held_out, 2).numpy(), expected, rtol=1e-8)


def test_levels_become_scaled_indicators_and_holes_the_mean() -> None:
    frame = pd.DataFrame({"size": [1.5, 2.25, np.nan, 5.1] * 5, "kind": ["a", "b", "b", "b"] * 5})
    data = load(frame, missing="model")
    numbers = RowNumbers.of(data)(data)
    assert numbers.shape == (20, 3)
    assert float(numbers[2, 0]) == pytest.approx(float(numbers[[0, 1, 3], 0].mean()))
    np.testing.assert_allclose(numbers[:2, 1:], [[2.0, 0.0], [0.0, (4 / 3) ** 0.5]])


def test_counts_are_numbers_of_unit_variance() -> None:
    frame = pd.DataFrame({"count": np.arange(60) ** 2, "size": np.linspace(0.1, 1.3, 60)})
    numbers = RowNumbers.of(load(frame))(load(frame))
    assert numbers.shape == (60, 2)
    np.testing.assert_allclose(numbers.std(0, correction=0), [1.0, 1.0], rtol=0.05)


def test_columns_of_several_kinds_are_compared_in_variance() -> None:
    noise = np.random.default_rng(0)
    z = noise.normal(size=300)
    frame = pd.DataFrame(
        {
            **{f"x{i}": z * (i + 1) + noise.normal(size=300) for i in range(4)},
            "kind": np.where(z > 0, "a", "b"),
        }
    )
    training, held_out = load(frame).split(0.3, 0)
    found = compared(training, held_out)
    assert margin(found.independent).unit == NATS
    assert margin(found.pca).unit == VARIANCE
    assert 0 < margin(found.pca).baseline < 1


def test_a_baseline_that_does_not_apply_says_why() -> None:
    training, held_out = vectors(correlated(columns=2)).split(0.3, 0)
    narrow = compared(training, held_out, likelihood="gaussian", network="mlp")
    assert isinstance(narrow.pca, Skipped)
    assert "PCA loses nothing" in narrow.pca.reason
    model, (seen, unseen) = linear_autoencoder(5, 2).double(), vectors(correlated()).split(0.3, 0)
    found = baselines(model, seen, unseen, Skipped("no prior"))
    assert isinstance(found.independent, Skipped)
    assert margin(found.pca).difference.mean < 0  # of an autoencoder with random weights


def test_rows_without_variance_have_no_share_of_it() -> None:
    training, held_out = vectors(torch.ones(40, 5)).split(0.3, 0)
    found = baselines(linear_autoencoder(5, 2), training, held_out, Skipped("no prior"))
    assert isinstance(found.pca, Skipped)
    assert "no variance" in found.pca.reason


def test_pca_of_few_rows_leaves_variance_for_its_noise() -> None:
    noise = torch.Generator().manual_seed(0)
    rows = torch.randn(60, 100, generator=noise, dtype=torch.float64)
    training, held_out = vectors(rows).split(0.3, 0)
    torch.manual_seed(0)
    options = ModelOptions(latent_dim=45, likelihood="gaussian", network="mlp")
    model = assemble(training.schema, options).eval()
    found = margin(baselines(model, training, held_out, score(model, held_out, samples=2)).pca)
    assert found.name == f"PCA of {len(training) // 2} numbers"
    exact = multivariate_normal(np.zeros(100)).logpdf(held_out.all().filled.numpy()).mean()
    assert exact - 200 < found.baseline < exact
