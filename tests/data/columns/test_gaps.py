"""Wide gaps between the values of a column: which are sure, and that nothing is drawn from them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import RealKind
from lowerbound.data.columns.lattice import CHANCE, sure_gaps
from lowerbound.likelihoods.columns.histogram import HistogramColumns, HistogramEmission

Sampler = Callable[[np.random.Generator, int], Array]
SMOOTH: dict[str, Sampler] = {
    "uniform": lambda draw, rows: draw.random(rows),
    "log-normal": lambda draw, rows: np.exp(2 * draw.normal(size=rows)),
    "Pareto": lambda draw, rows: draw.pareto(1, rows),
    "Cauchy": lambda draw, rows: draw.standard_cauchy(rows),
    "whole numbers": lambda draw, rows: np.round(10 * draw.pareto(0.8, rows)),
}


def places(values: Array, often: float = math.nan) -> list[tuple[float, float]]:
    """The values below and above each gap."""
    distinct = np.unique(values)
    found = sure_gaps(distinct, distinct == often)
    return [(float(distinct[i]), float(distinct[i + 1])) for i in found.places]


@pytest.mark.parametrize("name", SMOOTH)
def test_distributions_without_gaps_rarely_seem_to_have_one(name: str) -> None:
    draw = np.random.default_rng(0)
    with_gaps = sum(bool(places(SMOOTH[name](draw, 200))) for _ in range(200))
    assert with_gaps <= 200 * CHANCE


def test_a_gap_between_two_groups_is_found() -> None:
    draw = np.random.default_rng(0)
    low, high = draw.uniform(0, 10, 1_000), draw.uniform(50, 60, 15)
    assert places(np.concatenate([low, high])) == [(low.max(), high.min())]
    assert places(np.concatenate([low, [50.0, 55.0]])) == []  # may be a tail


def test_a_value_that_repeats_needs_none_beside_it() -> None:
    values = np.append(np.random.default_rng(0).uniform(0, 10, 300), 99.0)
    assert places(values) == []
    assert places(values, often=99.0) == [(values[:-1].max(), 99.0)]


def test_steps_and_equal_values_are_no_gaps() -> None:
    steps = np.arange(0, 100, 0.5)
    assert len(sure_gaps(steps, np.ones(len(steps), dtype=bool)).places) == 0
    assert len(sure_gaps(steps, steps % 1 == 0).places) == 0
    assert len(sure_gaps(np.zeros(1), np.zeros(1, dtype=bool)).places) == 0


def groups(whole: bool) -> Array:
    """A table's column: 2 % of the values lie above a gap from 10 to 50."""
    draw = np.random.default_rng(1)
    values = draw.uniform(0, 10, 980), draw.uniform(50, 60, 20)
    scale = 100 if whole else 1
    found = scale * np.concatenate(values)
    return found.round() if whole else found


def emission_of(values: Array, column: Column) -> tuple[HistogramEmission, Tensor]:
    x = torch.from_numpy(column.encode(values)).unsqueeze(1)
    group = HistogramColumns([column], 64, 1e-2).double()
    group.initialize(x)
    emission = group(torch.zeros(1, 1, 64, dtype=torch.float64))  # as likely in each cell
    assert isinstance(emission, HistogramEmission)
    return emission, x


@pytest.mark.parametrize("kind", ["real", "mixed", "count"])
def test_nothing_is_drawn_from_a_gap_but_it_has_a_density(kind: str) -> None:
    values = groups(kind == "count")
    column = Column("c", kind)
    if kind == "mixed":
        values = np.concatenate([np.zeros(400), values])
        column = Column("c", kind, atom=0.0, scale=10.0)
    if kind == "real":  # normal scores make the gap a narrow one in model units
        column = RealKind(column).fitted_to(values, True, True)
        assert column.spline is not None
    emission, x = emission_of(values, column)
    torch.manual_seed(0)
    drawn = column.decode(emission.sample((20_000,)).flatten().numpy())
    low, high = (1_000, 5_000) if kind == "count" else (10, 50)
    margin = (high - low) / 20
    assert not ((drawn > low + margin) & (drawn < high - margin)).any()
    assert (drawn > high - margin).any()
    assert (
        emission.drawn(0)[emission.table.empty[:, : emission.drawn(0).shape[-1]][None]].sum() == 0
    )
    inside = torch.from_numpy(column.encode(np.array([(low + high) / 2.0]))).unsqueeze(1)
    assert emission.terms(torch.cat([x, inside])).isfinite().all()
    assert emission.mean.isfinite().all()
    assert emission.variance.isfinite().all()
