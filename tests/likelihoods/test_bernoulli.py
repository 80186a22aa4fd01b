"""The fast sum over bits against the cross entropy in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.likelihoods import bernoulli
from lowerbound.likelihoods.bernoulli import BernoulliEmission

SAMPLES, ROWS = 9, 5


def exact(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x | z) in float64."""
    wide = torch.broadcast_tensors(logits.double(), x.double())
    return -F.binary_cross_entropy_with_logits(*wide, reduction="none").flatten(2).sum(-1)


def logits_and_bits(scale: float, *shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits = scale * torch.randn(SAMPLES, ROWS, *shape, generator=generator)
    return logits, (torch.rand(ROWS, *shape, generator=generator) < 0.4).float()


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 80.0, 1e4])
@pytest.mark.parametrize("at_once", [1, 200, 1 << 17])
@pytest.mark.parametrize("shape", [(3,), (8,), (21,), (784,), (1, 28, 28)])
def test_the_sum_without_gradients_is_that_of_float64(
    monkeypatch: pytest.MonkeyPatch, scale: float, at_once: int, shape: tuple[int, ...]
) -> None:
    monkeypatch.setattr(bernoulli, "NUMBERS_AT_ONCE", at_once)
    logits, x = logits_and_bits(scale, *shape)
    before = logits.clone()
    with torch.no_grad():
        assert bernoulli._fast(logits, x)
        found = BernoulliEmission(logits).log_prob(x)
    torch.testing.assert_close(found.double(), exact(logits, x), rtol=1e-6, atol=1e-4)
    assert torch.equal(logits, before)


def test_a_row_depends_neither_on_others_nor_on_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, x = logits_and_bits(1.0, 784)
    logits[2, 1] = 1e3  # exp overflows there
    with torch.no_grad():
        together = BernoulliEmission(logits).log_prob(x)
        alone = BernoulliEmission(logits[2:4, 1:2].contiguous()).log_prob(x[1:2])
        monkeypatch.setattr(bernoulli, "NUMBERS_AT_ONCE", 1)
        apart = BernoulliEmission(logits).log_prob(x)
    assert torch.equal(together, apart)
    assert torch.equal(together[2:4, 1:2], alone)


def test_infinite_logits_and_no_number() -> None:
    logits, x = logits_and_bits(1.0, 6)
    logits[0, 0, 0], logits[1, 0, 0], logits[2, 0, 0] = torch.inf, -torch.inf, torch.nan
    x[0, 0] = 1.0
    with torch.no_grad():
        found = BernoulliEmission(logits).log_prob(x)
    assert float(found[0, 0]) > -50
    assert float(found[1, 0]) == -torch.inf
    assert bool(found[2, 0].isnan())
    assert bool(found[3:].isfinite().all())


def test_with_gradients_and_for_grey_values_it_is_the_cross_entropy() -> None:
    logits, x = logits_and_bits(2.0, 20)
    logits.requires_grad_()
    value = BernoulliEmission(logits).log_prob(x)
    value.sum().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, (x - torch.sigmoid(logits)).detach())
    with torch.no_grad():
        grey = x * 0.5
        assert not bernoulli._fast(logits, grey)
        torch.testing.assert_close(
            BernoulliEmission(logits).log_prob(grey), exact(logits, grey).float()
        )
