"""The prior of a linear model, learned from latents: the aggregate posterior is known on paper."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from lowerbound import VAE
from lowerbound.data import load
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.fitting import FitOptions, ModelOptions, fit
from lowerbound.fitting.prior import compared, fit_prior
from lowerbound.inference.codes import Latents, draw_latents, refuse_collapsed
from lowerbound.models import require
from lowerbound.models.heads import all_but_the_prior
from lowerbound.models.powers import LearnsPrior
from lowerbound.training import TrainingOptions


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)) @ np.array([[2.0, 1.0, 0.5], [0.0, 1.0, -1.0]])
    x += 0.1 * rng.normal(size=x.shape)
    vae = VAE(latent_dim=2, epochs=3, random_state=0, network="mlp").fit(x)
    return vae.fitted_, load(x, schema=vae.fitted_.schema)


def test_only_the_prior_changes(fitted):
    model, rows = fitted
    latents = draw_latents(model.model, rows)
    quick = TrainingOptions(updates=5)
    made, _ = fit_prior(model, latents.dataset(), "flow", {}, quick, draws=latents.z.shape[1])
    theirs = all_but_the_prior(model.model)
    assert all(torch.equal(v, theirs[k]) for k, v in all_but_the_prior(made.model).items())
    assert made.options.model.prior == "flow"
    assert model.options.model.prior == "standard_normal"


@pytest.mark.slow
def test_a_gaussian_mixture_learns_the_aggregate_posterior(fitted):
    model, rows = fitted
    latents = draw_latents(model.model, rows)
    options = TrainingOptions(updates=1500, learning_rate=0.01, validation=0.0)
    made, _ = fit_prior(
        model, latents.dataset(), "mixture", {"components": 1}, options, draws=latents.z.shape[1]
    )
    prior = made.model.prior
    assert torch.allclose(prior.loc[0], latents.z.mean((0, 1)), atol=0.05)
    assert torch.allclose(prior.scale[0], latents.z.flatten(0, 1).std(0), rtol=0.05)


@pytest.mark.slow
def test_a_prior_learns_the_noise_of_the_posterior_from_its_draws(fitted):
    model, rows = fitted
    latents = draw_latents(model.model, rows)
    quick = TrainingOptions(updates=1)
    made, _ = fit_prior(model, latents.dataset(), "diffusion", {}, quick, draws=latents.z.shape[1])
    with torch.no_grad():
        posterior = model.model.encode(rows.batch(torch.arange(len(rows))).to(torch.float32))
    ratio = made.model.prior.scale / posterior.variance[0].mean(0).sqrt()
    expected = ratio / ratio.square().mean().sqrt()
    assert torch.allclose(made.model.prior.spread, expected, rtol=0.1)


def test_latents_are_drawn_once_for_the_same_weights_and_rows(fitted, tmp_path):
    model, rows = fitted
    cache = tmp_path / "prior" / "latents.safetensors"
    calls = []
    first = draw_latents(model.model, rows, cache=cache, advance=lambda *done: calls.append(done))
    again = draw_latents(model.model, rows, cache=cache, advance=lambda *done: pytest.fail("again"))
    assert torch.equal(first.z, again.z)
    assert calls
    other = rows.subset(range(300))
    fewer = draw_latents(model.model, other, cache=cache)
    assert len(fewer.z) == 300
    assert fewer.sha256 != first.sha256


def test_latents_of_a_conditional_model_are_of_one_condition_only(tmp_path):
    rng = np.random.default_rng(0)
    rows = load(rng.normal(size=(60, 3)).astype(np.float32))
    rows = replace(rows, schema=replace(rows.schema, class_names=("a", "b")))
    told = [replace(rows, label=torch.arange(60) % 2).conditioned_on_label() for _ in range(2)]
    told[1] = replace(told[1], label=1 - told[1].label)
    options = FitOptions(
        ModelOptions(latent_dim=2, conditional=True), training=TrainingOptions(updates=5)
    )
    model, cache = fit(told[0], options).model, tmp_path / "latents.safetensors"
    first, other = (draw_latents(model, each, cache=cache) for each in told)
    assert other.origin == "encoded"
    assert not torch.equal(first.z, other.z)
    assert draw_latents(model, told[1], cache=cache).origin == "kept"


def test_latents_of_a_model_that_is_told_no_class_ignore_it(fitted):
    model, rows = fitted
    labeled = replace(rows, label=torch.arange(len(rows)) % 2)
    assert draw_latents(model.model, labeled).sha256 == draw_latents(model.model, rows).sha256


def test_latents_are_draws_of_the_posterior(fitted):
    model, rows = fitted
    z = draw_latents(model.model, rows).z
    with torch.no_grad():
        posterior = model.model.encode(rows.batch(torch.arange(len(rows))).to(torch.float32))
    assert torch.allclose(z.mean(1), posterior.mean[0], atol=5 * float(posterior.stddev.max()))
    assert torch.allclose(z.var(1).mean(0), posterior.variance[0].mean(0), rtol=0.2)


def test_collapsed_latents_are_refused_with_their_spread():
    noise = torch.randn(500, 8, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(OptionError, match=r"collapsed: .* at most [0-9.]+%"):
        refuse_collapsed(Latents(noise, None, ""))
    with pytest.raises(OptionError, match=r"by lowerbound fit, with a lower objective\.beta"):
        refuse_collapsed(Latents(noise, None, ""))
    refuse_collapsed(Latents(noise[:1], None, ""))  # no spread, and no warning of torch
    refuse_collapsed(Latents(noise + torch.arange(500.0)[:, None, None] / 100, None, ""))


def test_codes_learn_their_shares():
    x = np.random.default_rng(0).integers(0, 2, size=(200, 16)).astype(np.uint8)
    rows = load(x)
    codes = ModelOptions(model="vq_vae", model_options={"codes": 8})
    fitted = fit(rows, FitOptions(model=codes, training=TrainingOptions(epochs=2)))
    latents = draw_latents(fitted.model, rows)
    made, history = fit_prior(fitted, latents.dataset(), "marginal")
    codes = require(made.model, LearnsPrior, "").prior_latents(rows.batch(torch.arange(200)), 1)
    shares = torch.bincount(codes[0, :, 0].long(), minlength=8) / 200
    assert torch.allclose(made.model.priors[0].shares[0], shares)
    assert not history.records


def test_a_prior_of_data_rows_is_refused(fitted):
    model, rows = fitted
    with pytest.raises(OptionError, match="made of rows of data"):
        fit_prior(model, draw_latents(model.model, rows).dataset(), "vamp")


def test_an_autoencoder_has_no_prior_to_train():
    rows = load(np.random.default_rng(0).normal(size=(50, 3)))
    model = fit(rows, FitOptions(model=ModelOptions(model="pca", latent_dim=1))).model
    with pytest.raises(UnsupportedError, match="train a prior on latents"):
        draw_latents(model, rows)


@pytest.mark.parametrize("same", [True, False])
def test_a_former_prior_of_other_prompts_is_asked_without(fitted, monkeypatch, same):
    model, rows = fitted
    latents = draw_latents(model.model, rows)
    prompts = torch.arange(len(rows)).unsqueeze(1) % 2
    data = replace(latents.dataset(), prompt=prompts)
    asked = {}

    def spied(name):
        made = deepcopy(model.model)
        terms = made.prior_terms

        def spy(z, prompt=None):
            asked.setdefault(name, []).append(prompt)
            return terms(z)

        monkeypatch.setattr(made, "prior_terms", spy)
        return made

    draws = latents.z.shape[1]
    facts = compared(spied("former"), spied("made"), data, draws, 0, same_prompts=same)
    assert all(prompt is not None for prompt in asked["made"])
    assert all((prompt is not None) == same for prompt in asked["former"])
    assert facts["validation"] == pytest.approx(facts["former"])


def test_a_private_model_with_another_prior_has_no_guarantee(fitted):
    model, rows = fitted
    private = replace(model, options=replace(model.options, release=object()))
    latents = draw_latents(model.model, rows)
    with pytest.warns(UserWarning, match="no guarantee"):
        made, _ = fit_prior(
            private,
            latents.dataset(),
            "flow",
            {},
            TrainingOptions(updates=1),
            draws=len(latents.z[0]),
        )
    assert made.options.release is None
