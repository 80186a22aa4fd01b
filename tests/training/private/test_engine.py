from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, TrainingError
from lowerbound.models import Model
from lowerbound.objectives import ELBO, Bound, TargetRate
from lowerbound.trace import Batch, Mean
from lowerbound.training.engine import Engine, Update
from lowerbound.training.private.engine import (
    ClippedGradients,
    PrivateEngine,
    SeededRandomness,
    check_private,
)
from tests.training.cases import FEATURES, options, real_rows, vae, weights


class Deterministic(ELBO):
    """The ELBO at q's mean, so that rows alone and in a batch have the same loss."""

    def forward(self, model: Model, batch: Batch) -> Bound:
        return self.bound(model(batch, Mean()), batch)


def update() -> Update:
    return Update(vae("gaussian"), Deterministic())


def rows(count: int = 20) -> Batch:
    return real_rows(count).all().to(torch.float32)


def clipped_by_hand(module: Update, batch: Batch, clip: float) -> dict[str, Tensor]:
    """A loop over rows with autograd, as the definition says."""
    total = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    for row in range(len(batch)):
        module.zero_grad()
        module(batch.rows(slice(row, row + 1))).loss.backward()
        found = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
        norm = math.sqrt(sum(float(g.square().sum()) for g in found.values()))
        for name, g in found.items():
            total[name] += g * min(1.0, clip / norm)
    module.zero_grad()
    return total


@pytest.mark.parametrize("clip", [0.5, 5.0, 1e6])
@pytest.mark.parametrize("vectorized", [True, False])
def test_the_sum_is_that_of_a_loop(clip: float, vectorized: bool) -> None:
    module, batch = update(), rows()
    gradients = ClippedGradients(module, clip)
    gradients._vectorized = vectorized
    by_hand = clipped_by_hand(module, batch, clip)
    found = gradients.sum(batch)
    assert found.keys() == by_hand.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, by_hand[name], rtol=1e-4, atol=1e-4 * min(clip, 100))


def test_no_row_moves_the_sum_by_more_than_the_norm() -> None:
    """The sensitivity that the noise is proportional to: one row more, an extreme one."""
    batch, clip = rows(), 0.7
    extreme = replace(batch, x=torch.cat((batch.filled, 1e6 * torch.ones(1, FEATURES))), ids=None)
    plain = replace(batch, ids=None)
    gradients = ClippedGradients(update(), clip)
    before, after = gradients.sum(plain), gradients.sum(extreme)
    moved = math.sqrt(sum(float((after[n] - before[n]).square().sum()) for n in before))
    assert moved <= clip * (1 + 1e-3)


def test_a_row_without_a_finite_gradient_counts_as_zero() -> None:
    batch = replace(rows(5), ids=None)
    spoiled = batch.filled.clone()
    spoiled[2] = math.inf
    gradients = ClippedGradients(update(), 1.0)
    found = gradients.sum(replace(batch, x=spoiled))
    others = gradients.sum(batch.rows(torch.tensor([0, 1, 3, 4])))
    for name, value in found.items():
        torch.testing.assert_close(value, others[name])


def test_a_large_norm_without_noise_is_the_plain_update() -> None:
    batch = rows()
    one, other = update(), update()
    other.load_state_dict(one.state_dict())
    plain = Engine(one, options())
    private = PrivateEngine(other, options(), 1e9, 0.0, len(batch), SeededRandomness(1))
    for _ in range(3):
        plain.step(batch, 1e-3, 0.0)
        private.step(batch, 1e-3, 0.0)
    for name, value in weights(one).items():
        torch.testing.assert_close(weights(other)[name], value, rtol=1e-4, atol=1e-6)


def test_an_empty_batch_is_an_update_by_noise_alone() -> None:
    module = update()
    engine = PrivateEngine(module, options(), 2.0, 3.0, 10.0, SeededRandomness(1))
    given = torch.cat([noise.flatten() for _, noise in engine._noise()])
    assert float(given.std()) == pytest.approx(6.0, rel=0.1)
    before = weights(module)
    bound = engine.step(rows(4).rows(slice(0, 0)), 1e-3, 0.0)
    assert len(bound.value) == 0
    moved = [float((weights(module)[n] - before[n]).abs().max()) for n in before if n != "progress"]
    assert max(moved) == pytest.approx(1e-3, rel=1e-2)  # Adam's first step
    assert engine.made == 1


def test_noise_differs_between_updates_and_repeats_with_the_secret() -> None:
    one, same, other = SeededRandomness(5), SeededRandomness(5), SeededRandomness()
    assert torch.equal(one.normal(3, 50), same.normal(3, 50))
    assert not torch.equal(one.normal(3, 50), one.normal(4, 50))
    assert not torch.equal(one.normal(3, 50), other.normal(3, 50))


def test_models_without_a_vectorized_gradient_take_one_row_at_a_time() -> None:
    class Branching(Deterministic):
        def forward(self, model: Model, batch: Batch) -> Bound:
            assert batch.filled.tolist()  # which vmap does not support
            return super().forward(model, batch)

    said: list[str] = []
    batch = rows(6)
    module, slow = update(), Update(vae("gaussian"), Branching())
    found = ClippedGradients(slow, 1.0, said.append).sum(batch)
    expected = ClippedGradients(module, 1.0).sum(batch)
    assert "row by row" in said[0]
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)


class Norm(nn.Module):
    """A layer with batch statistics in front of an encoder."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(FEATURES)
        self.encoder = encoder

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        value: Tensor = self.encoder(self.norm(x), condition)
        return value


def test_batch_norm_is_refused_by_name() -> None:
    model = vae()
    model.encoder = Norm(model.encoder)
    with pytest.raises(OptionError, match=r"encoder\.norm \(BatchNorm1d\)"):
        check_private(model, ELBO())


@pytest.mark.parametrize("objective", [TargetRate(target=3.0), ELBO(balance=0.5)])
def test_objectives_that_read_rows_without_noise_are_refused(objective: ELBO) -> None:
    with pytest.raises(OptionError, match="objective"):
        check_private(vae(), objective)


def test_statistics_that_a_pass_changes_are_refused() -> None:
    class Counting(Deterministic):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, model: Model, batch: Batch) -> Bound:
            self.seen += 1
            return super().forward(model, batch)

    gradients = ClippedGradients(Update(vae("gaussian"), Counting()), 1.0)
    gradients._vectorized = False
    with pytest.raises(TrainingError, match="statistics"):
        gradients.sum(rows(3))


def test_draws_of_rows_differ_within_a_batch() -> None:
    """Each row has its own z: equal rows have different gradients."""
    same = Batch(rows(1).filled.expand(8, FEATURES))
    with seeded(0):
        found = ClippedGradients(Update(vae("gaussian"), ELBO()), 1.0).of_rows(same)
    assert min(float((g - g[:1])[1:].abs().amax()) for g in found.values()) > 0
