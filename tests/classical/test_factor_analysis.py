"""Factor analysis against explicit Gaussians of features by features, and scikit-learn's fit."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from sklearn import decomposition
from torch import Tensor
from torch.distributions import MultivariateNormal

from lowerbound.classical.factor_analysis import (
    CHUNK,
    RIDGES,
    Alike,
    Cells,
    FactorAnalysis,
    chosen_ridge,
    fit_factor_analysis,
    held_out_cells,
)
from lowerbound.errors import DataError

FEATURES, LATENT = 7, 3
PLAIN = {"ridge": 0.0, "noise_rows": 0.0, "floor": 1e-9}  # maximum likelihood, no shrinkage


def truth(features: int = FEATURES, latent: int = LATENT) -> FactorAnalysis:
    weight = torch.randn(features, latent, dtype=torch.float64)
    noise = torch.rand(features, dtype=torch.float64) + 0.05
    return FactorAnalysis(weight, torch.randn(features, dtype=torch.float64), noise)


def rows(model: FactorAnalysis, count: int, share: float = 0.6) -> tuple[Tensor, Tensor]:
    """Rows of the model, NaN where hidden, and the mask."""
    z = torch.randn(count, model.latent_dim, dtype=torch.float64)
    noise = torch.randn(count, len(model.offset), dtype=torch.float64)
    x = z @ model.weight.T + model.offset + model.noise.sqrt() * noise
    mask = torch.rand(x.shape) < share
    return torch.where(mask, x, float("nan")), mask


def covariance(model: FactorAnalysis) -> Tensor:
    return model.weight @ model.weight.T + torch.diag(model.noise)


def test_the_marginal_of_the_observed_cells() -> None:
    model = truth()
    x, mask = rows(model, 40)
    mask[0], mask[1] = False, True
    x[1] = 0.3
    expected = torch.zeros(len(x), dtype=torch.float64)
    for i, (row, seen) in enumerate(zip(x, mask, strict=True)):
        if seen.any():
            part = covariance(model)[seen][:, seen]
            expected[i] = MultivariateNormal(model.offset[seen], part).log_prob(row[seen])
    torch.testing.assert_close(model.log_marginal(x, mask), expected)
    assert expected[0] == 0


def test_the_posterior_is_bayes_rule() -> None:
    """log p(z) + log p(x_o | z) - log p(x_o) at any z."""
    model = truth()
    x, mask = rows(model, 20)
    mean, factor = model.posterior(x, mask)
    z = torch.randn_like(mean)
    posterior = MultivariateNormal(mean, precision_matrix=factor @ factor.mT).log_prob(z)
    error = torch.distributions.Normal(z @ model.weight.T + model.offset, model.noise.sqrt())
    seen = torch.where(mask, error.log_prob(x.nan_to_num()), 0.0).sum(1)
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(posterior, prior + seen - model.log_marginal(x, mask))


@pytest.mark.parametrize("noise_rows", [0.0, 2.0])
@pytest.mark.parametrize("ridge", [0.0, 20.0])
def test_each_round_raises_the_posterior(noise_rows: float, ridge: float) -> None:
    """The weights' prior is Gaussian, that of the noise inverse-gamma of so many rows."""
    x, mask = rows(truth(), 150)
    centered = torch.where(mask, x - x.nanmean(0), 0.0)
    variance = centered.square().sum(0) / mask.sum(0)
    values = []
    for rounds in range(12):
        fitted = fit_factor_analysis(
            x, mask, 2, rounds=rounds, ridge=ridge, noise_rows=noise_rows, floor=1e-9
        )
        shrinkage = torch.log(fitted.noise) + 0.02 * variance / fitted.noise
        total = fitted.log_marginal(x, mask).sum() - 0.5 * noise_rows * shrinkage.sum()
        total -= 0.5 * ridge * fitted.weight.square().sum()
        values.append(float(total))
    assert all(later > earlier for earlier, later in pairwise(values))


def test_the_prior_of_the_weights_does_not_pull_the_offset() -> None:
    """Rows that are moved have the same weights and a moved offset."""
    x, mask = rows(truth(), 150)
    near, far = (
        fit_factor_analysis(x + shift, mask, 2, rounds=5, ridge=20.0, floor=1e-9)
        for shift in (0.0, 50.0)
    )
    torch.testing.assert_close(far.offset, near.offset + 50.0)
    torch.testing.assert_close(far.weight, near.weight, atol=1e-6, rtol=1e-6)


def test_the_ridge_is_chosen_by_hidden_cells() -> None:
    """Columns of noise want a strong prior of the weights, those that hang together a weak one."""
    noise = torch.randn(60, 8, generator=torch.Generator().manual_seed(0)).double()
    mask = torch.ones_like(noise, dtype=torch.bool)
    assert chosen_ridge(noise, mask, 6) >= 20
    x, mask = rows(truth(), 2000)
    assert chosen_ridge(x, mask, LATENT) == min(RIDGES)
    many = noise.repeat(200, 1)
    assert chosen_ridge(many, torch.ones_like(many, dtype=torch.bool), 2) == min(RIDGES)


