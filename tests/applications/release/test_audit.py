"""The text of an audit, and whether its limit is met."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lowerbound.applications.fit.evaluate import EvaluateReport
from lowerbound.applications.release.audit import AuditReport, _learner_lines, _reached
from lowerbound.applications.release.requests import AuditRequest
from lowerbound.applications.release.usefulness import Comparison, Usefulness
from lowerbound.errors import DataError
from lowerbound.evaluation.intervals import Interval


def test_long_figures_do_not_run_together() -> None:
    loss = Interval(0.0, 0.0, 0.0)
    found = [
        Comparison("linear model", measure, -1.234e-10, -5.678e-10, loss)
        for measure in ("R²", "RMSE")
    ]
    head, line = _learner_lines(Usefulness("pay", (), 30, tuple(found), ()))
    assert line.count("  -1.234e-10 -> -5.678e-10") == 2
    assert head.split() == ["R²", "RMSE"]
    assert len(head) == len(line)


def audited(value: float, low: float, high: float) -> Any:
    """Findings of which the strongest attack has this interval."""
    return SimpleNamespace(strongest=SimpleNamespace(area=Interval(value, low, high)), mismatch="m")


@pytest.mark.parametrize(
    ("at_most", "reached"),
    [(0.55, False), (0.6, True), (0.65, True), (0.45, False), (None, None), (0.59999, False)],
)
def test_an_attack_exceeds_a_limit_by_its_value_and_no_limit_is_neither_met_nor_exceeded(
    at_most: float | None, reached: bool | None
) -> None:
    request = AuditRequest("real.csv", "drawn.csv", at_most=at_most)
    assert _reached(request, audited(0.6, 0.5, 0.7)) is reached
    nothing = SimpleNamespace(strongest=None, mismatch="they differ")
    if at_most is None:
        assert _reached(request, nothing) is None
    else:
        with pytest.raises(DataError, match="neither met nor exceeded, because they differ"):
            _reached(request, nothing)


@pytest.mark.parametrize(("reached", "passed"), [(None, True), (True, True), (False, False)])
def test_a_report_fails_only_where_a_limit_was_exceeded(reached: Any, passed: bool) -> None:
    made: Any = SimpleNamespace(reached=reached)
    assert AuditReport.passed.fget(made) is passed  # type: ignore[attr-defined]
    assert EvaluateReport.passed.fget(made) is passed  # type: ignore[attr-defined]
