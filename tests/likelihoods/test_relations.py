"""Columns that follow another: their probability, and draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.synthetic.constraints import DIFFERENCE, EQUALITY, LINEAR, RATIO, Relation
from lowerbound.errors import DataError, OptionError
from lowerbound.estimators import TableSynthesizer
from lowerbound.likelihoods import AutoregressiveColumns

CENTS = Lattice(0.01, 0.0, 2)
COLUMNS = [
    Column("first", "real", shift=5.0, scale=2.0, lattice=CENTS),
    Column("last", "real", scale=4.0, lattice=CENTS),
    Column("free", "real"),
]
SHIFT, SCALE = torch.tensor([5.0, 0.0, 0.0]), torch.tensor([2.0, 4.0, 1.0])
STEP = 0.01 / 4  # of the second column, model units
TIES: tuple[Relation, ...] = ((EQUALITY, 1, 0), (EQUALITY, 0, 1))


def table(rows: int = 4_000) -> Tensor:
    """Rows in units of the table; a third of the second column equals the first."""
    draw = np.random.default_rng(0)
    first = np.round(draw.normal(5, 2, rows), 2)
    last = np.where(draw.random(rows) < 1 / 3, first, np.round(draw.normal(3, 4, rows), 2))
    return torch.from_numpy(np.stack([first, last, draw.normal(0, 1, rows)], 1))


def in_units(rows: Tensor) -> Tensor:
    return (rows - SHIFT) / SCALE


SMOOTH = [Column(each.name, "real", shift=each.shift, scale=each.scale) for each in COLUMNS]


def likelihood(
    relations: tuple[Relation, ...] = TIES, rows: Tensor | None = None
) -> AutoregressiveColumns:
    sizes = {"features": 3, "width": 8, "layers": 1, "vectors": 2, "cells": 16}
    columns = COLUMNS if rows is None else SMOOTH
    built = AutoregressiveColumns(columns, relations=relations, **sizes)  # type: ignore[arg-type]
    built = built.double().eval()
    built.initialize(in_units(table() if rows is None else rows))
    return built


def emission(built: AutoregressiveColumns, rows: int, data: Tensor | None = None):  # type: ignore[no-untyped-def]
    bias = built.initial_bias(in_units(table() if data is None else data))
    return built(bias.expand(1, rows, -1))


@pytest.mark.parametrize("form", [EQUALITY, DIFFERENCE])
def test_the_probability_of_all_values_is_one_and_a_tie_has_its_share(form: str) -> None:
    """The second column on its grid of cents, given the first; tails have a thousandth."""
    last = torch.arange(-2_500, 3_500, dtype=torch.float64) / 100
    rows = torch.stack([torch.full_like(last, 5.25), last, torch.zeros_like(last)], 1)
    built = likelihood(((form, 1, 0),))
    terms = emission(built, len(rows)).terms(in_units(rows))[0, :, 1].detach()
    mass = terms.exp() * STEP
    assert float(mass.sum()) == pytest.approx(1.0, abs=0.01)
    tie = float(mass[(last - 5.25).abs() < 1e-6])
    equal = float((table()[:, 0] == table()[:, 1]).double().mean())
    assert 0.3 < equal < 0.4
    assert tie == pytest.approx(equal, abs=0.02)


@pytest.mark.parametrize("form", [DIFFERENCE, LINEAR, RATIO])
def test_every_residual_has_a_density_of_integral_one(form: str) -> None:
    """On a fine grid of the second column, which follows the first closely."""
    draw = np.random.default_rng(1)
    first = 50 * np.exp(draw.normal(0, 0.4, 2_000))
    data = torch.from_numpy(np.stack([first, 1.2 * first + draw.normal(0, 0.2, 2_000), first], 1))
    built = likelihood(((form, 1, 0),), data)
    last = torch.linspace(0.01, 400, 200_001, dtype=torch.float64)
    rows = torch.stack([torch.full_like(last, 48.0), last, torch.zeros_like(last)], 1)
    terms = emission(built, len(rows), data).terms(in_units(rows))[0, :, 1].detach()
    mass = float(torch.trapezoid(terms.exp(), last / 4))
    assert mass == pytest.approx(1.0, abs=0.02)
    free = emission(likelihood((), data), len(rows), data).terms(in_units(rows))[0, :, 1]
    free = free.detach()
    close = (last - 57.6).abs() < 0.4
    within = [float(torch.trapezoid(each.exp()[close], last[close] / 4)) for each in (terms, free)]
    assert within[0] > 2 * within[1]


def test_a_missing_or_hidden_column_is_not_followed() -> None:
    rows = in_units(table(50))
    observed = torch.ones_like(rows, dtype=torch.bool)
    observed[:, 0] = False
    bound, free = (
        emission(likelihood(relations), 50).terms(rows, observed) for relations in (TIES, ())
    )
    torch.testing.assert_close(bound, free)


def test_draws_equal_the_other_column_as_often_as_rows() -> None:
    built = likelihood()
    rows = in_units(table())
    observed = torch.tensor([True, False, False]).expand(len(rows), -1)
    torch.manual_seed(0)
    drawn = emission(built, len(rows)).complete(rows, observed).flatten(0, 1)
    back = drawn * SCALE + SHIFT
    share, expected = (
        float(((each[:, 1] - each[:, 0]).abs() < 1e-9).double().mean()) for each in (back, table())
    )
    assert share == pytest.approx(expected, abs=0.03)


def test_draws_that_follow_a_column_stay_in_the_range_of_their_own() -> None:
    """The first column goes beyond what the second, which follows it, was ever observed to be."""
    torch.manual_seed(0)
    columns = [COLUMNS[0], replace(COLUMNS[1], observed=(4.0, 6.0)), COLUMNS[2]]
    rows = table()
    rows[:, 1] = rows[:, 0]
    sizes = {"features": 3, "width": 8, "layers": 1, "vectors": 2, "cells": 16}
    built = AutoregressiveColumns(columns, relations=((EQUALITY, 1, 0),), **sizes)  # type: ignore[arg-type]
    built = built.double().eval()
    built.initialize(in_units(rows))
    drawn = emission(built, 2_000, rows).sample()[0] * SCALE + SHIFT
    assert float(drawn[:, 0].min()) < 3
    assert float(drawn[:, 0].max()) > 7
    tied = (drawn[:, 0] > 4.01) & (drawn[:, 0] < 5.99)
    assert float((drawn[tied, 0] - drawn[tied, 1]).abs().median()) < 0.006
    beyond = drawn[drawn[:, 0] > 7, 1]
    assert float((beyond == 6.0).double().mean()) > 0.5


def test_a_ratio_to_a_number_that_is_not_positive_has_no_share() -> None:
    rows = table()[:500]
    assert bool((rows[:, 0] <= 0).any())
    built = likelihood(((RATIO, 1, 0), (DIFFERENCE, 1, 2)))
    numbers = torch.zeros(len(rows), built.relations.count(1), dtype=torch.float64)
    known = torch.ones(rows.shape, dtype=torch.bool)
    shares = built.relations.log_shares(1, numbers, rows.numpy(), known).exp()
    places = built.relations.needed(1).index(0)
    positive = rows[:, 0] > 0
    torch.testing.assert_close(shares.sum(1), torch.ones(len(rows), dtype=torch.float64))
    assert bool((shares[~positive, 1 + places] < 1e-9).all())
    assert bool((shares[positive, 1 + places] > 0.3).all())


def test_cells_of_a_known_row_have_the_probability_of_the_residual() -> None:
    rows = in_units(table(30))
    observed = torch.tensor([True, False, True]).expand(30, -1)
    bound, free = (
        emission(likelihood(relations), 30).given(rows, observed).probabilities(1)[0].detach()
        for relations in (TIES, ())
    )
    torch.testing.assert_close(bound.sum(1), torch.ones(30, dtype=torch.float64))
    code = likelihood().groups[1].codes((table(30)[:, :1]) / 4)  # type: ignore[operator]
    gained = (bound - free).gather(1, code)[:, 0]
    assert float(gained.min()) > 0.2


def test_a_wrong_relation_is_refused() -> None:
    level = Column("level", "categorical", levels=("a", "b"))
    with pytest.raises(DataError, match="'level' has levels"):
        AutoregressiveColumns([COLUMNS[0], level], relations=(("difference", 0, 1),))
    with pytest.raises(OptionError, match="residual"):
        AutoregressiveColumns(COLUMNS, relations=(("differences", 0, 1),))
    with pytest.raises(OptionError, match="no column 3"):
        AutoregressiveColumns(COLUMNS, relations=(("difference", 0, 3),))


@pytest.mark.slow
def test_synthetic_rows_have_as_many_ties_and_exact_ones() -> None:
    """Prices that most sellers never changed, with gaps."""
    draw = np.random.default_rng(1)
    first = np.round(draw.lognormal(12, 0.4, 1_500), -2)
    kept = draw.random(1_500) < np.where(first > np.median(first), 0.8, 0.4)
    last = np.where(kept, first, np.round(first * draw.uniform(0.8, 0.99, 1_500), -2))
    rows = pd.DataFrame({"first": first, "last": last, "rooms": draw.poisson(3, 1_500)})
    rows.loc[:99, "last"] = np.nan
    drawn = TableSynthesizer(prior="standard_normal", random_state=0).fit(rows).sample(4_000)
    there = drawn["last"].notna()
    assert there.mean() == pytest.approx(14 / 15, abs=0.03)
    for high in (False, True):
        real, made = (
            each[each["last"].notna() & ((each["first"] > np.median(first)) == high)]
            for each in (rows, drawn)
        )
        share = (real["first"] == real["last"]).mean()
        assert (made["first"] == made["last"]).mean() == pytest.approx(share, abs=0.06)


@pytest.mark.slow
def test_prices_of_a_day_stay_close_and_in_order() -> None:
    """Without residuals, a tenth of the highest prices is 5 % away from the lowest or more."""
    draw = np.random.default_rng(2)
    low = np.exp(np.cumsum(draw.normal(0, 0.05, 1_500)) + 4)
    rows = pd.DataFrame({"low": low, "high": low * np.exp(draw.exponential(0.01, 1_500))})
    drawn = TableSynthesizer(prior="standard_normal", random_state=0).fit(rows).sample(4_000)
    apart, made = (np.log(each["high"] / each["low"]) for each in (rows, drawn))
    assert (made < 0).mean() < 0.02
    assert np.quantile(np.abs(made), 0.9) == pytest.approx(np.quantile(apart, 0.9), rel=0.15)
