"""Scales of real-valued likelihoods: fixed as in the textbook, learned, floored, started."""

from __future__ import annotations

import math

import pytest
import torch

from lowerbound.data.schema import Schema
from lowerbound.errors import DataError, OptionError
from lowerbound.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Categorical,
    Gaussian,
    Laplace,
    LearnedScale,
    LocationScale,
    StudentT,
)
from tests.likelihoods.cases import CASES


def test_fixed_gaussian_is_the_textbooks_squared_error() -> None:
    """log p = -|x - mu|^2 / (2 tau^2) - D log tau - D/2 log(2 pi): every constant is kept."""
    tau = 0.1
    likelihood = Gaussian((784,), scale="fixed", tau=tau)
    loc, x = torch.rand(1, 3, 784), torch.rand(3, 784)
    expected = -(x - loc).square().sum(-1) / (2 * tau**2) - 784 * (
        math.log(tau) + 0.5 * math.log(2 * math.pi)
    )
    torch.testing.assert_close(likelihood(loc).log_prob(x), expected, rtol=1e-5, atol=0.01)
    assert not [p for p in likelihood.parameters() if p.requires_grad]
    constant = likelihood(x[None]).log_prob(x)
    assert constant[0, 0].item() == pytest.approx(-720.4 + 784 * math.log(1 / tau), abs=0.1)


@pytest.mark.parametrize("part", [Gaussian, Laplace, StudentT])
def test_learned_scale_reaches_its_best_value(part: type[LocationScale]) -> None:
    """One number is learned, and its optimum is that of maximum likelihood."""
    likelihood = part((3,), scale="global").double()
    generator = torch.Generator().manual_seed(0)
    x = 2.0 * torch.randn(20_000, 3, dtype=torch.float64, generator=generator)
    own = [parameter for parameter in likelihood.parameters() if parameter.requires_grad]
    optimizer = torch.optim.LBFGS(own, max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = -likelihood(torch.zeros(1, 1, 3).double()).log_prob(x).mean()
        value.backward()
        return value

    optimizer.step(loss)
    best = {
        Gaussian: x.square().mean().sqrt(),
        Laplace: x.abs().mean(),
        StudentT: torch.tensor(2.0),  # the data are Gaussian: the tails vanish
    }[part]
    tolerance = 0.05 if part is StudentT else 1e-4
    assert likelihood.scale().item() == pytest.approx(best.item(), rel=tolerance)


def test_floor_holds_a_perfectly_copied_feature() -> None:
    likelihood = Gaussian((2,), scale="feature", floor=0.05)
    with torch.no_grad():
        likelihood.scale.raw.fill_(-1e4)
    torch.testing.assert_close(likelihood.scale(), torch.full((2,), 0.05))
    x = torch.zeros(1, 2)
    bound = 2 * (-math.log(0.05) - 0.5 * math.log(2 * math.pi))
    assert likelihood(x[None]).log_prob(x).item() == pytest.approx(bound, rel=1e-5)


def test_start_is_the_spread_of_the_data() -> None:
    x = torch.tensor([1.0, 10.0, 0.01]) * torch.randn(5000, 3)
    per_feature, one = Gaussian((3,), scale="feature"), Gaussian((3,), scale="global")
    for likelihood in (per_feature, one):
        likelihood.initialize(x)
    torch.testing.assert_close(per_feature.scale(), x.std(0, correction=0), rtol=1e-4, atol=1e-6)
    rms = x.std(0, correction=0).square().mean().sqrt()
    assert one.scale().item() == pytest.approx(rms.item(), rel=1e-4)
    fixed = Gaussian((3,), scale="fixed", tau=0.2)
    fixed.initialize(x)
    assert fixed.scale().unique().item() == pytest.approx(0.2)


def test_laplace_starts_at_median_and_absolute_deviation() -> None:
    x = torch.tensor([[0.0], [0.0], [0.0], [1.0], [100.0]])
    likelihood = Laplace((1,))
    likelihood.initialize(x)
    assert likelihood.initial_bias(x).item() == 0
    assert likelihood.scale().item() == pytest.approx(101 / 5, rel=1e-5)


def test_degrees_of_freedom_are_learned_or_fixed() -> None:
    assert StudentT((2,), df=2.5).degrees().item() == pytest.approx(2.5)
    assert StudentT((2,)).degrees().item() == pytest.approx(5.0, rel=1e-6)
    learned, fixed = StudentT((2,)), StudentT((2,), df=4.0)
    for likelihood, expected in ((learned, True), (fixed, False)):
        likelihood(torch.zeros(1, 1, 2)).log_prob(torch.randn(50, 2)).sum().backward()
        assert (likelihood.raw_df.grad is not None) is expected
    with torch.no_grad():
        learned.raw_df.fill_(-1e6)
    assert learned.degrees().item() > 2  # so that the variance stays finite
    assert learned(torch.zeros(1, 1, 2)).variance.isfinite().all()


def test_student_t_shrugs_off_an_outlier() -> None:
    x = torch.tensor([[100.0]])
    at = torch.zeros(1, 1, 1)
    gaussian, heavy = Gaussian((1,), scale="fixed"), StudentT((1,), scale="fixed", df=3.0)
    assert gaussian(at).log_prob(x).item() < -5000
    assert heavy(at).log_prob(x).item() > -20


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Gaussian((2,), scale="globl"), "did you mean 'global'"),  # type: ignore[arg-type]
        (lambda: Gaussian((2,), tau=0.0), "positive"),
        (lambda: Laplace((2,), floor=-1.0), "positive"),
        (lambda: StudentT((2,), df=2.0), "above 2"),
        (lambda: LearnedScale("nearly", (2,)), "unknown scale"),
    ],
)
def test_options_out_of_range(build: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build()  # type: ignore[operator]


@pytest.mark.parametrize(
    "name", dict.fromkeys(case.name for case in CASES if case.shapes([(1, 4, 4)]) == [(1, 4, 4)])
)
def test_pictures_build_every_likelihood_that_takes_them(name: str) -> None:
    pictures = Schema("images", (1, 4, 4), levels=256)
    likelihood = LIKELIHOODS[name].from_schema(pictures, {})
    assert likelihood.event_shape == (1, 4, 4)
    assert getattr(likelihood, "levels", 256) == 256


def test_real_numbers_have_no_levels() -> None:
    table = Schema("table", (3,))
    with pytest.raises(DataError, match="real numbers"):
        Categorical.from_schema(table, {})
    told = Categorical.from_schema(table, {"levels": 4})
    assert isinstance(told, Categorical)
    assert told.levels == 4


def test_binarized_pictures_have_two_levels() -> None:
    schema = Schema("images", (1, 2, 2), levels=256, binarize="threshold")
    likelihood = Categorical.from_schema(schema, {})
    assert isinstance(likelihood, Categorical)
    assert likelihood.levels == 2


def test_grey_values_under_bernoulli_are_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"binarize.*discretized_logistic.*continuous_bernoulli"):
        Bernoulli((2,)).check(torch.tensor([[0.0, 0.4]]))
