"""p(m | x) by logistic regressions: shares, dependence on columns, cells missing together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor

from lowerbound.classical.linear_regression import fit_logistic
from lowerbound.data.columns.column import Column
from lowerbound.distributions.reparameterization import seeded
from lowerbound.models.correction import MissingnessModel

ROWS = 8_000


def columns(*shares: float) -> list[Column]:
    return [Column(f"c{i}", missing_share=share) for i, share in enumerate(shares)]


def learned(shares: tuple[float, ...], x: Tensor, missing: Tensor) -> MissingnessModel:
    found = MissingnessModel(columns(*shares))
    found.learn(x, ~missing)
    with seeded(1):
        found.match(torch.randn_like(x))
    return found


def rows(seed: int, width: int) -> Tensor:
    with seeded(seed):
        return torch.randn(ROWS, width)


def test_a_logistic_curve_is_found() -> None:
    """w = 2, b = -1 of a curve that the rows are drawn from; a constant feature has no weight."""
    draw = np.random.default_rng(0)
    f = np.column_stack([draw.normal(3, 2, 20_000), np.ones(20_000)])
    yes = draw.random(20_000) < 1 / (1 + np.exp(-(2 * f[:, 0] - 1)))
    weights, bias = fit_logistic(f, yes)
    assert weights[0] == pytest.approx(2, abs=0.15)
    assert weights[1] == 0
    assert bias == pytest.approx(-1, abs=0.25)
    assert fit_logistic(f, np.zeros(20_000, dtype=bool)) == (pytest.approx([0, 0]), 0.0)


def test_a_column_that_is_nearly_empty_keeps_its_share() -> None:
    """Also where the draws of the model differ from the rows: the intercept makes up for it."""
    x, missing = rows(0, 2), torch.zeros(ROWS, 2, dtype=torch.bool)
    missing[:, 1] = torch.rand(ROWS, generator=torch.Generator().manual_seed(2)) < torch.sigmoid(
        3.9 + 1.5 * x[:, 0]
    )
    share = float(missing[:, 1].double().mean())
    found = MissingnessModel(columns(0.0, share))
    found.learn(x, ~missing)
    shifted = rows(3, 2) + 0.7
    found.match(shifted)
    with seeded(4):
        drawn = found(shifted)
    assert not drawn[:, 0].any()
    assert binomtest(int(drawn[:, 1].sum()), ROWS, share).pvalue > 1e-3


def test_dependence_on_another_column() -> None:
    """p(missing | x) of the rows, 0.8 above zero and 0.1 below, is that of the draws."""
    x, missing = rows(0, 2), torch.zeros(ROWS, 2, dtype=torch.bool)
    x[:, 0] = x[:, 0].sign()
    chance = torch.where(x[:, 0] > 0, 0.8, 0.1)
    missing[:, 1] = torch.rand(ROWS, generator=torch.Generator().manual_seed(2)) < chance
    found = MissingnessModel(columns(0.0, 0.45))
    found.learn(x, ~missing)
    found.match(x)
    with seeded(4):
        drawn = found(x)[:, 1]
    assert float(drawn[x[:, 0] > 0].double().mean()) == pytest.approx(0.8, abs=0.03)
    assert float(drawn[x[:, 0] < 0].double().mean()) == pytest.approx(0.1, abs=0.03)


def test_columns_whose_cells_are_missing_together() -> None:
    x, missing = rows(0, 3), torch.zeros(ROWS, 3, dtype=torch.bool)
    missing[:, 1:] = (torch.arange(ROWS) % 4 == 0).unsqueeze(1)
    found = learned((0.0, 0.25, 0.25), x, missing)
    with seeded(4):
        drawn = found(rows(5, 3))
    assert float((drawn[:, 1] == drawn[:, 2]).double().mean()) > 0.995


def test_a_value_that_is_missing_is_not_used() -> None:
    """Column 1 is missing in half of the rows; column 2 is missing where column 1 is there and
    large. Without its value, nothing but its absence is known, and column 2 is there."""
    x, missing = rows(0, 3), torch.zeros(ROWS, 3, dtype=torch.bool)
    missing[:, 1] = torch.arange(ROWS) % 10 < 3
    missing[:, 2] = ~missing[:, 1] & (x[:, 1] > 0)
    found = learned((0.0, 0.3, 0.35), x, missing)
    fresh = rows(5, 3)
    with seeded(4):
        drawn = found(fresh)
    gone = drawn[:, 1]
    assert float(drawn[gone, 2].double().mean()) < 0.1
    seen = ~gone & (fresh[:, 1].abs() > 1)
    right = drawn[seen, 2] == (fresh[seen, 1] > 0)
    assert float(right.double().mean()) > 0.95


def test_kept_cells_are_never_missing() -> None:
    x, missing = rows(0, 2), torch.zeros(ROWS, 2, dtype=torch.bool)
    missing[:, 1] = True
    missing[0, 1] = False
    found = learned((0.0, 1.0), x, missing)
    kept = torch.zeros_like(missing)
    kept[: ROWS // 2, 1] = True
    drawn = found(x, kept)
    assert not drawn[: ROWS // 2].any()
    assert float(drawn[ROWS // 2 :, 1].double().mean()) > 0.99


def test_very_many_columns_keep_their_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the regressions is limited: then the cells of a column are missing by chance."""
    x, missing = rows(0, 2), torch.zeros(ROWS, 2, dtype=torch.bool)
    missing[:, 1] = x[:, 0] > 1
    share = float(missing[:, 1].double().mean())
    monkeypatch.setattr("lowerbound.models.correction.MOST_NUMBERS", 1_000)
    found = learned((0.0, share), x, missing)
    with seeded(4):
        drawn = found(x)[:, 1]
    assert not found.weight.any()
    assert binomtest(int(drawn.sum()), ROWS, share).pvalue > 1e-3


def test_the_value_of_the_cell_itself_is_not_used() -> None:
    """Half of the cells are missing by chance. In the rows a value, far from 0, means that the cell
    is there; in draws every cell has one."""
    x, missing = rows(0, 2) + 5, torch.zeros(ROWS, 2, dtype=torch.bool)
    missing[:, 1] = torch.arange(ROWS) % 2 == 0
    found = learned((0.0, 0.5), x, missing)
    with seeded(4):
        drawn = found(x)[:, 1].double()
    assert abs(float(torch.corrcoef(torch.stack([drawn, x[:, 1].double()]))[0, 1])) < 0.05
