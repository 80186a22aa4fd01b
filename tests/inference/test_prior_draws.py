"""Samples of models whose distribution is known, and codes found again."""

from __future__ import annotations

import gc
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import NotFiniteError, OptionError, UnsupportedError
from lowerbound.inference import prior_draws
from lowerbound.inference.decoding import decode_codes, reencode, sample_mixture, sample_white_codes
from lowerbound.inference.passes import Footprint, evaluation_mode
from lowerbound.inference.prior_draws import PriorDraws, sample_prior
from lowerbound.models import ProbabilisticPrincipalComponents
from lowerbound.trace import Batch, Draw, Given
from lowerbound.training.randomness import stream_seed
from tests.evaluation.small_models import binary_vae, linear_autoencoder
from tests.oracles import linear_gaussian as oracle


def test_samples_have_the_models_mean_and_covariance() -> None:
    weight, offset, sigma = oracle.parameters()
    samples = sample_prior(oracle.model("exact"), 20_000)
    assert torch.allclose(samples.x.mean(0), offset, atol=0.06)
    expected = weight @ weight.T + sigma**2 * torch.eye(oracle.FEATURES)
    assert torch.allclose(torch.cov(samples.x.T), expected, atol=0.15)
    assert torch.allclose(samples.mean, samples.z @ weight.T + offset)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_a_temperature_scales_the_codes(temperature: float) -> None:
    z = sample_prior(oracle.model("exact"), 20_000, temperature=temperature).z
    expected = temperature**2 * torch.eye(oracle.LATENT, dtype=z.dtype)
    assert torch.allclose(torch.cov(z.flatten(1).T), expected, atol=0.05 * temperature**2)


def test_the_mean_is_no_draw() -> None:
    samples = sample_prior(binary_vae(), 50)
    assert set(samples.x.unique().tolist()) == {0.0, 1.0}
    assert ((samples.mean > 0) & (samples.mean < 1)).all()


@pytest.mark.usefixtures("untouched_random_state")
def test_the_seed_decides_and_the_random_state_is_left_alone() -> None:
    with torch.random.fork_rng():
        model = binary_vae()
    first, again = sample_prior(model, 20, seed=3), sample_prior(model, 20, seed=3)
    other = sample_prior(model, 20, seed=4)
    assert torch.equal(first.x, again.x)
    assert not torch.equal(first.z, other.z)


def test_the_noise_of_one_seed_is_not_the_codes_of_another() -> None:
    model = ProbabilisticPrincipalComponents((3,), 2)
    first, second = sample_prior(model, 500, seed=0), sample_prior(model, 500, seed=1)
    correlation = torch.corrcoef(torch.cat([first.x.T, second.z.T]))[:3, 3:]
    assert correlation.abs().max() < 0.2


def test_many_codes_are_decoded_in_pieces() -> None:
    model = oracle.model("exact")
    z = torch.randn(2_500, oracle.LATENT, dtype=torch.float64)
    weight, offset, _ = oracle.parameters()
    assert torch.allclose(decode_codes(model, z).mean, z @ weight.T + offset)


def test_a_model_without_a_prior_says_what_to_do() -> None:
    with pytest.raises(
        UnsupportedError,
        match=r"cannot be sampled.*pca, semi_supervised, semi_supervised_reg.*, vae, .*, transform",
    ):
        sample_prior(linear_autoencoder(5, 2), 3)


def test_a_count_must_be_positive() -> None:
    with pytest.raises(OptionError):
        sample_prior(binary_vae(), 0)


def two_clusters() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    codes = 0.3 * torch.randn(600, 2, generator=generator)
    codes[:300] += torch.tensor([4.0, 1.0])
    return codes


def test_white_codes_have_the_codes_mean_and_covariance() -> None:
    codes = two_clusters()
    samples = sample_white_codes(linear_autoencoder(5, 2), codes, 20_000)
    assert torch.allclose(samples.z.mean(0), codes.mean(0), atol=0.06)
    expected = torch.cov(codes.T, correction=0)
    assert torch.allclose(torch.cov(samples.z.T), expected, atol=0.12)


def test_a_mixture_stays_with_the_clusters_and_white_codes_do_not() -> None:
    codes, model = two_clusters(), linear_autoencoder(5, 2)

    def share_between(z: torch.Tensor) -> float:
        return float(((z[:, 0] > 1.2) & (z[:, 0] < 2.8)).double().mean())

    assert share_between(sample_white_codes(model, codes, 1_000).z) > 0.2
    assert share_between(sample_mixture(model, codes, 1_000, components=4).z) < 0.02


def test_mixture_draws_come_in_no_order() -> None:
    z = sample_mixture(linear_autoencoder(5, 2), two_clusters(), 400, components=2).z
    left = (z[:, 0] < 2).double()
    assert 0.3 < float(left[:200].mean()) < 0.7


def test_codes_are_found_as_well_as_the_posterior_allows() -> None:
    _, covariance = oracle.posterior_matrices()
    found = reencode(oracle.model("exact"), sample_prior(oracle.model("exact"), 5_000))
    assert found.r_squared == pytest.approx(1 - float(torch.trace(covariance)) / 2, abs=0.01)
    exact = (1 - torch.diagonal(covariance)).sqrt()
    assert torch.allclose(found.correlation, exact, atol=0.01)


