"""Cells missing because of what they hold: bounds, moments and draws against quadrature."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import log_ndtr, logsumexp
from torch import Tensor

from lowerbound.applications.restoration.column_trees import expectation
from lowerbound.applications.restoration.filling import impute
from lowerbound.classical.factor_analysis import FactorAnalysis
from lowerbound.classical.self_masking import SelfMasking
from lowerbound.data import Dataset, load
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.fitting import FitOptions, fit, folder as model_folder
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.likelihood import score
from lowerbound.likelihoods import Gaussian, LevelsLikelihood, Mixed, SelfMaskedEmission
from lowerbound.models import VariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.networks.tabular import TabularDecoder, TabularEncoder
from lowerbound.objectives import OBJECTIVES
from lowerbound.parts import MISSINGNESS
from lowerbound.trace import Batch, Mean
from lowerbound.training import TrainingOptions
from lowerbound.training.feed import hide
from tests.classical.test_self_masked_factors import curves_of, masked_rows
from tests.evaluation.incomplete_rows import dataset_of, factors

HIGH = "self_masking_high"
FEATURES, MASKED, ROWS = 6, 3, 40


def one_factor() -> FactorAnalysis:
    whole = factors()
    return FactorAnalysis(whole.weight[:, :1], whole.offset, whole.noise)


def model_of(
    fa: FactorAnalysis, curves: SelfMasking, data: Dataset, missingness: str = HIGH
) -> VariationalAutoencoder:
    """The linear model with these curves as a variational autoencoder."""
    options = ModelOptions(latent_dim=fa.latent_dim, missingness=missingness)
    model = assemble(data.schema, options).double()
    assert isinstance(model, VariationalAutoencoder)
    assert isinstance(model.encoder, TabularEncoder)
    assert isinstance(model.decoder, TabularDecoder)
    assert isinstance(model.likelihood, Gaussian)
    model.encoder.start_from(fa, curves)
    model.decoder.start_from(torch.arange(FEATURES), fa.weight, fa.offset)
    model.likelihood.scale.set(fa.noise.sqrt())
    model.likelihood.start_curves(curves)
    return model.eval()


@pytest.fixture(scope="module")
def masked() -> tuple[FactorAnalysis, SelfMasking, Dataset, Tensor]:
    """One factor, its curves, rows of both, and where they are missing."""
    fa = one_factor()
    x, missing = masked_rows(fa, ROWS, MASKED)
    return fa, curves_of(fa, MASKED), dataset_of(x, ~missing), missing


def by_quadrature(
    fa: FactorAnalysis, curves: SelfMasking, data: Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """log p(x_o, s) of each row, and E[x | x_o, s], by sums over a grid of the one latent."""
    z = np.linspace(-9, 9, 6001)
    w, mu, psi = (part.numpy() for part in (fa.weight[:, 0], fa.offset, fa.noise))
    slope, threshold, applies = (
        part.numpy() for part in (curves.slope, curves.threshold, curves.applies)
    )
    assert data.observed is not None
    loc, c = mu + w * z[:, None], np.sqrt(1 + slope**2 * psi)
    t = slope * (loc - threshold) / c
    gone = log_ndtr(t)
    ratio = np.exp(-0.5 * t**2 - 0.5 * np.log(2 * np.pi) - gone)
    tilted = loc + slope * psi / c * ratio
    bounds, means = [], []
    for x, seen in zip(data.x.numpy(), data.observed.numpy(), strict=True):
        there = -0.5 * (x - loc) ** 2 / psi - 0.5 * np.log(2 * np.pi * psi)
        there = there + np.where(applies, log_ndtr(-slope * (x - threshold)), 0.0)
        terms = np.where(seen, there, gone).sum(1)
        log_joint = terms - 0.5 * z**2 - 0.5 * np.log(2 * np.pi) + np.log(z[1] - z[0])
        bounds.append(logsumexp(log_joint))
        means.append(np.exp(log_joint - bounds[-1]) @ tilted)
    return np.array(bounds), np.array(means)


@pytest.mark.slow
def test_the_bound_and_the_means_are_those_of_quadrature(
    masked: tuple[FactorAnalysis, SelfMasking, Dataset, Tensor],
) -> None:
    fa, curves, data, missing = masked
    model = model_of(fa, curves, data)
    exact, means = by_quadrature(fa, curves, data)
    scores = score(model, data, samples=3000)
    np.testing.assert_allclose(scores.bound.numpy(), exact, rtol=0, atol=0.01)
    assert float(scores.elbo.mean()) == pytest.approx(exact.mean(), abs=0.02)
    found = impute(model, data, samples=4000)
    np.testing.assert_allclose(found.mean[missing], means[missing], rtol=0, atol=0.03)


def test_draws_have_the_moments_of_missing_cells() -> None:
    loc = torch.tensor([[[0.0, 1.0, -2.0]]], dtype=torch.float64)
    scale = torch.tensor([1.0, 0.3, 0.5], dtype=torch.float64)
    numbers = torch.tensor([[2.0, -1.0, 20.0], [0.5, 2.0, 0.0]], dtype=torch.float64)
    curves = SelfMasking(numbers[0], numbers[1], torch.ones(3, dtype=torch.bool))
    missing = torch.tensor([[True, True, False]])
    emission = SelfMaskedEmission(loc, scale, curves).knowing(missing)
    draws = emission.sample((200_000,))
    error = emission.variance.sqrt() / 200_000**0.5
    assert ((draws.mean(0) - emission.mean).abs() < 5 * error).all()
    torch.testing.assert_close(draws.var(0), emission.variance, rtol=0.02, atol=0)
    assert emission.mean[0, 0, 2] == loc[0, 0, 2]
    unaware = SelfMaskedEmission(loc, scale, curves)
    assert torch.equal(unaware.mean, loc)


def test_a_flat_curve_is_a_constant_for_each_cell() -> None:
    fa = one_factor()
    x, missing = masked_rows(fa, ROWS, MASKED)
    data = dataset_of(x, ~missing)
    nothing = torch.zeros(FEATURES, dtype=torch.float64)
    flat = SelfMasking(nothing, nothing, torch.arange(FEATURES) < MASKED)
    model = model_of(fa, flat, data, "self_masking")
    bound = score(model, data, samples=2).bound
    exact = fa.log_marginal(x, ~missing) - MASKED * np.log(2)
    torch.testing.assert_close(bound, exact, rtol=0, atol=1e-6)


def test_what_training_hides_is_not_explained(
    masked: tuple[FactorAnalysis, SelfMasking, Dataset, Tensor],
) -> None:
    fa, curves, data, missing = masked
    model = model_of(fa, curves, data)
    batch = data.all()
    hidden = hide(batch, 1.0, torch.Generator().manual_seed(0))
    assert hidden.observed is not None
    assert hidden.missing is not None
    assert torch.equal(hidden.missing, missing)
    lost = ~hidden.observed & ~missing
    assert lost.any()
    trace = model(hidden, Mean())
    terms = trace.likelihood.terms(hidden.x, hidden.observed)[0]
    assert (terms[lost] == 0).all()
    assert (terms[missing] != 0).all()
    # the encoder takes a cell that it may not see for nothing, not for a high one
    unaware = replace(hidden, withheld=None)
    assert not torch.allclose(model.encode(hidden).mean, model.encode(unaware).mean)


def test_complete_rows_say_that_nothing_was_missing(
    masked: tuple[FactorAnalysis, SelfMasking, Dataset, Tensor],
) -> None:
    fa, curves, data, _ = masked
    model = model_of(fa, curves, data)
    loc = torch.zeros(1, len(data), FEATURES, dtype=torch.float64)
    emission = model.likelihood(loc)
    expected = emission.curves.log_observed(data.x)[None]
    plain = Gaussian((FEATURES,), scale="feature").double()
    plain.scale.set(fa.noise.sqrt())
    torch.testing.assert_close(emission.terms(data.x) - plain(loc).terms(data.x), expected)
    assert Batch(data.x).missing is None


@pytest.mark.slow
@pytest.mark.parametrize("missingness", [name for name in MISSINGNESS if name != "at_random"])
def test_a_fitted_model_is_saved_with_its_curves(missingness: str, tmp_path: Path) -> None:
    sign = -1 if missingness.endswith("low") else 1
    x, missing = masked_rows(factors(), 200, MASKED)
    rows = (sign * torch.where(missing, float("nan"), x)).numpy()
    data = load(rows, missing="model")
    options = ModelOptions(latent_dim=2, missingness=missingness)
    few = TrainingOptions(updates=3, validation=0)
    fitted = fit(data, FitOptions(model=options, training=few))
    likelihood = fitted.model.likelihood
    assert isinstance(likelihood, Gaussian)
    assert likelihood.curves is not None
    curves = likelihood.curves()
    assert torch.equal(curves.applies, torch.arange(FEATURES) < MASKED)
    assert (sign * curves.slope[:MASKED] > 0).all()
    model_folder.write(tmp_path / "model.lb", fitted)
    again = model_folder.read(tmp_path / "model.lb")
    assert again.options.model.missingness == missingness
    before, after = (impute(model, data, samples=20).mean for model in (fitted.model, again.model))
    np.testing.assert_array_equal(before, after)
    off = (before - sign * x.numpy())[missing.numpy()]
    assert abs(off.mean()) < 0.3  # at random, the mean is off by more than a half


def complete_frame(rows: int = 600) -> pd.DataFrame:
    """Columns of several kinds that one cause ties together loosely."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=rows)
    near = {name: z + 0.7 * rng.normal(size=rows) for name in ("a", "b", "c", "d")}
    return pd.DataFrame(
        {
            "real": 3 * near["a"] + 50,
            "skewed": np.exp(near["b"]),
            "other": near["c"],
            "member": np.where(near["d"] > 0, "yes", "no"),
        }
    )


