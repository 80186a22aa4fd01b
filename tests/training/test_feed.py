"""The cells that training hides: in which rows, how many, and what becomes of them."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest

from lowerbound.data import load
from lowerbound.trace import Batch
from lowerbound.training import TrainingOptions
from lowerbound.training.feed import Feed, hide, masking

ROWS, CELLS = 4_000, 400


def hidden_shares(share: float) -> torch.Tensor:
    """Fraction of hidden cells of each row, (rows,)."""
    batch = hide(Batch(torch.ones(ROWS, CELLS)), share, torch.Generator().manual_seed(0))
    assert batch.observed is not None
    return (~batch.observed).double().mean(1)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_so_many_rows_have_hidden_cells(share: float) -> None:
    # a row whose uniform part is below about 1 / CELLS has no hidden cell
    error = 4 * (share * (1 - share) / ROWS) ** 0.5 + 3 / CELLS
    found = float((hidden_shares(share) > 0).double().mean())
    assert found == pytest.approx(share, abs=error if share else 0)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_hidden_part_of_such_a_row_is_uniform(share: float) -> None:
    found = hidden_shares(share)
    assert kstest(found[found > 0].numpy(), "uniform").pvalue > 0.01


def test_hidden_cells_are_withheld_and_missing_cells_are_not() -> None:
    observed = torch.rand(200, 30) < 0.7
    batch = hide(Batch(torch.ones(200, 30), observed), 0.6, torch.Generator().manual_seed(0))
    assert batch.observed is not None
    assert batch.withheld is not None
    assert torch.equal(batch.observed | batch.withheld, observed)
    assert not (batch.observed & batch.withheld).any()


def test_colors_of_a_pixel_are_hidden_together() -> None:
    batch = hide(Batch(torch.ones(20, 3, 8, 8)), 1.0, torch.Generator().manual_seed(0))
    assert batch.observed is not None
    assert torch.equal(batch.observed, batch.observed[:, :1].expand(20, 3, 8, 8))
    assert 0.3 < float(batch.observed.double().mean()) < 0.7


@pytest.mark.parametrize(
    ("given", "missing", "expected"),
    [(None, "model", 0.5), (None, "error", 0.0), (0.2, "model", 0.2), (0.2, "error", 0.2)],
)
def test_half_of_the_visits_hide_cells_if_the_model_is_of_missing_cells(
    given: float | None, missing: str, expected: float
) -> None:
    data = load(torch.rand(ROWS, 40).numpy(), missing=missing)
    share = masking(TrainingOptions(masking=given), data)
    feed = Feed(data, torch.device("cpu"), torch.float32, share)
    batch = feed.batch(torch.arange(ROWS), torch.Generator().manual_seed(0))
    some = torch.zeros(1) if batch.observed is None else (~batch.observed).any(1).double()
    assert float(some.mean()) == pytest.approx(expected, abs=0.05 if expected else 0)
    assert feed.batch(torch.arange(ROWS)).observed is None
