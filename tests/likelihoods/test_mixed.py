"""A table's likelihood: every column by its kind, side by side, started at its marginal."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.mixed import ATOM
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.likelihoods import Bernoulli, Mixed
from tests.likelihoods.cases import column, owed

COLUMNS = [
    column("height", "real"),
    column("grade", "ordinal", 4),
    column("city", "categorical", 12),
    column("rain", "mixed"),
    column("visits", "count"),
    column("sex", "binary"),
    column("income", "positive"),
    column("color", "categorical", 3),
    column("size", "ordinal", 3),
    column("fruit", "categorical", 3),
]
LEVELS = {1: 4, 2: 12, 5: 2, 7: 3, 8: 3, 9: 3}
ROWS = 400


def table(rows: int = ROWS) -> Tensor:
    """Rows of every kind, float64."""
    generator = np.random.default_rng(0)
    rain = np.where(generator.random(rows) < 0.3, ATOM, generator.normal(1, 2, rows))
    x = np.stack(
        [
            generator.normal(5, 0.5, rows),
            generator.choice(4, rows, p=[0.1, 0.2, 0.65, 0.05]),
            generator.choice(12, rows, p=np.arange(12) / 66),
            rain,
            generator.negative_binomial(3, 0.2, rows),
            generator.choice(2, rows, p=[0.9, 0.1]),
            generator.normal(-1, 1, rows),
            generator.choice(3, rows),
            generator.choice(3, rows, p=[0.5, 0.0, 0.5]),
            generator.choice(3, rows, p=[0.2, 0.2, 0.6]),
        ],
        1,
    )
    return torch.from_numpy(x.astype(np.float64))


def marginal(j: int, x: np.ndarray) -> np.ndarray:
    """log p of each value of column j under its own marginal, in closed form."""
    if j in LEVELS:
        counts = np.bincount(x.astype(int), minlength=LEVELS[j]) + 1
        return np.log(counts / counts.sum())[x.astype(int)]
    if COLUMNS[j].kind == "count":
        mean, excess = x.mean(), (x.var() - x.mean()) / x.mean() ** 2
        return stats.nbinom(1 / excess, 1 / (1 + excess * mean)).logpmf(x)
    if COLUMNS[j].kind == "mixed":
        atom, rest = x == ATOM, x[x != ATOM]
        share = (atom.sum() + 1) / (len(x) + 2)
        density = np.log1p(-share) + stats.norm(rest.mean(), rest.std()).logpdf(x)
        return np.where(atom, np.log(share), density)
    return stats.norm(x.mean(), x.std()).logpdf(x)


@pytest.mark.parametrize("embedding", [16, 6])
def test_every_column_starts_at_its_marginal(embedding: int) -> None:
    x, mixed = table(), Mixed(COLUMNS, embedding=embedding).double()
    mixed.initialize(x)
    bias = mixed.initial_bias(x)
    assert bias.dtype == torch.float64
    terms = mixed(bias.expand(1, ROWS, -1)).terms(x)[0].detach().numpy()
    expected = np.stack([marginal(j, x[:, j].numpy()) for j in range(len(COLUMNS))], 1)
    np.testing.assert_allclose(terms, expected, rtol=1e-9, atol=1e-9)


def test_start_in_single_precision() -> None:
    x, mixed = table().float(), Mixed(COLUMNS, embedding=6)
    mixed.initialize(x)
    bias = mixed.initial_bias(x)
    assert bias.dtype == torch.float32
    terms = mixed(bias.expand(1, ROWS, -1)).terms(x)[0].detach().numpy()
    expected = np.stack([marginal(j, x[:, j].double().numpy()) for j in range(len(COLUMNS))], 1)
    np.testing.assert_allclose(terms, expected, rtol=1e-5, atol=1e-4)


def test_columns_do_not_mix() -> None:
    """Each column's terms are those of a table that holds this column alone."""
    mixed = Mixed(COLUMNS, embedding=6).double()
    x = table(20)
    mixed.initialize(x)
    parameters = owed(mixed, 20, samples=2)
    emission = mixed(parameters)
    for j, one in enumerate(COLUMNS):
        alone = Mixed([one], embedding=6).double()
        alone.initialize(x[:, j : j + 1])
        for name, parameter in alone.named_parameters():
            if name.endswith("table"):  # the one part that starts at random
                parameter.data.copy_(dict(mixed.named_parameters())[f"groups.2.{name[9:]}"])
        emitted = alone(parameters[..., mixed.owners == j])
        for ours, its in (
            (emission.terms(x), emitted.terms(x[:, j : j + 1])),
            (emission.mean, emitted.mean),
            (emission.variance, emitted.variance),
        ):
            torch.testing.assert_close(ours[..., j : j + 1], its)


