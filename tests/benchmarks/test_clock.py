"""The clock of the throughput benchmark: the same span for every arm."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from _arms import Clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    time = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr("_arms.time.perf_counter", lambda: time.seconds)
    return time


def test_the_first_update_is_left_out(now: SimpleNamespace) -> None:
    clock = Clock()
    for now.seconds in (100.0, 102.0, 104.0):  # a slow first update, then two of two seconds
        clock.tick()
    assert clock.seconds(3) == 6.0


def test_reports_of_training_and_ticks_agree(now: SimpleNamespace) -> None:
    clock = Clock()
    for updates, now.seconds in ((1, 100.0), (4, 106.0), (10, 118.0)):
        clock.update(SimpleNamespace(updates=updates))
    assert clock.seconds(10) == 20.0


def test_a_clock_that_missed_the_first_update_says_so(now: SimpleNamespace) -> None:
    clock = Clock()
    for updates in (3, 9):
        clock.update(SimpleNamespace(updates=updates))
    with pytest.raises(ValueError, match="first update"):
        clock.seconds(9)