def test_codes_found_from_means() -> None:
    gain, _ = oracle.posterior_matrices()
    weight, _, _ = oracle.parameters()
    samples = sample_prior(oracle.model("exact"), 4_000)
    found = reencode(oracle.model("exact"), samples, from_mean=True)
    z = samples.z
    residual = (z - z @ (gain @ weight).T).square().sum() / (z - z.mean(0)).square().sum()
    assert found.r_squared == pytest.approx(float(1 - residual), abs=1e-9)


def test_units_that_the_decoder_ignores_are_not_found() -> None:
    model = oracle.model("mean_field")
    model.decoder.weight.data[:, 1] = 0
    found = reencode(model, sample_prior(model, 3_000))
    assert abs(float(found.correlation[1])) < 0.1


@pytest.mark.usefixtures("untouched_random_state")
def test_a_block_depends_on_the_seed_and_its_place_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a small memory, drawn last to first, are those of all blocks in order, and the
    first one has the random numbers of the seed itself."""
    with torch.random.fork_rng():
        model = binary_vae()
    numbers = prior_draws.BYTES_PER_VALUE * sample_prior(model, 1).x[0].numel()
    monkeypatch.setattr(prior_draws, "MEMORY", 8 * numbers)
    draws = PriorDraws.of(model, 20, seed=3)
    blocks = list(draws.blocks)
    assert [(block.start, block.stop) for block in blocks] == [(0, 8), (8, 16), (16, 20)]
    with torch.random.fork_rng():
        backwards = [next(draws.parts(block)) for block in reversed(blocks)]
    whole = sample_prior(model, 20, seed=3)
    assert torch.equal(whole.x, torch.cat([part.x for part in reversed(backwards)]))
    for block, part in zip(blocks, reversed(backwards), strict=True):
        seed = stream_seed(3, f"samples from {block.start}") if block.start else 3
        with seeded(seed), evaluation_mode(model), torch.no_grad():
            trace = model.imagine(Batch(), Draw(len(part)))
            assert torch.equal(part.z, model.code(trace).flatten(0, 1))
            assert torch.equal(part.x, trace.likelihood.sample().flatten(0, 1))
    assert len(torch.unique(whole.z, dim=0)) == 20


@pytest.mark.usefixtures("untouched_random_state")
def test_latents_of_many_rows_are_drawn_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The prior of 20 rows runs once, then four rows at a time are decoded, with or without a
    condition; then the same for the next 20."""
    with torch.random.fork_rng():
        model = oracle.model("exact")
    monkeypatch.setattr(prior_draws, "MEMORY", 4 * prior_draws.BYTES_PER_VALUE * oracle.FEATURES)
    monkeypatch.setattr(prior_draws, "BYTES_PER_LATENT", prior_draws.MEMORY // (20 * oracle.LATENT))
    expected = []
    for seed, rows in ((3, 20), (stream_seed(3, "samples from 20"), 3)):
        with seeded(seed), evaluation_mode(model), torch.no_grad():
            expected.append(model.imagine_latents(Batch(), Draw(rows))[0].flatten(0, 1))
    weight, offset, _ = oracle.parameters()
    for condition in (None, lambda part: torch.zeros(part.stop - part.start, 1)):
        draws = PriorDraws.of(model, 23, seed=3, condition=condition)
        found = [part for block in draws.blocks for part in draws.parts(block)]
        assert [len(part) for part in found] == [4, 4, 4, 4, 4, 3]
        z = torch.cat([part.z for part in found])
        assert torch.equal(z, torch.cat(expected))
        assert torch.allclose(torch.cat([part.mean for part in found]), z @ weight.T + offset)


@pytest.mark.usefixtures("untouched_random_state")
def test_parts_of_a_block_go_on_with_the_random_numbers_of_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with torch.random.fork_rng():
        model = oracle.model("exact")
    monkeypatch.setattr(prior_draws, "MEMORY", 4 * prior_draws.BYTES_PER_VALUE * oracle.FEATURES)
    found = []
    with torch.random.fork_rng():
        draws = PriorDraws.of(model, 12, seed=3)
        for part in draws.parts(slice(0, 12)):
            torch.rand(5)
            found.append(part)
    assert [len(part) for part in found] == [4, 4, 4]
    with seeded(3), evaluation_mode(model), torch.no_grad():
        model.imagine_latents(Batch(), Draw(12))
        for part in found:
            trace = model.imagine(Batch(), Given([part.z.unsqueeze(1)]))
            assert torch.equal(part.x, trace.likelihood.sample().flatten(0, 1))


def test_memory_of_a_pass_is_that_of_its_numbers() -> None:
    """Double precision takes twice as much as single precision, which half precision does not
    halve: sums are in single precision."""
    found = {}
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        likelihood = SimpleNamespace(mean=torch.zeros(1, 1, 3, dtype=dtype))
        trace: Any = SimpleNamespace(steps=(), likelihood=likelihood)
        found[dtype] = Footprint(trace, width=1_000).bytes
    assert found[torch.float64] == 2 * found[torch.float32] == 2 * found[torch.bfloat16]


def test_an_error_of_decoding_leaves_gradients_as_they_were() -> None:
    model, codes = oracle.model("exact"), torch.full((2, oracle.LATENT), math.nan)
    with pytest.raises(NotFiniteError) as caught:  # its frames hold what was suspended
        decode_codes(model, codes.double())
    del caught
    gc.collect()
    assert torch.is_grad_enabled()
