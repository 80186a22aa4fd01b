"""Means with their standard errors, in words and in other units; Pareto tails that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import genpareto

from lowerbound.inference.estimate import (
    PRIOR_SHAPE,
    PRIOR_WEIGHT,
    Estimate,
    Tail,
    pareto_shape,
    tail_length,
)
from lowerbound.inference.likelihood import score
from lowerbound.inference.passes import dry_run, first_row
from tests.evaluation.small_models import binary_vae, bits, coder, vectors
from tests.oracles import linear_gaussian as oracle


def test_the_standard_error_is_that_of_the_mean() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 9.0])
    found = Estimate.of(values)
    assert found.mean == 4.0
    assert found.standard_error == pytest.approx(float(values.std()) / 2)
    assert Estimate.of(values[:1]) == Estimate(1.0, None)


@pytest.mark.parametrize("factor", [-1 / math.log(2), -1.0, 0.5])
def test_an_error_has_no_sign_in_any_unit(factor: float) -> None:
    assert Estimate(3.0, 2.0).scaled(factor) == Estimate(factor * 3.0, abs(factor) * 2.0)
    assert Estimate(3.0, None).scaled(factor) == Estimate(factor * 3.0, None)


def test_two_decimals_in_words() -> None:
    assert str(Estimate(1.234, 0.1)) == "1.23 ± 0.10"
    assert str(Estimate(1.234, None)) == "1.23"


pytestmark = pytest.mark.filterwarnings("ignore:the median effective sample size")


def without_prior(k: torch.Tensor, count: int) -> torch.Tensor:
    """The estimate before it is drawn to 0.5."""
    return ((count + PRIOR_WEIGHT) * k - PRIOR_WEIGHT * PRIOR_SHAPE) / count


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3, 0.7, 1.5])
def test_the_shape_of_generalized_pareto_draws(shape: float) -> None:
    count, rows = 500, 200
    draws = genpareto.rvs(shape, scale=2.0, size=(count, rows), random_state=3)
    largest = np.concatenate([-np.sort(-draws, axis=0), np.zeros((1, rows))]) + 1.0
    found = without_prior(pareto_shape(torch.from_numpy(largest).log()), count)
    # the variance of the maximum-likelihood estimate is (1 + k)^2 / n
    error = (1 + max(shape, 0.0)) / math.sqrt(count)
    assert abs(float(found.mean()) - shape) < 0.03
    assert float(found.std()) == pytest.approx(error, rel=0.35)


def test_it_is_the_fit_of_the_largest_likelihood() -> None:
    draws = genpareto.rvs(0.4, size=2_000, random_state=1)
    fitted = genpareto.fit(draws, floc=0)[0]
    largest = np.concatenate([-np.sort(-draws), [0.0]])[:, None] + 1.0
    found = without_prior(pareto_shape(torch.from_numpy(largest).log()), 2_000)
    assert float(found[0]) == pytest.approx(fitted, abs=0.01)


@pytest.mark.parametrize(
    ("count", "shape", "expected"),
    [
        (5, 0.0, 0.4744383638),
        (5, 0.7, 0.6490581541),
        (20, 0.0, 0.2275576463),
        (20, 0.7, 0.6339627047),
        (60, 0.0, 0.1022323508),
        (60, 0.7, 0.6693277373),
    ],
)
def test_small_tails_are_drawn_to_a_half_as_in_arviz(
    count: int, shape: float, expected: float
) -> None:
    """The values are ArviZ 0.19's for quantiles of the distribution, its weak prior included."""
    excess = genpareto.ppf((np.arange(count, 0, -1) - 0.5) / count, shape)
    largest = torch.from_numpy(np.append(excess, 0.0) + 1.0).unsqueeze(1)
    assert float(pareto_shape(largest.log())) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("index", [0.5, 1.0])
def test_weights_of_known_tail_index(index: float) -> None:
    """P(w > t) = t^(-1 / k) has the tail index k, whatever the weights' scale."""
    uniform = torch.rand(20_000, 50, generator=torch.Generator().manual_seed(0)).double()
    tail = Tail(20_000)
    tail.add(-index * uniform.log() - 700.0)
    found = tail.shape()
    assert found is not None
    assert float(found.mean()) == pytest.approx(index, abs=0.06)


@pytest.mark.parametrize("deviation", [0.5, 0.9])
def test_weights_of_a_model_whose_tail_is_known(deviation: float) -> None:
    """q = N(m, s^2) for a posterior N(m, 1/2): weights have the index 1 - 2 s^2 where s^2 < 1/2.

    log w is a constant plus (1/(2 s^2) - 1) e^2 with e = z - m ~ N(0, s^2); that the logarithm of
    a chi-square's tail is not straight leaves the estimate a little low.
    """
    model = coder(1, deviation, gain=0.5)
    k = score(model, vectors(torch.zeros(1, 1).double()), samples=200_000).pareto_k
    assert k is not None
    if deviation**2 < 0.5:
        assert float(k[0]) == pytest.approx(1 - 2 * deviation**2, abs=0.1)
    else:
        assert float(k[0]) < 0.3  # bounded weights


def test_an_exact_posterior_has_no_tail() -> None:
    scores = score(oracle.model("exact"), vectors(oracle.data(20)), samples=100)
    assert scores.pareto_k is not None
    assert float(scores.pareto_k.max()) < 0.5
    assert torch.equal(pareto_shape(torch.zeros(11, 3).double()), torch.zeros(3).double())


def test_chunks_change_nothing() -> None:
    model = binary_vae().double()
    rows = bits((torch.rand(9, 12) < 0.4).float())
    small = 7 * dry_run(model, first_row(rows, model)).bytes
    whole, chunked = score(model, rows, samples=60), score(model, rows, samples=60, memory=small)
    assert whole.pareto_k is not None
    assert torch.allclose(whole.pareto_k, chunked.pareto_k, rtol=1e-6)


def test_the_threshold_is_the_largest_weight_below_the_tail() -> None:
    weights = torch.randn(100, 3, generator=torch.Generator().manual_seed(1)).double()
    tail = Tail(100)
    tail.add(weights)
    found = tail.shape()
    assert found is not None
    assert torch.equal(found, pareto_shape(weights.sort(0, descending=True).values[:21]))


def test_few_draws_have_no_tail() -> None:
    assert tail_length(20) == 0
    assert tail_length(100) == 20
    assert tail_length(5_000) == 213
    scores = score(oracle.model("mean_field"), vectors(oracle.data(20)), samples=20)
    assert scores.pareto_k is None
    assert scores.summary().median_pareto_k is None


def test_the_summary_warns_of_many_heavy_tails() -> None:
    rows = vectors(oracle.data(40))
    poor = score(oracle.model("mean_field", 0.3), rows, samples=400).summary()
    assert poor.share_pareto_k_high is not None
    assert poor.share_pareto_k_high > 0.5
    assert "heavy-tailed" in poor.warning
    good = score(oracle.model("mean_field", 1.2), rows, samples=400).summary()
    assert good.share_pareto_k_high == 0.0
    assert good.warning == ""
