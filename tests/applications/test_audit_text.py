"""The text of an audit."""

from __future__ import annotations

from lowerbound.applications.release.audit_text import _learner_lines
from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.release.utility.usefulness import Comparison, Usefulness


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
