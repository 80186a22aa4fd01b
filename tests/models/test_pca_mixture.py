"""PCA with a mixture as prior against scikit-learn's mixture and the formulas of Gaussians."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.datasets import load_breast_cancer
from sklearn.mixture import GaussianMixture
from torch import Tensor
from torch.distributions import MultivariateNormal

from lowerbound.applications.restoration.filling import impute
from lowerbound.data import Dataset, load
from lowerbound.distributions.gaussian_mixture import FullMixture
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.denoising import denoise, learned_level
from lowerbound.inference.likelihood import score
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.likelihoods.noisy import NoiseModel
from lowerbound.models import ProbabilisticPrincipalComponents
from lowerbound.models.options import ModelOptions
from lowerbound.models.pca import PrincipalComponentsOptions
from lowerbound.trace import Batch, Draw
from tests.evaluation.small_models import vectors

FEATURES, LATENT, COMPONENTS = 8, 4, 3
TAU = 0.7
Array = np.ndarray[Any, Any]


@cache
def rows() -> Tensor:
    x = load_breast_cancer().data[:, :FEATURES]
    return torch.as_tensor((x - x.mean(0)) / x.std(0))


@cache
def model() -> ProbabilisticPrincipalComponents:
    options = PrincipalComponentsOptions(components=COMPONENTS, noise_floor=0.05)
    with seeded(0):
        made = ProbabilisticPrincipalComponents((FEATURES,), LATENT, options)
        return made.fit(rows()).eval()


def oracle(noise: float = 0.0) -> GaussianMixture:
    """scikit-learn's mixture of the same p(y), from the parameters of z."""
    made = model()
    weight, offset = made.weight.numpy(), made.offset.numpy()
    own = (float(made.variance) + noise**2) * np.eye(FEATURES)
    theirs = GaussianMixture(len(made.shares))
    theirs.weights_ = made.shares.numpy()
    theirs.means_ = made.means.numpy() @ weight.T + offset
    theirs.covariances_ = np.stack([weight @ s @ weight.T + own for s in made.covariances.numpy()])
    inverses = np.linalg.inv(theirs.covariances_)
    theirs.precisions_cholesky_ = np.linalg.cholesky(inverses)
    return theirs


def holes(count: int) -> Tensor:
    """Masks of which several rows share one; the first row shows nothing, the second all."""
    with seeded(5):
        masks = torch.rand(4, FEATURES) > 0.4
        observed = masks[torch.randint(4, (count,))]
    observed[0], observed[1] = False, True
    return observed


def conditional(y: Array, observed: Array, level: float) -> tuple[Array, float]:
    """(E[x | y], log p(y)) of a row by the formulas of Gaussians."""
    clean, seen = oracle(), oracle(level)
    log_joint, means = [], []
    for c in range(COMPONENTS):
        total = seen.covariances_[c][np.ix_(observed, observed)]
        rest = y[observed] - clean.means_[c][observed]
        gain = np.linalg.solve(total, clean.covariances_[c][observed]).T
        means.append(clean.means_[c] + gain @ rest)
        density = MultivariateNormal(torch.zeros(len(rest)).double(), torch.from_numpy(total))
        evidence = float(density.log_prob(torch.from_numpy(rest))) if len(rest) else 0.0
        log_joint.append(np.log(clean.weights_[c]) + evidence)
    return softmax(log_joint) @ np.stack(means), float(np.logaddexp.reduce(log_joint))


def test_density_and_responsibilities_are_those_of_scikit_learn() -> None:
    x, made = rows(), model()
    theirs = oracle()
    np.testing.assert_allclose(made.log_marginal(x), theirs.score_samples(x.numpy()), rtol=1e-9)
    posterior = made.encode(Batch(x))
    assert isinstance(posterior, FullMixture)
    found = torch.softmax(posterior.logits, 1).numpy()
    np.testing.assert_allclose(found, theirs.predict_proba(x.numpy()), atol=1e-9)


