"""A refiner against formulas: its draws, its bound, its statistics; and what refuses its bound."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from lowerbound import VAE
from lowerbound.data import Dataset, load
from lowerbound.errors import MissingExtraError, OptionError, UnsupportedError
from lowerbound.fitting import Fitted, fit, folder as model_folder
from lowerbound.fitting.prior import fit_prior
from lowerbound.fitting.refiner import fit_refiner, with_untrained_refiner
from lowerbound.inference.annealing import checked
from lowerbound.inference.codes import draw_latents
from lowerbound.inference.likelihood import most_samples, score
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.inference.reconstruction import reconstruct_refined
from lowerbound.likelihoods.base import GaussianEmission
from lowerbound.models.refinement import Refined, Refiner, refiner_for
from lowerbound.objectives import OBJECTIVES
from lowerbound.training import TrainingOptions
from tests.models.gaussian import NUMBERS, SHAPE, GaussianPictures

SMALL = {"width": 8, "steps": 3, "bound_times": 2}


def emission_of(refiner: Refiner, guess: Tensor) -> object:
    return refiner(GaussianEmission(guess, torch.ones_like(guess)))


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_draws_have_the_exact_conditional_mean_and_covariance(prediction):
    """With an exact denoiser the map from noise to x is affine, so both are exact numbers."""
    case = GaussianPictures(prediction=prediction, steps=60)
    guess = torch.rand(5, *SHAPE)
    noise = torch.cat([torch.zeros(1, NUMBERS), torch.eye(NUMBERS)]).unsqueeze(1)
    pushed = case.refiner.distribution(guess).push(noise.expand(-1, 5, -1)).double()
    exact = case.conditional(guess)
    shift = (exact.mean - guess.flatten(1)).abs().max()
    assert (pushed[0] - exact.mean).abs().max() < 0.03 * shift  # the noisiest time keeps 1 %
    root = (pushed[1:] - pushed[0]).movedim(1, 0)
    covariance = root.transpose(1, 2) @ root
    error = (covariance - exact.covariance_matrix).abs() / 0.05**2
    assert error.max() < 0.01


def test_the_bound_approaches_the_exact_conditional_density():
    guess = torch.rand(3000, *SHAPE)
    gaps = []
    for timesteps in (100, 1000):
        case = GaussianPictures(timesteps=timesteps)
        exact = case.conditional(guess)
        torch.manual_seed(0)
        x = exact.sample().float().reshape(-1, *SHAPE)
        with torch.no_grad():
            bound = emission_of(case.refiner, guess.unsqueeze(0)).log_prob(x)[0].double()
        gap = (exact.log_prob(x.flatten(1).double()) - bound) / NUMBERS
        assert gap.mean() > -4 * gap.std() / len(x) ** 0.5
        gaps.append(float(gap.mean()))
    assert gaps[1] < gaps[0]
    assert gaps[1] < 0.02


def test_one_time_of_each_row_estimates_the_same_bound():
    case = GaussianPictures()
    guess = torch.rand(10_000, *SHAPE)
    x = case.conditional(guess).sample().float().reshape(-1, *SHAPE)
    emission = emission_of(case.refiner, guess.unsqueeze(0))
    with torch.no_grad():
        bound = emission.log_prob(x)[0].double()
        for training in (True, False):
            case.refiner.train(training)
            error = emission.training_terms(x).log_prob.double() - bound
            assert abs(error.mean()) < 5 * error.std() / len(x) ** 0.5


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 33, 34), (1, 8, 8), (1, 2, 3)])
def test_pictures_of_any_size_and_color(shape):
    refiner = Refiner(shape, 256, width=8, steps=2)
    x, guess = torch.rand(6, *shape), torch.rand(6, *shape)
    refiner.start(x, guess)
    residual = (x - guess - refiner.loc) / refiner.scale
    torch.testing.assert_close(residual.mean((0, 2, 3)), torch.zeros(shape[0]), rtol=0, atol=1e-5)
    torch.testing.assert_close(residual.square().mean((0, 2, 3)), torch.ones(shape[0]))
    drawn = refiner.draw(guess)
    assert drawn.shape == x.shape
    codes = drawn * 255
    torch.testing.assert_close(codes, codes.round(), rtol=0, atol=1e-3)
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) <= 1
    bound, loss = refiner.terms(x, guess)
    assert bound.shape == loss.shape == (6,)
    loss.mean().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in refiner.parameters())


def test_blocks_of_pixels_are_put_back():
    """A network that returns what it sees first returns the noisy picture, whatever the blocks."""
    for patch in (1, 2, 3):
        refiner = Refiner((2, 7, 5), width=8, patch=patch)
        refiner.denoiser.forward = lambda x, t: x.chunk(2, 1)[0]  # type: ignore[method-assign]
        x, guess = torch.rand(3, 70), torch.rand(3, 70)
        assert torch.equal(refiner.predict(x, torch.zeros(1, dtype=torch.long), guess), x)


def test_a_perfect_decoder_is_not_changed():
    refiner = Refiner((1, 8, 8), 256, **SMALL)
    x = torch.randint(0, 256, (10, 1, 8, 8)) / 255
    refiner.start(x, x)
    assert torch.equal(refiner.draw(x), x)


@pytest.fixture(scope="module")
def fitted() -> tuple[Fitted, Dataset]:
    """A VAE of crossed stripes with noise: its two latents hold neither."""
    rng = np.random.default_rng(0)
    row, column = rng.integers(0, 4, (2, 400, 1, 1))
    stripe = np.arange(8) // 2
    x = 90 * ((stripe[:, None] == row) | (stripe == column))
    x = np.clip(x + 80 * rng.integers(0, 2, (400, 8, 8)), 0, 255).astype(np.uint8)
    vae = VAE(latent_dim=2, epochs=20, network="mlp", random_state=0).fit(x)
    return vae.fitted_, load(x, schema=vae.fitted_.schema)


@pytest.fixture(scope="module")
def refined(fitted) -> Fitted:
    model, rows = fitted
    training = TrainingOptions(updates=3, batch_size=32)
    return fit_refiner(model, rows, SMALL, training)[0]


def test_only_the_refiner_is_trained(fitted, refined):
    before, after = fitted[0].model.state_dict(), refined.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {name.split(".")[0] for name in after.keys() - before.keys()} == {"refiner"}
    assert fitted[0].model.refiner is None
    assert refined.options.model.refiner == SMALL


def test_a_private_model_with_a_refiner_has_no_guarantee(fitted):
    model, rows = fitted
    private = replace(model, options=replace(model.options, release=object()))
    with pytest.warns(UserWarning, match="no guarantee"):
        made, _ = fit_refiner(private, rows.thinned(40), SMALL, TrainingOptions(updates=1))
    assert made.options.release is None


@pytest.mark.long
def test_training_restores_the_detail(fitted):
    model, rows = fitted
    training = TrainingOptions(updates=250, batch_size=64, learning_rate=3e-3, patience=0)
    made, history = fit_refiner(model, rows, {"width": 8}, training)
    bounds = [record.validation for record in history if record.validation is not None]
    assert bounds[-1] > bounds[0]
    found = reconstruct_refined(made.model, rows.thinned(100))
    lacking = (found.x - found.mean).std()
    given = (found.drawn - found.mean).std()
    assert 0.7 * lacking < given < 1.3 * lacking


def test_the_seed_decides_the_draws_and_not_the_latents(fitted, refined):
    plain, drawn = sample_prior(fitted[0].model, 20), sample_prior(refined.model, 20)
    assert torch.equal(plain.z, drawn.z)
    assert torch.equal(plain.mean, drawn.mean)
    assert not torch.equal(plain.x, drawn.x)
    assert torch.equal(sample_prior(refined.model, 20).x, drawn.x)
    assert not torch.equal(sample_prior(refined.model, 20, seed=1).x, drawn.x)
    assert torch.equal(sample_prior(refined.model, 20, refined=False).x, plain.x)


def test_a_reconstruction_depends_on_its_row_alone(fitted, refined):
    rows = fitted[1].subset(range(30))
    whole = reconstruct_refined(refined.model, rows)
    order = torch.randperm(30)
    shuffled = reconstruct_refined(refined.model, rows.subset(order))
    assert float((shuffled.drawn - whole.drawn[order]).abs().max()) < 2 / 255
    other = reconstruct_refined(refined.model, rows, seed=1)
    assert torch.equal(other.mean, whole.mean)
    assert not torch.equal(other.drawn, whole.drawn)


def test_the_bound_serves_the_elbo_and_no_importance_weights(refined, fitted):
    model, rows = Refined(refined.model), fitted[1].thinned(20)
    assert most_samples(model, rows, 100) == 1
    scores = score(model, rows)
    assert bool(scores.elbo.isfinite().all())
    assert not scores.mass
    with pytest.raises(UnsupportedError, match="only a lower bound on its density"):
        score(model, rows, samples=5)
    objective = OBJECTIVES["importance_weighted"](samples=5, gradient="plain")
    with pytest.raises(UnsupportedError, match="only a lower bound on its density"):
        objective(model, rows.batch(torch.arange(10)))


def test_annealing_refuses_a_decoder_that_is_refined(refined, fitted, monkeypatch):
    model, rows = refined.model, fitted[1].thinned(4)
    checked(model, rows)
    decode = model.decode
    monkeypatch.setattr(model, "decode", lambda z, c=None: model.refiner(decode(z, c)))
    with pytest.raises(UnsupportedError, match="RefinedEmission, gives only a lower bound"):
        checked(model, rows)


def test_likelihoods_of_the_model_stay_those_of_the_fit(refined, fitted):
    rows = fitted[1].thinned(50)
    mine, theirs = (score(one.model, rows, samples=5) for one in (refined, fitted[0]))
    assert torch.equal(mine.bound, theirs.bound)


def test_hidden_pixels_are_refused(refined, fitted):
    batch = fitted[1].batch(torch.arange(4)).to(torch.float32)
    emission = Refined(refined.model)(batch).likelihood
    with pytest.raises(UnsupportedError, match="scores whole pictures"):
        emission.log_prob(batch.x, torch.zeros_like(batch.x, dtype=torch.bool))


def test_a_model_without_a_refiner_is_refused(fitted):
    with pytest.raises(UnsupportedError, match="has no refiner: train one with lowerbound refiner"):
        Refined(fitted[0].model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widht": 8}, "widht"),
        ({"width": 0}, "width must be at least 1, not 0"),
        ({"timesteps": 5}, "timesteps must be at least 10, not 5"),
        ({"sampler": "dpm"}, "sampler"),
    ],
)
def test_options_that_cannot_be_used(fitted, options, message):
    with pytest.raises(OptionError, match=message):
        with_untrained_refiner(fitted[0], options)


def test_data_without_pictures_is_refused():
    schema = load(np.random.default_rng(0).normal(size=(20, 3))).schema
    with pytest.raises(UnsupportedError, match="restores the detail of pictures"):
        refiner_for(schema, {})


def test_the_missing_library_is_named(monkeypatch, fitted):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lowerbound\[diffusion\]'"):
        with_untrained_refiner(fitted[0], {})


def test_a_new_fit_by_the_same_options_has_no_refiner(fitted, refined, tmp_path):
    options = replace(refined.options, training=TrainingOptions(updates=2))
    again = fit(fitted[1], options)
    assert again.model.refiner is None
    model_folder.write(tmp_path / "again", again)
    assert model_folder.read(tmp_path / "again").options.refiner_fit is None


def test_a_folder_keeps_the_refiner(refined, fitted, tmp_path):
    model_folder.write(tmp_path / "model", refined)
    back = model_folder.read(tmp_path / "model")
    assert back.options.refiner_fit == refined.options.refiner_fit
    rows = fitted[1].thinned(20)
    there, here = (reconstruct_refined(one.model, rows) for one in (back, refined))
    assert torch.equal(there.drawn, here.drawn)


def test_a_new_prior_keeps_the_refiner_and_uses_the_same_latents(refined, fitted):
    latents = draw_latents(refined.model, fitted[1])
    assert latents.sha256 == draw_latents(fitted[0].model, fitted[1]).sha256
    training = TrainingOptions(updates=2)
    made, _ = fit_prior(refined, latents.dataset(), "flow", {}, training, draws=latents.z.shape[1])
    theirs = refined.model.refiner.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in made.model.refiner.state_dict().items())
