"""Columns of which one is at most another: a density in the window, and draws inside of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice
from lowerbound.estimators import TableSynthesizer
from lowerbound.likelihoods import AutoregressiveColumns
from lowerbound.likelihoods.columns.group import cells_inside

PAIR = ((0, 1),)  # the first column is at most the second
COLUMNS = [Column("low", "real", shift=1.0, scale=2.0), Column("high", "real", scale=3.0)]


def values(rows: int = 400) -> Tensor:
    """Rows of three columns, units of the table; the third is free."""
    draw = np.random.default_rng(0)
    low = draw.normal(1, 2, rows)
    return torch.from_numpy(np.stack([low, low + draw.exponential(2, rows), low], 1))


def in_units(rows: Tensor) -> Tensor:
    return torch.stack([(rows[:, 0] - 1) / 2, rows[:, 1] / 3, rows[:, 2]], 1)


def likelihood(pairs: tuple[tuple[int, int], ...]) -> AutoregressiveColumns:
    columns = [*COLUMNS, Column("free", "real")]
    sizes = {"features": 3, "width": 8, "layers": 1, "vectors": 2, "cells": 16}
    built = AutoregressiveColumns(columns, inequalities=pairs, **sizes).double().eval()  # type: ignore[arg-type]
    built.initialize(in_units(values()))
    generator = torch.Generator().manual_seed(0)
    for parameter in built.network.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data = 0.2 * noise
    return built


def emission(built: AutoregressiveColumns, rows: int):  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(1)
    shape = (1, 1, *built.parameter_shape)
    numbers = torch.randn(shape, generator=generator, dtype=torch.float64)
    return built(numbers.expand(1, rows, -1))


def test_the_density_is_that_of_a_network_without_inequalities_given_the_window() -> None:
    """Both have the same weights; the mass of the window is a sum of the free density on a grid."""
    low = 2.7
    grid = torch.linspace(-12, 30, 20_001, dtype=torch.float64)
    rows = torch.stack([torch.full_like(grid, low), grid, torch.zeros_like(grid)], 1)
    terms = {
        pairs: emission(likelihood(pairs), len(rows)).terms(in_units(rows))[0].detach()
        for pairs in ((), PAIR)
    }
    free, bound = terms[()], terms[PAIR]
    torch.testing.assert_close(bound[:, [0, 2]], free[:, [0, 2]])
    allowed = grid >= low
    # tails outside of the cells' range keep a thousandth of an outermost cell's probability
    mass = torch.trapezoid(free[allowed, 1].exp(), grid[allowed] / 3)
    assert 0.1 < float(mass) < 0.9
    expected = (free[allowed, 1] - mass.log()).exp()
    torch.testing.assert_close(bound[allowed, 1].exp(), expected, rtol=5e-3, atol=1e-6)


def test_a_missing_or_hidden_column_restricts_no_other() -> None:
    rows = in_units(values(20))
    observed = torch.ones_like(rows, dtype=torch.bool)
    observed[:, 0] = False
    found = [emission(likelihood(pairs), 20).terms(rows, observed) for pairs in ((), PAIR)]
    torch.testing.assert_close(found[1], found[0])


def test_draws_are_inside_the_window_up_to_its_cell() -> None:
    built = likelihood(PAIR)
    rows = in_units(values(200))
    observed = torch.tensor([True, False, False]).expand(200, -1)
    torch.manual_seed(0)
    drawn = emission(built, 200).complete(rows, observed).flatten(0, 1)
    group = built.groups[1]
    codes = group.codes(drawn[:, 1:2])  # type: ignore[operator]
    least = group.codes((2 * rows[:, :1] + 1) / 3)  # type: ignore[operator]
    assert (codes >= least).all()
    given = emission(built, 200).given(rows, observed).probabilities(1)[0].detach()
    below = torch.arange(given.shape[1]) < least
    assert float((given * below).sum(1).max()) < 1e-6


@pytest.mark.slow
def test_close_columns_keep_their_means() -> None:
    """A network blurs the difference of two close columns. If its draws were cut off at the
    inequality without a fit to that, their mean would be 0.05 to 0.09 deviations too high."""
    draw = np.random.default_rng(0)
    low = draw.normal(50, 10, 1_500)
    high = low + np.where(draw.random(1_500) < 0.4, 0.0, draw.exponential(3, 1_500))
    table = pd.DataFrame({"low": low, "high": high})
    synthesizer = TableSynthesizer(
        constraints=["low <= high"], prior="standard_normal", random_state=0
    ).fit(table)
    drawn = synthesizer.sample(4_000)
    assert (drawn["low"] <= drawn["high"]).all()
    shift = (drawn["high"] - drawn["low"]).mean() - (high - low).mean()
    assert abs(shift) / high.std() < 0.04


@pytest.mark.parametrize("step", [0.01, 0.0])
def test_an_equal_value_is_in_the_window_after_float32(step: float) -> None:
    """Prices with cells of one value, most of them equal: the probabilities sum to one."""
    draw = np.random.default_rng(0)
    prices = np.array([1.69, 1.75, 1.76, 1.86, 1.99]) if step else 10 / np.array([3, 7, 9, 11, 13])
    lattice = Lattice(step, decimals=2) if step else Lattice()
    columns = [Column(name, "real", scale=0.3, lattice=lattice) for name in ("sale", "price")]
    rows = np.sort(draw.choice(prices, (500, 2)), 1)
    units = torch.from_numpy(np.asarray(rows / 0.3)).float()
    built = AutoregressiveColumns(columns, inequalities=PAIR, cells=16, width=8).eval()
    built.initialize(units)
    for price in prices:
        grid = np.stack([prices, np.full(len(prices), price)], 1)
        known = torch.tensor([False, True]).expand(len(prices), 2)
        inside = built.inequalities.inside(
            0,
            built.groups[0].ends(),  # type: ignore[operator]
            built.inequalities.values(torch.from_numpy(grid / 0.3).float()),
            known,
        )
        codes = built.groups[0].codes(torch.from_numpy(grid[:, :1] / 0.3).float())  # type: ignore[operator]
        found = inside.gather(1, codes)[:, 0]
        np.testing.assert_array_equal(found.numpy(), (prices <= price).astype(float))


def test_a_large_whole_number_is_not_in_the_window_of_its_neighbor() -> None:
    """A millionth of three million is more than a step."""
    numbers = np.arange(3_000_000, 3_000_005, dtype=np.float64)
    column = Column("number", "real", lattice=Lattice(1.0))
    ends = np.stack([numbers, numbers])
    low, high = np.full(1, numbers[1]), np.full(1, numbers[3])
    share, _, _ = cells_inside(column, column.rules.lattice, ends, low, high)
    assert share.tolist() == [[0, 1, 1, 1, 0]]


@pytest.mark.parametrize("kind", ["positive", "bounded"])
def test_a_limit_beyond_the_bounds_of_a_column_is_no_limit(kind: str) -> None:
    """As of a negative profit below a positive market value, whose logarithm it has not."""
    column = Column("b", kind, low=0.0, high=1.0 if kind == "bounded" else None)
    ends = column.encode(np.array([[0.1, 0.2], [0.2, 0.9]]))
    lattice = Lattice(0.0, 0.0)
    for low, high, inside in ((-3.0, np.inf, 1.0), (0.0, np.inf, 1.0), (-np.inf, -3.0, 0.0)):
        share, first, last = cells_inside(column, lattice, ends, np.array([low]), np.array([high]))
        assert share.tolist() == [[inside, inside]], (low, high)
        assert not np.isnan([first, last]).any()
