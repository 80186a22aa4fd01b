"""Measuring after a fit takes a small part of the time of training, and its sizes say so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from lowerbound.data import Dataset, load
from lowerbound.errors import OptionError
from lowerbound.evaluation.report import effort
from lowerbound.evaluation.report.effort import Effort, Measurement, affordable, sized
from lowerbound.evaluation.report.sizes import RequestedSizes, SuiteOptions
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

ROWS = 1_000


@dataclass(frozen=True)
class Record:
    seconds: float


@dataclass(frozen=True)
class Trained:
    """A history of that duration."""

    seconds: float

    @property
    def last(self) -> Record:
        return Record(self.seconds)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits").subset(range(ROWS))


@pytest.fixture(scope="module")
def ladder(digits: Dataset) -> Fitted:
    """A model without an amortization gap, so that its cost is rows and draws alone."""
    options = FitOptions(ModelOptions(model="ladder"), training=TrainingOptions(updates=1))
    return fit(digits, options)


def measured(fitted: Fitted, digits: Dataset, minutes: float, models: int = 1) -> Measurement:
    """The measurement of models that were trained for so many minutes together."""
    trained: Any = replace(fitted, history=Trained(60 * minutes / models))  # type: ignore[arg-type]
    return Measurement((trained,) * models, digits, digits)


@pytest.fixture
def seconds_a_row(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What it costs to score a row: set it before sizes are chosen."""
    cost = {"row": 0.0, "draw": 0.0, "overhead": 0.0}

    def tried(fitted: Fitted, measured: Measurement, sizes: Any, rows: int) -> tuple[float, float]:
        return cost["overhead"] + rows * cost["row"], rows * cost["draw"]

    monkeypatch.setattr(effort, "_tried", tried)
    return cost


def chosen(effort: Effort) -> tuple[int, int, int]:
    return effort.options.rows, effort.options.gap_rows, effort.options.draws


@pytest.mark.parametrize(
    ("row", "minutes", "expected"),
    [
        (0.059, 0, (1_000, 100, 1_000)),  # 59 s: a minute may always be measured
        (0.061, 0, (500, 50, 500)),
        (0.061, 5, (1_000, 100, 1_000)),  # 75 s is a quarter of 5 minutes
        (0.200, 5, (250, 25, 250)),
        (0.400, 5, (125, 12, 125)),
        (90.00, 5, (125, 12, 125)),  # at least an eighth
        (90.00, 100_000, (1_000, 100, 1_000)),
    ],
)
def test_sizes_follow_from_the_cost(
    ladder: Fitted,
    digits: Dataset,
    seconds_a_row: dict[str, float],
    row: float,
    minutes: float,
    expected: tuple[int, int, int],
) -> None:
    seconds_a_row["row"] = row
    found = affordable(RequestedSizes(), measured(ladder, digits, minutes))
    assert chosen(found) == expected
    assert bool(found.remark) == (expected[0] < ROWS)
    assert found.options.samples == SuiteOptions.samples


def test_what_was_reduced_is_said_with_the_options_that_measure_all(
    ladder: Fitted, digits: Dataset, seconds_a_row: dict[str, float]
) -> None:
    seconds_a_row["draw"] = 0.1
    found = affordable(RequestedSizes(gap_rows=7), measured(ladder, digits, 1))
    assert found.remark == (
        "measured on 500 of 1,000 held-out rows, 500 of 1,000 samples, because measuring all would "
        "take more than a quarter of the time of training; --rows 1000 --draws 1000 measures all"
    )


def test_requested_sizes_win(
    ladder: Fitted, digits: Dataset, seconds_a_row: dict[str, float]
) -> None:
    seconds_a_row["row"] = 90.0
    requested = RequestedSizes(rows=2_000, gap_rows=100, draws=1_000)
    found = affordable(requested, measured(ladder, digits, 1))
    assert found == Effort(SuiteOptions(), "")
    found = affordable(RequestedSizes(rows=2_000), measured(ladder, digits, 1))
    assert chosen(found) == (2_000, 12, 125)


def test_rivals_cost_as_well_and_train_as_well(
    ladder: Fitted, digits: Dataset, seconds_a_row: dict[str, float]
) -> None:
    seconds_a_row["row"] = 0.05
    assert chosen(affordable(RequestedSizes(), measured(ladder, digits, 1)))[0] == 1_000
    assert chosen(affordable(RequestedSizes(), measured(ladder, digits, 1, models=3)))[0] == 250


def test_a_slow_start_is_tried_with_more_rows(
    ladder: Fitted, digits: Dataset, seconds_a_row: dict[str, float]
) -> None:
    seconds_a_row.update(row=0.001, overhead=0.5)  # 4 rows would say 126 s, and 16 rows 32 s
    assert affordable(RequestedSizes(), measured(ladder, digits, 0)).remark == ""


def test_a_small_model_is_measured_in_whole(ladder: Fitted, digits: Dataset) -> None:
    found = affordable(RequestedSizes(), measured(ladder, digits, 0))
    assert found == Effort(SuiteOptions(rows=ROWS), "")


def test_open_sizes_are_the_defaults_of_evaluate() -> None:
    assert sized(RequestedSizes(), 1.0, 10_000) == SuiteOptions()
    with pytest.raises(OptionError, match="samples must be at least 1, not 0"):
        RequestedSizes(samples=0)
    with pytest.raises(OptionError, match="rows must be at least 0, not -1"):
        SuiteOptions(rows=-1)
