"""The distribution of each kind of column against an independent implementation of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import LOWEST
from lowerbound.data.columns.mixed import ATOM
from lowerbound.errors import DataError
from lowerbound.likelihoods import Gaussian
from lowerbound.likelihoods.columns.continuous import AtomEmission
from lowerbound.likelihoods.columns.count import NegativeBinomialEmission, log_mass
from lowerbound.likelihoods.columns.levels import (
    BinaryColumnsEmission,
    CategoricalColumnsEmission,
    EmbeddedColumn,
    OrdinalColumns,
)
from lowerbound.likelihoods.mixed import Mixed
from tests.likelihoods.cases import column, owed


def numbers(*values: float) -> Tensor:
    """One sample of one row, float64."""
    return torch.tensor(values, dtype=torch.float64).reshape(1, 1, -1)


def test_real_columns_are_the_gaussian_of_one_scale_per_feature() -> None:
    x = torch.randn(300, 5, dtype=torch.float64) * torch.tensor([1.0, 0.1, 3.0, 1e-3, 2.0])
    mixed = Mixed([Column(f"c{j}") for j in range(5)]).double()
    gaussian = Gaussian((5,), scale="feature", floor=1e-2).double()
    for likelihood in (mixed, gaussian):
        likelihood.initialize(x)
    loc = torch.randn(4, 300, 5, dtype=torch.float64)
    ours, twin = mixed(loc), gaussian(loc)
    tolerance = {"rtol": 1e-6, "atol": 1e-6}  # the Gaussian starts from data in float32
    torch.testing.assert_close(ours.terms(x), twin.terms(x), **tolerance)
    torch.testing.assert_close(ours.mean, twin.mean, **tolerance)
    torch.testing.assert_close(ours.variance, twin.variance, **tolerance)


def test_rounded_values_keep_their_scale_above_the_rounding() -> None:
    mixed = Mixed([Column("fine"), Column("coarse", resolution=1.2)], floor=0.05).double()
    mixed.initialize(torch.zeros(10, 2))  # copied without any error
    floor = torch.tensor([[[0.05, 1.2 / 12**0.5]]], dtype=torch.float64)
    torch.testing.assert_close(
        mixed(torch.zeros(1, 1, 2)).variance.sqrt(), floor, rtol=2e-3, atol=0
    )


def test_an_atom_and_the_density_beside_it_sum_to_one() -> None:
    logit, loc, scale = numbers(-0.4, 30.0), numbers(0.7, -1.0), torch.tensor([0.5, 2.0]).double()
    emission = AtomEmission(logit, loc, scale)
    grid = torch.linspace(-20, 20, 40_001, dtype=torch.float64)
    density = emission.terms(grid.unsqueeze(1).expand(-1, 2)).exp()[0]
    atom = emission.terms(torch.full((1, 2), ATOM).double()).exp()[0, 0]
    torch.testing.assert_close(atom, torch.sigmoid(logit[0, 0]))
    total = atom + torch.trapezoid(density, grid, dim=0)
    torch.testing.assert_close(total, torch.ones(2).double(), rtol=0, atol=1e-8)
    assert emission.mean[0, 0].tolist() == [0.7, ATOM]
    draws = emission.sample((50_000,))[:, 0, 0]
    share = (draws[:, 0] == ATOM).double().mean().item()
    assert share == pytest.approx(torch.sigmoid(logit[0, 0, 0]).item(), abs=0.01)
    rest = draws[:, 0][draws[:, 0] != ATOM]
    assert (rest.mean().item(), rest.std().item()) == pytest.approx((0.7, 0.5), abs=0.015)


def test_no_continuous_value_is_taken_for_the_atom() -> None:
    emission = AtomEmission(numbers(-30.0), numbers(-500.0), torch.ones(1))
    assert emission.mean.item() == LOWEST
    assert emission.sample((100,)).min() >= LOWEST
    lowest = emission.terms(torch.full((1, 1), LOWEST).double())
    assert lowest.item() == pytest.approx(stats.norm(-500).logpdf(LOWEST))


@pytest.mark.parametrize("r", [1e-3, 0.3, 2.0, 50.0, 1e4])
@pytest.mark.parametrize("mean", [1e-5, 0.4, 7.0, 3000.0])
def test_counts_are_scipys_negative_binomial(r: float, mean: float) -> None:
    x = torch.tensor([0.0, 1.0, 2.0, 17.0, 400.0, 1e5])
    twin = stats.nbinom(r, r / (r + mean))
    ours = log_mass(x, torch.tensor(mean).double().log(), torch.tensor(1 / r).double())
    expected = torch.from_numpy(twin.logpmf(x.numpy()))
    finite = expected.isfinite()  # scipy underflows far out
    torch.testing.assert_close(ours[finite], expected[finite], rtol=1e-6, atol=1e-6)
    emission = NegativeBinomialEmission(numbers(mean).log(), numbers(1 / r)[0, 0])
    moments = emission.mean.item(), emission.variance.item()
    assert moments == pytest.approx(twin.stats("mv"), rel=1e-6)


@pytest.mark.parametrize("mean", [0.01, 3.0, 200.0])
def test_counts_without_excess_are_poisson(mean: float) -> None:
    x = torch.arange(0.0, 2 * mean + 10)
    ours = log_mass(x, torch.tensor(mean).double().log(), torch.tensor(1e-9).double())
    expected = torch.from_numpy(stats.poisson(mean).logpmf(x.numpy()))
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize(("number", "raw"), [(-3.0, 0.5), (2.0, -20.0), (4.0, 1.0), (90.0, -3.0)])
def test_mass_of_counts_sums_to_one(number: float, raw: float) -> None:
    mixed = Mixed([Column("visits", "count")]).double()
    mixed.initialize(torch.tensor([[0.0], [20.0]]))  # so that the mean stays below 80
    with torch.no_grad():
        mixed.groups[0].raw_excess.fill_(raw)
    x = torch.arange(40_000.0, dtype=torch.float64).unsqueeze(1)
    emission = mixed(numbers(number))
    assert emission.log_prob(x).exp().sum().item() == pytest.approx(1.0, abs=1e-9)
    assert emission.mean.item() <= 80.0
    assert emission.mean.item() == pytest.approx(1 / (np.exp(-number) + 1 / 80))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_no_number_makes_counts_overflow(dtype: torch.dtype) -> None:
    mixed = Mixed([Column("visits", "count")]).to(dtype)
    for raw in (-1e4, 0.0, 1e4):
        with torch.no_grad():
            mixed.groups[0].raw_excess.fill_(raw)
        parameters = torch.tensor([-1e4, -90.0, 0.0, 90.0, 1e4], dtype=dtype).reshape(1, -1, 1)
        parameters.requires_grad_()
        emission = mixed(parameters)
        mixed.check(emission.sample((50,)).flatten(0, 2))
        for x in (emission.sample()[0], torch.zeros(5, 1), torch.full((5, 1), 1e9)):
            terms = emission.terms(x.to(dtype))
            gradients = torch.autograd.grad(
                terms.sum(), [parameters, mixed.groups[0].raw_excess], retain_graph=True
            )
            for value in (terms, *gradients, emission.mean, emission.variance):
                assert value.isfinite().all()
                assert value.dtype == dtype


def test_binary_columns_are_scipys() -> None:
    logits = numbers(-40.0, -1.0, 0.5, 3.0)
    x = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    emission = BinaryColumnsEmission(logits)
    twin = stats.bernoulli(torch.sigmoid(logits[0]).numpy())
    expected = torch.from_numpy(twin.logpmf(x.numpy()))
    torch.testing.assert_close(emission.terms(x)[0], expected, rtol=1e-9, atol=1e-15)
    assert emission.mean.tolist() == [[[0.0, 0.0, 1.0, 1.0]]]


def test_ordinal_mass_is_a_difference_of_scipys_logistic() -> None:
    """Columns of 2, 5 and 3 levels, padded to one table."""
    group = OrdinalColumns([column(f"c{n}", "ordinal", n) for n in (2, 5, 3)]).double()
    with torch.no_grad():
        group.raw_gaps.normal_()
        group.first.normal_()
    points, location = group.cuts().points.detach(), numbers(0.3, -1.2, 4.0)
    emission = group(location)
    for j, levels in enumerate((2, 5, 3)):
        edges = np.concatenate([[-np.inf], points[j, : levels - 1].numpy(), [np.inf]])
        mass = torch.from_numpy(np.diff(stats.logistic(location[0, 0, j].item()).cdf(edges)))
        x = torch.zeros(levels, 3, dtype=torch.float64)
        x[:, j] = torch.arange(levels)
        torch.testing.assert_close(emission.terms(x)[0, :, j].exp(), mass)
        torch.testing.assert_close(emission.probabilities(j)[0, 0], mass)
        assert emission.mean[0, 0, j].item() == mass.argmax().item()
        code = torch.arange(levels).double()
        variance = (mass * (code - mass @ code).square()).sum()
        torch.testing.assert_close(emission.variance[0, 0, j], variance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("far", [-1e4, -60.0, 60.0, 1e4])
def test_ordinal_terms_keep_their_tails(far: float, dtype: torch.dtype) -> None:
    """log P(k) for cut points 0, g far from l is -|l| + log(1 - e^-g), where a difference is 0."""
    group = OrdinalColumns([column("grade", "ordinal", 3)]).to(dtype)
    location = torch.full((1, 1, 1), far, dtype=dtype, requires_grad=True)
    first, gap = group.first.item(), group.cuts().gaps.item()
    middle = group(location).terms(torch.ones(1, 1, dtype=dtype))
    distance = far - first - gap if far > 0 else first - far  # to the nearer cut point
    expected = -distance + np.log(-np.expm1(-gap))
    assert middle.item() == pytest.approx(expected, rel=1e-5)
    middle.sum().backward()
    assert location.grad is not None
    assert location.grad.item() == pytest.approx(-np.sign(far), rel=1e-5)


def test_categorical_columns_are_an_explicit_softmax() -> None:
    logits = 5 * torch.randn(2, 3, 4, 6, dtype=torch.float64)
    code = torch.randint(6, (3, 4))
    emission = CategoricalColumnsEmission(logits)
    weights = logits.exp() / logits.exp().sum(-1, keepdim=True)
    chosen = torch.stack([weights[:, i, j, code[i, j]] for i in range(3) for j in range(4)], 1)
    torch.testing.assert_close(emission.terms(code.double()).flatten(1), chosen.log())
    torch.testing.assert_close(emission.probabilities(2), weights[:, :, 2])
    torch.testing.assert_close(emission.variance, (weights * (1 - weights)).sum(-1))
    assert torch.equal(emission.mean.long(), weights.argmax(-1))
    assert emission.sample((0,)).shape == (0, 2, 3, 4)
    assert emission.sample((2, 5)).shape == (2, 5, 2, 3, 4)


def test_an_embedding_spells_out_its_logits() -> None:
    group = EmbeddedColumn(column("city", "categorical", 9), 4).double()
    with torch.no_grad():
        group.bias.normal_()
    h = torch.randn(1, 3, 4, dtype=torch.float64)
    expected = torch.log_softmax(h @ group.table.T + group.bias, -1)
    x = torch.tensor([[0.0], [8.0], [3.0]], dtype=torch.float64)
    by_hand = torch.stack([expected[0, i, int(x[i])] for i in range(3)])
    torch.testing.assert_close(group(h).terms(x)[0, :, 0], by_hand)
    with torch.autocast("cpu", torch.bfloat16):
        assert group.float()(h.bfloat16().float()).logits.dtype == torch.float32


KINDS: list[tuple[str, int]] = [
    ("real", 0),
    ("mixed", 0),
    ("count", 0),
    ("binary", 2),
    ("ordinal", 4),
    ("categorical", 3),
    ("categorical", 20),
]


@pytest.mark.parametrize(("kind", "levels"), KINDS, ids=str)
def test_gradients_are_those_of_finite_differences(kind: str, levels: int) -> None:
    mixed = Mixed([column("c", kind, levels), column("d", kind, levels)], embedding=4).double()
    parameters = owed(mixed, 3).requires_grad_()
    x = mixed(parameters).sample()[0]
    own = list(mixed.parameters())

    def log_prob(parameters: Tensor, *values: Tensor) -> Tensor:
        names = [name for name, _ in mixed.named_parameters()]
        emission = torch.func.functional_call(
            mixed, dict(zip(names, values, strict=True)), (parameters,)
        )
        answer: Tensor = emission.log_prob(x)
        return answer

    assert torch.autograd.gradcheck(log_prob, (parameters, *own))


@pytest.mark.parametrize(("kind", "levels"), KINDS[3:], ids=str)
def test_frequencies_of_draws_are_the_probabilities(kind: str, levels: int) -> None:
    mixed = Mixed([column("c", kind, levels), column("d", kind, levels)]).double()
    emission = mixed(owed(mixed, 1, seed=2))
    draws = 40_000
    x = emission.sample((draws,))[:, 0, 0].long()
    for j in range(2):
        expected = emission.probabilities(j)[0, 0].detach()
        share = torch.bincount(x[:, j], minlength=levels) / draws
        error = (expected * (1 - expected) / draws).sqrt()
        assert ((share - expected).abs() < 5 * error + 1e-4).all()


def test_the_first_value_outside_the_support_is_named() -> None:
    columns = [Column("a", "real"), Column("n", "count"), Column("m", "count")]
    x = torch.zeros(6, 3)
    x[2, 2], x[4, 1], x[4, 2] = -3.0, 0.5, -1.0
    with pytest.raises(DataError, match=r"column 'm' of the kind 'count' .* row 2 holds -3"):
        Mixed(columns).check(x)
    with pytest.raises(DataError, match=r"column 'n' of the kind 'count' .* row 0 holds 0\.5"):
        Mixed(columns).check(x[4:])
