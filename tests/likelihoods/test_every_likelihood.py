"""What holds for every registered likelihood, whichever it is."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy import integrate
from torch import Tensor

from lowerbound.config import construct
from lowerbound.errors import DataError, OptionError
from lowerbound.likelihoods import LIKELIHOODS, Likelihood
from tests.likelihoods.cases import (
    CASES,
    COUNTS,
    SHAPES,
    Case,
    owed,
    owners,
    support,
    takes,
    with_shapes,
)

MASSES = [case for case in CASES if case.mass]
# a histogram is summed over its cells in test_histogram
DENSITIES = [c for c in CASES if not c.mass and c.name != "autoregressive_columns"]
BOUNDED = [case for case in CASES if not takes(case.build((4,)), 1.5)]

every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_case_and_shape = with_shapes(SHAPES)


@with_shapes([(1,), (1, 1, 1), (3, 1, 1)], MASSES)
def test_mass_sums_to_one(case: Case, shape: tuple[int, ...]) -> None:
    likelihood = case.build(shape).double()
    assert likelihood.mass
    values = support(likelihood)
    endless = len(values[0]) == COUNTS
    if endless and len(values) > 1:
        pytest.skip("counts of several features are too many to sum over")
    rows = torch.tensor(list(itertools.product(*values)))
    rows = rows.reshape(-1, 1, *shape)  # every picture there is, each as a sample of one row
    parameters = owed(likelihood, 1).expand(len(rows), -1, *likelihood.parameter_shape)
    for spread in (0.1, 1.0) if endless else (0.1, 1.0, 10.0):
        total = likelihood(parameters * spread).log_prob(rows).exp().sum()
        torch.testing.assert_close(total.item(), 1.0, rtol=0, atol=1e-10)


@pytest.mark.parametrize("case", DENSITIES, ids=str)
@pytest.mark.parametrize("number", [-2.0, 0.0, 1e-3, 0.7, 3.0])
def test_density_integrates_to_one(case: Case, number: float) -> None:
    likelihood = case.build((1,)).double()
    assert not likelihood.mass
    emission = likelihood(torch.full((1, 1, *likelihood.parameter_shape), number).double())

    def density(value: float) -> float:
        return emission.log_prob(torch.tensor([[value]], dtype=torch.float64)).exp().item()

    low, high = (-math.inf, math.inf) if takes(likelihood, 1.5) else (0.0, 1.0)
    middle = emission.mean.item()
    total = sum(integrate.quad(density, a, b)[0] for a, b in [(low, middle), (middle, high)])
    assert total == pytest.approx(1.0, abs=1e-7)


@every_case_and_shape
def test_terms_sum_to_log_prob(case: Case, shape: tuple[int, ...]) -> None:
    likelihood = case.build(shape).double()
    emission = likelihood(owed(likelihood, 5, samples=3))
    x = emission.sample()[0]
    observed = torch.rand(x.shape) < 0.6
    for mask in (None, observed):
        log_prob = emission.log_prob(x, mask)
        assert log_prob.shape == (3, 5)
        torch.testing.assert_close(emission.terms(x, mask).flatten(2).sum(-1), log_prob)
    everything = torch.ones_like(observed)
    torch.testing.assert_close(emission.log_prob(x, everything), emission.log_prob(x))


@every_case_and_shape
def test_shapes_are_honoured(case: Case, shape: tuple[int, ...]) -> None:
    likelihood = case.build(shape)
    parameters = owed(likelihood, 5, samples=3).float()
    emission = likelihood(parameters)
    assert emission.batch_shape == (3, 5)
    assert emission.event_shape == shape
    assert parameters[0, 0].numel() == math.prod(likelihood.parameter_shape)
    for answer in (emission.mean, emission.variance, emission.sample()):
        assert answer.shape == (3, 5, *shape)
        assert answer.dtype == torch.float32
    assert emission.sample((2,)).shape == (2, 3, 5, *shape)
    likelihood.check(emission.sample())


@with_shapes([(2,), (3, 1, 1)])
def test_score_has_mean_zero(case: Case, shape: tuple[int, ...]) -> None:
    """E[d log p(x) / d parameters] = 0, which a lost normalizer or a wrong sampler breaks."""
    likelihood = case.build(shape).double()
    draws = 20_000
    parameters = owed(likelihood, 1, seed=1).requires_grad_()
    x = likelihood(parameters).sample((draws,)).reshape(1, draws, *shape)
    repeated = parameters.expand(1, draws, *likelihood.parameter_shape).detach().requires_grad_()
    likelihood(repeated).log_prob(x[0]).sum().backward()
    assert repeated.grad is not None
    score = repeated.grad[0]
    standard_error = score.std(0) / math.sqrt(draws) + 1e-12
    assert (score.mean(0) / standard_error).abs().max() < 5


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_score_of_own_parameters_has_mean_zero(case: Case) -> None:
    likelihood = case.build((2,)).double()
    own = [parameter for parameter in likelihood.parameters() if parameter.requires_grad]
    if not own:
        return
    draws = 20_000
    emission = likelihood(owed(likelihood, 1).expand(1, draws, -1))
    x = emission.sample()[0]
    log_prob = emission.log_prob(x).squeeze(0)
    parts = [
        torch.autograd.grad(part.mean(), own, retain_graph=True) for part in log_prob.split(1000)
    ]
    for scores in map(torch.stack, zip(*parts, strict=True)):
        standard_error = scores.std(0) / math.sqrt(len(scores)) + 1e-12
        assert (scores.mean(0) / standard_error).abs().max() < 5


@every_case_and_shape
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_own_samples_are_finite(case: Case, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    likelihood = case.build(shape, levels=256).to(dtype)
    parameters = (10 * owed(likelihood, 200)).to(dtype).requires_grad_()
    emission = likelihood(parameters)
    log_prob = emission.log_prob(emission.sample()[0])
    assert log_prob.isfinite().all()
    log_prob.sum().backward()
    assert parameters.grad is not None
    assert parameters.grad.isfinite().all()
    # any other row of the data is finite too, however far from what the decoder says
    assert emission.log_prob(emission.sample()[0].flip(0)).isfinite().all()


@every_case_and_shape
def test_hidden_cells_reach_nothing(case: Case, shape: tuple[int, ...]) -> None:
    likelihood = case.build(shape).double()
    parameters = owed(likelihood, 6).requires_grad_()
    x = likelihood(parameters).sample()[0]
    observed = torch.rand(6, 1, *shape[1:]).expand(6, *shape) < 0.5  # whole pixels
    observed = observed if len(shape) == 3 else torch.rand(6, *shape) < 0.5
    hidden = torch.where(observed, x, torch.nan).requires_grad_()
    emission = likelihood(parameters)
    terms = emission.terms(hidden, observed)
    seen = observed if terms.shape[2:] == observed.shape[1:] else observed[:, :1]
    assert (terms.squeeze(0)[~seen] == 0).all()
    # the same as never having asked: the terms of the full row, at the observed cells
    full = torch.where(seen, emission.terms(x), 0.0)
    torch.testing.assert_close(terms, full)
    emission.log_prob(hidden, observed).sum().backward()
    assert parameters.grad is not None
    assert parameters.grad.isfinite().all()
    assert hidden.grad is None or (hidden.grad[~observed] == 0).all()
    _assert_blind(likelihood, parameters.grad.squeeze(0), observed)


def _assert_blind(likelihood: Likelihood, gradient: Tensor, observed: Tensor) -> None:
    """Numbers owed for a hidden pixel have no gradient: each is at the pixel it is owed for."""
    pixels = math.prod(likelihood.event_shape[1:] or likelihood.event_shape)
    hidden = ~observed.reshape(len(observed), -1, pixels)[:, 0]
    assert (gradient.flatten(1)[hidden[:, owners(likelihood)]] == 0).all()


@every_case_and_shape
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str
)
def test_rows_are_independent(
    case: Case, shape: tuple[int, ...], dtype: torch.dtype, tolerance: float
) -> None:
    likelihood = case.build(shape).to(dtype)
    parameters = owed(likelihood, 9).to(dtype)
    x = likelihood(parameters).sample()[0]
    together = likelihood(parameters).log_prob(x)[0]
    backwards = likelihood(parameters.flip(1)).log_prob(x.flip(0))[0].flip(0)
    alone = torch.cat(
        [likelihood(parameters[:, i : i + 1]).log_prob(x[i : i + 1])[0] for i in range(9)]
    )
    torch.testing.assert_close(backwards, together, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(alone, together, rtol=tolerance, atol=tolerance)


@with_shapes([(2,), (3, 1, 1)])
def test_moments_are_those_of_the_samples(case: Case, shape: tuple[int, ...]) -> None:
    likelihood = case.build(shape, levels=17).double()
    draws = 100_000
    emission = likelihood(owed(likelihood, 2, seed=3))
    x = emission.sample((draws,))
    mean, variance = emission.mean.detach(), emission.variance.detach()
    # The color mixture's moments are a quadrature: a few percent of the standard deviation.
    share = 0.04 if "mixture" in str(case) else 0.0
    distance = (x - x.mean(0)).square()
    rare = 20 / draws  # what is too rare to be drawn has no standard error in the draws
    mean_error = (x.mean(0) - mean).abs()
    averaged, spread = case.averaged(shape[0]), case.spread(shape[0])
    far = mean_error > 5 * x.std(0) / math.sqrt(draws) + share * x.std(0) + rare
    assert not far[:, :, averaged].any()
    variance_error = (distance.mean(0) - variance).abs()
    standard_error = distance.std(0) / math.sqrt(draws)
    far = variance_error > 5 * standard_error + 2 * share * x.var(0) + rare
    assert not far[:, :, spread].any()


@every_case_and_shape
def test_mean_is_differentiable(case: Case, shape: tuple[int, ...]) -> None:
    likelihood = case.build(shape)
    parameters = (0.1 * owed(likelihood, 2)).float().requires_grad_()
    mean = likelihood(parameters).mean
    if not case.averaged(shape[0]).any():  # codes, which no small change moves
        assert not mean.requires_grad
        return
    mean.sum().backward()
    assert parameters.grad is not None
    assert parameters.grad.isfinite().all()
    assert (parameters.grad != 0).any()


@every_case_and_shape
def test_float32_is_close_to_float64(case: Case, shape: tuple[int, ...]) -> None:
    likelihood = case.build(shape, levels=256).double()
    parameters = owed(likelihood, 50)
    emission = likelihood(parameters)
    x = emission.sample()[0]
    exact = emission.log_prob(x)
    single = likelihood.float()(parameters.float()).log_prob(x.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-4)


@every_case
def test_half_precision_ends_where_probability_begins(case: Case) -> None:
    likelihood = case.build((4,))
    parameters = owed(likelihood, 3).bfloat16()
    emission = likelihood(parameters)
    log_prob = emission.log_prob(emission.sample()[0])
    assert log_prob.dtype == torch.float32
    exact = likelihood(parameters.float()).log_prob(likelihood(parameters.float()).sample()[0])
    assert exact.dtype == torch.float32


@every_case_and_shape
def test_starting_from_the_data_beats_zeros(case: Case, shape: tuple[int, ...]) -> None:
    likelihood = case.build(shape).double()
    # rows that look alike, far from what zeros say
    x = likelihood(owed(likelihood, 1, seed=4).mul(2).expand(1, 500, *likelihood.parameter_shape))
    data = x.sample()[0]
    fresh = case.build(shape).double()
    zeros = fresh(torch.zeros(1, 1, *fresh.parameter_shape).double()).log_prob(data).mean()
    fresh.initialize(data)
    bias = fresh.initial_bias(data)
    assert bias is not None
    assert bias.shape == fresh.parameter_shape
    assert bias.isfinite().all()
    start = fresh(bias.double().expand(1, 1, *fresh.parameter_shape)).log_prob(data).mean()
    assert start > zeros


@every_case
def test_start_survives_constant_features(case: Case) -> None:
    likelihood = case.build((4,))
    data = torch.zeros(30, 4)
    likelihood.initialize(data)
    bias = likelihood.initial_bias(data)
    assert bias is not None
    log_prob = likelihood(bias.expand(1, 1, *likelihood.parameter_shape)).log_prob(data)
    assert log_prob.isfinite().all()
    assert likelihood(bias.expand(1, 1, *bias.shape)).log_prob(torch.ones(1, 4)).isfinite().all()


@every_case_and_shape
def test_compiles_into_one_graph(case: Case, shape: tuple[int, ...]) -> None:
    likelihood = case.build(shape)
    parameters = owed(likelihood, 3).float()
    x = likelihood(parameters).sample()[0]

    def log_prob(parameters: Tensor, x: Tensor) -> Tensor:
        answer: Tensor = likelihood(parameters).log_prob(x)
        return answer

    torch.compiler.reset()
    compiled = torch.compile(log_prob, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(parameters, x), log_prob(parameters, x))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_unknown_option_is_named(name: str) -> None:
    with pytest.raises(OptionError, match="flor"):
        construct(LIKELIHOODS[name], (4,), options={"flor": 1})


@pytest.mark.parametrize("case", BOUNDED, ids=str)
def test_values_outside_the_support_are_refused(case: Case) -> None:
    likelihood = case.build((4,))
    likelihood.check(torch.zeros(2, 4))
    likelihood.check(torch.ones(2, 4))
    for value in (-0.5, 1.5, math.nan):
        with pytest.raises(DataError, match="values"):
            likelihood.check(torch.tensor([[0.0, 0.0, value, 1.0]]))