def test_the_mixture_is_likelier_than_one_gaussian() -> None:
    one = ProbabilisticPrincipalComponents((FEATURES,), LATENT).fit(rows()[::2])
    options = PrincipalComponentsOptions(components=COMPONENTS)
    with seeded(0):
        three = ProbabilisticPrincipalComponents((FEATURES,), LATENT, options).fit(rows()[::2])
    held_out = rows()[1::2]
    assert three.log_marginal(held_out).mean() > one.log_marginal(held_out).mean() + 0.2


@pytest.mark.parametrize("hidden", [False, True])
def test_every_importance_weight_is_the_marginal(hidden: bool) -> None:
    x = rows()[:40]
    observed = holes(40) if hidden else None
    with seeded(0):
        weights = model()(Batch(x, observed), Draw(3)).log_weights(x, observed)
    assert (weights - model().log_marginal(x, observed)).abs().max() < 1e-9


def test_one_component_with_hidden_cells_is_exact() -> None:
    made = ProbabilisticPrincipalComponents((FEATURES,), LATENT).fit(rows())
    x, observed = rows()[:20], holes(20)
    with seeded(0):
        weights = made(Batch(x, observed), Draw(3)).log_weights(x, observed)
    exact = made.log_marginal(x, observed)
    assert (weights - exact).abs().max() < 1e-9
    for i in (2, 3):
        o = observed[i]
        part = MultivariateNormal(made.offset[o], made.covariance()[o][:, o])
        torch.testing.assert_close(exact[i], part.log_prob(x[i, o]))


