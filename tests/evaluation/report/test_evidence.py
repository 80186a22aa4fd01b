"""What a training history says of its end, and of overfitting."""

from __future__ import annotations

import pytest

from lowerbound.evaluation.report.evidence import brief, collapsed, overfit, rising
from lowerbound.training.held_out import UNITS
from tests.evaluation.report.test_page import History, Record


def history(*validation: float | None, ended: str = "finished") -> History:
    """Records of one epoch each."""
    made = History(
        Record(float(epoch), validation=value) for epoch, value in enumerate(validation, 1)
    )
    made.ended = ended
    return made


def test_a_bound_that_still_rises_in_the_last_tenth() -> None:
    values = [-100.0 + epoch for epoch in range(20)]
    assert rising(history(*values)) == pytest.approx(2.0)  # epochs 18 to 20
    assert rising(history(*values[:18], -83.0, -83.0)) == pytest.approx(0.0)


@pytest.mark.parametrize(
    "stopped", [None, history(), history(-90.0), history(None, None), history(-90.0, ended="")]
)
def test_no_history_claims_nothing(stopped: History | None) -> None:
    assert rising(stopped) is None


def test_a_training_of_a_single_validation_was_brief() -> None:
    assert brief(history(-90.0))
    assert brief(history(None, -90.0))
    assert not brief(history(-90.0, -89.0))
    assert not brief(history(-90.0, ended="early stop"))
    assert not brief(history())
    assert not brief(None)


def test_an_early_stop_was_long_enough() -> None:
    values = [-100.0 + epoch for epoch in range(20)]
    assert rising(history(*values, ended="early stop")) is None


def test_overfitting_is_measured_where_the_weights_are_kept() -> None:
    made = History(
        [
            Record(1.0, bound=-95.0, validation=-97.0),
            Record(2.0, bound=-90.0, validation=-94.0),
            Record(3.0, bound=-80.0, validation=-99.0),
        ]
    )
    assert overfit(made) == pytest.approx(4.0)
    assert overfit(made, hiding=True) is None
    assert overfit(History([Record(1.0, bound=float("nan"))])) is None
    assert overfit(None) is None


def test_units_are_those_of_the_weights_that_are_kept() -> None:
    def trained(*active: float) -> History:
        bounds = (-97.0, -94.0, -99.0)
        readings = [{UNITS: (count, 8.0)} for count in active]
        return History(
            Record(1.0, validation=bound, readings=reading)
            for bound, reading in zip(bounds, readings, strict=True)
        )

    assert UNITS == UNITS
    assert collapsed(trained(3, 0, 3))
    assert not collapsed(trained(0, 1, 0))
    assert not collapsed(History([Record(1.0)]))  # not measured
    assert not collapsed(None)
