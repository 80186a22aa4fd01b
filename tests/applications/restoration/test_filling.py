"""Imputation against the Gaussian that is solved on paper, and in every column's support."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications.restoration.filling import impute, imputed_quantiles, quantiles
from lowerbound.data import Dataset, load
from lowerbound.data.tables.frames import to_frame
from lowerbound.errors import OptionError
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.models import VariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.networks.tabular import TabularEncoder
from lowerbound.training import TrainingOptions
from tests.evaluation.incomplete_rows import (
    FEATURES,
    conditional,
    dataset_of,
    drawn,
    every_kind,
    factors,
    model_of,
    seen,
    with_holes,
)

FEW = TrainingOptions(updates=3, validation=0)


def fitted(data: Dataset, **options: object) -> Fitted:
    return fit(data, FitOptions(model=ModelOptions(**options), training=FEW))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def table() -> tuple[Fitted, Dataset, pd.DataFrame]:
    """A table of every kind with holes, and a model of it."""
    frame = with_holes(every_kind())
    data = load(frame)
    return fitted(data), data, frame


def off(model: VariationalAutoencoder) -> VariationalAutoencoder:
    """The model with an encoder that answers too far off and too wide."""
    assert isinstance(model.encoder, TabularEncoder)
    last = model.encoder.residual[-1]
    last.bias.data = torch.tensor([0.4, -0.4, 0.3, 0.3], dtype=torch.float64)
    return model


# against the formula --------------------------------------------------------------------------


def test_the_mean_of_a_linear_model_is_the_exact_conditional_mean() -> None:
    fa = factors()
    x, observed = drawn(fa, 20), seen(20)
    found = impute(model_of(fa), dataset_of(x, observed), samples=2)
    for row in range(20):
        mean, _ = conditional(fa, x[row], observed[row])
        np.testing.assert_allclose(found.mean[row, ~observed[row].numpy()], mean, atol=1e-9)
    np.testing.assert_array_equal(found.mean[observed.numpy()], x[observed].numpy())
    torch.testing.assert_close(found.effective_sample_size, torch.full((20,), 2.0).double())


def test_weights_mend_an_encoder_that_is_off() -> None:
    fa = factors()
    x, observed = drawn(fa, 4), seen(4)
    found = impute(off(model_of(fa)), dataset_of(x, observed), samples=40_000)
    for row in range(4):
        mean, _ = conditional(fa, x[row], observed[row])
        np.testing.assert_allclose(found.mean[row, ~observed[row].numpy()], mean, atol=0.03)
    assert (found.effective_sample_size < 35_000).all()


@pytest.mark.parametrize("exact", [True, False])
def test_draws_have_the_exact_conditional_mean_and_covariance(exact: bool) -> None:
    fa = factors()
    x, observed = drawn(fa, 3), seen(3)
    model = model_of(fa) if exact else off(model_of(fa))
    # fewer draws than samples: a draw that is drawn again is no news
    found = impute(model, dataset_of(x, observed), samples=20_000, draws=4_000)
    assert found.draws is not None
    for row in range(3):
        mean, covariance = conditional(fa, x[row], observed[row])
        hidden = ~observed[row].numpy()
        draws = found.draws[:, row, hidden]
        np.testing.assert_allclose(draws.mean(0), mean, atol=0.1)
        np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.15)
        np.testing.assert_allclose(draws.mean(0), found.mean[row, hidden], atol=0.1)


def test_intervals_cover_what_was_hidden() -> None:
    fa = factors()
    x, observed = drawn(fa, 700), seen(700)
    low, high = imputed_quantiles(
        model_of(fa), dataset_of(x, observed), (0.05, 0.95), samples=100, draws=100
    )
    inside = (low <= x.numpy()) & (x.numpy() <= high)
    assert 0.87 <= inside[~observed.numpy()].mean() <= 0.93


def test_answers_are_in_the_units_of_the_person() -> None:
    fa = factors()
    x, observed = drawn(fa, 5), seen(5)
    model = model_of(fa)
    one = impute(model, dataset_of(x, observed), samples=2, draws=3)
    ten = impute(model, dataset_of(x, observed, scale=10.0), samples=2, draws=3)
    assert one.draws is not None
    assert ten.draws is not None
    np.testing.assert_allclose(ten.mean, 10 * one.mean)
    np.testing.assert_allclose(ten.draws, 10 * one.draws)


# what the answer of a row depends on ----------------------------------------------------------


@pytest.mark.slow
def test_means_depend_neither_on_other_rows_nor_on_chunks() -> None:
    fa = factors()
    x, observed = drawn(fa, 30), seen(30)
    model, data = off(model_of(fa)), dataset_of(x, observed)
    whole = impute(model, data, samples=21).mean
    order = torch.randperm(30)
    shuffled = impute(model, data.subset(order), samples=21).mean
    np.testing.assert_allclose(shuffled, whole[order.numpy()], atol=1e-12)
    alone = impute(model, data.subset([7]), samples=21).mean
    np.testing.assert_allclose(alone[0], whole[7], atol=1e-12)
    one_at_a_time = impute(model, data, samples=21, memory=1).mean
    np.testing.assert_allclose(one_at_a_time, whole, atol=1e-12)


@pytest.mark.slow
def test_draws_in_chunks_follow_the_same_distribution() -> None:
    fa = factors()
    x, observed = drawn(fa, 1).expand(150, -1), seen(1).expand(150, -1)
    x = x + 1e-4 * torch.arange(150.0).double().unsqueeze(1)  # keys of their own
    data = dataset_of(x, observed)
    found = impute(off(model_of(fa)), data, samples=40, draws=8, memory=200_000)
    assert found.draws is not None
    mean, covariance = conditional(fa, x[75], observed[0])
    draws = found.draws[..., ~observed[0].numpy()].reshape(1200, -1)
    np.testing.assert_allclose(draws.mean(0), mean, atol=0.15)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.2)


@pytest.mark.parametrize("exact", [True, False])
def test_equal_rows_have_draws_of_their_own_and_one_mean(exact: bool) -> None:
    """Else a table's column of draws would be one value, and its mean as uncertain as a cell."""
    fa, rows = factors(), 200
    x, observed = drawn(fa, 1).expand(rows, -1), seen(1).expand(rows, -1)
    model = model_of(fa) if exact else off(model_of(fa))
    found = impute(model, dataset_of(x, observed), samples=400, draws=20)
    assert found.draws is not None
    hidden = ~observed[0].numpy()
    np.testing.assert_allclose(found.mean, np.broadcast_to(found.mean[0], found.mean.shape))
    draws = found.draws[:, :, hidden]
    _, covariance = conditional(fa, x[0], observed[0])
    np.testing.assert_allclose(draws.var(1).mean(0), np.diag(covariance), rtol=0.25)
    of_a_mean = draws.mean(1).var(0)  # 1 / rows of it, and draws from 400 latents
    assert (of_a_mean < 0.05 * np.diag(covariance)).all()