def test_one_component_is_the_model_without_options() -> None:
    """The formulas of Tipping & Bishop 1999; fit and posterior agree bit for bit."""
    made = ProbabilisticPrincipalComponents((FEATURES,), LATENT).fit(rows())
    assert set(made.state_dict()) == {"weight", "offset", "variance"}
    weight, noise = made.weight, made.variance
    factor = torch.linalg.cholesky(weight.T @ weight + noise * torch.eye(LATENT).double())
    loc = torch.cholesky_solve(weight.T @ (rows() - made.offset).T, factor).T
    posterior = made.encode(Batch(rows()))
    assert isinstance(posterior, MultivariateNormal)
    assert torch.equal(posterior.loc[0], loc)
    exact = MultivariateNormal(loc, noise * torch.cholesky_inverse(factor))
    assert torch.equal(posterior.scale_tril[0], exact.scale_tril)
    density = MultivariateNormal(made.offset, made.covariance()).log_prob(rows())
    torch.testing.assert_close(made.log_marginal(rows()), density, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("level", [0.0, TAU])
def test_restored_rows_are_the_conditional_means(level: float) -> None:
    observed, rng = holes(12), np.random.default_rng(0)
    y = rows()[:12] + level * torch.from_numpy(rng.normal(size=(12, FEATURES)))
    data = replace(vectors(y), observed=observed)
    found = denoise(model(), data, NoiseModel(torch.tensor(level, dtype=torch.float64)))
    for i in range(12):
        mean, evidence = conditional(y[i].numpy(), observed[i].numpy(), level)
        np.testing.assert_allclose(found.mean[i].numpy(), mean, atol=1e-9)
        assert float(found.log_evidence[i]) == pytest.approx(evidence, abs=1e-9)


@pytest.mark.slow
def test_draws_of_clean_rows_have_the_mean_that_is_returned() -> None:
    y = rows()[:4] + TAU
    noise = NoiseModel(torch.tensor(TAU, dtype=torch.float64))
    found = denoise(model(), vectors(y), noise, draws=2000)
    assert found.draws is not None
    error = (found.draws.mean(0) - found.mean) / found.draws.std(0)
    assert float(error.abs().max()) < 4.5 / np.sqrt(2000)


def test_outliers_take_chains_toward_the_formula() -> None:
    """Chains with a share of outliers that is next to nothing agree with the closed form."""
    y = rows()[:4] + TAU
    noise = NoiseModel(torch.tensor(TAU, dtype=torch.float64))
    exact = denoise(model(), vectors(y), noise)
    rare = replace(noise, outliers=1e-12, span=100.0)
    found = denoise(model(), vectors(y), rare, chains=300, temperatures=30)
    torch.testing.assert_close(found.mean, exact.mean, atol=0.15, rtol=0)
    torch.testing.assert_close(found.log_evidence, exact.log_evidence, atol=0.3, rtol=0)


def test_the_level_of_noise_is_learned() -> None:
    with seeded(1):
        y = rows()[:300] + TAU * torch.randn(300, FEATURES, dtype=torch.float64)
    found = learned_level(model(), vectors(y), NoiseModel(torch.ones((), dtype=torch.float64)))
    assert found == pytest.approx(TAU, rel=0.25)


@pytest.mark.slow
def test_imputed_cells_are_the_conditional_means() -> None:
    x, observed = rows()[:12], holes(12)
    schema = replace(vectors(x).schema, missing=True)
    data = Dataset(schema, x.where(observed, 0.0), observed=observed)
    found = impute(model(), data, samples=5, draws=3000)
    assert found.draws is not None
    torch.testing.assert_close(found.effective_sample_size, torch.full((12,), 5.0).double())
    for i in range(12):
        hidden = ~observed[i].numpy()
        mean, _ = conditional(x[i].numpy(), ~hidden, 0.0)
        np.testing.assert_allclose(found.mean[i][hidden], mean[hidden], atol=1e-9)
        drawn = found.draws[:, i][:, hidden]
        error = (drawn.mean(0) - mean[hidden]) / drawn.std(0)
        assert np.abs(error).max(initial=0) < 4.5 / np.sqrt(3000)


def test_draws_have_the_covariance_of_the_mixture() -> None:
    drawn = sample_prior(model(), 40_000, seed=0).x
    centers = model().shares @ model().means
    torch.testing.assert_close(
        drawn.mean(0), model().weight @ centers + model().offset, atol=0.03, rtol=0
    )
    torch.testing.assert_close(torch.cov(drawn.T), model().covariance(), atol=0.08, rtol=0)
    theirs, means = oracle(), oracle().means_ - oracle().weights_ @ oracle().means_
    exact = np.einsum("c,cij->ij", theirs.weights_, theirs.covariances_)
    exact = exact + (means.T * theirs.weights_) @ means
    np.testing.assert_allclose(model().covariance(), exact, atol=1e-10)


def test_scores_are_exact_and_rows_independent() -> None:
    observed = holes(9)
    data = replace(vectors(rows()[:9]), observed=observed)
    together = score(model(), data, samples=2)
    torch.testing.assert_close(together.bound, together.log_marginal, rtol=1e-9, atol=1e-9)
    alone = score(model(), data.subset([5]), samples=2)
    torch.testing.assert_close(alone.bound[0], together.bound[5], rtol=1e-9, atol=1e-9)


def test_directions_without_variance_stay_standard_normal() -> None:
    flat = rows().clone()
    flat[:, 6:] = 1.0
    options = PrincipalComponentsOptions(components=2)
    with seeded(0):
        made = ProbabilisticPrincipalComponents((FEATURES,), 7, options).fit(flat)
    assert made.weight[:, 6].abs().max() == 0
    torch.testing.assert_close(made.covariances[:, 6, 6], torch.ones(2).double())
    assert torch.isfinite(made.log_marginal(flat)).all()


def test_a_fit_refuses_holes_that_scores_take() -> None:
    x = rows()[:50].numpy().copy()
    schema = load(x, missing="model").schema
    options = ModelOptions("pca", latent_dim=2, model_options={"components": 2})
    with seeded(0):
        made = assemble(schema, options)
        made.start(load(x, schema=schema))
    x[3, 2] = np.nan
    with pytest.raises(DataError, match="fitted to complete rows"):
        made.start(load(x, schema=schema))
    assert torch.isfinite(score(made.eval(), load(x, schema=schema)).bound).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"components": 0}, "components must be at least 1"),
        ({"starts": 0}, "starts must be at least 1"),
        ({"prior_rows": 0.0}, "prior_rows must be above 0"),
        ({"noise_floor": 1.0}, "noise_floor is a share"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        PrincipalComponentsOptions(**options)
