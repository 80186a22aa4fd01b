"""Annealed importance sampling, forwards and backwards, against exact marginals."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Normal, OneHotCategorical

from lowerbound.data import load
from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.evaluation.likelihood.tighter import bracket, simulate
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.annealing import (
    AnnealingOptions,
    State,
    Target,
    Transition,
    anneal,
    refuse_discrete_latents,
    temperatures,
)
from lowerbound.inference.estimate import Estimate
from lowerbound.inference.likelihood import score
from lowerbound.inference.passes import dry_run, first_row
from lowerbound.models import Model, VariationalAutoencoder
from lowerbound.models.base import DRAW
from lowerbound.models.options import ModelOptions
from lowerbound.priors import PRIORS
from lowerbound.trace import Batch, Choose, Given, Step, Trace
from tests.evaluation.small_models import binary_vae, bits, linear_autoencoder, vectors
from tests.evaluation.test_every_part import PARTS, built, named
from tests.inference.test_likelihood import BoundedNormal
from tests.oracles import linear_gaussian as oracle

ROWS = vectors(oracle.data(40))
FEW = AnnealingOptions(temperatures=12, chains=3)


def poor_model() -> VariationalAutoencoder:
    """A proposal that is half as wide as the posterior and two standard deviations off."""
    model = oracle.model("mean_field", 0.5)
    model.encoder.bias.data[: oracle.LATENT] += 0.5
    return model


class TwoLevels(Model):
    """z_1 ~ N(0, I), z_0 | z_1 ~ N(A z_1, I), x | z_0 ~ N(W z_0 + mu, sigma^2 I),
    proposed top down.

    Its marginal is Gaussian; the proposal is rough, and its second level depends on the first.
    """

    mixing = torch.tensor([[1.0, 0.4], [-0.3, 0.8]], dtype=torch.float64)

    def __init__(self) -> None:
        super().__init__()
        self.base = oracle.model("mean_field", 1.2)
        self.likelihood = self.base.likelihood

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        unit = torch.ones(1, 1, 2, dtype=torch.float64)
        top_prior = diagonal_normal(0 * unit, unit).expand((1, len(batch)))
        top: Distribution | None = None
        if batch.x is not None:
            seen = self.base.encode(batch)
            top = diagonal_normal(0.5 * seen.mean + 1.0, 0.5 * torch.ones_like(seen.mean))
        z_1 = choose(0, top, top_prior)
        prior = diagonal_normal(z_1 @ self.mixing.T, unit.expand_as(z_1))
        below = None
        if batch.x is not None:
            below = diagonal_normal(seen.mean + 0.1 * z_1, seen.stddev.expand_as(z_1))
        z_0 = choose(1, below, prior)
        steps = (Step(z_1, top, top_prior), Step(z_0, below, prior))
        return Trace(steps, self.base.decode(z_0))

    def log_marginal(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        weight, offset, sigma = oracle.parameters()
        inner = self.mixing @ self.mixing.T + torch.eye(2, dtype=torch.float64)
        covariance = weight @ inner @ weight.T + sigma**2 * torch.eye(6, dtype=torch.float64)
        return torch.distributions.MultivariateNormal(offset, covariance).log_prob(x)

    def parts(self) -> dict[str, list[torch.nn.Parameter]]:
        return {"generative": list(self.parameters())}


def test_with_the_exact_posterior_every_chain_says_the_marginal() -> None:
    model = oracle.model("exact")
    found = anneal(model, ROWS, FEW)
    assert (found.bound - oracle.log_marginal(ROWS.x)).abs().max() < 1e-9
    assert (found.effective_sample_size - 3).abs().max() < 1e-8
    both = bracket(model, ROWS, FEW)
    assert both.gap.mean == pytest.approx(0, abs=1e-9)


def test_one_temperature_is_importance_sampling() -> None:
    """The same log-mean of weights as ``score`` gives, from other draws of the same kind."""
    rows = vectors(oracle.data(1_500))
    model = oracle.model("mean_field", 1.2)
    annealed = anneal(model, rows, AnnealingOptions(temperatures=1, chains=2))
    difference = Estimate.of(annealed.bound - score(model, rows, samples=2).bound)
    assert abs(difference.mean) < 4 * (difference.standard_error or 0)
    assert torch.equal(annealed.acceptance, torch.ones(1_500, dtype=torch.float64))


def test_more_temperatures_tighten_the_bound_from_below() -> None:
    exact, model = oracle.log_marginal(ROWS.x), poor_model()
    gaps = []
    for count in (1, 10, 100):
        found = anneal(model, ROWS, AnnealingOptions(temperatures=count, chains=4))
        gaps.append(Estimate.of(exact - found.bound))
    for looser, tighter in itertools.pairwise(gaps):
        assert tighter.mean < 0.6 * looser.mean
    assert abs(gaps[-1].mean) < 0.1
    assert all(gap.mean > -3 * (gap.standard_error or 0) for gap in gaps)


@pytest.mark.slow
@pytest.mark.parametrize("leapfrog", [1, 4])
def test_both_directions_bracket_the_exact_value(leapfrog: int) -> None:
    model, gaps = poor_model(), []
    for count in (4, 60):
        chosen = AnnealingOptions(temperatures=count, chains=4, leapfrog=leapfrog)
        both = bracket(model, ROWS, chosen)
        made, _ = simulate(model, ROWS, 0)
        exact = oracle.log_marginal(made.x)
        for side in (exact - both.lower, both.upper - exact):
            error = Estimate.of(side)
            assert error.mean > -3 * (error.standard_error or 0)
        gaps.append(both.gap.mean)
    assert gaps[1] < 0.3 * gaps[0]
    assert gaps[1] < 0.5


@pytest.mark.slow
def test_several_levels_against_the_exact_marginal() -> None:
    model, rows = TwoLevels(), vectors(oracle.data(30))
    chosen = AnnealingOptions(temperatures=80, chains=4)
    gap = Estimate.of(model.log_marginal(rows.x) - anneal(model, rows, chosen).bound)
    one = Estimate.of(model.log_marginal(rows.x) - score(model, rows, samples=4).bound)
    assert -3 * (gap.standard_error or 0) < gap.mean < 0.15 < one.mean
    both = bracket(model, rows, chosen)
    made, latents = simulate(model, rows, 0)
    assert latents.shape == (1, 30, 4)
    exact = model.log_marginal(made.x)
    assert abs(float((both.lower - exact).mean())) < 0.15
    assert abs(float((both.upper - exact).mean())) < 0.15


@pytest.mark.slow
def test_two_latents_of_a_binary_decoder_against_quadrature() -> None:
    model = binary_vae().double()
    rows = bits((torch.rand(6, 12, generator=torch.Generator().manual_seed(5)) < 0.4).float())
    grid = torch.linspace(-8, 8, 321, dtype=torch.float64)
    z = torch.cartesian_prod(grid, grid)
    with torch.no_grad():
        emission = model.decode(z.unsqueeze(1))
        log_joint = emission.log_prob(rows.all().filled.double()) + Normal(0.0, 1.0).log_prob(
            z
        ).sum(-1, keepdim=True)
    exact = torch.logsumexp(log_joint, 0) + 2 * math.log(16 / 320)
    found = anneal(model, rows, AnnealingOptions(temperatures=150, chains=16))
    error = (1 / found.effective_sample_size - 1 / 16).sqrt()
    assert ((found.bound - exact).abs() < 4 * error + 0.02).all()
    assert float(error.max()) < 0.3


def start(chains: int) -> tuple[Target, State]:
    """Exact posterior draws of three rows, for a target at the posterior."""
    model, batch = oracle.model("exact"), Batch(oracle.data(3))
    with torch.no_grad():
        trace = model(batch)
        z = trace.steps[0].posterior.sample((chains,))[:, 0]
    target = Target(poor_model(), batch, trace)
    return target, target(z)


@pytest.mark.parametrize("leapfrog", [1, 3])
def test_a_transition_leaves_the_posterior_as_it_is(leapfrog: int) -> None:
    target, state = start(4_000)
    before = state.z
    transition = Transition(target, torch.ones(1, 3, 2, dtype=torch.float64), leapfrog)
    step = torch.tensor([0.2, 0.5, 1.2], dtype=torch.float64)
    for _ in range(4):
        noise = torch.randn(4_000, 3, 4, dtype=torch.float64)
        state, accepted = transition(state, 1.0, step, noise)
    assert 0.0 < float(accepted.mean()) < 1.0
    assert (state.z - before).abs().mean() > 0.05
    covariance = oracle.posterior_matrices()[1]
    mean_error = (covariance.diagonal() / 4_000).sqrt()
    assert ((state.z.mean(0) - before.mean(0)).abs() < 6 * mean_error).all()
    assert torch.allclose(state.z.var(0), covariance.diagonal().expand(3, 2), rtol=0.12)


def test_a_trajectory_that_breaks_off_is_not_accepted() -> None:
    target, state = start(5)
    transition = Transition(target, torch.ones(1, 3, 2, dtype=torch.float64), 3)
    wild = torch.full((3,), 1e200, dtype=torch.float64)
    after, accepted = transition(state, 1.0, wild, torch.randn(5, 3, 4, dtype=torch.float64))
    assert torch.equal(after.z, state.z)
    assert torch.equal(accepted, torch.zeros_like(accepted))


def test_slopes_are_those_of_the_replayed_pass() -> None:
    model, batch = TwoLevels(), Batch(oracle.data(3))
    with torch.no_grad():
        trace = model(batch)
    state = Target(model, batch, trace)(trace.latents())
    replayed = model(batch, Given([step.z for step in trace.steps]))
    assert torch.allclose(state.log_ratio, replayed.log_weights(batch.filled))
    for beta in (0.0, 0.3, 1.0):
        direction = torch.randn_like(state.z)
        ends = [Target(model, batch, trace)(state.z + h * direction) for h in (1e-5, -1e-5)]
        numeric = (ends[0].log_density(beta) - ends[1].log_density(beta)) / 2e-5
        assert torch.allclose((state.slope(beta) * direction).sum(-1), numeric, rtol=1e-5)


def test_simulated_rows_are_the_models() -> None:
    """Their covariance is that of the marginal, and each row goes with its latent."""
    model = oracle.model("mean_field")
    made, z = simulate(model, vectors(oracle.data(4_000)), 3)
    weight, offset, sigma = oracle.parameters()
    covariance = weight @ weight.T + sigma**2 * torch.eye(6)
    assert torch.allclose(made.filled.T.cov(), covariance, atol=0.35)
    rest = made.filled - z[0] @ weight.T - offset
    assert float(rest.std()) == pytest.approx(sigma, rel=0.03)


@pytest.mark.slow
def test_bounds_of_simulated_rows_have_their_own_units() -> None:
    """Rows of the data lack cells; simulated ones lack none, and each cell has a unit of 1 / 10."""
    x, hidden = ROWS.x, torch.arange(240).reshape(40, 6) % 3 == 0
    plain = bracket(POOR, replace(vectors(x), observed=~hidden), FEW)
    scaled = bracket(POOR, replace(vectors(x, scale=0.1), observed=~hidden), FEW)
    torch.testing.assert_close(scaled.lower, plain.lower + 6 * math.log(10))
    torch.testing.assert_close(scaled.upper, plain.upper + 6 * math.log(10))


@pytest.mark.slow
def test_simulated_rows_may_lack_cells() -> None:
    """A model that draws which cells are missing."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(120, 3)), columns=list("abc"))
    rows = load(frame.mask(rng.random(frame.shape) < 0.3), missing="model")
    options = ModelOptions(
        latent_dim=2, likelihood="autoregressive_columns", likelihood_options={"gaps": True}
    )
    model = assemble(rows.schema, options)
    model.start(rows)
    made, _ = simulate(model, rows, 0)
    assert made.observed is not None
    assert 0.1 < float((~made.observed).double().mean()) < 0.6
    found = bracket(model, rows.subset(list(range(10))), FEW)
    assert torch.isfinite(found.lower).all()
    assert torch.isfinite(found.upper).all()


