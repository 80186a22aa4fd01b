from __future__ import annotations

import pytest
import torch

from lowerbound.training.feed import DataOrder


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
