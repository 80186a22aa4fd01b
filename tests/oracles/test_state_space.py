"""The recurrent model against the one large Gaussian that it is."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from lowerbound.classical.factor_analysis import fit_factor_analysis
from lowerbound.classical.kalman import Belief
from lowerbound.distributions.reparameterization import base_normal, seeded
from lowerbound.models.sequences.linear_state_space import LinearStateSpace
from lowerbound.objectives import ELBO, ImportanceWeighted
from lowerbound.posteriors.gaussian import MeanField
from lowerbound.trace import Batch, Continue, Draw, Given
from tests.oracles import state_space as oracle

EXACT = oracle.parameters()
ROWS = EXACT.draws(6)
RESETS = torch.zeros(6, oracle.TIME, dtype=torch.bool)
RESETS[:3, 4] = True
RESETS[2:5, 2] = True


def holes() -> tuple[Tensor, Tensor]:
    """Rows with NaN where hidden: single cells, whole times, a whole row."""
    noise = torch.Generator().manual_seed(3)
    observed = torch.rand(ROWS.shape, generator=noise) < 0.6
    observed[0, [0, 3, 6]] = False
    observed[1] = False
    return torch.where(observed, ROWS, math.nan), observed


def mean_field(seed: int = 0) -> MeanField:
    with seeded(seed):
        return MeanField(oracle.FEATURES, oracle.LATENT, 8).double()


def gap(proposal: MeanField, x: Tensor, observed: Tensor | None = None) -> Tensor:
    """KL(q || p(z | x)) of each row, by the formula for two Gaussians over all times at once."""
    starts = torch.zeros(1, x.shape[1], dtype=torch.bool)
    filled = x if observed is None else torch.where(observed, x, 0.0)
    normals = [base_normal(each) for each in proposal(filled, observed, starts)]
    loc = torch.cat([each.loc[0] for each in normals], -1)
    scale = torch.cat([each.scale[0] for each in normals], -1)
    found = []
    for i in range(len(x)):
        q = MultivariateNormal(loc[i], torch.diag(scale[i].square()))
        mask = None if observed is None else observed[i]
        found.append(kl_divergence(q, EXACT.posterior(x[i], mask)))
    return torch.stack(found).detach()


@pytest.mark.parametrize("hidden", [False, True])
def test_kalmans_likelihood_is_that_of_the_large_gaussian(hidden: bool) -> None:
    x, observed = holes() if hidden else (ROWS, None)
    found = oracle.model().log_marginal(x, observed)
    assert (found - EXACT.log_marginal(x, observed)).abs().max() < 1e-10
    if hidden:
        assert found[1] == 0  # nothing was observed


@pytest.mark.parametrize("samples", [1, 7])
@pytest.mark.parametrize("hidden", [False, True])
def test_every_weight_of_the_exact_posterior_is_the_marginal(samples: int, hidden: bool) -> None:
    x, observed = holes() if hidden else (ROWS, None)
    trace = oracle.model()(Batch(x, observed), Draw(samples))
    weights = trace.log_weights(x, observed)
    assert weights.shape == (samples, len(x))
    assert len(trace.steps) == oracle.TIME
    assert (weights - EXACT.log_marginal(x, observed)).abs().max() < 1e-10


def test_the_gradient_of_every_draw_is_that_of_the_exact_likelihood() -> None:
    """NaN in hidden cells reaches no gradient either."""
    x, observed = holes()
    model = oracle.model()
    names, parameters = zip(*model.named_parameters(), strict=True)
    exact = torch.autograd.grad(model.log_marginal(x, observed).mean(), parameters)
    loss = ELBO()(model, Batch(x, observed)).loss
    for name, one, other in zip(names, torch.autograd.grad(-loss, parameters), exact, strict=True):
        assert torch.isfinite(one).all(), name
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def test_the_posterior_has_the_exact_moments() -> None:
    x, observed = holes()
    model = oracle.model()
    smoothed = model.encode(Batch(x, observed)).mean[0]
    with seeded(0):
        z = model(Batch(x, observed), Draw(40_000)).latents()
    for i in range(len(x)):
        exact = EXACT.posterior(x[i].nan_to_num(), observed[i])
        assert (smoothed[i] - exact.mean).abs().max() < 1e-10
        error = (exact.variance / 40_000).sqrt()
        assert ((z[:, i].mean(0) - exact.mean) / error).abs().max() < 5
        assert (torch.cov(z[:, i].T) - exact.covariance_matrix).abs().max() < 0.05


@pytest.mark.parametrize("hidden", [False, True])
def test_a_mean_field_bound_falls_short_by_its_divergence(hidden: bool) -> None:
    x, observed = holes() if hidden else (ROWS, None)
    proposal = mean_field()
    with seeded(1), torch.no_grad():
        weights = oracle.model(proposal)(Batch(x, observed), Draw(40_000)).log_weights(x, observed)
    short = EXACT.log_marginal(x, observed) - gap(proposal, x, observed)
    error = weights.std(0) / math.sqrt(len(weights))
    assert ((weights.mean(0) - short) / error).abs().max() < 4.5


@pytest.mark.slow
def test_importance_samples_tighten_the_mean_field_bound() -> None:
    """After some training of the proposal alone, so that weights are not too uneven."""
    proposal = mean_field()
    model = oracle.model(proposal)
    many = EXACT.draws(200, seed=5)
    optimizer = torch.optim.Adam(proposal.parameters(), 0.02)
    with seeded(0):
        for _ in range(150):
            optimizer.zero_grad()
            ELBO()(model, Batch(many)).loss.backward()
            optimizer.step()
    exact = float(EXACT.log_marginal(many).mean())
    x, means = many.repeat(20, 1, 1), []
    for samples in (1, 4, 16, 64):
        with seeded(2), torch.no_grad():
            objective = ImportanceWeighted(samples=samples, gradient="plain")
            means.append(float(objective(model, Batch(x)).value.mean()))
    assert means == sorted(means)
    assert means[-1] < exact + 1e-2
    assert exact - means[-1] < 0.5 * (exact - means[0])


@pytest.mark.parametrize("proposal", [None, mean_field()], ids=["exact", "mean_field"])
def test_resets_split_a_row_into_sequences_of_their_own(proposal: MeanField | None) -> None:
    x, observed = holes()
    model = oracle.model(proposal)
    with seeded(0):
        whole = model(Batch(x, observed, resets=RESETS), Draw(3))
    weights = whole.log_weights(x, observed)
    for i in range(len(x)):
        edges = [0, *RESETS[i].nonzero().flatten().tolist(), oracle.TIME]
        total, state = torch.zeros(3, dtype=torch.float64), whole.state[i]
        for start, end in pairwise(edges):
            part = Batch(x[i : i + 1, start:end], observed[i : i + 1, start:end])
            given = Given([step.z[:, i : i + 1] for step in whole.steps[start:end]])
            trace = model(part, given)
            total = total + trace.log_weights(part.x, part.observed)[:, 0]
        assert (weights[:, i] - total).abs().max() < 1e-10
        assert (trace.state[0] - state).abs().max() < 1e-12


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("first", [1, 3, 6])
def test_going_on_from_a_state_is_one_pass(first: int, hidden: bool) -> None:
    x, observed = holes() if hidden else (ROWS, torch.ones_like(ROWS, dtype=torch.bool))
    model = oracle.model()
    whole = model(Batch(x, observed), Draw(2))
    head = model(Batch(x[:, :first], observed[:, :first]), Draw(2))
    tail = model(Batch(x[:, first:], observed[:, first:], state=head.state), Draw(2))
    parts = head.log_weights(x[:, :first], observed[:, :first])
    parts = parts + tail.log_weights(x[:, first:], observed[:, first:])
    assert (parts - EXACT.log_marginal(x, observed)).abs().max() < 1e-10
    assert (tail.state - whole.state).abs().max() < 1e-12
    last = Belief.unpacked(whole.state, oracle.LATENT)
    exact = EXACT.posterior(x[0].nan_to_num(), observed[0])
    assert (last.mean[0] - exact.mean[-2:]).abs().max() < 1e-10
    assert (last.covariance[0] - exact.covariance_matrix[-2:, -2:]).abs().max() < 1e-10


def test_a_reset_forgets_the_state() -> None:
    model = oracle.model()
    state = model(Batch(ROWS), Draw(1)).state
    resets = torch.zeros(6, oracle.TIME, dtype=torch.bool)
    resets[:3, 0] = True
    weights = model(Batch(ROWS, resets=resets, state=state), Draw(1)).log_weights(ROWS)[0]
    fresh = EXACT.log_marginal(ROWS)
    assert (weights[:3] - fresh[:3]).abs().max() < 1e-10
    assert (weights[3:] - fresh[3:]).abs().min() > 1e-3


@pytest.mark.parametrize("horizon", [4, oracle.TIME, 10])
def test_imagined_rows_have_the_exact_moments(horizon: int) -> None:
    model, count = oracle.model(), 60_000
    resets = torch.zeros(count, horizon, dtype=torch.bool)
    given = Batch(count=count) if horizon == oracle.TIME else Batch(resets=resets)
    with seeded(0), torch.no_grad():
        trace = model(given, Draw(1))
        x = trace.likelihood.sample()[0]
    assert x.shape == (count, horizon, oracle.FEATURES)
    assert trace.log_weights(x).shape == (1, count)
    mean, covariance = EXACT.rows(horizon)
    error = (torch.diagonal(covariance) / count).sqrt()
    assert ((x.flatten(1).mean(0) - mean) / error).abs().max() < 5
    product = torch.diagonal(covariance)[:, None] * torch.diagonal(covariance)
    spread = ((product + covariance.square()) / count).sqrt()
    assert ((torch.cov(x.flatten(1).T) - covariance) / spread).abs().max() < 5


def test_the_future_is_imagined_from_a_filtered_state() -> None:
    """Against the large Gaussian given its first times."""
    first, ahead, count = 4, oracle.TIME - 4, 60_000
    seen = first * oracle.FEATURES
    model = oracle.model()
    state = model(Batch(ROWS[:1, :first]), Draw(1)).state
    resets = torch.zeros(count, ahead, dtype=torch.bool)
    with seeded(0), torch.no_grad():
        trace = model(Batch(resets=resets, state=state.expand(count, -1)), Draw(1))
        x = trace.likelihood.sample()[0].flatten(1)
    mean, covariance = EXACT.rows(oracle.TIME)
    gain = covariance[seen:, :seen] @ torch.linalg.inv(covariance[:seen, :seen])
    expected = mean[seen:] + gain @ (ROWS[0, :first].flatten() - mean[:seen])
    spread = covariance[seen:, seen:] - gain @ covariance[:seen, seen:]
    error = (torch.diagonal(spread) / count).sqrt()
    assert ((x.mean(0) - expected) / error).abs().max() < 5
    assert (torch.cov(x.T) - spread).abs().max() < 0.05 * spread.abs().max()
    again = model.imagine(Batch(resets=resets[:, :1], state=trace.state), Draw(1))
    moved = trace.steps[-1].z[0] @ EXACT.transition.T
    assert (again.steps[0].prior.mean[0] - moved).abs().max() < 1e-12
    identity = torch.eye(oracle.LATENT, dtype=torch.float64)
    assert (again.steps[0].prior.covariance_matrix[0, 0] - identity).abs().max() < 1e-12


def test_times_are_decided_one_by_one() -> None:
    """A sequence is replayed up to now and imagined from there."""
    model = oracle.model()
    z = model(Batch(ROWS), Draw(5))
    trace = model.imagine(Batch(count=6), Continue([step.z for step in z.steps[:3]], Draw(5)))
    for step, replayed in zip(trace.steps[:3], z.steps[:3], strict=True):
        assert step.z is replayed.z
    moved = z.steps[2].z @ EXACT.transition.T
    assert (trace.steps[3].prior.mean - moved).abs().max() < 1e-12
    assert (trace.steps[3].z != z.steps[3].z).all()
    assert trace.state is None  # of five samples there is no one last z


def maximum_likelihood(x: Tensor) -> float:
    """The mean log p(x) that scipy's BFGS reaches on the large Gaussian, nats per row."""
    d, features = oracle.LATENT, x.shape[2]
    sizes = [d, d * d, d * d, features * d, features, features]

    def built(numbers: Tensor) -> oracle.StateSpace:
        mean, factor, transition, weight, offset, log_noise = numbers.split(sizes)
        lower = factor.reshape(d, d).tril()
        return oracle.StateSpace(
            mean,
            lower @ lower.T + 1e-6 * torch.eye(d, dtype=torch.float64),
            transition.reshape(d, d),
            weight.reshape(features, d),
            offset,
            log_noise.exp(),
        )

    def loss(numbers: object) -> tuple[float, object]:
        at = torch.tensor(numbers, requires_grad=True)
        mean, covariance = built(at).rows(x.shape[1])
        value = -MultivariateNormal(mean, covariance).log_prob(x.flatten(1)).mean()
        (slope,) = torch.autograd.grad(value, at)
        return float(value.detach()), slope.numpy()

    best = -math.inf
    for seed in range(2):
        start = 0.5 * torch.randn(sum(sizes), generator=torch.Generator().manual_seed(seed))
        start[d : d + d * d] = torch.eye(d).flatten()
        found = minimize(loss, start.double().numpy(), jac=True, options={"maxiter": 2_000})
        best = max(best, -float(found.fun))
    return best


