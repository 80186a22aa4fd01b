"""Probabilistic PCA against scikit-learn, and linear models against it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.decomposition import PCA
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from lowerbound.distributions.reparameterization import base_normal, seeded
from lowerbound.errors import DataError
from lowerbound.likelihoods import Gaussian
from lowerbound.models import (
    DeterministicAutoencoder,
    ProbabilisticPrincipalComponents,
    VariationalAutoencoder,
)
from lowerbound.objectives import ELBO
from lowerbound.posteriors import GaussianPosterior
from lowerbound.priors import StandardNormal
from lowerbound.trace import Batch, Draw, Trace
from tests.oracles.linear_gaussian import Affine


def standardized(load: object) -> Tensor:
    rows = load().data  # type: ignore[operator]
    return torch.as_tensor((rows - rows.mean(0)) / rows.std(0))


@pytest.mark.parametrize("latent_dim", [1, 3, 12])
def test_marginal_likelihood_agrees_with_scikit_learn(latent_dim: int) -> None:
    x = standardized(load_breast_cancer)
    exact = ProbabilisticPrincipalComponents((30,), latent_dim).fit(x).log_marginal(x)
    # scikit-learn divides the covariance by N - 1: the same data scaled by sqrt((N - 1) / N)
    shrunk = (x * np.sqrt((len(x) - 1) / len(x))).numpy()
    theirs = PCA(latent_dim).fit(shrunk)
    ours = ProbabilisticPrincipalComponents((30,), latent_dim)
    ours.weight, ours.offset, ours.variance = _from_scikit_learn(theirs)
    assert ours.log_marginal(torch.as_tensor(shrunk)).numpy() == pytest.approx(
        theirs.score_samples(shrunk), rel=1e-9
    )
    # and the maximum-likelihood fit is better than any other, theirs included
    assert float(exact.mean()) >= PCA(latent_dim).fit(x.numpy()).score(x.numpy()) - 1e-12


def _from_scikit_learn(pca: PCA) -> tuple[Tensor, Tensor, Tensor]:
    lengths = np.sqrt(np.maximum(pca.explained_variance_ - pca.noise_variance_, 0))
    weight = torch.as_tensor(pca.components_.T * lengths)
    return weight, torch.as_tensor(pca.mean_), torch.as_tensor(pca.noise_variance_)


def test_every_importance_weight_is_the_marginal() -> None:
    x = standardized(load_iris)
    model = ProbabilisticPrincipalComponents((4,), 2).fit(x)
    with seeded(0):
        weights = model(Batch(x), Draw(3)).log_weights(x)
    assert (weights - model.log_marginal(x)).abs().max() < 1e-9


def test_subspace_is_that_of_pca() -> None:
    x = standardized(load_iris)
    ours = ProbabilisticPrincipalComponents((4,), 2).fit(x).weight
    theirs = torch.as_tensor(PCA(2).fit(x.numpy()).components_).T
    assert spans_the_same(ours, theirs) > 1 - 1e-10


def spans_the_same(a: Tensor, b: Tensor) -> float:
    """The smallest cosine between the two subspaces: 1 where they are equal."""
    a, b = torch.linalg.qr(a)[0], torch.linalg.qr(b)[0]
    return float(torch.linalg.svdvals(a.T @ b).min())


def test_fewer_rows_than_features() -> None:
    with seeded(0):
        x = torch.randn(5, 20, dtype=torch.float64)
    assert torch.isfinite(ProbabilisticPrincipalComponents((20,), 3).fit(x).log_marginal(x)).all()


def test_bad_sizes_are_named() -> None:
    with pytest.raises(DataError, match="below the number of features"):
        ProbabilisticPrincipalComponents((3,), 3).fit(torch.zeros(10, 3))
    with pytest.raises(DataError, match="at least 2 rows"):
        ProbabilisticPrincipalComponents((3,), 1).fit(torch.zeros(1, 3))


class SigmaPoints:
    """Chooses z = mu +- sqrt(d) sigma_j e_j: exact for expectations of quadratics, no noise."""

    def __call__(
        self, level: int, posterior: Distribution | None, prior: Distribution | None
    ) -> Tensor:
        normal = base_normal(posterior)
        size = normal.loc.shape[-1]
        points = np.sqrt(size) * torch.eye(size, dtype=normal.loc.dtype)
        points = torch.cat([points, -points]).unsqueeze(1)
        return normal.loc + normal.scale * points

    def log_weights(self, trace: Trace) -> float:
        return 0.0


def linear_vae(features: int, latent_dim: int) -> VariationalAutoencoder:
    with seeded(1):
        return VariationalAutoencoder(
            Affine(features, 2 * latent_dim),
            GaussianPosterior(latent_dim),
            StandardNormal(latent_dim),
            Affine(latent_dim, features),
            Gaussian((features,)),
        ).double()


def minimize(model: torch.nn.Module, loss: object, steps: int = 60) -> None:
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=50, history_size=40, line_search_fn="strong_wolfe",
        tolerance_grad=1e-12, tolerance_change=1e-14,
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()  # type: ignore[operator]
        value.backward()
        return value

    for _ in range(steps):
        optimizer.step(closure)


@pytest.mark.slow
def test_linear_vae_reaches_the_optimum_of_probabilistic_pca() -> None:
    x = standardized(load_iris)
    exact = float(ProbabilisticPrincipalComponents((4,), 2).fit(x).log_marginal(x).mean())
    model, objective = linear_vae(4, 2), ELBO()
    objective.choose = SigmaPoints()
    minimize(model, lambda: objective(model, Batch(x)).loss)
    reached = float(objective(model, Batch(x)).value.mean())
    assert reached == pytest.approx(exact, abs=1e-5)
    assert reached <= exact + 1e-9


def test_linear_autoencoder_spans_the_subspace_of_pca() -> None:
    x = standardized(load_iris)
    with seeded(2):
        model = DeterministicAutoencoder(
            Affine(4, 2), Affine(2, 4), Gaussian((4,), scale="fixed"), latent_dim=2
        ).double()
    objective = ELBO()
    minimize(model, lambda: objective(model, Batch(x)).loss)
    theirs = torch.as_tensor(PCA(2).fit(x.numpy()).components_).T
    assert spans_the_same(model.decoder.weight.detach(), theirs) > 1 - 1e-8


def test_posterior_is_the_exact_one() -> None:
    """KL(q || exact) = 0: Bayes' rule by the joint Gaussian of (z, x)."""
    x = standardized(load_iris)[:7]
    model = ProbabilisticPrincipalComponents((4,), 2).fit(standardized(load_iris))
    weight, noise = model.weight, model.variance * torch.eye(4, dtype=torch.float64)
    marginal = weight @ weight.T + noise
    gain = weight.T @ torch.linalg.inv(marginal)
    loc = (x - model.offset) @ gain.T
    covariance = torch.eye(2, dtype=torch.float64) - gain @ weight
    expected = torch.distributions.MultivariateNormal(loc.unsqueeze(0), covariance)
    assert kl_divergence(model.encode(Batch(x)), expected).abs().max() < 1e-10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_least_variance_is_a_share_of_that_of_the_rows(dtype: torch.dtype) -> None:
    """Rows in a plane have no other."""
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn(50, 2, generator=generator) @ torch.randn(2, 4, generator=generator)
    shares = []
    for unit in (1e-6, 1.0, 1e5):
        rows = (unit * plane).to(dtype)
        found = ProbabilisticPrincipalComponents((4,), 2).fit(rows)
        shares.append(float(found.variance) / float(rows.double().var(0, correction=0).mean()))
    assert shares == pytest.approx([shares[1]] * 3, rel=0.05)
