"""The order of the rows, and the cells that training hides: in which rows, and how many."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest

from lowerbound.data import load
from lowerbound.trace import Batch
from lowerbound.training import TrainingOptions
from lowerbound.training.feed import DataOrder, Feed, hide, masking

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


@pytest.mark.parametrize(("rows", "batch_size"), [(10, 3), (10, 10), (7, 1), (12, 4), (5, 4)])
def test_every_row_is_seen_equally_often_and_batches_are_of_one_size(
    rows: int, batch_size: int
) -> None:
    order = DataOrder(rows, batch_size, seed=0)
    counts = torch.zeros(rows, dtype=torch.int64)
    for number in range(25):
        batch = order.batch(number)
        assert batch.shape == (batch_size,)
        counts += torch.bincount(batch, minlength=rows)
        assert counts.max() - counts.min() <= 1


def test_each_pass_has_every_row_once_and_an_order_of_its_own() -> None:
    order = DataOrder(12, 4, seed=0)
    passes = [torch.cat([order.batch(3 * k + i) for i in range(3)]) for k in range(4)]
    assert all(torch.equal(one.sort().values, torch.arange(12)) for one in passes)
    assert len({tuple(one.tolist()) for one in passes}) == 4


def test_a_batch_is_a_function_of_seed_and_number() -> None:
    walked, jumped = DataOrder(10, 3, seed=5), DataOrder(10, 3, seed=5)
    batches = [walked.batch(number) for number in range(12)]
    assert torch.equal(jumped.batch(11), batches[11])
    assert torch.equal(jumped.batch(3), batches[3])
    assert any(not torch.equal(DataOrder(10, 3, seed=6).batch(n), batches[n]) for n in range(3))


@pytest.mark.usefixtures("untouched_random_state")
def test_shuffling_leaves_global_random_state_alone() -> None:
    DataOrder(10, 3, seed=0).batch(4)


def test_epochs_count_batches() -> None:
    assert DataOrder(10, 4, seed=0).epoch(5) == 2.0