def test_rows_that_observe_the_same_cells_share_a_covariance_and_nothing_else() -> None:
    """Sums over patterns against sums over rows, each row with a posterior of its own."""
    model = truth()
    x, mask = rows(model, CHUNK + 300)
    mask = mask[:5].repeat(len(x) // 5 + 1, 1)[: len(x)]  # five patterns, one cut by a chunk
    x = torch.where(mask, x.nan_to_num(7.0), float("nan"))
    cells = Cells.of(x, mask)
    alike = list(Alike.among(cells))
    assert sum(len(each.masks) for each in alike) <= 6
    mean, factor = model.posterior(x, mask)
    h = torch.cat((mean, torch.ones_like(mean[:, :1])), 1)
    second = h.unsqueeze(2) * h.unsqueeze(1)
    second[:, :-1, :-1] += torch.linalg.inv(factor @ factor.mT)
    moments = cells.expect(model, alike)
    seen = mask.double()
    torch.testing.assert_close(moments.second, torch.einsum("nj,nab->jab", seen, second))
    torch.testing.assert_close(moments.cross, (seen * cells.filled).T @ h)
    torch.testing.assert_close(moments.square, (seen * cells.filled.square()).sum(0))


def test_a_tenth_of_each_column_is_hidden_in_few_patterns() -> None:
    hidden = held_out_cells(torch.ones(20_000, 30, dtype=torch.bool), seed=0)
    share = hidden.double().mean(0)
    assert (share - 0.1).abs().max() < 0.02
    assert (hidden.sum(1) == 3).all()
    assert len(torch.unique(hidden, dim=0)) == 40
    other = held_out_cells(torch.ones(20_000, 30, dtype=torch.bool), seed=1)
    assert not torch.equal(other, hidden)


def test_complete_data_agree_with_scikit_learn() -> None:
    x, _ = rows(truth(), 300, share=1.1)
    mask = torch.ones_like(x, dtype=torch.bool)
    fitted = fit_factor_analysis(x, mask, LATENT, rounds=600, **PLAIN)
    theirs = decomposition.FactorAnalysis(LATENT, tol=1e-5, max_iter=5000, svd_method="lapack")
    score = theirs.fit(x.numpy()).score(x.numpy())
    assert float(fitted.log_marginal(x, mask).mean()) == pytest.approx(score, abs=3e-3)


@pytest.mark.slow
def test_the_fit_recovers_the_covariance_from_half_the_cells() -> None:
    model = truth()
    x, mask = rows(model, 20_000, share=0.5)
    fitted = fit_factor_analysis(x, mask, LATENT, rounds=100)
    difference = covariance(fitted) - covariance(model)
    assert difference.norm() < 0.05 * covariance(model).norm()
    assert (fitted.offset - model.offset).abs().max() < 0.1


@pytest.mark.parametrize("ridge", [0.0, 5.0])
def test_columns_that_say_nothing_get_no_weight(ridge: float) -> None:
    x, mask = rows(truth(), 60)
    mask[:, 1], mask[:, 4] = False, True
    x[:, 4] = 3.5
    fitted = fit_factor_analysis(x, mask, 4, rounds=20, ridge=ridge)
    assert (fitted.weight[[1, 4]] == 0).all()
    assert fitted.offset[4] == 3.5
    assert all(part.isfinite().all() for part in (fitted.weight, fitted.offset, fitted.noise))
    assert (fitted.noise >= 1e-3).all()
    assert fitted.log_marginal(x, mask).isfinite().all()


def test_hidden_values_and_chunks_change_nothing() -> None:
    model = truth()
    x, mask = rows(model, CHUNK + 5)
    other = torch.where(mask, x, 1e9)
    for got, want in ((x, other), (x.repeat(2, 1), x)):
        masks = mask.repeat(len(got) // len(mask), 1)
        first = fit_factor_analysis(got, masks, 2, rounds=3, ridge=0.0, noise_rows=0.0)
        second = fit_factor_analysis(want, mask, 2, rounds=3, ridge=0.0, noise_rows=0.0)
        torch.testing.assert_close(first.noise, second.noise)
    alone = torch.cat([model.log_marginal(x[i : i + 1], mask[i : i + 1]) for i in (0, CHUNK + 4)])
    torch.testing.assert_close(model.log_marginal(x, mask)[[0, CHUNK + 4]], alone)


def test_more_factors_than_features() -> None:
    x, mask = rows(truth(), 50)
    fitted = fit_factor_analysis(x, mask, FEATURES + 3, rounds=10)
    assert fitted.weight.shape == (FEATURES, FEATURES + 3)
    assert fitted.log_marginal(x, mask).isfinite().all()


@pytest.mark.parametrize(("count", "dim"), [(0, 2), (5, 0)])
def test_what_cannot_be_fitted_is_said(count: int, dim: int) -> None:
    with pytest.raises(DataError, match=f"cannot fit {dim} factors to {count} rows"):
        fit_factor_analysis(torch.zeros(count, 3), torch.ones(count, 3), dim)


def test_principal_components_of_a_wide_table_are_those_of_the_covariance() -> None:
    values = torch.randn(8, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = Cells.of(values, torch.ones(8, 20)).start(12, 1e-3).weight
    centered = values - values.mean(0)
    lengths, directions = torch.linalg.eigh(centered.T @ centered / 8)
    expected = directions[:, -8:] * lengths[-8:].clamp_min(0).sqrt()  # up to the signs
    torch.testing.assert_close(found @ found.T, expected @ expected.T)
    torch.testing.assert_close(found[:, :8].square().sum(0), lengths[-8:].flip(0).clamp_min(0))
    assert not found[:, 8:].any()
