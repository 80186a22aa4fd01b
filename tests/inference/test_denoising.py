"""Denoising against the Wiener filter of a linear model, where everything has a formula."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from lowerbound.data import load
from lowerbound.data.dataset import Dataset
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.fitting.assembly import assemble
from lowerbound.inference import denoising
from lowerbound.inference.annealing import AnnealingOptions, checked
from lowerbound.inference.denoising import (
    Denoised,
    Population,
    WienerFilter,
    denoise,
    learned_level,
)
from lowerbound.inference.passes import evaluation_mode
from lowerbound.likelihoods import DiscretizedLogistic
from lowerbound.likelihoods.noisy import NoiseModel, noisy
from lowerbound.models import VariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.posteriors import GaussianPosterior
from lowerbound.priors import StandardNormal
from tests.evaluation.small_models import binary_vae, linear_autoencoder, vectors
from tests.inference.test_annealing import poor_model
from tests.oracles import linear_gaussian as oracle
from tests.oracles.linear_gaussian import Affine

TAU = 0.8


def gaussian(level: float = TAU) -> NoiseModel:
    return NoiseModel(torch.tensor(level, dtype=torch.float64))


def noisy_rows(rows: int, level: float = TAU) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    shape = (rows, oracle.FEATURES)
    return oracle.data(rows) + level * torch.randn(shape, generator=generator, dtype=torch.float64)


def wiener(y: Tensor, level: float, observed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Exact (E[x | y], log p(y)) of each row."""
    weight, offset, sigma = oracle.parameters()
    covariance = weight @ weight.T + sigma**2 * torch.eye(oracle.FEATURES, dtype=torch.float64)
    means, densities = [], []
    for i, row in enumerate(y):
        seen = torch.ones_like(row, dtype=torch.bool) if observed is None else observed[i]
        total = covariance[seen][:, seen] + level**2 * torch.eye(int(seen.sum())).double()
        rest = row[seen] - offset[seen]
        means.append(offset + covariance[:, seen] @ torch.linalg.solve(total, rest))
        normal = torch.distributions.MultivariateNormal(offset[seen], total)
        densities.append(normal.log_prob(row[seen]))
    return torch.stack(means), torch.stack(densities)


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [False, True])
def test_the_mean_is_wieners(hidden: bool) -> None:
    y = noisy_rows(6)
    observed = None
    if hidden:
        observed = torch.rand(y.shape, generator=torch.Generator().manual_seed(1)) > 0.4
    data = replace(vectors(y), observed=observed)
    model = oracle.model("mean_field") if hidden else poor_model()
    found = denoise(model, data, gaussian(), chains=600, temperatures=100)
    mean, evidence = wiener(y, TAU, observed)
    torch.testing.assert_close(found.mean, mean, atol=0.1, rtol=0)
    torch.testing.assert_close(found.log_evidence, evidence, atol=0.15, rtol=0)


@pytest.mark.slow
def test_the_mean_of_the_draws_is_the_mean() -> None:
    y = noisy_rows(4)
    found = denoise(poor_model(), vectors(y), gaussian(), chains=200, temperatures=20, draws=3000)
    assert found.draws is not None
    error = (found.draws.mean(0) - found.mean).abs() / found.draws.std(0)
    assert float(error.max()) < 5 / math.sqrt(3000)


def test_little_noise_changes_little() -> None:
    y = oracle.data(5)
    found = denoise(oracle.model(), vectors(y), gaussian(1e-4), chains=8, temperatures=10)
    torch.testing.assert_close(found.mean, y, atol=1e-4, rtol=0)


def test_without_noise_rows_are_as_given_and_no_chain_is_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Population, "particles", None)
    y = oracle.data(5)
    found = denoise(poor_model(), vectors(y), gaussian(0.0), draws=2)
    assert torch.equal(found.mean, y)
    assert found.draws is not None
    assert torch.equal(found.draws, y.expand(2, *y.shape))
    assert bool(found.log_evidence.isnan().all())
    with pytest.raises(UnsupportedError, match="autoencoder has no prior"):
        denoise(linear_autoencoder(6, 2), vectors(y.float()), NoiseModel(torch.tensor(0.0)))
    seen = torch.ones_like(y, dtype=torch.bool)
    seen[0, 0] = False
    hidden = replace(vectors(y), observed=seen)
    with pytest.raises(TypeError):  # a hidden cell is filled by chains
        denoise(poor_model(), hidden, gaussian(0.0))


