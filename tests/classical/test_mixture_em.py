"""Expectation maximization of a mixture against its objective, formulas and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture
from torch import Tensor

from lowerbound.classical.mixture_em import (
    CovariancePrior,
    FittedMixture,
    fit_mixture,
    pooled_mixture,
    update,
)
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import DataError


def rows() -> Tensor:
    return torch.as_tensor(load_iris().data)


def random_start(prior: CovariancePrior, components: int) -> FittedMixture:
    with seeded(0):
        shares = torch.rand(len(rows()), components, dtype=torch.float64)
    return prior.maximized(rows(), shares / shares.sum(1, keepdim=True))


@pytest.mark.parametrize(("prior_rows", "least"), [(4.0, 1e-3), (0.5, 0.2), (30.0, 0.05)])
def test_no_update_lowers_the_objective(prior_rows: float, least: float) -> None:
    prior = CovariancePrior(torch.cov(rows().T, correction=0), prior_rows, least)
    mixture, found = random_start(prior, 4), []
    for _ in range(40):
        mixture, objective = update(rows(), mixture, prior)
        found.append(objective)
    assert np.diff(found).min() > -1e-8
    assert found[-1] > found[0] + 10
    assert torch.linalg.eigvalsh(mixture.covariances).min() > least * (1 - 1e-9)


@pytest.mark.slow
def test_no_parameters_nearby_are_better() -> None:
    """The fit is a maximum: the objective falls if a mean, a covariance or a share changes."""
    prior = CovariancePrior(torch.cov(rows().T, correction=0), 4.0, 1e-3)
    best = random_start(prior, 2)
    for _ in range(300):
        best, _ = update(rows(), best, prior)
    top = update(rows(), best, prior)[1]
    tilted = torch.tensor([1.02, 0.98], dtype=torch.float64) * best.shares
    others = [
        FittedMixture(best.shares, best.means + 0.01, best.covariances),
        FittedMixture(best.shares, best.means, 1.03 * best.covariances),
        FittedMixture(best.shares, best.means, 0.97 * best.covariances),
        FittedMixture(tilted / tilted.sum(), best.means, best.covariances),
    ]
    assert all(update(rows(), other, prior)[1] < top - 1e-4 for other in others)


def test_one_component_is_a_gaussian() -> None:
    """With the covariance of all rows as the prior's, it is that covariance."""
    found = fit_mixture(rows(), 1, prior_rows=7.0, least=1e-6)
    torch.testing.assert_close(found.means[0], rows().mean(0))
    torch.testing.assert_close(found.covariances[0], torch.cov(rows().T, correction=0))


def test_without_prior_it_is_as_likely_as_scikit_learn() -> None:
    found = fit_mixture(rows(), 3, prior_rows=1e-6, least=1e-6)
    mean = float(found.distribution.log_prob(rows().unsqueeze(0)).mean())
    theirs = GaussianMixture(3, random_state=0).fit(rows().numpy())
    assert mean == pytest.approx(theirs.score(rows().numpy()), abs=0.02)


def test_another_seed_is_another_start() -> None:
    """Rows without clusters have many local maxima, and a pool of fits has several of them."""
    flat = torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    given = {"prior_rows": 2.0, "least": 1e-4}
    one, other = (fit_mixture(flat, 6, **given, seed=seed) for seed in (0, 1))
    assert not torch.allclose(one.means.sort(0)[0], other.means.sort(0)[0], atol=1e-3)
    pooled = pooled_mixture(flat, 6, 3, **given).means.unflatten(0, (3, 6)).sort(1)[0]
    assert not torch.allclose(pooled[0], pooled[1], atol=1e-3)


def test_a_component_without_rows_keeps_finite_parameters() -> None:
    prior = CovariancePrior(torch.eye(4, dtype=torch.float64), 2.0, 1e-3)
    shares = torch.zeros(len(rows()), 2, dtype=torch.float64)
    shares[:, 0] = 1.0
    found = prior.maximized(rows(), shares)
    assert all(part.isfinite().all() for part in (found.means, found.covariances, found.shares))
    torch.testing.assert_close(found.covariances[1], prior.covariance)
    assert found.shares.min() > 0


def test_pooled_fits_have_equal_shares() -> None:
    with seeded(3):
        found = pooled_mixture(rows(), 2, 3, prior_rows=1.0, least=1e-3)
    torch.testing.assert_close(found.shares.reshape(3, 2).sum(1), torch.full((3,), 1 / 3).double())
    assert found.covariances.shape == (6, 4, 4)


def test_too_few_rows_are_named() -> None:
    with pytest.raises(DataError, match="20 components need as many rows, and the data has 4"):
        fit_mixture(rows()[:4], 20, prior_rows=1.0, least=1e-3)