def frame_with_high_cells_missing() -> pd.DataFrame:
    frame = complete_frame()
    for name in ("real", "skewed"):
        frame[name] = frame[name].mask(frame[name] > frame[name].quantile(0.7))
    return frame


def table() -> Dataset:
    """What was seen of a skewed column no longer tells that it is one."""
    frame, kinds = frame_with_high_cells_missing(), {"skewed": "positive"}
    return load(frame, kinds=kinds, normal_scores=False, standardize=False)


@pytest.mark.slow
def test_columns_of_a_table_are_explained_where_they_are_real() -> None:
    data = table()
    model = assemble(data.schema, ModelOptions(latent_dim=2, missingness=HIGH)).double()
    model.start(data)
    plain = assemble(data.schema, ModelOptions(latent_dim=2)).double()
    plain.start(data)
    assert isinstance(model.likelihood, Mixed)
    place = {column.name: i for i, column in enumerate(data.schema.columns)}
    truth = complete_frame()
    found, naive = (impute(each.eval(), data, samples=100).mean for each in (model, plain))
    for name in ("real", "skewed"):
        gone = truth[name].to_numpy() > truth[name].quantile(0.7)
        actual = truth[name].to_numpy()[gone].mean()
        error, before = (abs(each[gone, place[name]].mean() - actual) for each in (found, naive))
        assert error < 0.5 * before, name