def test_hidden_cells_of_every_kind_may_be_nan() -> None:
    mixed = Mixed(COLUMNS, embedding=6).double()
    x, observed = table(50), torch.rand(50, len(COLUMNS)) < 0.5
    parameters = owed(mixed, 50).requires_grad_()
    emission = mixed(parameters)
    terms = emission.terms(torch.where(observed, x, torch.nan), observed)
    torch.testing.assert_close(terms, torch.where(observed, emission.terms(x), 0.0))
    gradients = torch.autograd.grad(terms.sum(), [parameters, *mixed.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)
    hidden = ~observed[:, mixed.owners]
    assert (gradients[0][0][hidden] == 0).all()


def test_draws_lie_in_the_support_of_their_column() -> None:
    mixed = Mixed(COLUMNS, embedding=6)
    draws = mixed(3 * owed(mixed, 100).float()).sample((7,))
    assert draws.shape == (7, 1, 100, len(COLUMNS))
    mixed.check(draws.flatten(0, 2))
    for j, levels in LEVELS.items():
        assert set(draws[..., j].unique().tolist()) == set(range(levels))
    assert (draws[..., 3] == ATOM).any()
    assert (draws[..., 4].round() == draws[..., 4]).all()


def test_best_guess_is_one_that_can_be_decoded() -> None:
    mixed = Mixed(COLUMNS, embedding=6)
    emission = mixed(owed(mixed, 30).float())
    mixed.check(
        torch.where(torch.tensor([c.kind == "count" for c in COLUMNS]), 0, emission.mean[0])
    )
    for j, levels in LEVELS.items():
        probabilities = emission.probabilities(j)
        assert probabilities.shape == (1, 30, levels)
        torch.testing.assert_close(probabilities.sum(-1), torch.ones(1, 30))
        assert torch.equal(emission.mean[..., j].long(), probabilities.argmax(-1))
    atom = emission.probabilities(3)[..., 0]
    assert torch.equal(emission.mean[..., 3] == ATOM, atom > 0.5)
    for j in (0, 4, 6):
        with pytest.raises(UnsupportedError, match=f"column {j}"):
            emission.probabilities(j)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("height", math.inf),
        ("height", math.nan),
        ("grade", 4.0),
        ("grade", 0.5),
        ("city", 12.0),
        ("rain", math.nan),
        ("visits", -1.0),
        ("visits", 2.5),
        ("visits", math.inf),
        ("sex", 2.0),
        ("size", 3.0),  # a code that its neighbour "grade" has
        ("fruit", math.nan),
    ],
)
def test_value_outside_the_support_is_named(name: str, value: float) -> None:
    mixed, x = Mixed(COLUMNS), table(9)
    mixed.check(x)
    j = [c.name for c in COLUMNS].index(name)
    x[6, j] = value
    with pytest.raises(DataError, match=f"column '{name}'.*'{COLUMNS[j].kind}'.*row 6 holds"):
        mixed.check(x)


def test_1500_binary_columns_are_one_bernoulli() -> None:
    mixed = Mixed([column(f"c{j}", "binary") for j in range(1500)])
    assert len(mixed.groups) == 1
    assert mixed.gather is None
    logits, x = torch.randn(2, 64, 1500), torch.bernoulli(torch.rand(64, 1500))
    assert torch.equal(mixed(logits).log_prob(x), Bernoulli((1500,))(logits).terms(x).sum(-1))


def test_100000_levels_owe_as_much_as_an_embedding() -> None:
    levels = 100_000
    mixed = Mixed([column("code", "categorical", levels), column("age", "real")])
    assert mixed.parameter_shape == (17,)
    x = torch.stack([torch.randint(levels, (64,)).float(), torch.randn(64)], 1)
    mixed.check(x)
    mixed.initialize(x)
    parameters = torch.randn(1, 64, 17, requires_grad=True)
    start = time.perf_counter()
    mixed(parameters).log_prob(x).sum().backward()
    draws = mixed(parameters).sample((3,))
    assert time.perf_counter() - start < 10
    mixed.check(draws.flatten(0, 2))
    assert parameters.grad is not None
    assert parameters.grad.isfinite().all()


def test_mass_where_every_column_is_discrete() -> None:
    assert Mixed([column("a", "count"), column("b", "binary"), column("c", "ordinal")]).mass
    assert not Mixed([column("a", "count"), column("b", "mixed")]).mass
    assert not Mixed([column("a", "datetime")]).mass


def test_schema_gives_the_modeled_columns() -> None:
    columns = (column("id", "identifier"), *COLUMNS, column("unit", "constant"))
    mixed = Mixed.from_schema(Schema("table", (len(COLUMNS),), columns=columns), {"embedding": 6})
    assert mixed.event_shape == (len(COLUMNS),)
    assert mixed.parameter_shape == (1 + 1 + 6 + 2 + 1 + 1 + 1 + 3 + 1 + 3,)
    with pytest.raises(DataError, match="no kinds; choose another"):
        Mixed.from_schema(Schema("images", (1, 4, 4), levels=256), {})


def test_state_comes_back() -> None:
    x, trained = table(), Mixed(COLUMNS, embedding=6)
    trained.initialize(x)
    restored = Mixed(COLUMNS, embedding=6)
    restored.load_state_dict(trained.state_dict())
    parameters = owed(trained, ROWS).float()
    torch.testing.assert_close(restored(parameters).terms(x), trained(parameters).terms(x))


def test_options_out_of_range() -> None:
    for options in ({"floor": 0.0}, {"embedding": 0}):
        with pytest.raises(OptionError, match="positive"):
            Mixed(COLUMNS, **options)
    with pytest.raises(DataError, match=r"'a'.*no levels"):
        Mixed([Column("a", "ordinal")])
    with pytest.raises(DataError, match=r"'id'.*identifier"):
        Mixed([Column("id", "identifier")])
    with pytest.raises(UnsupportedError, match="parameter_shape"):
        _ = Mixed(COLUMNS).numbers
