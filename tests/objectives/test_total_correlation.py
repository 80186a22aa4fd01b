"""beta-TCVAE and FactorVAE: against sums over the whole data set, and against closed forms."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from lowerbound.distributions.reparameterization import UnitNormal, diagonal_normal, seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.objectives import ELBO, BetaTotalCorrelation, Factor, Objective
from lowerbound.objectives.factor import Estimator, decompose, log_densities, shuffled
from lowerbound.trace import Batch, Step
from lowerbound.training import train
from lowerbound.training.engine import Engine, Update
from tests.oracles import linear_gaussian as oracle
from tests.training.cases import assert_same_weights, grey_rows, options, vae, weights

BATCH = Batch(oracle.data(30))
ROWS, UNITS = 6, 3


def step(samples: int = 2) -> Step:
    """Draws of six overlapping Gaussians."""
    loc = torch.randn(1, ROWS, UNITS, dtype=torch.float64)
    scale = torch.rand(1, ROWS, UNITS, dtype=torch.float64) + 0.3
    posterior = diagonal_normal(loc, scale)
    prior = Independent(UnitNormal(torch.zeros(1, 1, UNITS, dtype=torch.float64)), 1)
    return Step(posterior.rsample((samples,))[:, 0], posterior, prior)


def brute_force(found: Step) -> tuple[Tensor, Tensor]:
    """log q(z) and sum_j log q(z_j) of the uniform mixture over all rows, term by term."""
    q = found.posterior.base_dist
    joint, product = torch.zeros(found.z.shape[:2]), torch.zeros(found.z.shape[:2])
    for s, i in itertools.product(range(len(found.z)), range(ROWS)):
        densities = Normal(q.loc[0], q.scale[0]).log_prob(found.z[s, i]).exp()  # (rows, units)
        joint[s, i] = densities.prod(1).mean().log()
        product[s, i] = densities.mean(0).log().sum()
    return joint, product


def test_densities_of_the_whole_set_are_the_mixtures() -> None:
    found = step()
    joint, product = brute_force(found)
    estimate = log_densities(found.posterior.base_dist, found.z, ROWS, "stratified")
    assert torch.allclose(estimate[0].float(), joint, rtol=1e-5)
    assert torch.allclose(estimate[1].float(), product, rtol=1e-5)


def test_the_stratified_estimate_is_unbiased_over_all_minibatches() -> None:
    found = step(1)
    joint, _ = brute_force(found)
    q = found.posterior.base_dist
    for row in range(ROWS):
        others = [j for j in range(ROWS) if j != row]
        estimates = []
        for chosen in itertools.combinations(others, 2):
            index = [row, *chosen]
            part = Normal(q.loc[:, index], q.scale[:, index])
            log_joint, _ = log_densities(part, found.z[:, index], ROWS, "stratified")
            estimates.append(log_joint[0, 0].exp())
        exact = float(joint[0, row].exp())
        assert float(torch.stack(estimates).mean()) == pytest.approx(exact, rel=1e-5)


def test_the_weighted_estimate_is_the_papers() -> None:
    found = step(1)
    q = found.posterior.base_dist
    joint, product = log_densities(q, found.z, 50, "weighted")
    each = q.log_prob(found.z.transpose(0, 1))  # (rows of z, rows of x, units)
    expected = torch.logsumexp(each.sum(-1), 1) - math.log(50 * ROWS)
    assert torch.allclose(joint[0], expected)
    per_unit = torch.logsumexp(each, 1) - math.log(50 * ROWS)
    assert torch.allclose(product[0], per_unit.sum(-1))


@pytest.mark.parametrize("estimator", ["stratified", "weighted"])
@pytest.mark.parametrize("rows", [0, 1_000])
def test_the_parts_add_up_to_the_log_ratio_at_every_draw(estimator: Estimator, rows: int) -> None:
    found = step()
    parts = decompose(found, rows, estimator)
    total = parts.mutual_information + parts.total_correlation + parts.dimension_wise
    assert torch.allclose(total, found.log_ratio(), rtol=1e-12)


def test_the_parts_add_up_to_the_kl_on_average() -> None:
    found = step(20_000)
    parts = decompose(found)
    total = parts.mutual_information + parts.total_correlation + parts.dimension_wise
    exact = kl_divergence(found.posterior.base_dist, found.prior.base_dist).sum(-1).mean()
    error = float(total.mean(1).std()) / math.sqrt(20_000)
    assert abs(float(total.mean() - exact)) < 4 * error < 0.1


def test_total_correlation_of_correlated_codes_is_the_closed_form() -> None:
    """q(z) of many narrow clouds whose centers are correlated: TC = -1/2 log(1 - r^2)."""
    r = 0.9
    covariance = torch.tensor([[1.0, r], [r, 1.0]], dtype=torch.float64)
    deviation = 0.3
    aggregate = covariance.clone()
    centers = MultivariateNormal(torch.zeros(2).double(), covariance - deviation**2 * torch.eye(2))
    loc = centers.sample((1_000,)).unsqueeze(0)
    posterior = diagonal_normal(loc, torch.full_like(loc, deviation))
    prior = Independent(UnitNormal(torch.zeros(1, 1, 2, dtype=torch.float64)), 1)
    parts = decompose(Step(posterior.rsample(), posterior, prior))
    exact = -0.5 * math.log(1 - r**2)
    assert aggregate.diagonal().tolist() == [1.0, 1.0]
    assert float(parts.total_correlation.mean()) == pytest.approx(exact, abs=0.06)
    information = 0.5 * math.log((1 - r**2) / deviation**4)
    assert float(parts.mutual_information.mean()) == pytest.approx(information, abs=0.06)


def loss_of(objective: Objective, kind: str = "mean_field") -> float:
    with seeded(0), torch.no_grad():
        return float(objective.double()(oracle.model(kind, 1.5), BATCH).loss)


def test_weights_of_one_are_the_elbo() -> None:
    assert loss_of(BetaTotalCorrelation(total_correlation=1.0)) == loss_of(ELBO())
    neutral = BetaTotalCorrelation(total_correlation=1.0, dimension_wise=1.0)
    assert loss_of(neutral) == loss_of(ELBO())


def test_each_weight_weighs_its_part() -> None:
    with seeded(0), torch.no_grad():
        parts = decompose(oracle.model("mean_field", 1.5)(BATCH).steps[0])
    for name in ("mutual_information", "total_correlation", "dimension_wise"):
        neutral = {"total_correlation": 1.0}
        surplus = loss_of(BetaTotalCorrelation(**{**neutral, name: 3.0})) - loss_of(ELBO())
        assert surplus == pytest.approx(2 * float(getattr(parts, name).mean()), rel=1e-9)


@pytest.mark.parametrize("objective", [BetaTotalCorrelation(), Factor()])
def test_the_value_stays_the_elbo(objective: Objective) -> None:
    with seeded(0), torch.no_grad():
        answer = objective.double()(oracle.model("mean_field"), BATCH)
    with seeded(0), torch.no_grad():
        assert torch.equal(answer.value, ELBO()(oracle.model("mean_field"), BATCH).value)


def test_training_says_how_many_rows_there_are() -> None:
    objective = BetaTotalCorrelation()
    train(vae(), objective, grey_rows(), options(updates=2))
    assert objective._rows == 90


def test_several_latents_and_correlated_posteriors_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="product over units"):
        BetaTotalCorrelation()(oracle.model("exact"), BATCH)
    assert torch.isfinite(Factor()(oracle.model("exact"), BATCH).loss)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (BetaTotalCorrelation, {"total_correlation": -1.0}),
        (BetaTotalCorrelation, {"estimator": "naive"}),
        (Factor, {"gamma": -1.0}),
        (Factor, {"width": 0}),
    ],
)
def test_options_out_of_range_are_named(kind: type[Objective], wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong)).split("_")[0] + "|weights"):
        kind(**wrong)


def gradients(objective: Factor, part: str) -> dict[str, Tensor]:
    """Gradients after one of the two terms alone."""
    model = oracle.model("mean_field", 1.3)
    with seeded(0):
        objective.zero_grad()
        z = model(BATCH).steps[0].z
        term = (
            objective.total_correlation(z) if part == "model" else objective.distinction(z.detach())
        )
        term.backward()
    named = itertools.chain(model.named_parameters(), objective.named_parameters())
    return {name: value.grad for name, value in named if value.grad is not None}


def test_each_term_moves_its_own_part_only() -> None:
    objective = Factor(width=8).double()
    objective(oracle.model("mean_field"), BATCH)  # builds the discriminator
    reached = set(gradients(objective, "model"))
    assert reached == {"encoder.weight", "encoder.bias"}
    assert all(name.startswith("discriminator") for name in gradients(objective, "judge"))


def test_one_backward_gives_each_parameter_its_own_gradient() -> None:
    objective = Factor(width=8, gamma=3.0).double()
    model = oracle.model("mean_field", 1.3)
    with seeded(0):
        objective(model, BATCH).loss.backward()
    together = {n: p.grad for n, p in objective.named_parameters()}
    objective.zero_grad()
    with seeded(0):
        z = model(BATCH).steps[0].z.detach()
        objective.distinction(z).backward()
    for name, parameter in objective.named_parameters():
        assert torch.allclose(together[name], parameter.grad, rtol=1e-12)


def test_without_gamma_the_model_has_the_gradient_of_the_elbo() -> None:
    gradients = []
    for objective in (ELBO(), Factor(width=8, gamma=0.0).double()):
        model = oracle.model("mean_field", 1.3)
        with seeded(0):
            objective(model, BATCH).loss.backward()
        gradients.append(model.encoder.weight.grad)
    assert torch.allclose(*gradients, rtol=1e-12)


def test_gamma_moves_the_encoder_and_not_the_decoder() -> None:
    grads = []
    for gamma in (0.0, 3.0):
        model = oracle.model("mean_field", 1.3)
        with seeded(0):
            Factor(width=8, gamma=gamma).double()(model, BATCH).loss.backward()
        grads.append((model.decoder.weight.grad, model.encoder.weight.grad))
    assert torch.allclose(grads[0][0], grads[1][0], rtol=1e-12)
    assert not torch.allclose(grads[0][1], grads[1][1], rtol=1e-3)


def test_no_two_units_of_a_shuffled_code_come_from_one_row() -> None:
    row = torch.arange(7.0)
    z = (row.unsqueeze(1) + 10 * torch.arange(5.0)).unsqueeze(0)  # unit j of row i: i + 10 j
    found = shuffled(z)
    assert torch.equal(found.sort(1).values, z.sort(1).values)
    assert all(len(set(code)) == 5 for code in (found[0] % 10).tolist())


@pytest.mark.slow
def test_the_discriminator_finds_the_total_correlation() -> None:
    """Codes with correlation .9: TC = -1/2 log(1 - .81) = .83 nats; independent ones: 0."""
    for r in (0.9, 0.0):
        objective = Factor(width=32, layers=2)
        with seeded(0):
            mix = torch.tensor([[1.0, 0.0], [r, math.sqrt(1 - r * r)]])
            objective.distinction(torch.randn(1, 4, 2))
            optimizer = torch.optim.Adam(objective.parameters(), 3e-3)
            for _ in range(800):
                optimizer.zero_grad()
                objective.distinction(torch.randn(1, 256, 2) @ mix.T).backward()
                optimizer.step()
            found = float(objective.total_correlation(torch.randn(1, 4_000, 2) @ mix.T).detach())
        assert found == pytest.approx(-0.5 * math.log(1 - r * r), abs=0.12)


def test_the_discriminator_is_trained_and_kept_with_the_checkpoint(tmp_path: Path) -> None:
    start = Factor(width=8)
    start.prepare(vae(), grey_rows())
    straight, model = Factor(width=8), vae()
    train(model, straight, grey_rows(), options(updates=40))
    before, after = weights(start), weights(straight)
    assert all(not torch.equal(before[name], after[name]) for name in before)
    halted, resumed = vae(), Factor(width=8)
    engine = Engine(Update(halted, resumed), options())
    assert len(engine.parameters) == len(list(halted.parameters()))  # none before it is prepared
    resumed.prepare(halted, grey_rows())
    resumed.load_state_dict(straight.state_dict())
    assert_same_weights(weights(resumed), after)


def correlated_rows() -> Batch:
    """Rows of the oracle's decoder whose two latents have correlation 0.9."""
    weight, offset, sigma = oracle.parameters()
    with seeded(5):
        mix = torch.tensor([[1.0, 0.0], [0.9, math.sqrt(0.19)]], dtype=torch.float64)
        z = torch.randn(200, 2, dtype=torch.float64) @ mix.T
        noise = torch.randn(200, oracle.FEATURES, dtype=torch.float64)
    return Batch(z @ weight.T + offset + sigma * noise)


@pytest.mark.slow
@pytest.mark.parametrize(
    "objective",
    [BetaTotalCorrelation(total_correlation=30.0), Factor(gamma=30.0, width=32, layers=2)],
)
def test_a_heavy_weight_makes_codes_independent(objective: Objective) -> None:
    """With the decoder held fixed the ELBO leaves the codes correlated."""
    rows, left = correlated_rows(), []
    for chosen in (ELBO(), objective.double()):
        model = oracle.model("mean_field")
        with seeded(0):
            chosen(model, rows)
            trained = [*model.encoder.parameters(), *chosen.parameters()]
            optimizer = torch.optim.Adam(trained, lr=0.02)
            for _ in range(300):
                optimizer.zero_grad()
                chosen(model, rows).loss.backward()
                optimizer.step()
            with torch.no_grad():
                parts = decompose(model(rows).steps[0])
            left.append(float(parts.total_correlation.mean()))
    assert left[0] > 0.3
    assert left[1] < 0.3 * left[0]