POOR = poor_model()


@pytest.mark.usefixtures("untouched_random_state")
def test_random_state_modes_and_gradients_are_left_alone() -> None:
    model = POOR.train()
    first, second = anneal(model, ROWS, FEW), anneal(model, ROWS, FEW)
    assert torch.equal(first.bound, second.bound)
    a, b = bracket(model, ROWS, FEW), bracket(model, ROWS, FEW)
    assert torch.equal(a.upper, b.upper)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_seed_changes_the_chains() -> None:
    a, b = (anneal(poor_model(), ROWS, replace(FEW, seed=seed)) for seed in (0, 1))
    assert (a.bound - b.bound).abs().min() > 0


@pytest.mark.slow
def test_neither_order_nor_chunks_change_a_row() -> None:
    model = binary_vae().double()
    rows = bits((torch.rand(9, 12) < 0.4).float())
    few = 5 * dry_run(model, first_row(rows, model)).differentiated().bytes
    whole = anneal(model, rows, FEW)
    for memory in (few, few // 4):  # one row with all its chains, then a chain at a time
        assert torch.allclose(anneal(model, rows, FEW, memory=memory).bound, whole.bound)
    alone = anneal(model, rows.subset([4, 2]), FEW)
    assert torch.allclose(alone.bound, whole.bound[[4, 2]])
    small = bracket(model, rows, FEW, memory=few)
    assert torch.allclose(small.upper, bracket(model, rows, FEW).upper)


def test_values_are_in_the_datas_own_units() -> None:
    model = poor_model()
    plain, scaled = (anneal(model, vectors(ROWS.x, scale=s), FEW) for s in (1.0, 10.0))
    assert torch.allclose(scaled.bound, plain.bound - 6 * math.log(10))


def test_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    model = poor_model()
    memory = 60 * dry_run(model, first_row(ROWS, model)).differentiated().bytes
    anneal(model, ROWS, FEW, memory=memory, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(20, 40), (40, 40)]


class Discrete(Model):
    """Draws a category, which no trajectory can move."""

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        posterior = OneHotCategorical(logits=torch.zeros(1, len(batch), 2), validate_args=False)
        z = choose(0, posterior, posterior)
        step = Step(z, posterior, posterior)
        return Trace((step,), oracle.model("mean_field").decode(z.double()))

    def parts(self) -> dict[str, list[torch.nn.Parameter]]:
        return {}


def test_what_cannot_be_annealed_is_refused() -> None:
    trace = Discrete()(Batch(oracle.data(2)))
    with pytest.raises(UnsupportedError, match="level 0 is a discrete latent"):
        refuse_discrete_latents(trace)
    with pytest.raises(UnsupportedError, match="no prior"):
        anneal(linear_autoencoder(oracle.FEATURES, 2), ROWS, FEW)
    model = oracle.model("mean_field")
    loc = torch.zeros(1, 1, oracle.LATENT, dtype=torch.float64)
    prior = BoundedNormal(Normal(loc, torch.ones_like(loc)), 1)
    model.prior_distribution = lambda prompt=None: prior  # type: ignore[method-assign]
    with pytest.raises(UnsupportedError, match="needs the exact one"):
        anneal(model, ROWS, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("parts", PARTS, ids=named)
def test_every_registered_part_is_annealed_or_says_why(parts: dict[str, Any]) -> None:
    model, data = built(parts)
    few = AnnealingOptions(temperatures=3, chains=2)
    discrete = "is a discrete latent"
    without = dict.fromkeys(("vq_vae", "transform", "semi_supervised"), discrete)
    without["autoencoder"] = "no prior"
    if parts.get("model") in without:
        with pytest.raises(UnsupportedError, match=without[parts["model"]]):
            anneal(model, data.subset([1, 2]), few)
        return
    if PRIORS[parts.get("prior", "standard_normal")].density != "exact":
        with pytest.raises(UnsupportedError, match="needs the exact one"):
            anneal(model, data.subset([1, 2]), few)
        return
    assert torch.isfinite(anneal(model, data.subset([1, 2]), few).bound).all()
    both = bracket(model, data.subset([1, 2]), few)
    assert torch.isfinite(both.upper).all()
    assert both.lower.shape == both.upper.shape == (2,)


@pytest.mark.parametrize("schedule", ["linear", "sigmoid"])
def test_temperatures_rise_from_zero_to_one(schedule: str) -> None:
    betas = temperatures(50, schedule)  # type: ignore[arg-type]
    assert len(betas) == 51
    assert (betas[0], betas[-1]) == (0.0, 1.0)
    assert (betas.diff() > 0).all()


@pytest.mark.parametrize("name", ["temperatures", "chains", "leapfrog"])
def test_options_out_of_range_are_named(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        AnnealingOptions(**{name: 0})
