"""Quantile mapping: the distribution is that of the rows, the order that of the draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, ks_2samp, spearmanr

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.mixed import ATOM
from lowerbound.distributions.reparameterization import seeded
from lowerbound.models.correction import QuantileMap

ROWS = 10_000


def mapped(column: Column, rows: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Draws of one column, mapped to the distribution of rows; NaN in rows is missing."""
    made = QuantileMap([column], 256, 512)
    made.learn(rows.nan_to_num().unsqueeze(1), ~rows.isnan().unsqueeze(1))
    made.match(draws.unsqueeze(1))
    with seeded(0):
        return made(draws.unsqueeze(1))[:, 0]


def normal(seed: int) -> torch.Tensor:
    return torch.randn(ROWS, generator=torch.Generator().manual_seed(seed)).double()


def test_a_skewed_column_from_gaussian_draws() -> None:
    draws, rows = normal(0), normal(1).exp()
    found = mapped(Column("a"), rows, draws)
    assert ks_2samp(found, normal(2).exp()).pvalue > 1e-3
    assert ks_2samp(draws, normal(2).exp()).pvalue < 1e-9
    assert spearmanr(found, draws).statistic > 0.9999
    assert float(found.min()) >= float(rows.min())
    assert float(found.max()) <= float(rows.max())


def test_frequent_values_keep_their_shares() -> None:
    """A fifth of the rows is 0 and a tenth is 1; the others have no frequent value."""
    rows = normal(1)
    rows[:2_000], rows[2_000:3_000] = 0.0, 1.0
    found = mapped(Column("a"), rows, 3 * normal(0) + 1)
    counts = [int((found == 0).sum()), int((found == 1).sum())]
    other = ROWS - sum(counts)
    assert chisquare([*counts, other], [2_000, 1_000, 7_000]).pvalue > 1e-3


def test_levels_and_counts_stay_whole() -> None:
    draw = torch.Generator().manual_seed(0)
    rows = torch.poisson(torch.full((ROWS,), 3.0), generator=draw).double()
    draws = torch.poisson(torch.full((ROWS,), 5.0), generator=draw).double()
    found = mapped(Column("a", kind="count", dtype="int64"), rows, draws)
    assert set(found.tolist()) <= set(rows.tolist())
    expected = np.bincount(rows.long())
    observed = np.bincount(found.long(), minlength=len(expected))
    often = expected > 20
    assert observed[often] == pytest.approx(expected[often], rel=0.1, abs=30)


def test_an_atom_keeps_its_share() -> None:
    rows, draws = normal(1), normal(0)
    rows[:4_000], draws[:1_000] = ATOM, ATOM
    found = mapped(Column("a", kind="mixed", atom=0.0), rows, draws)
    assert int((found == ATOM).sum()) == pytest.approx(4_000, abs=60)


def test_missing_cells_and_unordered_levels_stay() -> None:
    draws = normal(0)
    draws[::2] = torch.nan
    assert torch.equal(mapped(Column("a"), normal(1), draws).isnan(), draws.isnan())
    codes = torch.arange(ROWS).remainder(3).double()
    levels = Column("a", kind="categorical", levels=("x", "y", "z"))
    assert torch.equal(mapped(levels, torch.zeros(ROWS), codes), codes)


def test_a_column_without_values_stays() -> None:
    draws = normal(0)
    assert torch.equal(mapped(Column("a"), torch.full((ROWS,), torch.nan), draws), draws)
