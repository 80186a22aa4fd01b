"""Numbers as distributions over exponentially spaced values."""

from __future__ import annotations

import pytest
import torch

from lowerbound.distributions.one_hot import TwoHot, symexp, symlog, values_of

VALUES = values_of(127, 12.0, torch.device("cpu"))


def test_symexp_undoes_symlog() -> None:
    x = torch.tensor([-1e4, -3.0, -1e-3, 0.0, 0.5, 1e4], dtype=torch.float64)
    torch.testing.assert_close(symexp(symlog(x)), x)


@pytest.mark.parametrize("target", [-500.0, -1.0, 0.0, 0.3, 1.0, 7.25, 1e4])
def test_the_likeliest_logits_have_the_target_as_mean(target: float) -> None:
    """Gradient descent on -log p of one target ends at the two-hot, whose mean is the target."""
    logits = torch.zeros(127, requires_grad=True)
    value = torch.tensor(target)
    (gradient,) = torch.autograd.grad(-TwoHot(logits).log_prob(value), logits)
    shares = torch.full((127,), 1 / 127) - gradient
    assert int((shares > 1e-6).sum()) in (1, 2)
    torch.testing.assert_close(shares @ VALUES, value, rtol=1e-4, atol=1e-2)


def test_the_mean_and_the_variance_are_those_of_the_values() -> None:
    found = TwoHot(torch.randn(5, 127, generator=torch.Generator().manual_seed(0)))
    probabilities = torch.softmax(found.logits, -1)
    expected = (probabilities.double() * VALUES.double()).sum(-1)
    torch.testing.assert_close(found.mean.double(), expected, rtol=1e-5, atol=1e-2)
    assert float(TwoHot(torch.zeros(127)).mean) == 0
    apart = VALUES - found.mean.unsqueeze(-1)
    spread = (probabilities * apart.square()).sum(-1)
    torch.testing.assert_close(found.variance, spread, rtol=1e-4, atol=0)


def test_numbers_beyond_the_ends_count_as_the_end() -> None:
    found = TwoHot(torch.randn(127, generator=torch.Generator().manual_seed(0)))
    high = found.log_prob(torch.tensor(1e9))
    torch.testing.assert_close(high, torch.log_softmax(found.logits, -1)[-1])
