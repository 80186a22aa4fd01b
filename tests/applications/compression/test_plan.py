"""Groups of rows: all of them once, none larger than its share of those before."""

from __future__ import annotations

import pytest

from lowerbound.applications.compression import varint
from lowerbound.applications.compression.bits_back import ALL, MOST_TOGETHER, StackPlan


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
@pytest.mark.parametrize("plan", [StackPlan(2, 1), StackPlan(2, 4), StackPlan(5, 1, (2, 0, 3))])
def test_groups_follow_the_plan(plan: StackPlan, rows: int) -> None:
    found = list(plan.groups(rows))
    assert list(plan.groups_back(rows)) == found[::-1]
    starts = [group.rows.start for group in found]
    assert starts == [0, *(group.rows.stop for group in found)][:-1]
    assert found[-1].rows.stop == rows
    ramp = sum(plan.ramp)
    for group in found:
        before = group.rows.start
        assert group.size == 1 or group.size <= min(before >> plan.divisor, MOST_TOGETHER)
        assert (group.levels == ALL) == (before >= ramp)


def test_the_ramp_counts_rows_by_levels() -> None:
    levels = [group.levels for group in StackPlan(2, 1, (2, 0, 3)).groups(6)]
    assert levels == [0, 0, 2, 2, 2, ALL]


def test_a_plan_is_written_as_varints() -> None:
    assert varint.decode_all(StackPlan(300, 1, (2, 0, 3)).to_bytes()) == (300, 1, 2, 0, 3)


def test_a_plan_beyond_two_asks_less_than_both() -> None:
    assert StackPlan(2, 3, (4, 0, 1)).beyond(StackPlan(7, 1, (1, 5))) == StackPlan(8, 4, (4, 5, 1))
