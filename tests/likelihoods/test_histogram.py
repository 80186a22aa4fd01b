"""Histograms of columns of numbers: their cells, density and draws."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.mixed import ATOM
from lowerbound.likelihoods.columns.cells import FEWEST, _best_cut, fit_cells
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


def test_few_rows_have_two_cells() -> None:
    """Three values need more rows for a cell each, as their shares would be noise."""
    assert fit_cells(torch.tensor([0.0, 4.0, 4.0]), 32, 1e-2).values.tolist() == [0, 4]
    assert len(fit_cells(torch.tensor([0.0, 1.0, 4.0, 4.0, 4.0]), 32, 1e-2)) <= 2


def test_values_of_many_have_cells_of_equally_many_rows() -> None:
    x = torch.linspace(0, 1, ROWS, dtype=torch.float64)
    cells = fit_cells(x, 40, 1e-4)
    counts = torch.histogram(x, cells.edges)[0]
    assert len(cells) == 30  # the others are for cuts
    assert not cells.single.any()
    assert (counts - ROWS / 30).abs().max() <= 2
    assert (cells.edges[0], cells.edges[-1]) == (x.min(), x.max())


@pytest.mark.parametrize(("rows", "most"), [(60, 32), (60, 128), (ROWS, 32), (ROWS, 128)])
def test_long_tails_are_cut(rows: int, most: int) -> None:
    """Of equally filled cells, the mean would be several times that of these values."""
    for seed in range(5):
        x = (2 * drawn(seed, rows)).exp()
        cells = fit_cells(x, most, 1e-9)
        assert len(cells) <= most
        counts = torch.histogram(x, cells.edges)[0]
        assert counts.min() >= 2
        mean = float((counts / rows * cells.values).sum())
        assert abs(mean / float(x.mean()) - 1) < 0.4


def test_a_cell_is_cut_where_the_likelihood_gains_most() -> None:
    values = np.sort(np.r_[np.random.default_rng(0).uniform(0, 1, 18), [60.0, 99.0]])
    lost, low, cut, high, below, _ = _best_cut(values, 0.0, 100.0)
    assert (low, high) == (0.0, 100.0)
    assert cut == pytest.approx(0.5 * (values[below - 1] + values[below]))

    def log_likelihood(edges: list[float]) -> float:
        counts, _ = np.histogram(values, edges)
        return float((counts * np.log(counts / len(values) / np.diff(edges))).sum())

    gain = log_likelihood([0, cut, 100]) - log_likelihood([0, 100])
    assert -lost == pytest.approx(gain)
    others = [0.5 * (a + b) for a, b in pairwise(values[1:-1])]
    assert gain == pytest.approx(
        max(log_likelihood([0, c, 100]) for c in others) - log_likelihood([0, 100])
    )


def test_few_rows_have_few_cells() -> None:
    assert len(fit_cells(drawn(rows=100), 128, 1e-2)) <= 7


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


def density(emission: HistogramEmission, values: Tensor) -> Tensor:
    return emission.terms(values.view(-1, 1, 1))[:, 0, 0].double().exp()


def random_emission(group: HistogramColumns) -> HistogramEmission:
    generator = torch.Generator().manual_seed(1)
    shape = (1, 1, *group.parameter_shape)
    emission = group(torch.randn(shape, dtype=torch.float64, generator=generator))
    assert isinstance(emission, HistogramEmission)
    return emission


@pytest.mark.parametrize("kind", ["real", "mixed", "constant"])
def test_density_and_tails_integrate_to_one(kind: str) -> None:
    x = torch.full((50,), 0.5) if kind == "constant" else drawn()
    if kind == "mixed":
        x = torch.cat([x, torch.full((1_000,), ATOM)])
    group = fitted(x, "mixed", atom=0.0) if kind == "mixed" else fitted(x)
    emission = random_emission(group)
    edges = emission.table.edges[0][emission.table.edges[0].isfinite()]
    inner = density(emission, edges[:-1] + 0.5 * edges.diff())
    widths = edges.diff()
    if kind == "mixed":
        widths[0] = 1.0  # the atom has mass
    far = torch.linspace(0, 40, 400_001, dtype=torch.float64)  # the tails' scale is one
    above = torch.trapezoid(density(emission, edges[-1] + 1e-6 + far), far)
    total = (inner * widths).sum() + above
    if kind != "mixed":  # nothing lies below an atom
        total += torch.trapezoid(density(emission, edges[0] - 1e-6 - far), far)
    assert float(total) == pytest.approx(1, abs=1e-7)
    shares = emission.probabilities(0)[0, 0]
    assert float(above) == pytest.approx(TAIL * float(shares[-1]), rel=1e-5)


@pytest.mark.parametrize(
    "values",
    [[0, 1, 3], [0, 5], [7], [3, 4, 90], list(range(0, 300, 3)), list(range(2, 4_000, 7))],
)
def test_probabilities_of_counts_sum_to_one(values: list[int]) -> None:
    x = torch.tensor(values).repeat_interleave(10).double()
    emission = random_emission(fitted(x, "count"))
    reach = 50 * int(max(values) + 8)
    every = density(emission, torch.arange(reach, dtype=torch.float64))
    assert float(every.sum()) == pytest.approx(1, abs=1e-9)


def test_counts_of_an_older_model_have_probabilities_that_sum_to_one() -> None:
    """Its boundaries were halfway between values, and so not halfway between whole numbers."""
    group = fitted(torch.tensor([0.0, 1.0, 3.0]).repeat(9).double(), "count")
    group.edges[0, :4] = torch.tensor([-0.5, 0.5, 2.0, 3.5])
    group.edges[0, 4:] = math.inf
    emission = random_emission(group)
    every = density(emission, torch.arange(500, dtype=torch.float64))
    assert float(every.sum()) == pytest.approx(1, abs=1e-9)


def test_signed_whole_numbers_have_probabilities_that_sum_to_one() -> None:
    group = HistogramColumns([Column("c", "count")], 32, 1e-2, signed=True).double()
    group.initialize(torch.tensor([-4.0, 0.0, 3.0]).repeat(9).double().unsqueeze(1))
    every = density(random_emission(group), torch.arange(-500, 500, dtype=torch.float64))
    assert float(every.sum()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("values", [[0, 1, 3], [0, 5]])
def test_probability_of_a_count_is_its_share_of_draws(values: list[int]) -> None:
    """The cell of a value that is always drawn from it contains no other whole number."""
    x = torch.tensor(values).repeat_interleave(torch.arange(len(values)) * 40 + 20).double()
    emission = marginal(fitted(x, "count"), x)
    torch.manual_seed(0)
    draws = emission.sample((40_000,)).flatten()
    assert draws.min() >= 0
    assert draws.max() == max(values)
    for value in range(max(values) + 1):
        expected = float(density(emission, torch.tensor([float(value)])))
        assert float((draws == value).double().mean()) == pytest.approx(expected, abs=0.01)


def test_neighbors_in_float32_have_a_finite_density() -> None:
    first = torch.tensor(1.0)
    values = [first, *(first := torch.nextafter(first, torch.tensor(2.0)) for _ in range(2))]
    x = torch.stack(values).repeat(40)
    cells = fit_cells(x, 32, 1e-2)
    assert (cells.edges.diff() >= 2.0**-22).all()
    group = HistogramColumns([Column("c")], 32, 1e-2)
    group.initialize(x.unsqueeze(1).double())
    emission = group(group.initial_bias(x.unsqueeze(1))[None, None])
    assert emission.terms(x.unsqueeze(1)).isfinite().all()


@pytest.mark.parametrize("middle", [16_777_216, 1_600_000_000])
def test_large_counts_have_the_same_probability_in_float32(middle: int) -> None:
    spread = torch.round(4_000 * drawn()) if middle > 2**24 else torch.arange(64.0) - 32
    x = middle + spread.double()
    group = fitted(x, "count", cells=128)
    wide = marginal(group, x)
    narrow = group(wide.logits.float().flatten(2))
    assert narrow.mean.dtype == narrow.variance.dtype == torch.float32
    terms = [emission.terms(x.unsqueeze(1))[0, :, 0].double() for emission in (wide, narrow)]
    assert terms[0].isfinite().all()
    torch.testing.assert_close(terms[1], terms[0], rtol=0, atol=1e-5)


def test_the_largest_value_rounded_to_float32_is_in_the_range() -> None:
    x = drawn()
    emission = marginal(fitted(x), x)
    for end in (x.min(), x.max()):
        exact, rounded = emission.terms(torch.stack([end, end.float().double()]).view(-1, 1, 1))
        torch.testing.assert_close(rounded, exact)


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


def test_kept_cells_follow_their_buffers() -> None:
    columns = HistogramColumns([Column("x", "real")], 8, 0.01)
    columns.initialize(torch.randn(500, 1, generator=torch.Generator().manual_seed(0)))
    before = columns.table()
    assert columns.table() is before
    other = copy.deepcopy(columns)
    other.initialize(5 + torch.randn(500, 1, generator=torch.Generator().manual_seed(1)))
    assert float(other.table().low) > 1 > float(columns.table().low)
    columns.load_state_dict(other.state_dict())
    torch.testing.assert_close(columns.table().edges, other.table().edges)
    moved = columns.to(torch.float32)
    assert moved.table().edges.dtype == torch.float64


def test_cells_kept_without_gradients_serve_training() -> None:
    columns = HistogramColumns([Column("x", "real")], 8, 0.01)
    x = torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
    columns.initialize(x)
    parameters = torch.zeros(1, 500, 8, requires_grad=True)
    with torch.inference_mode():
        columns(parameters).terms(x)
    columns(parameters).terms(x).sum().backward()
    assert parameters.grad is not None
    assert bool(parameters.grad.isfinite().all())