def test_parts_of_a_table_have_draws_of_their_own() -> None:
    fa = factors()
    data = dataset_of(drawn(fa, 1), seen(1))
    draws = [impute(model_of(fa), data, draws=3, first=part).draws for part in (0, 1, 2)]
    assert all(d is not None for d in draws)
    hidden = ~data.observed[0].numpy()  # type: ignore[index]
    one, two, three = (d[:, 0, hidden] for d in draws if d is not None)
    assert not (np.isclose(one, two) | np.isclose(two, three) | np.isclose(one, three)).any()


def test_permuting_columns_permutes_the_answer() -> None:
    fa = factors()
    x, observed = drawn(fa, 8), seen(8)
    order = torch.randperm(FEATURES)
    turned = replace(fa, weight=fa.weight[order], offset=fa.offset[order], noise=fa.noise[order])
    found = impute(model_of(fa), dataset_of(x, observed), samples=2).mean
    again = impute(model_of(turned), dataset_of(x[:, order], observed[:, order]), samples=2).mean
    np.testing.assert_allclose(again, found[:, order.numpy()], atol=1e-9)


def test_a_row_with_nothing_observed_gets_the_prior_s_answer() -> None:
    fa = factors()
    nothing = torch.zeros(2, FEATURES, dtype=torch.bool)
    x = torch.full((2, FEATURES), torch.nan, dtype=torch.float64)
    found = impute(model_of(fa), dataset_of(x, nothing), samples=50, draws=2_000)
    np.testing.assert_allclose(found.mean, fa.offset.expand(2, -1), atol=1e-9)
    assert found.draws is not None
    marginal = (fa.weight.square().sum(1) + fa.noise).sqrt()
    np.testing.assert_allclose(found.draws[:, 0].std(0), marginal, rtol=0.35)


