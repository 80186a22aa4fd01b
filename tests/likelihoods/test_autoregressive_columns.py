"""Columns given z and any other columns, against enumeration of small tables."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from lowerbound.data.columns.column import Column
from lowerbound.errors import DataError, OptionError
from lowerbound.likelihoods import AutoregressiveColumns

LEVELS = (2, 3, 2)
ROWS = torch.tensor(list(itertools.product(*map(range, LEVELS))), dtype=torch.float64)


def likelihood(seed: int = 0, **options: float) -> AutoregressiveColumns:
    """Three columns of levels, and a network with random weights."""
    kinds = ["binary", "categorical", "binary"]
    columns = [
        Column(f"c{i}", kind, levels=tuple("abc"[:n]))
        for i, (kind, n) in enumerate(zip(kinds, LEVELS, strict=True))
    ]
    sizes = {"features": 3, "width": 8, "layers": 1, "vectors": 2}
    built = AutoregressiveColumns(columns, **{**sizes, **options}).double().eval()  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    for parameter in built.network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return built


def emission(built: AutoregressiveColumns, rows: int = 1, seed: int = 1):  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(seed)
    shape = (1, 1, *built.parameter_shape)
    numbers = torch.randn(shape, generator=generator, dtype=torch.float64)
    return built(numbers.expand(1, rows, -1))


def conditional(built: AutoregressiveColumns, row: Tensor, known: Tensor, column: int) -> Tensor:
    """p(column | known columns of the row), by the network alone."""
    given = emission(built).given(row.unsqueeze(0), known.unsqueeze(0))
    shares: Tensor = given.probabilities(column)[0, 0].detach()
    return shares


def test_probabilities_of_all_rows_sum_to_one() -> None:
    log_prob = emission(likelihood(), len(ROWS)).log_prob(ROWS)
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("mask", [(1, 0, 1), (0, 1, 1), (0, 0, 1), (1, 0, 0)])
def test_probabilities_of_observed_columns_sum_to_one(mask: tuple[int, ...]) -> None:
    observed = torch.tensor(mask, dtype=torch.bool)
    rows = torch.unique(torch.where(observed, ROWS, torch.nan).nan_to_num(-1), dim=0)
    hidden = torch.where(observed, rows, torch.nan)
    found = emission(likelihood(), len(rows)).log_prob(hidden, observed.expand(len(rows), -1))
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_a_column_depends_on_those_before_it_only() -> None:
    built = likelihood()
    first = ROWS[0]
    for place in range(3):
        other = first.clone()
        other[place] = 1 - other[place]
        both = emission(built, 2).terms(torch.stack([first, other]))[0]
        torch.testing.assert_close(both[0, :place], both[1, :place], rtol=0, atol=0)
        assert (both[0, place:] != both[1, place:]).all()


def test_training_estimate_averages_to_all_orders() -> None:
    built = likelihood(blind=0.0, ordered=0.0).train()
    row = ROWS[5]
    orders = []
    for order in itertools.permutations(range(3)):
        known, total = torch.zeros(3, dtype=torch.bool), 0.0
        for place in order:
            total += float(conditional(built, row, known, place)[int(row[place])].log())
            known = known.clone()
            known[place] = True
        orders.append(total)
    draws = 60_000
    torch.manual_seed(0)
    found = emission(built, draws).log_prob(row.expand(draws, -1))[0]
    error = found.detach().std().item() / math.sqrt(draws)
    assert found.mean().item() == pytest.approx(sum(orders) / len(orders), abs=4 * error)


def test_training_estimate_in_the_order_of_the_table_is_the_score() -> None:
    built = likelihood(blind=0.0, ordered=1.0).train()
    found = emission(built, len(ROWS)).terms(ROWS)
    torch.testing.assert_close(found, emission(built.eval(), len(ROWS)).terms(ROWS))


def test_a_given_column_does_not_see_itself() -> None:
    built = likelihood()
    known = torch.tensor([True, True, False])
    other = ROWS[5].clone()
    other[0] = 1 - other[0]
    a, b = (conditional(built, row, known, 0) for row in (ROWS[5], other))
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_training_estimate_skips_hidden_columns() -> None:
    built = likelihood(blind=0.0, ordered=0.0).train()
    draws = 40_000
    observed = torch.tensor([True, False, True]).expand(draws, -1)
    row = torch.where(observed, ROWS[5], torch.nan)
    torch.manual_seed(0)
    terms = emission(built, draws).terms(row, observed)[0]
    assert (terms[:, 1] == 0).all()
    a, b = (int(ROWS[5, i]) for i in (0, 2))
    none = torch.zeros(3, dtype=torch.bool)
    known = [torch.tensor([i == j for j in range(3)]) for i in range(3)]
    orders = [
        conditional(built, ROWS[5], none, 0)[a] * conditional(built, ROWS[5], known[0], 2)[b],
        conditional(built, ROWS[5], none, 2)[b] * conditional(built, ROWS[5], known[2], 0)[a],
    ]
    expected = sum(float(order.log()) for order in orders) / 2
    total = terms.sum(1)
    assert total.mean().item() == pytest.approx(
        expected, abs=4 * total.detach().std().item() / math.sqrt(draws)
    )


def test_blind_rows_see_no_column() -> None:
    built = likelihood(blind=0.99).train()
    torch.manual_seed(0)
    terms = emission(built, 2_000).terms(ROWS[5].expand(2_000, -1))[0]
    alone = torch.tensor(
        [
            conditional(built, ROWS[5], torch.zeros(3, dtype=torch.bool), i)[int(ROWS[5, i])].log()
            for i in range(3)
        ]
    ).double()
    same = torch.isclose(terms, alone).all(1).double().mean()
    assert same > 0.98


def test_draws_have_the_probabilities_of_the_density() -> None:
    built = likelihood()
    torch.manual_seed(0)
    draws = 50_000
    x = emission(built, draws).sample()[0]
    expected = emission(built, len(ROWS)).log_prob(ROWS)[0].exp()
    found = (x.unsqueeze(1) == ROWS).all(2).double().mean(0)
    assert (found - expected).abs().max() < 4 * 0.5 / math.sqrt(draws)


def test_completed_rows_have_the_exact_conditional() -> None:
    built = likelihood()
    draws = 50_000
    observed = torch.tensor([False, True, False])
    row = torch.where(observed, ROWS[5], torch.nan)
    torch.manual_seed(0)
    made = emission(built, draws).complete(row.expand(draws, -1), observed.expand(draws, -1))[0]
    assert (made[:, 1] == ROWS[5, 1]).all()
    first = conditional(built, ROWS[5], observed, 0)
    for a in range(2):
        known = torch.tensor([True, True, False])
        start = torch.tensor([float(a), float(ROWS[5, 1]), 0.0], dtype=torch.float64)
        second = conditional(built, start, known, 2)
        for b in range(2):
            share = ((made[:, 0] == a) & (made[:, 2] == b)).double().mean().item()
            assert share == pytest.approx(float(first[a] * second[b]), abs=4 * 0.5 / draws**0.5)


@pytest.mark.slow
def test_given_columns_change_the_others_as_bayes_demands_after_training() -> None:
    """A network that learns a joint table of dependent columns learns every conditional."""
    torch.manual_seed(0)
    joint = torch.tensor([0.30, 0.02, 0.10, 0.08, 0.02, 0.01, 0.01, 0.20, 0.05, 0.01, 0.05, 0.15])
    joint = joint / joint.sum()
    built = likelihood(width=32, features=1, blind=0.0, ordered=0.0).float().train()
    built.initialize(ROWS.float())
    rows = ROWS.float()[torch.multinomial(joint, 20_000, replacement=True)]
    bias = built.initial_bias(rows)[None, None]
    optimizer = torch.optim.Adam(built.parameters(), 1e-2)
    for step in range(500):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / 500)
        some = rows[torch.randint(len(rows), (512,))]
        loss = -built(bias.expand(1, 512, -1)).log_prob(some).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    built.eval()
    table = joint.view(LEVELS)
    with torch.no_grad():
        for mask in itertools.product([False, True], repeat=3):
            for column in [i for i in range(3) if not mask[i]]:
                for row in ROWS.float():
                    known = torch.tensor(mask)
                    shares = built(bias).given(row[None], known[None]).probabilities(column)[0, 0]
                    at = tuple(int(row[i]) if mask[i] else slice(None) for i in range(3))
                    rest = [i for i in range(3) if not mask[i]]
                    part = table[at]
                    others = tuple(k for k, i in enumerate(rest) if i != column)
                    exact = part.sum(others) if others else part
                    torch.testing.assert_close(shares, exact / exact.sum(), rtol=0, atol=0.06)


def test_bad_options_are_refused() -> None:
    with pytest.raises(OptionError, match="blind one below 1"):
        likelihood(blind=1.0)
    with pytest.raises(OptionError, match="at least 4"):
        likelihood(cells=2)
    with pytest.raises(DataError, match="no kinds"):
        AutoregressiveColumns([])
    with pytest.raises(DataError, match="not modeled"):
        AutoregressiveColumns([Column("c", "constant", shift=1.0)])