@pytest.mark.slow
def test_training_by_the_elbo_reaches_the_maximum_likelihood() -> None:
    """Within 0.01 nats per row of an optimizer that never heard of a posterior."""
    x = EXACT.draws(120, seed=9)
    with seeded(0):
        model = LinearStateSpace((oracle.TIME, oracle.FEATURES), oracle.LATENT).double()
        model.start_from(x)
        started = float(model.log_marginal(x).detach().mean())
        optimizer = torch.optim.Adam(model.parameters(), 0.1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 150)
        for _ in range(150):
            optimizer.zero_grad()
            ELBO()(model, Batch(x)).loss.backward()
            optimizer.step()
            schedule.step()
    best = maximum_likelihood(x)
    reached = float(model.log_marginal(x).detach().mean())
    assert best > float(EXACT.log_marginal(x).mean())  # it fits the rows better than their source
    assert reached == pytest.approx(best, abs=0.01)
    assert started > apart(x)


def apart(x: Tensor) -> float:
    """The mean log p(x) of a factor analysis that takes the times of a row for strangers."""
    times = x.flatten(0, 1)
    seen = torch.ones_like(times, dtype=torch.bool)
    fitted = fit_factor_analysis(times, seen, oracle.LATENT)
    return float(fitted.log_marginal(times, seen).sum() / len(x))
