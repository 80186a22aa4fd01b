"""What changes the loss, and that nothing but the model changes the value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, OneHotCategorical

from lowerbound.data import load
from lowerbound.distributions.reparameterization import diagonal_normal, seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.fitting.assembly import assemble
from lowerbound.models import Model
from lowerbound.models.base import DRAW
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO, OBJECTIVES, Bound, ImportanceWeighted, TargetRate
from lowerbound.trace import Batch, Choose, Step, Trace
from tests.oracles import linear_gaussian as oracle

BATCH = Batch(oracle.data(30))


def bound(objective: ELBO) -> Bound:
    with seeded(0), torch.no_grad():
        return objective(oracle.model("mean_field", 1.5), BATCH)


def test_the_loss_of_the_bound_itself_is_its_negative_mean() -> None:
    answer = bound(ELBO())
    assert float(answer.loss) == pytest.approx(-float(answer.value.mean()), rel=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.5, 4.0])
def test_beta_weighs_the_rate_in_the_loss_only(beta: float) -> None:
    plain, weighted = bound(ELBO()), bound(ELBO(beta=beta))
    assert torch.equal(plain.value, weighted.value)
    expected = plain.distortion.mean() + beta * plain.rates.sum(0).mean()
    assert float(weighted.loss) == pytest.approx(float(expected), rel=1e-12)


def test_warm_up_is_a_share_of_the_run() -> None:
    objective = ELBO(beta=2.0, warm_up=0.5)
    weights = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        objective.progress.fill_(progress)
        weights.append(float(objective.weight()))
    assert weights == [0.0, 1.0, 2.0, 2.0]


def test_free_bits_are_a_floor_under_the_rate_of_the_loss() -> None:
    plain = bound(ELBO())
    rate = float(plain.rates.mean())
    below, above = bound(ELBO(free_bits=rate - 0.1)), bound(ELBO(free_bits=rate + 1.0))
    assert float(below.loss) == pytest.approx(float(plain.loss), rel=1e-12)
    assert float(above.loss) == pytest.approx(float(plain.loss) + 1.0, rel=1e-9)
    assert torch.equal(above.value, plain.value)


def test_free_bits_stop_the_gradient_of_a_latent_that_is_free() -> None:
    model = oracle.model("mean_field")
    with seeded(0):
        loss = ELBO(free_bits=1e3)(model, BATCH).loss
    loss.backward()
    free = model.encoder.bias.grad
    model = oracle.model("mean_field")
    with seeded(0):
        ELBO(beta=0.0)(model, BATCH).loss.backward()
    assert torch.allclose(free, model.encoder.bias.grad, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prior", "posterior", "options"),
    [
        ("standard_normal", "gaussian", {}),
        ("standard_normal", "gaussian", {"analytic": False}),
        ("standard_normal", "gaussian", {"free_bits": 1e-6, "free_bits_per": "unit"}),
        ("flow", "gaussian", {}),
        ("standard_normal", "flow", {}),
    ],
)
def test_the_encoder_gets_its_share_of_a_balanced_rate(
    prior: str, posterior: str, options: dict[str, Any]
) -> None:
    """And the prior, if it learns, the rest; with and without a closed form."""
    x = np.random.default_rng(0).normal(size=(200, 3))
    data, found = load(x), []
    for balance in (None, 0.8):
        torch.manual_seed(0)
        chosen = ModelOptions(
            latent_dim=2,
            network="mlp",
            network_options={"hidden": [8]},
            prior=prior,
            posterior=posterior,
        )
        model = assemble(data.schema, chosen).double()
        objective, batch = ELBO(kl_balance=balance, **options), data.all().to(torch.float64)
        trace = model(batch, objective.choose)
        rates = objective.split(trace, batch)[1]
        parts = [list(model.encoder.parameters()), list(model.prior.parameters())]
        gradients = torch.autograd.grad(
            objective.penalized_rate(rates, trace), [*parts[0], *parts[1]], allow_unused=True
        )
        found.append((gradients[: len(parts[0])], gradients[len(parts[0]) :]))
    for part, share in ((0, 0.2), (1, 0.8)):
        for plain, balanced in zip(found[0][part], found[1][part], strict=True):
            assert plain is not None
            torch.testing.assert_close(balanced, share * plain, rtol=1e-6, atol=1e-12)


def test_target_rate_is_found() -> None:
    """The dual variable settles where the trained model's rate is the target."""
    model, objective = oracle.model("mean_field"), TargetRate(target=1.0, speed=0.05).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    with seeded(0):
        for _ in range(1500):
            answer = objective(model, BATCH)
            optimizer.zero_grad()
            answer.loss.backward()
            optimizer.step()
            objective.after_update(answer)
    assert float(answer.rates.sum(0).mean()) == pytest.approx(1.0, abs=0.1)
    assert "log_weight" in objective.state_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"samples": 0}, "samples"), ({"warm_up": 2.0}, "share of the run"), ({"beta": -1.0}, "beta")],
)
def test_options_out_of_range_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ELBO(**options)


class DiscreteModel(Model):
    """Draws a learned category without reparameterization."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(3))

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        posterior: Distribution = OneHotCategorical(
            logits=self.logits.expand(1, len(batch), 3), validate_args=False
        )
        z: Tensor = choose(0, posterior, posterior)
        emission = oracle.model("mean_field").decode(z[..., :2].double())
        return Trace((Step(z, posterior, posterior),), emission)

    def parts(self) -> dict[str, list[torch.nn.Parameter]]:
        return {"inference": [self.logits]}


@pytest.mark.parametrize("objective", [ELBO(), ImportanceWeighted(gradient="plain")])
def test_a_drawn_discrete_latent_is_refused(objective: torch.nn.Module) -> None:
    with pytest.raises(UnsupportedError, match=r"no\s+gradient passes"):
        objective(DiscreteModel(), BATCH)


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_every_objective_says_a_bound(name: str) -> None:
    """Shapes, finiteness, a differentiable loss, and a value that is below log p(x)."""
    model = oracle.model("mean_field", 1.2)
    with seeded(1):
        answer = OBJECTIVES[name]().double()(model, BATCH)
    assert answer.value.shape == answer.distortion.shape == (30,)
    assert answer.rates.shape == (1, 30)
    assert not answer.value.requires_grad
    answer.loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert float(answer.value.mean()) < float(oracle.log_marginal(BATCH.x).mean()) + 1.0


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_hidden_cells_reach_no_gradient(name: str) -> None:
    observed = torch.ones_like(BATCH.x, dtype=torch.bool)
    observed[:, 2] = False
    gradients = []
    for hidden in (0.0, float("nan")):
        x = torch.where(observed, BATCH.x, torch.full_like(BATCH.x, hidden))
        model = oracle.model("mean_field")
        with seeded(2):
            OBJECTIVES[name]().double()(model, Batch(x, observed)).loss.backward()
        gradients.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])
        )
    assert torch.isfinite(gradients[1]).all()
    assert torch.equal(gradients[0], gradients[1])


def test_identical_posterior_and_prior_cost_nothing() -> None:
    normal = diagonal_normal(torch.randn(1, 4, 3), torch.rand(1, 4, 3) + 0.1)
    step = Step(normal.rsample(), normal, normal)
    assert step.rate().abs().max() < 1e-6
    assert step.log_ratio().abs().max() == 0
    assert isinstance(normal, Independent)
