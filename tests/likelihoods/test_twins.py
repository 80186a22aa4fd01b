"""Each likelihood against an independent implementation of the same distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Categorical as TorchCategorical

from lowerbound.likelihoods import (
    Bernoulli,
    BernoulliEmission,
    CategoricalEmission,
    ContinuousBernoulliEmission,
    DiscretizedLogisticEmission,
    GaussianEmission,
    LaplaceEmission,
    StudentTEmission,
)
from lowerbound.trace import Emission

LOC = torch.tensor([[[-1.5, 0.0, 0.3, 20.0]]], dtype=torch.float64)
SCALE = torch.tensor([0.01, 1.0, 2.5, 0.3], dtype=torch.float64)
X = torch.tensor([[-1.49, 0.7, -4.0, 25.0], [3.0, 0.0, 0.3, 20.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("emission", "twin"),
    [
        (GaussianEmission(LOC, SCALE), stats.norm(LOC[0].numpy(), SCALE.numpy())),
        (LaplaceEmission(LOC, SCALE), stats.laplace(LOC[0].numpy(), SCALE.numpy())),
        (
            StudentTEmission(LOC, SCALE, torch.tensor(3.5, dtype=torch.float64)),
            stats.t(3.5, LOC[0].numpy(), SCALE.numpy()),
        ),
        (
            StudentTEmission(LOC, SCALE, torch.tensor(1e6, dtype=torch.float64)),
            stats.t(1e6, LOC[0].numpy(), SCALE.numpy()),
        ),
    ],
    ids=["norm", "laplace", "t", "t-nearly-normal"],
)
def test_scipy_twin(emission: Emission, twin: stats.rv_continuous) -> None:
    expected = torch.from_numpy(twin.logpdf(X.numpy()))
    torch.testing.assert_close(emission.terms(X)[0], expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(emission.log_prob(X)[0], expected.sum(1), rtol=1e-9, atol=1e-9)
    variance = torch.from_numpy(np.broadcast_to(twin.var(), (1, 4)).copy())
    torch.testing.assert_close(emission.variance[0], variance)


@pytest.mark.parametrize("df", [3.0, 999.0, 1001.0, 1e5])
def test_a_t_has_scipys_density_for_any_degrees_of_freedom(df: float) -> None:
    x = torch.linspace(-4, 4, 9, dtype=torch.float64)[None]
    found = t_of(df).terms(x)[0, 0]
    np.testing.assert_allclose(found, stats.t(df).logpdf(x[0]), rtol=1e-9)


@pytest.mark.parametrize("df", [1e12, 1e15, 1e16, 1e30])
def test_a_t_of_many_degrees_of_freedom_is_normal(df: float) -> None:
    """scipy's log-gammas lose their digits here."""
    x = torch.linspace(-4, 4, 9, dtype=torch.float64)[None]
    np.testing.assert_allclose(t_of(df).terms(x)[0, 0], stats.norm.logpdf(x[0]), rtol=1e-9)


def t_of(df: float) -> StudentTEmission:
    center = torch.zeros(1, 1, 9, dtype=torch.float64)
    return StudentTEmission(center, torch.ones(9).double(), torch.tensor(df).double())


def test_bernoulli_is_scipys() -> None:
    logits = torch.tensor([[[-40.0, -1.0, 0.0, 3.0]]], dtype=torch.float64)
    emission = BernoulliEmission(logits)
    x = torch.tensor([[0.0, 1.0, 1.0, 0.0]], dtype=torch.float64)
    twin = stats.bernoulli(torch.sigmoid(logits[0]).numpy())
    expected = torch.from_numpy(twin.logpmf(x.numpy()))
    torch.testing.assert_close(emission.terms(x)[0], expected, rtol=1e-9, atol=1e-15)
    # a probability of e^-1000 still has a logarithm
    assert BernoulliEmission(torch.tensor([[[-1000.0]]])).log_prob(torch.ones(1, 1)) == -1000


def test_plain_bernoulli_is_the_stock_formula() -> None:
    logits = torch.randn(1, 100, 784)
    x = torch.bernoulli(torch.rand(100, 784))
    stock = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[0], x, reduction="none"
    ).sum(1)
    assert torch.equal(-Bernoulli((784,))(logits).log_prob(x)[0], stock)


