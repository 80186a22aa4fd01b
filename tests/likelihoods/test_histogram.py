"""Histograms of columns of numbers: their cells, density and draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.mixed import ATOM
from lowerbound.likelihoods.columns.cells import FEWEST, fit_cells
from lowerbound.likelihoods.columns.histogram import TAIL, HistogramColumns, HistogramEmission

ROWS = 4_000


def drawn(seed: int = 0, rows: int = ROWS) -> Tensor:
    return torch.randn(rows, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def fitted(x: Tensor, kind: str = "real", cells: int = 32, **fields: float) -> HistogramColumns:
    column = Column("c", kind, **fields)  # type: ignore[arg-type]
    group = HistogramColumns([column], cells, 1e-2).double()
    group.initialize(x.unsqueeze(1))
    return group


def marginal(group: HistogramColumns, x: Tensor) -> HistogramEmission:
    return group(group.initial_bias(x.unsqueeze(1))[None, None])


def test_few_values_have_a_cell_each() -> None:
    x = torch.tensor([0.0, 1.0, 4.0]).repeat_interleave(torch.tensor([100, 50, 30]))
    cells = fit_cells(x, 32, 1e-2)
    assert cells.values.tolist() == [0, 1, 4]
    assert cells.edges.tolist() == [-0.5, 0.5, 2.5, 4.5]
    assert cells.single.all()


def test_values_of_many_have_cells_of_equally_many_rows() -> None:
    x = drawn()
    cells = fit_cells(x, 40, 1e-2)
    counts = torch.histogram(x, cells.edges)[0]
    assert len(cells) == 40
    assert not cells.single.any()
    assert (counts - 100).abs().max() <= 2
    assert (cells.edges[0], cells.edges[-1]) == (x.min(), x.max())


def test_few_rows_have_few_cells() -> None:
    assert len(fit_cells(drawn(rows=100), 128, 1e-2)) <= 5


def test_frequent_value_has_a_narrow_cell_of_its_own() -> None:
    x = torch.cat([drawn(), torch.full((400,), 0.25)])
    cells = fit_cells(x, 40, 1e-2)
    (place,) = cells.single.nonzero().flatten().tolist()
    assert cells.values[place] == 0.25
    assert cells.edges[place] < 0.25 < cells.edges[place + 1]
    assert cells.edges[place + 1] - cells.edges[place] <= 1e-2
    assert len(cells) <= 40
    assert (cells.edges.diff() > 0).all()
    rare = torch.cat([drawn(), torch.full((FEWEST - 1,), 0.25)])
    assert not fit_cells(rare, 40, 1e-2).single.any()


def test_frequent_means_several_times_the_rows_of_a_usual_value() -> None:
    """Of values with ten rows each, one with 45 has a cell of its own, and one with 24 has none."""
    usual = torch.arange(400.0).repeat_interleave(10)
    x = torch.cat([usual, torch.full((35,), 100.0), torch.full((14,), 200.0)])
    cells = fit_cells(x, 100, 1e-2)
    assert cells.values[cells.single].tolist() == [100]


def test_frequent_ends_stay_inside_the_cells() -> None:
    x = torch.cat([drawn().abs(), torch.zeros(500), torch.full((500,), 9.0)])
    cells = fit_cells(x, 40, 1e-2)
    assert cells.values[cells.single].tolist() == [0, 9]
    assert cells.edges[0] <= 0
    assert cells.edges[-1] >= 9


def test_whole_numbers_have_boundaries_between_them() -> None:
    x = torch.round(200 * drawn()).abs()
    cells = fit_cells(x, 40, 1.0, whole=True)
    assert (cells.edges % 1 == 0.5).all()


@pytest.mark.parametrize("kind", ["real", "mixed", "count"])
def test_density_and_tails_sum_to_one(kind: str) -> None:
    x = torch.round(40 * drawn()).abs() if kind == "count" else drawn()
    if kind == "mixed":
        x = torch.cat([x, torch.full((1_000,), ATOM)])
    group = fitted(x, kind, atom=0.0) if kind == "mixed" else fitted(x, kind)
    generator = torch.Generator().manual_seed(1)
    parameters = torch.randn(1, 1, *group.parameter_shape, dtype=torch.float64, generator=generator)
    emission = group(parameters)
    table = emission.table
    used = table.used[0]
    middle = 0.5 * (table.edges[0, :-1] + table.edges[0, 1:])[used]
    inside = emission.terms(middle.view(-1, 1, 1))[:, 0, 0].exp() * table.width[0, used]
    shares = emission.probabilities(0)[0, 0]
    torch.testing.assert_close(inside, shares * (1 - TAIL))
    # the tail beyond the highest cell integrates to a share of that cell
    beyond = table.high + torch.tensor([[0.3], [2.0]])
    tail = emission.terms(beyond.unsqueeze(1))[:, 0, 0].exp()
    scale = max(1.0, float(x.max() - x.min() + 1) / 8) if kind == "count" else 1.0
    distance = torch.tensor([0.3, 2.0], dtype=torch.float64)
    expected = TAIL * shares[-1] * torch.exp(-distance / scale) / scale
    torch.testing.assert_close(tail, expected)


def test_start_has_the_frequencies_of_the_rows() -> None:
    x = torch.tensor([0.0, 1.0, 4.0]).repeat_interleave(torch.tensor([100, 50, 30])).double()
    emission = marginal(fitted(x), x)
    shares = emission.probabilities(0)[0, 0]
    expected = torch.tensor([100.5, 50.5, 30.5], dtype=torch.float64) / 181.5
    torch.testing.assert_close(shares, expected)


def test_draws_repeat_frequent_values_and_stay_in_the_range() -> None:
    x = torch.cat([drawn(), torch.full((1_000,), 0.25)])
    emission = marginal(fitted(x), x)
    torch.manual_seed(0)
    values = emission.sample((20_000,)).flatten()
    assert (values == 0.25).double().mean() == pytest.approx(0.2, abs=0.012)
    assert values.min() >= x.min()
    assert values.max() <= x.max()
    # piecewise uniform between: quantiles are those of the rows
    shares = torch.tensor([0.05, 0.3, 0.9], dtype=torch.float64)
    near = x.quantile(shares)
    torch.testing.assert_close(values.quantile(shares), near, rtol=0, atol=0.05)


def test_draws_of_counts_are_counts() -> None:
    x = torch.round(200 * drawn()).abs()
    emission = marginal(fitted(x, "count"), x)
    torch.manual_seed(0)
    values = emission.sample((10_000,)).flatten()
    assert (values == values.round()).all()
    assert values.min() >= 0
    assert values.mean() == pytest.approx(x.mean().item(), rel=0.05)


def test_atom_is_drawn_as_often_as_it_occurs_and_has_mass() -> None:
    x = torch.cat([drawn(), torch.full((1_000,), ATOM)])
    emission = marginal(fitted(x, "mixed", atom=0.0), x)
    torch.manual_seed(0)
    values = emission.sample((20_000,)).flatten()
    assert (values == ATOM).double().mean() == pytest.approx(0.2, abs=0.012)
    mass = emission.terms(torch.tensor([[ATOM]])).exp().item()
    assert mass == pytest.approx(0.2, abs=0.01)
    assert emission.mean.item() == pytest.approx(x[:ROWS].mean().item(), abs=0.02)


def test_expected_values_are_those_of_decoded_draws() -> None:
    column = Column("c", "positive", shift=1.0, scale=0.5)
    group = HistogramColumns([column], 32, 1e-2).double()
    x = drawn()
    group.initialize(x.unsqueeze(1))
    emission = marginal(group, x)
    found = HistogramColumns.averages([column], emission)(emission).item()
    torch.manual_seed(0)
    draws = column.decode(np.asarray(emission.sample((200_000,)).flatten()))
    assert found == pytest.approx(draws.mean(), abs=5 * draws.std() / math.sqrt(len(draws)))


def test_whole_numbers_of_a_wide_range_have_a_wide_tail() -> None:
    """Cents, for example: a value beyond the range costs by the range, not by its units."""
    x = torch.arange(0.0, 40_000.0, 13.0, dtype=torch.float64)
    group = fitted(x, "count", cells=16)
    emission = group(group.initial_bias(x.unsqueeze(1)).view(1, 1, -1))
    far = torch.arange(40_000.0, 400_000.0, dtype=torch.float64).view(-1, 1)
    log_p = emission.terms(far)[0, :, 0]
    assert log_p[20_000] > -25
    inside = emission.terms(torch.arange(-200_000.0, 40_000.0).double().view(-1, 1))[0, :, 0]
    assert abs(float(log_p.exp().sum() + inside.exp().sum()) - 1) < 1e-3
