from __future__ import annotations

import pytest

from lowerbound.training.plan import Budget, default_epochs
from tests.training.cases import options


def test_epochs_become_updates_rounded_up() -> None:
    assert Budget.of(options(updates=None, epochs=3), rows=90, batch_size=16).updates == 17


def test_the_limit_that_is_reached_first_counts() -> None:
    budget = Budget.of(options(updates=10, epochs=3, minutes=2.0), rows=90, batch_size=16)
    assert budget.updates == 10
    assert budget.share(updates=5, seconds=6.0) == 0.5
    assert budget.share(updates=1, seconds=90.0) == 0.75
    assert budget.share(updates=1, seconds=1000.0) == 1.0


def test_minutes_alone_set_no_number_of_updates() -> None:
    budget = Budget.of(options(updates=None, minutes=0.5), rows=90, batch_size=16)
    assert budget.updates is None
    assert budget.share(updates=10**9, seconds=15.0) == 0.5


@pytest.mark.parametrize(("rows", "epochs"), [(60_000, 49), (1_797, 283), (10**8, 5)])
def test_without_a_limit_larger_data_is_passed_fewer_times(rows: int, epochs: int) -> None:
    assert default_epochs(rows, batch_size=128) == epochs
    budget = Budget.of(options(updates=None, batch_size=128), rows, batch_size=128)
    assert budget.updates == -(-epochs * rows // 128)


def test_without_a_limit_small_data_still_gets_enough_updates() -> None:
    assert default_epochs(100, batch_size=100) == 2_000
