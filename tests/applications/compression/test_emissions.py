"""p(x | z) in whole numbers: near the likelihood it stands for, and popped as it was pushed."""

from __future__ import annotations

import math

import pytest
import torch

from lowerbound.applications.compression.emissions import (
    CodedBernoulli,
    CodedEmission,
    CodedLogistics,
)
from lowerbound.applications.compression.stack import Stack, seed_words
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import UnsupportedError
from lowerbound.likelihoods.bernoulli import Bernoulli
from lowerbound.likelihoods.discretized_logistic import DiscretizedLogistic
from lowerbound.likelihoods.discretized_logistic_mixture import DiscretizedLogisticMixture

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")
LEVELS = (2, 3, 17, 256)


def logistic(levels: int, scale: str) -> tuple[DiscretizedLogistic, torch.Tensor, torch.Tensor]:
    """(likelihood, numbers owed (1, 5, ...), rows)."""
    likelihood = DiscretizedLogistic((40,), levels=levels, scale=scale)  # type: ignore[arg-type]
    with seeded(levels):
        owed = torch.randn(1, 5, 40 * likelihood.numbers) * 2
        owed[..., 40:] -= 2
        rows = torch.randint(0, levels, (5, 40)) / (levels - 1)
    return likelihood, owed, rows


def mixture(
    event_shape: tuple[int, ...], levels: int
) -> tuple[DiscretizedLogisticMixture, torch.Tensor, torch.Tensor]:
    likelihood = DiscretizedLogisticMixture(event_shape, levels=levels, components=3)
    with seeded(levels):
        owed = torch.randn(1, 5, *likelihood.parameter_shape)
        rows = torch.randint(0, levels, (5, *event_shape)) / (levels - 1)
    return likelihood, owed, rows


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("event_shape", [(12,), (1, 4, 3)])
def test_mixtures_are_near_theirs_and_are_popped_as_pushed(
    event_shape: tuple[int, ...], levels: int
) -> None:
    likelihood, owed, rows = mixture(event_shape, levels)
    coded = CodedLogistics(likelihood)(owed)
    codes = torch.arange(levels).view(-1, *[1] * (1 + len(event_shape)))
    every = (codes / (levels - 1)).expand(-1, 5, *event_shape)
    mass = torch.stack([torch.exp(coded.terms(x))[0] for x in every])
    exact = torch.stack([torch.exp(likelihood(owed).terms(x))[0] for x in every]).double()
    torch.testing.assert_close(mass.sum(0), torch.ones_like(mass[0]), atol=1e-12, rtol=0)
    kl = (exact * (exact.clamp_min(1e-30).log() - mass.log())).sum(0)
    assert kl.mean() < 3e-3
    round_trip(coded, rows)


def test_the_mean_is_that_of_the_likelihood() -> None:
    likelihood, owed, _ = logistic(17, "decoder")
    owed[..., :40].clamp_(-1, 1)
    owed[..., 40:] = -6.0
    found, wanted = CodedLogistics(likelihood)(owed).mean, likelihood(owed).mean
    torch.testing.assert_close(found.float(), wanted.float(), atol=0.5 / 16, rtol=0)


def test_a_mixture_of_colors_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="over colors has no exact form"):
        CodedLogistics(mixture((3, 4, 4), 256)[0])


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("scale", ["decoder", "global", "feature"])
def test_levels_are_near_the_logistic_and_sum_to_one(levels: int, scale: str) -> None:
    likelihood, owed, _ = logistic(levels, scale)
    coded = CodedLogistics(likelihood)(owed)
    every = torch.arange(levels).view(-1, 1, 1).expand(-1, 5, 40) / (levels - 1)
    mass = torch.stack([torch.exp(coded.terms(x))[0] for x in every])
    torch.testing.assert_close(mass.sum(0), torch.ones(5, 40).double(), atol=1e-12, rtol=0)
    exact = torch.stack([torch.exp(likelihood(owed).terms(x))[0] for x in every]).double()
    kl = (exact * (exact.clamp_min(1e-30).log() - mass.log())).sum(0)
    assert kl.mean() < 3e-3
    assert bool((mass > 0).all())


def test_bits_are_near_their_logits() -> None:
    owed = torch.linspace(-15, 15, 401).view(1, 1, -1)
    likelihood = Bernoulli((401,))
    coded, exact = CodedBernoulli(likelihood)(owed), likelihood(owed)
    chance = exact.mean.double()
    kl = sum(
        weight * (exact.terms(x).double() - coded.terms(x))
        for weight, x in ((chance, torch.ones(1, 401)), (1 - chance, torch.zeros(1, 401)))
    )
    assert kl.max() < 2e-4


def round_trip(coded: CodedEmission, rows: torch.Tensor) -> None:
    stack = Stack(seed_words(9))
    coded.encode(stack, rows)
    spent = stack.bits - 9 * 32
    expected = -float(coded.log_prob(rows).sum()) / math.log(2)
    assert spent == pytest.approx(expected, abs=64, rel=2e-4)
    assert torch.equal(coded.decode(stack), rows)
    assert stack.words().tolist() == seed_words(9).tolist()


@pytest.mark.parametrize("levels", LEVELS)
def test_levels_are_popped_as_pushed(levels: int) -> None:
    likelihood, owed, rows = logistic(levels, "decoder")
    round_trip(CodedLogistics(likelihood)(owed), rows)


def test_bits_are_popped_as_pushed() -> None:
    with seeded(0):
        owed, rows = 9 * torch.randn(1, 5, 70), torch.randint(0, 2, (5, 70)).float()
    round_trip(CodedBernoulli(Bernoulli((70,)))(owed), rows)


@pytest.mark.parametrize("wild", [1e9, -1e9])
def test_wild_numbers_still_code(wild: float) -> None:
    likelihood, owed, rows = logistic(256, "decoder")
    coded = CodedLogistics(likelihood)(torch.full_like(owed, wild))
    assert torch.isfinite(coded.log_prob(rows)).all()
    round_trip(coded, rows)
