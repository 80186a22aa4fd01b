"""The top-down ladder: rates, replay, sizes, and independence of rows."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from lowerbound.data import load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.fitting.assembly import assemble
from lowerbound.models import LadderVariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.networks.base import Picture
from lowerbound.networks.pictures.ladder import resolutions, spread_latents
from lowerbound.objectives import OBJECTIVES
from lowerbound.posteriors.gaussian import GaussianHeads
from lowerbound.trace import Batch, Draw, Given, Mean

PICTURES = torch.rand(6, 1, 12, 10, generator=torch.Generator().manual_seed(0)).round()


def ladder(network: str = "convolutional", **options: object) -> LadderVariationalAutoencoder:
    data = load(PICTURES[:, 0].to(torch.uint8).numpy())
    chosen = {"levels": 5, "width": 8, **options}
    with seeded(0):
        model = assemble(
            data.schema,
            ModelOptions(model="ladder", network=network, model_options=chosen, latent_dim=4),
        )
    model.start(data)
    assert isinstance(model, LadderVariationalAutoencoder)
    return model


@pytest.mark.parametrize(
    ("network", "style"), [("convolutional", 0), ("convolutional", 3), ("mlp", 0)]
)
def test_posterior_at_the_prior_has_rate_zero_at_every_level(network: str, style: int) -> None:
    model = ladder(network, style=style)
    with torch.no_grad():
        for rung in model.decoder.rungs:
            rung.propose[-1].weight.zero_()
    bound = OBJECTIVES["elbo"]()(model, Batch(PICTURES))
    torch.testing.assert_close(bound.rates, torch.zeros_like(bound.rates), rtol=0, atol=1e-6)
    torch.testing.assert_close(bound.value, -bound.distortion)


@pytest.mark.parametrize("deviation", [0.2, 1.0, 30.0])
def test_rates_of_relative_posteriors_do_not_depend_on_the_prior(deviation: float) -> None:
    """1/2 (delta^2 + e^(2 epsilon) - 1) - epsilon: Vahdat & Kautz 2020, equation 2."""
    prior = Independent(Normal(torch.randn(1, 9, 3, 1, 1) - 4.0, deviation), 3)
    change = torch.randn(1, 9, 6, 1, 1)
    rate = kl_divergence(GaussianHeads().relative(prior, change), prior)
    moved, raw = change.chunk(2, 2)
    wider = 7 * torch.tanh(raw / 14)
    expected = 0.5 * (moved.square() + (2 * wider).exp() - 1) - wider
    torch.testing.assert_close(rate, expected.sum((2, 3, 4)), rtol=1e-4, atol=1e-5)


def test_closed_rates_are_the_mean_of_the_log_ratios() -> None:
    model = ladder()
    with seeded(0), torch.no_grad():
        steps = model(Batch(PICTURES[:1]), Draw(4000)).steps
    for step in steps:
        ratios = step.rate(analytic=False) - step.rate()
        error = float(ratios.std() / ratios.numel() ** 0.5)
        assert abs(float(ratios.mean())) < 4 * error + 1e-6


def test_replay_gives_the_same_weights() -> None:
    model = ladder()
    with seeded(0), torch.no_grad():
        seen = model(Batch(PICTURES), Draw(3))
        again = model(Batch(PICTURES), Given([step.z for step in seen.steps]))
    torch.testing.assert_close(again.log_weights(PICTURES), seen.log_weights(PICTURES))


@pytest.mark.parametrize("style", [0, 3])
def test_code_of_all_levels_decodes_to_the_deterministic_pass(style: int) -> None:
    model = ladder(style=style)
    with torch.no_grad():
        code = model.encode(Batch(PICTURES)).mean
        assert code.shape == (1, 6, model.latent_dim)
        expected = model(Batch(PICTURES), Mean()).likelihood.mean
        torch.testing.assert_close(model.decode(code).mean, expected)


def test_rows_do_not_see_each_other() -> None:
    model = ladder().double()
    rows = PICTURES.double()
    with torch.no_grad():
        together = model(Batch(rows), Mean()).log_weights(rows)
        alone = model(Batch(rows[2:3]), Mean()).log_weights(rows[2:3])
    torch.testing.assert_close(together[:, 2:3], alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("style", [0, 3])
def test_samples_are_independent_passes(style: int) -> None:
    """One pass of three samples is three passes of one at the same latents."""
    model = ladder(style=style).double()
    rows = PICTURES.double()
    with seeded(0), torch.no_grad():
        several = model(Batch(rows), Draw(3))
        third = model(Batch(rows), Given([step.z[2:] for step in several.steps]))
    torch.testing.assert_close(several.log_weights(rows)[2:], third.log_weights(rows))


def test_latents_by_resolution() -> None:
    model = ladder()
    assert model.latent_shapes == ((4, 1, 1), (4, 1, 1), (4, 1, 1), (2, 6, 5), (2, 6, 5))
    dreamed = model.imagine(Batch(), Draw(7))
    assert [tuple(step.z.shape) for step in dreamed.steps] == [
        (7, 1, *latent) for latent in model.latent_shapes
    ]
    assert dreamed.likelihood.mean.shape == (7, 1, 1, 12, 10)


@pytest.mark.parametrize(("count", "shares"), [(1, (0, 0, 1)), (4, (1, 1, 2)), (7, (2, 2, 3))])
def test_coarse_resolutions_come_first(count: int, shares: tuple[int, ...]) -> None:
    levels = resolutions(Picture(1, 28, 28))
    assert [level.size for level in levels] == [(14, 14), (7, 7), (1, 1)]
    latents = spread_latents(count, levels, 8)
    assert tuple(len(counts) for counts in latents) == shares
    assert [counts[0] for counts in latents if counts] == [2, 4, 8][
        -len([s for s in shares if s]) :
    ]


def test_a_style_says_the_same_to_every_pixel() -> None:
    """One pixel of latent, of heads and of what it writes; the heads are means over pixels."""
    model = ladder(style=3)
    assert model.latent_shapes == ((4, 1, 1), (4, 1, 1), (2, 6, 5), (2, 6, 5), (3, 1, 1))
    rung = model.decoder.rungs[-1]
    z = torch.randn(2, 3, 1, 1, generator=torch.Generator().manual_seed(1))
    written = rung.write(z)
    assert written.shape[2:] == (1, 1)
    state = torch.zeros(2, written.shape[1], 6, 5)
    heads, gained = rung.prior(state)
    assert heads.shape == (2, 6, 1, 1)
    assert gained.shape == state.shape
    torch.testing.assert_close(
        rung.posterior(state, state), rung.propose(rung.see(state)).mean((2, 3), keepdim=True)
    )


@pytest.mark.parametrize("style", [0, 3])
def test_the_finest_resolution_is_reached_without_a_map_there(style: int) -> None:
    model = ladder(levels=2, style=style)
    with torch.no_grad():
        assert model(Batch(PICTURES), Mean()).likelihood.mean.shape == (1, *PICTURES.shape)


def test_parts_are_a_partition_and_the_posterior_is_the_inference() -> None:
    model = ladder()
    parts = model.parts()
    ours = [id(value) for part in parts.values() for value in part]
    assert sorted(ours) == sorted(id(value) for value in model.parameters())
    model.imagine(Batch(), Draw(1)).likelihood.mean.sum().backward()
    assert all(value.grad is None for value in parts["inference"])


def test_refusals() -> None:
    schema = load(PICTURES[:, 0].to(torch.uint8).numpy()).schema
    with pytest.raises(OptionError, match="network"):
        assemble(schema, ModelOptions(model="ladder", network="transformer"))
    with pytest.raises(OptionError, match="prior"):
        assemble(schema, ModelOptions(model="ladder", prior="vamp"))
    with pytest.raises(OptionError, match="pictures"):
        ladder("mlp", style=2)
    with pytest.raises(OptionError, match="at least 2 levels"):
        ladder(levels=1, style=2)
    with pytest.raises(OptionError, match="style"):
        ladder(style=-1)
    with pytest.raises(UnsupportedError, match="one-step"):
        OBJECTIVES["importance_weighted"](gradient="dreg")(ladder(), Batch(PICTURES))