def test_a_row_does_not_depend_on_the_others() -> None:
    y = noisy_rows(5)
    together = denoise(poor_model(), vectors(y), gaussian(), chains=8, temperatures=5).mean
    alone = denoise(poor_model(), vectors(y[3:4]), gaussian(), chains=8, temperatures=5).mean
    torch.testing.assert_close(together[3:4], alone)
    parts = denoise(poor_model(), vectors(y), gaussian(), chains=8, temperatures=5, memory=1).mean
    torch.testing.assert_close(together, parts)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.3, 1.5])
def test_the_level_is_learned(level: float) -> None:
    y = noisy_rows(300, level)
    found = learned_level(oracle.model("mean_field"), vectors(y), gaussian(1.0))
    assert found == pytest.approx(level, rel=0.25)


@pytest.mark.parametrize("level", [0.05, 0.5])
def test_levels_far_below_the_likeliest_are_not_tried(
    level: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small levels take longest, because sums over x then have the most levels."""
    tried = []

    def known(model: object, dataset: Dataset, noise: NoiseModel, **options: int) -> Denoised:
        tau = float(noise.scale)
        tried.append(tau)
        evidence = -oracle.FEATURES * (math.log(tau) + level**2 / (2 * tau**2))
        return Denoised(dataset.x, None, torch.full((len(dataset),), evidence), torch.ones(1))

    monkeypatch.setattr(denoising, "denoise", known)
    found = learned_level(poor_model(), vectors(noisy_rows(20)), gaussian(1.0))
    assert found == pytest.approx(level, rel=0.02)
    assert level / 10 < min(tried) < level


@pytest.mark.slow
def test_chains_find_a_posterior_that_the_proposal_missed() -> None:
    """The proposal is off by deviations, and so few steps make the weights uneven: chains are drawn
    anew, and evidence and moments of z are exact all the same."""
    model, data = poor_model(), vectors(oracle.data(8))
    model.encoder.bias.data[: oracle.LATENT] += 1.0
    options = AnnealingOptions(temperatures=50, chains=3000)
    with evaluation_mode(model, gradients=True):
        like = checked(model, data).trace
        found = Population(model, data.all(), like, options).particles()
    exact = oracle.log_marginal(oracle.data(8))
    torch.testing.assert_close(found.log_evidence, exact, atol=0.2, rtol=0)
    gain, covariance = oracle.posterior_matrices()
    mean = (oracle.data(8) - oracle.parameters()[1]) @ gain.T
    weights = found.log_weights.exp().unsqueeze(-1)
    torch.testing.assert_close((weights * found.z).sum(0), mean, atol=0.1, rtol=0)
    spread = (weights * (found.z - mean).square()).sum(0)
    torch.testing.assert_close(spread.mean(0), torch.diagonal(covariance), atol=0.05, rtol=0.2)


def test_the_filter_of_a_linear_model_is_nearly_exact() -> None:
    y = noisy_rows(6)
    filter_ = WienerFilter(oracle.model(), vectors(y), torch.tensor(TAU**2))
    found = filter_(vectors(y).all())
    mean, _ = wiener(y, TAU)
    torch.testing.assert_close(found, mean, atol=0.15, rtol=0)  # of 256 draws from the prior
    observed = torch.ones_like(y, dtype=torch.bool)
    same = filter_(replace(vectors(y), observed=observed).all())
    torch.testing.assert_close(same, found)
    hidden = observed.clone()
    hidden[:, 1] = False
    silent = torch.full((oracle.FEATURES,), TAU**2, dtype=torch.float64)
    silent[1] = 1e12  # noise that leaves nothing of a cell, which is then like a hidden one
    without = WienerFilter(oracle.model(), vectors(y), silent)(vectors(y).all())
    torch.testing.assert_close(filter_(replace(vectors(y), observed=hidden).all()), without)


def test_progress_is_shown_within_a_chunk() -> None:
    """Six rows are one chunk, which takes as long as its chains."""
    seen: list[tuple[int, int]] = []
    data = vectors(noisy_rows(6))

    def progress(done: int, total: int) -> None:
        seen.append((done, total))

    denoise(poor_model(), data, gaussian(), chains=4, temperatures=12, progress=progress)
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {6}
    assert {done for done, _ in seen} == set(range(7))
    assert seen.count((6, 6)) == 1  # the end is said once
    seen.clear()
    learned_level(poor_model(), data, gaussian(1.0), progress=progress)
    assert seen == sorted(seen)
    assert len({done for done, _ in seen}) > 2 * denoising.SEARCH_TEMPERATURES


def test_bad_input_is_refused() -> None:
    data = vectors(noisy_rows(3))
    with pytest.raises(OptionError, match="draws must be 0 or more"):
        denoise(oracle.model(), data, gaussian(), draws=-1)
    with pytest.raises(OptionError, match="chains must be at least 1"):
        denoise(oracle.model(), data, gaussian(), chains=0)
    same = vectors(torch.ones(3, oracle.FEATURES, dtype=torch.float64))
    with pytest.raises(DataError, match="no level of noise can be learned"):
        learned_level(oracle.model(), same, gaussian())


def test_bits_are_restored_to_bits_when_noise_is_small() -> None:
    x = (torch.rand(4, 12, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    found = denoise(binary_vae(), vectors(x + 0.01), NoiseModel(torch.tensor(0.05)), chains=4)
    torch.testing.assert_close(found.mean, x, atol=1e-5, rtol=0)


def test_a_model_without_a_prior_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="autoencoder has no prior"):
        denoise(
            linear_autoencoder(6, 2), vectors(noisy_rows(3).float()), NoiseModel(torch.tensor(0.5))
        )


def test_a_coarser_sum_on_the_way_does_not_bend_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One cell of 256 sharp levels, whose evidence and mean are sums over a grid of z."""
    monkeypatch.setattr(
        "lowerbound.likelihoods.noisy.LEVELS_PER_DEVIATION", 1
    )  # three levels: far off
    decoder, encoder = Affine(1, 1), Affine(1, 2)
    decoder.weight.data, decoder.bias.data = torch.tensor([[0.2]]), torch.tensor([0.47])
    likelihood = DiscretizedLogistic((1,), scale="fixed", tau=0.01)
    parts = (GaussianPosterior(1), StandardNormal(1), decoder, likelihood)
    model = VariationalAutoencoder(encoder, *parts)
    tau = torch.tensor(0.5)
    y = torch.tensor([[-0.4], [0.6], [1.3]])
    found = denoise(model, vectors(y), NoiseModel(tau), chains=5000, temperatures=20)
    z = torch.linspace(-6, 6, 3001).reshape(-1, 1, 1)
    exact = noisy(model.decode(z), NoiseModel(tau))
    log_joint = exact.log_prob(y) + torch.distributions.Normal(0.0, 1.0).log_prob(z[..., 0])
    shares = torch.softmax(log_joint, 0)
    evidence = torch.logsumexp(log_joint.double(), 0) + math.log(12 / 3000)
    torch.testing.assert_close(found.log_evidence, evidence, atol=0.012, rtol=0)
    mean = (shares[..., None] * exact.restored(y)).sum(0)
    torch.testing.assert_close(found.mean, mean, atol=0.02, rtol=0)


def test_means_and_draws_of_pictures_are_from_black_to_white() -> None:
    """A Gaussian likelihood does not know where white is."""
    white = np.full((4, 6, 6), 255, np.uint8)
    white[:, ::2] = 0
    pictures = load(white)
    torch.manual_seed(0)
    options = ModelOptions(latent_dim=1, likelihood="gaussian")
    model = assemble(pictures.schema, options).eval()
    tau = NoiseModel(torch.tensor(0.3))
    found = denoise(model, pictures, tau, chains=4, temperatures=3, draws=20)
    assert found.draws is not None
    for values in (found.mean, found.draws):
        assert 0 <= float(values.min()) <= float(values.max()) <= 1
    assert float((found.draws == 1).double().mean()) > 0.05  # clamped there