@pytest.mark.parametrize(
    "logit", [-300.0, -20.0, -1.0, -0.7, -1e-9, 0.0, 1e-4, 0.59, 0.61, 5.0, 90.0]
)
def test_continuous_bernoulli_is_a_truncated_exponential(logit: float) -> None:
    x = torch.linspace(0, 1, 7, dtype=torch.float64)
    emission = ContinuousBernoulliEmission(torch.full((1, 1, 7), logit, dtype=torch.float64))
    # on [0, 1] the density is proportional to e^(l x): mirrored where it rises
    rate, mirrored = max(abs(logit), 1e-12), (1 - x if logit > 0 else x)
    twin = stats.truncexpon(b=rate, scale=1 / rate)
    expected = torch.from_numpy(twin.logpdf(mirrored.numpy()))
    torch.testing.assert_close(emission.terms(x[None])[0, 0], expected, rtol=1e-9, atol=1e-9)
    if abs(logit) > 1e-3:  # scipy's own moments cancel below
        mean = float(twin.mean())
        mean = 1 - mean if logit > 0 else mean
        assert emission.mean[0, 0, 0].item() == pytest.approx(mean, rel=1e-7)
        assert emission.variance[0, 0, 0].item() == pytest.approx(float(twin.var()), rel=1e-5)


def test_continuous_bernoulli_normalizer_joins_smoothly() -> None:
    """The series around 1/2 and the closed form agree where they meet, slopes included."""
    logits = torch.tensor([0.6 - 1e-9, 0.6 + 1e-9], dtype=torch.float64).reshape(2, 1, 1)
    logits.requires_grad_()
    emission = ContinuousBernoulliEmission(logits)
    log_prob = emission.log_prob(torch.full((1, 1), 0.3, dtype=torch.float64))
    (slope,) = torch.autograd.grad(log_prob.sum(), logits)
    for pair in (log_prob, slope, emission.mean, emission.variance):
        torch.testing.assert_close(pair[0], pair[1], rtol=0, atol=1e-8)


def test_categorical_is_torchs() -> None:
    logits = torch.randn(2, 3, 5, 4, 2, dtype=torch.float64)  # 5 levels, event (4, 2)
    code = torch.randint(5, (3, 4, 2))
    emission = CategoricalEmission(logits)
    twin = TorchCategorical(logits=logits.movedim(2, -1))
    torch.testing.assert_close(emission.terms(code / 4.0), twin.log_prob(code))
    torch.testing.assert_close(emission.probabilities, twin.probs)


@pytest.mark.parametrize("levels", [2, 7, 50, 256])
def test_every_level_finds_its_probability(levels: int) -> None:
    """k / (levels - 1) is no whole multiple in binary: it is rounded back, not cut off."""
    logits = torch.randn(levels)
    emission = CategoricalEmission(logits.reshape(1, 1, levels, 1))
    x = (torch.arange(levels) / (levels - 1)).unsqueeze(1)
    torch.testing.assert_close(emission.terms(x)[0, :, 0], torch.log_softmax(logits, 0))


@pytest.mark.parametrize("scale", [0.001, 0.02, 0.3, 5.0])
def test_discretized_logistic_is_a_difference_of_scipys(scale: float) -> None:
    levels = 256
    loc = torch.tensor([-0.5, 0.0, 0.4, 1.0, 1.3], dtype=torch.float64)
    emission = DiscretizedLogisticEmission(
        loc.reshape(1, 1, 5), torch.full((1, 1, 5), scale, dtype=torch.float64), levels
    )
    code = np.arange(levels)
    edges = np.concatenate([[-np.inf], (code[:-1] + 0.5) / (levels - 1), [np.inf]])
    for j, center in enumerate(loc.tolist()):
        twin = stats.logistic(center, scale)
        mass = twin.cdf(edges[1:]) - twin.cdf(edges[:-1])
        x = torch.zeros(levels, 5, dtype=torch.float64)
        x[:, j] = torch.from_numpy(code / (levels - 1))
        ours = emission.terms(x)[0, :, j].exp()
        torch.testing.assert_close(ours, torch.from_numpy(mass), rtol=1e-9, atol=1e-12)
