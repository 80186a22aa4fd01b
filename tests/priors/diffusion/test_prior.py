"""The diffusion prior as a whole: its start, its options, its training and what refuses it."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from lowerbound import VAE
from lowerbound.applications.compression.export import check_exact
from lowerbound.config import construct
from lowerbound.data import load
from lowerbound.errors import MissingExtraError, OptionError, UnsupportedError
from lowerbound.fitting.prior import fit_prior
from lowerbound.inference.codes import Latents, draw_latents
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.objectives import OBJECTIVES
from lowerbound.priors import PRIORS
from lowerbound.priors.diffusion.prior import DiffusionPrior
from lowerbound.training import TrainingOptions
from tests.oracles import linear_gaussian
from tests.priors.diffusion.gaussian import covariance_of, draws, exact_prior, log_density


def built(shape: tuple[int, ...], **options: object) -> DiffusionPrior:
    prior = PRIORS["diffusion"].build(math.prod(shape), (), shape, options)
    assert isinstance(prior, DiffusionPrior)
    return prior


@pytest.mark.parametrize("shape", [(5,), (3, 6, 4)])
def test_latents_have_standard_deviation_1_after_scaling(shape):
    latents = torch.randn(4000, *shape) * torch.logspace(-3, 3, shape[0]).reshape(
        -1, *(1 for _ in shape[1:])
    )
    latents += 7 * torch.arange(shape[0]).reshape(-1, *(1 for _ in shape[1:]))
    prior = built(shape)
    prior.start_from_latents(latents.flatten(1))
    x = prior.standardized(latents.flatten(1)).unflatten(1, shape)
    assert prior.loc.shape == prior.scale.shape == (shape[0], *(1 for _ in shape[1:]))
    assert ((x.std(0) - 1).abs() < 0.05).all()
    assert (x.mean(0).abs() < 0.1).all()
    assert {"loc", "scale"} <= set(prior.state_dict())
    bound = prior().log_prob(latents[:50].flatten(1).unsqueeze(0))
    spread = prior.scale.expand(shape).flatten()
    exact = torch.distributions.Normal(prior.loc.expand(shape).flatten(), spread)
    error = bound[0] - exact.log_prob(latents[:50].flatten(1)).sum(1)
    assert abs(error.mean()) < 5 * error.std() / 50**0.5


@pytest.mark.slow
def test_numbers_that_the_encoder_knows_better_have_more_spread():
    noise = torch.tensor([0.1, 0.2, 0.4, 8.0])
    latents = 3.0 + torch.randn(4000, 4) * torch.tensor([1.0, 1.0, 2.0, 8.0])
    prior = built((4,))
    prior.start_from_latents(latents, noise)
    x = prior.standardized(latents)
    ratio = torch.tensor([10.0, 5.0, 5.0, 1.0])
    expected = ratio / ratio.square().mean().sqrt()
    assert ((x.std(0) / expected - 1).abs() < 0.05).all()
    assert torch.allclose(prior.unstandardized(x), latents, atol=1e-4)
    assert torch.allclose(prior().variance[0, 0].sqrt(), latents.std(0), rtol=0.05)
    normal = torch.distributions.Normal(prior.loc, prior.scale / prior.spread)  # the network is 0
    z = normal.sample((4000,))
    gap = normal.log_prob(z).sum(1) - prior().log_prob(z.unsqueeze(0))[0]
    assert abs(gap.mean()) < 5 * gap.std() / 4000**0.5


def test_the_least_spread_stays_above_the_noise_of_the_schedule():
    prior = built((2,))
    prior.start_from_latents(torch.randn(4000, 2), torch.tensor([1e-9, 1.0]))
    assert prior.spread.min() == pytest.approx(0.05)


@pytest.mark.parametrize("noise", [[0.0, 0.1, 0.1], [math.nan, 1.0, 1.0]])
def test_numbers_without_noise_have_the_same_spread(noise):
    prior = built((3,))
    prior.start_from_latents(torch.randn(100, 3), torch.tensor(noise))
    assert (prior.spread == 1).all()


def test_a_folder_of_a_former_version_has_the_same_spread():
    prior = built((3,))
    prior.start_from_latents(torch.randn(100, 3), torch.tensor([0.1, 0.2, 0.3]))
    state = prior.state_dict()
    state.pop("spread")
    prior.load_state_dict(state)
    assert (prior.spread == 1).all()


def test_a_constant_latent_has_a_finite_bound():
    prior = built((2,))
    prior.start_from_latents(torch.ones(10, 2))
    assert prior().log_prob(torch.ones(1, 3, 2)).isfinite().all()


@pytest.mark.parametrize(
    ("shape", "network", "name"),
    [
        ((6,), "auto", "MLPDenoiser"),
        ((2, 8, 8), "auto", "UNetDenoiser"),
        ((2, 7, 5), "unet", "UNetDenoiser"),
        ((2, 12, 12), "transformer", "TransformerDenoiser"),
        ((3, 5, 3), "transformer", "TransformerDenoiser"),
        ((2, 4, 4), "mlp", "MLPDenoiser"),
    ],
)
def test_networks_of_every_shape(shape, network, name):
    fields = {"class": ["0", "1", "2"], "hat": ["no", "yes"]}
    prior = built(shape, network=network, width=32, depth=1, fields=fields)
    assert type(prior.denoiser).__name__ == name
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    numbers = math.prod(shape)
    prompt = torch.tensor([[0, -1], [2, 1], [-1, -1]])
    given = prior.given(prompt)
    assert given.batch_shape == (1, 3)
    noise = torch.randn(2, 1, numbers).expand(2, 3, numbers)
    z = given.push(noise)
    assert z.shape == (2, 3, numbers)
    assert not torch.allclose(z[:, 0], z[:, 1], atol=1e-3)
    torch.testing.assert_close(prior().push(noise)[:, 2], z[:, 2], rtol=1e-3, atol=1e-3)
    assert given.log_prob(z).shape == (2, 3)
    terms = prior.terms(z[0], prompt)
    assert terms.log_prob.shape == terms.loss.shape == (3,)
    terms.loss.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in prior.parameters())


def test_a_time_of_all_rows_is_the_time_of_each():
    prior = built((3, 4, 4), width=32, depth=1)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    x = torch.randn(5, 48)
    one = prior.predict(x, torch.tensor([7]))
    torch.testing.assert_close(one, prior.predict(x, torch.full((5,), 7)), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(one, prior.predict(x, torch.tensor([900])), atol=1e-3)


def test_prompts_are_hidden_at_random_in_training():
    prior = built(
        (2,), fields={"a": ["1", "2"], "b": ["1", "2", "3"]}, hide_prompt=0.2, hide_fields=0.5
    )
    prompts = prior.denoiser.prompts
    assert prompts is not None
    prompt = torch.tensor([[1, 2]]).expand(20_000, 2)
    hidden = prompts.hidden(prompt, 0.2, 0.5) == -1
    assert abs(hidden.all(1).float().mean() - (0.2 + 0.8 * 0.5 / 3)) < 0.02
    assert abs(hidden.any(1).float().mean() - (0.2 + 0.8 * 0.5 * 2 / 3)) < 0.02
    assert abs(hidden[:, 0].float().mean() - (0.2 + 0.8 * 0.5 / 2)) < 0.02
    assert not (prompts.hidden(prompt, 0.0, 0.0) == -1).any()


@pytest.mark.parametrize(
    ("prompt", "message"), [([[1]], "1 fields"), ([[1, 3]], "range"), ([[-2, 0]], "range")]
)
def test_prompts_of_other_fields_are_refused(prompt, message):
    prior = built((2,), fields={"a": ["1", "2"], "b": ["1", "2", "3"]})
    with pytest.raises(OptionError, match=message):
        prior.given(torch.tensor(prompt))


def test_a_prior_without_fields_takes_no_prompt():
    with pytest.raises(UnsupportedError, match="takes no prompt"):
        built((2,)).given(torch.zeros(1, 1).long())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "unet"}, "network mlp"),
        ({"network": "resnet"}, "resnet"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"timesteps": 3}, "timesteps must be at least 10"),
        ({"width": 0}, "width"),
        ({"schedule": "cosin"}, "cosine"),
        ({"sampler": "euler"}, "euler"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(OptionError, match=message):
        construct(DiffusionPrior, 4, (), options=options)


def test_a_missing_library_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lowerbound\[diffusion\]'"):
        DiffusionPrior(2)


def test_min_snr_weighs_the_error_of_x0():
    process = built((3,)).process
    t = torch.arange(1000)
    ratio = process.signal_to_noise(t)
    assert torch.equal(process._weight(t, 0.0), torch.ones(1000))
    torch.testing.assert_close(process._weight(t, 5.0) * (ratio + 1), ratio.clamp_max(5.0))
    noise = built((3,), prediction="epsilon").process
    torch.testing.assert_close(noise._weight(t, 5.0) * ratio, ratio.clamp_max(5.0))


def test_min_snr_changes_the_loss_and_not_the_bound():
    z = torch.randn(64, 3)
    found = []
    for min_snr in (0.0, 5.0):
        torch.manual_seed(0)
        found.append(built((3,), min_snr=min_snr).terms(z))
    assert torch.equal(found[0].log_prob, found[1].log_prob)
    assert not torch.allclose(found[0].loss, found[1].loss)


def learned(
    latents: Tensor, updates: int = 1500, **options: object
) -> tuple[DiffusionPrior, float | None]:
    """A prior that was trained on these latents, and its bound on held-out ones."""
    rows = torch.randn(200, 2).numpy().astype(np.float64)
    vae = VAE(latent_dim=latents.shape[1], epochs=1, random_state=0, network="mlp").fit(rows)
    training = TrainingOptions(updates=updates, batch_size=256, learning_rate=2e-3, patience=0)
    dataset = Latents(latents.unsqueeze(1), None, "").dataset()
    made, history = fit_prior(vae.fitted_, dataset, "diffusion", options, training)
    prior = made.model.prior
    assert isinstance(prior, DiffusionPrior)
    return prior, history.validation


@pytest.fixture(scope="module")
def gaussian_prior():
    torch.manual_seed(0)
    return learned(draws(covariance_of(3), 20_000, mean=1.0), width=128, depth=2)


@pytest.mark.long
def test_the_learned_score_is_the_exact_one(gaussian_prior):
    prior, _ = gaussian_prior
    covariance = covariance_of(3)
    exact = exact_prior(covariance, 1.0)
    z = draws(covariance, 4000, mean=1.0, seed=5)
    x, noise = prior.standardized(z), torch.randn(4000, 3)
    shares = []
    for t in (100, 300, 500, 700, 900):
        times = torch.full((4000,), t)
        noisy = prior.process.noised(x, noise, times)
        with torch.no_grad():
            true, found = exact.predict(noisy, times), prior.predict(noisy, times)
        shares.append(float((true - found).square().sum() / true.square().sum()))
    assert max(shares) < 0.25
    assert sum(shares) / len(shares) < 0.1


@pytest.mark.slow
def test_draws_of_the_learned_prior_have_the_covariance_of_the_latents(gaussian_prior):
    prior, _ = gaussian_prior
    covariance = covariance_of(3)
    z = prior().sample(torch.Size((20_000,)))[:, 0, 0].double()
    scale = covariance.diagonal().sqrt()
    error = (z.T.cov() - covariance) / scale / scale.unsqueeze(1)
    assert error.abs().max() < 0.08
    assert ((z.mean(0) - 1.0) / scale).abs().max() < 0.06


@pytest.mark.slow
def test_the_learned_bound_is_below_the_density_and_near_it(gaussian_prior):
    prior, validation = gaussian_prior
    covariance = covariance_of(3)
    z = draws(covariance, 4000, mean=1.0, seed=6)
    with torch.no_grad():
        gap = log_density(covariance, z, 1.0) - prior().log_prob(z.unsqueeze(0))[0].double()
    error = float(gap.std()) / len(z) ** 0.5
    assert -3 * error < gap.mean() < 0.1 * 3
    entropy = -0.5 * float(torch.logdet(2 * math.pi * math.e * covariance))
    assert validation is not None
    assert abs(validation - entropy) < 0.3


@pytest.mark.slow
def test_the_aggregate_posterior_of_a_linear_model_gives_back_the_covariance_of_the_data():
    """z ~ q(z) exactly, x = W z + noise: Cov(x) is W Cov(z) W^T + s^2 I, that of the data."""
    weight, offset, sigma = linear_gaussian.parameters()
    x = linear_gaussian.data(20_000)
    model = linear_gaussian.model()
    latents = draw_latents(model, load(x.numpy(), standardize=False))
    prior, _ = learned(latents.z[:, 0], 600, width=64, depth=2)
    z = prior().sample(torch.Size((20_000,)))[:, 0, 0].double()
    made = weight @ z.T.cov() @ weight.T + sigma**2 * torch.eye(len(weight))
    true = weight @ weight.T + sigma**2 * torch.eye(len(weight))
    scale = true.diagonal().sqrt()
    assert ((made - true) / scale / scale.unsqueeze(1)).abs().max() < 0.06
    assert ((z.mean(0) @ weight.T + offset - x.mean(0)) / scale).abs().max() < 0.06


def test_training_resumes_and_samples_like_any_prior():
    torch.manual_seed(0)
    prior, _ = learned(draws(covariance_of(2), 500), 20, width=32, depth=1)
    again = built((2,), width=32, depth=1)
    again.load_state_dict(prior.state_dict())
    z = torch.randn(1, 5, 2)
    assert torch.equal(again().log_prob(z), prior().log_prob(z))


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, size=(120, 12)).astype(np.uint8)
    vae = VAE(
        latent_dim=2,
        epochs=1,
        random_state=0,
        network="mlp",
        network_options={"hidden": (16,), "activation": "relu"},
        prior="diffusion",
        prior_options={"width": 32, "depth": 1, "bound_times": 2},
    ).fit(x)
    return vae.fitted_, load(x, schema=vae.fitted_.schema)


def test_importance_weights_refuse_the_bound(model):
    fitted, rows = model
    objective = OBJECTIVES["importance_weighted"](samples=5, gradient="plain")
    with pytest.raises(UnsupportedError, match="only a lower bound on its density"):
        objective(fitted.model, rows.batch(torch.arange(10)))


def test_files_that_decode_everywhere_refuse_the_prior(model):
    fitted, _ = model
    with pytest.raises(UnsupportedError, match="prior is a DiffusionPrior, which has no exact"):
        check_exact(fitted.model)


def test_the_model_scores_and_draws(model):
    fitted, rows = model
    batch = rows.batch(torch.arange(10))
    bound = OBJECTIVES["elbo"]()(fitted.model, batch)
    assert bound.value.isfinite().all()
    one, other = (sample_prior(fitted.model, 6, seed=3).z for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, sample_prior(fitted.model, 6, seed=4).z)
    assert sample_prior(fitted.model, 6, seed=3, temperature=0.0).z.std(0).max() < 1e-5
