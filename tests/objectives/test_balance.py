"""Balanced columns: another loss, the same bound."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import Dataset, load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.evaluation.likelihood.baselines import column_shares
from lowerbound.fitting import FitOptions, fit
from lowerbound.fitting.assembly import assemble, resolve
from lowerbound.likelihoods.base import marginal_nats
from lowerbound.models import Model
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO, Bound, TargetRate
from lowerbound.objectives.elbo import LEAST_NATS
from lowerbound.training import TrainingOptions
from tests.tables import mixed_frame


@pytest.fixture(scope="module")
def table() -> tuple[Model, Dataset]:
    data = load(mixed_frame(200))
    options = resolve(data.schema, ModelOptions(latent_dim=2))
    with seeded(0):
        model = assemble(data.schema, options)
        model.start(data)
    return model.eval(), data


def answer(objective: ELBO, model: Model, data: Dataset) -> Bound:
    objective.prepare(model, data)
    model.zero_grad()
    with seeded(0):
        bound = objective(model, data.all().to(torch.float32))
    bound.loss.backward()
    return bound


def gradients(model: Model) -> list[torch.Tensor]:
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def test_the_bound_is_the_bound_whatever_the_balance(table: tuple[Model, Dataset]) -> None:
    plain = answer(ELBO(), *table)
    for objective in (ELBO(balance=1.0), ELBO(balance=0.3), TargetRate(balance=1.0)):
        balanced = answer(objective, *table)
        for name in ("value", "distortion", "rates"):
            assert torch.equal(getattr(plain, name), getattr(balanced, name))
        assert balanced.loss.item() != pytest.approx(plain.loss.item(), rel=1e-3)


def test_the_gradient_is_that_of_the_weighted_sum(table: tuple[Model, Dataset]) -> None:
    """The terms of each column by hand, the weights from the marginals' own figures."""
    model, data = table
    cost = -marginal_nats(model.declared_likelihood, data).numpy()
    weights = torch.tensor(1 / np.maximum(cost, LEAST_NATS))
    weights = (weights / weights.mean()).float()
    answer(ELBO(balance=1.0, beta=0.5), model, data)
    found = gradients(model)
    batch, objective = data.all().to(torch.float32), ELBO()
    model.zero_grad()
    with seeded(0):
        trace = model(batch, objective.choose)
    terms = trace.likelihood.terms(batch.x, batch.observed)[0]
    rate = trace.steps[0].rate().mean()
    by_hand = 0.5 * rate - sum(w * terms[:, j].mean() for j, w in enumerate(weights))
    by_hand.backward()
    for mine, theirs in zip(found, gradients(model), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_with_full_balance_all_columns_cost_alike_to_begin_with(
    table: tuple[Model, Dataset],
) -> None:
    model, data = table
    objective = ELBO(balance=1.0)
    objective.prepare(model, data)
    assert objective.weights is not None
    assert float(objective.weights.mean()) == pytest.approx(1.0, rel=1e-6)
    marginal = marginal_nats(model.declared_likelihood, data).numpy()
    costs = -objective.weights.double().numpy() * marginal
    np.testing.assert_allclose(costs, costs[0], rtol=1e-5)


@pytest.mark.slow
def test_a_column_of_many_levels_no_longer_drowns_the_others() -> None:
    """One number of room: it goes to the many levels, or to the flags that are tied."""
    random = np.random.default_rng(0)
    hidden = random.integers(0, 2, 1500)
    code = random.integers(0, 60, 1500)
    flags = {f"flag{i}": np.where(random.random(1500) < 0.9, hidden, 1 - hidden) for i in range(3)}
    data = load(
        pd.DataFrame({"code": [f"c{c}" for c in code], "twin": [f"t{c}" for c in code], **flags})
    )
    gains = {}
    for balance in (0.0, 1.0):
        options = FitOptions(
            ModelOptions(latent_dim=1),
            objective_options={"balance": balance},
            training=TrainingOptions(epochs=15),
        )
        shares = column_shares(fit(data, options).model, data)
        found = dict(zip(shares.names, shares.gains, strict=True))
        gains[balance] = sum(found[f"flag{i}"] for i in range(3))
    assert gains[1.0] > gains[0.0] + 0.1


def test_what_cannot_be_balanced_is_refused(table: tuple[Model, Dataset]) -> None:
    with pytest.raises(OptionError, match="must not be negative"):
        ELBO(balance=-1.0)
    with pytest.raises(UnsupportedError, match="call prepare first"):
        ELBO(balance=1.0)(table[0], table[1].all().to(torch.float32))
    pictures = load(np.random.default_rng(0).random((20, 4, 4)))
    model = assemble(pictures.schema, resolve(pictures.schema, ModelOptions(latent_dim=2)))
    with pytest.raises(UnsupportedError, match="only rows of columns can be balanced"):
        ELBO(balance=1.0).prepare(model, pictures)