def test_complete_rows_come_back_as_they_are() -> None:
    fa = factors()
    x = drawn(fa, 4)
    data = replace(dataset_of(x, torch.ones_like(x, dtype=torch.bool)), observed=None)
    found = impute(model_of(fa), data, draws=2)
    np.testing.assert_array_equal(found.mean, x.numpy())
    assert found.draws is not None
    np.testing.assert_array_equal(found.draws[1], x.numpy())
    assert not len(found.incomplete)


@pytest.mark.parametrize("kind", ["vae", "hierarchical", "ladder", "autoencoder"])
def test_pictures_keep_their_layout_under_every_model(kind: str) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (12, 4, 5, 3)).astype(np.uint8)
    data = load(pictures, missing="model")
    observed = torch.ones(12, 3, 4, 5, dtype=torch.bool)
    observed[:, :, 2:] = False
    model = fitted(data, model=kind, latent_dim=2).model
    found = impute(model, replace(data, observed=observed), samples=6, draws=2)
    assert found.mean.shape == pictures.shape
    assert found.draws is not None
    assert found.draws.shape == (2, *pictures.shape)
    np.testing.assert_array_equal(found.mean[:, :2], pictures[:, :2])
    np.testing.assert_array_equal(found.draws[0][:, :2], pictures[:, :2])
    assert np.isin(found.draws, np.arange(256)).all()
    assert np.isfinite(found.mean).all()


# tables ----------------------------------------------------------------------------------------


def test_values_lie_in_the_support_of_their_columns(
    table: tuple[Fitted, Dataset, pd.DataFrame],
) -> None:
    made, data, frame = table
    found = impute(made.model, data, samples=20, draws=5)
    assert found.draws is not None
    names = [column.name for column in data.schema.columns]
    assert np.isfinite(found.mean).all()
    for answers in (found.mean, *found.draws):
        values = dict(zip(names, answers.T, strict=True))
        assert (values["skewed"] > 0).all()
        assert ((values["share"] > 0) & (values["share"] < 1)).all()
        assert (values["visits"] >= 0).all()
        for name in ("member", "grade", "town"):
            assert set(values[name]) <= set(range(frame[name].nunique()))
    visits = found.draws[..., names.index("visits")]
    assert (visits == visits.round()).all()
    assert (found.draws[..., names.index("spend")] == 0).any()


def test_observed_cells_of_a_table_come_back(table: tuple[Fitted, Dataset, pd.DataFrame]) -> None:
    made, data, frame = table
    found = impute(made.model, data, samples=2).mean
    assert data.observed is not None
    for i, column in enumerate(data.schema.columns):
        rows = data.observed[:, i].numpy()
        given = frame[column.name][rows]
        if column.levels:
            index = {level: code for code, level in enumerate(column.levels)}
            np.testing.assert_array_equal(found[rows, i], given.map(index).astype(float))
        elif column.kind != "datetime":
            np.testing.assert_allclose(found[rows, i], given.astype(float), rtol=1e-4)


def test_quantiles_of_a_table(table: tuple[Fitted, Dataset, pd.DataFrame]) -> None:
    made, data, _ = table
    found = imputed_quantiles(made.model, data, (0.1, 0.5, 0.9), samples=20, draws=30)
    names = [column.name for column in data.schema.columns]
    town = found[..., names.index("town")]
    assert (town[0] == town[2]).all()
    rest = np.delete(found, names.index("town"), axis=-1)
    assert (np.diff(rest, axis=0) >= 0).all()
    assert (found[..., names.index("visits")] % 1 == 0).all()
    assert to_frame(data.schema, data.x).shape == found[0].shape


def test_quantiles_of_whole_numbers_are_among_them() -> None:
    data = load(pd.DataFrame({"n": [0, 1, 2, 30] * 10, "x": np.linspace(0, 1, 40)}))
    draws = np.stack([np.full((40, 2), value) for value in (0.0, 1.0)])
    found = quantiles(draws, data.schema, (0.5,))[0]
    assert set(found[:, 0]) <= {0.0, 1.0}
    np.testing.assert_allclose(found[:, 1], 0.5)


def test_numbers_that_make_no_sense_are_refused() -> None:
    fa = factors()
    data = dataset_of(drawn(fa, 2), seen(2))
    with pytest.raises(OptionError, match="draws must be 0 or more, not -1"):
        impute(model_of(fa), data, draws=-1)
    with pytest.raises(OptionError, match="samples must be at least 1, not 0"):
        impute(model_of(fa), data, samples=0)
    with pytest.raises(OptionError, match="draws must be at least 1, not 0"):
        imputed_quantiles(model_of(fa), data, (0.5,), draws=0)