@pytest.mark.slow
def test_the_expectation_of_a_bent_column_is_the_mean_of_its_draws() -> None:
    data = table()
    model = assemble(data.schema, ModelOptions(latent_dim=2, missingness=HIGH)).double()
    model.start(data)
    assert isinstance(model, VariationalAutoencoder)
    assert data.observed is not None
    place = [column.name for column in data.schema.columns].index("skewed")
    row = int((~data.observed[:, place]).nonzero()[0])
    missing = ~data.observed[row : row + 1]
    with torch.no_grad():
        emission = model.decode(torch.tensor([[[0.3, -1.0]]]).double()).knowing(missing)
    expected = expectation(data.schema, emission)
    found = expected.answer(expected.given(emission)[0])[0, place]
    draws = data.schema.decode(emission.sample((40_000,))[:, 0].flatten(0, 1), rounded=False)
    values = draws[:, place]
    assert abs(found - values.mean()) < 4.5 * values.std() / 200


def test_every_objective_takes_it(
    masked: tuple[FactorAnalysis, SelfMasking, Dataset, Tensor],
) -> None:
    fa, curves, data, _ = masked
    for name in ("elbo", "importance_weighted"):
        model = model_of(fa, curves, data).train()
        bound = OBJECTIVES[name]()(model, data.all())
        bound.loss.backward()
        assert isinstance(model.likelihood, Gaussian)
        assert model.likelihood.curves is not None
        assert model.likelihood.curves.threshold.grad is not None
        assert torch.isfinite(bound.value).all()


def holes(columns: int = 4) -> Dataset:
    x = np.random.default_rng(0).normal(size=(50, columns))
    x[x[:, 0] > 0, 0] = np.nan
    return load(x, missing="model")


def test_an_unknown_missingness_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'self_masking_high'"):
        assemble(holes().schema, ModelOptions(missingness="self_masking_hihg"))


def test_other_likelihoods_name_those_that_can() -> None:
    with pytest.raises(UnsupportedError, match=r"Laplace cannot .*: mixed, gaussian"):
        assemble(holes().schema, ModelOptions(missingness=HIGH, likelihood="laplace"))
    assert LevelsLikelihood.explain_missing is not Gaussian.explain_missing


def test_other_networks_and_complete_rows_are_refused() -> None:
    with pytest.raises(OptionError, match="network 'tabular'"):
        assemble(holes().schema, ModelOptions(missingness=HIGH, network="mlp"))
    complete = load(np.random.default_rng(0).normal(size=(20, 3)))
    options = ModelOptions(missingness=HIGH, network="tabular", likelihood="gaussian")
    with pytest.raises(OptionError, match="missing='model'"):
        assemble(complete.schema, options)


def test_columns_that_were_bent_by_what_was_seen_are_refused() -> None:
    x = np.random.default_rng(0).exponential(size=(400, 2))
    data = load(pd.DataFrame(x - 0.1, columns=["wait", "other"]))
    with pytest.raises(OptionError, match=r"'wait'.*normal_scores=False"):
        assemble(data.schema, ModelOptions(missingness=HIGH))


@pytest.mark.parametrize("source", ["array", "table", "levels"])
def test_nothing_to_explain_is_said(source: str) -> None:
    x = np.random.default_rng(0).normal(size=(40, 3))
    if source == "array":
        data = load(x, missing="model")
    elif source == "table":
        data = load(pd.DataFrame(x, columns=list("abc")))
    else:
        levels = pd.DataFrame(np.where(x > 0, "yes", "no"), columns=list("abc"))
        data = load(levels.mask(x > 1))
    with pytest.raises(DataError, match=r"(missing|no column holds).*at_random"):
        fit(data, FitOptions(model=ModelOptions(missingness=HIGH)))
