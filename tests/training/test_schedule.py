from __future__ import annotations

import math

import pytest

from lowerbound.training.options import Schedule, ScheduleName


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        ("constant", [0.2, 0.2, 0.2, 0.2]),
        ("linear", [0.2, 0.15, 0.1, 0.0]),
        ("cosine", [0.2, 0.1 * (1 + math.sqrt(0.5)), 0.1, 0.0]),
    ],
)
def test_the_step_size_at_a_share_of_the_run(shape: ScheduleName, values: list[float]) -> None:
    schedule = Schedule(shape, peak=0.2)
    rates = [schedule(update=10**6, share=share) for share in (0.0, 0.25, 0.5, 1.0)]
    assert rates == pytest.approx(values)


def test_warm_up_rises_linearly_and_joins_the_schedule() -> None:
    schedule = Schedule("constant", peak=1.0, warm_up=4)
    rates = [schedule(update, share=0.0) for update in range(6)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_warm_up_multiplies_the_schedule() -> None:
    assert Schedule("linear", peak=1.0, warm_up=4)(1, share=0.5) == pytest.approx(0.25)


def test_time_beyond_the_end_is_the_end() -> None:
    assert Schedule("linear", peak=1.0)(0, share=1.5) == 0.0
