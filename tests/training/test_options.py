from __future__ import annotations

import math
from typing import Any

import pytest

from lowerbound.config import from_mapping, to_mapping
from lowerbound.errors import OptionError
from lowerbound.training import TrainingOptions
from lowerbound.training.options import Schedule, ScheduleName


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("updates", -1),
        ("minutes", 0.0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("learning_rate", float("nan")),
        ("schedule", "exponential"),
        ("warm_up", -1),
        ("weight_average", 1.0),
        ("gradient_clip", -1.0),
        ("weight_decay", -0.1),
        ("adam_eps", 0.0),
        ("precision", "float16"),
        ("compile", "yes"),
        ("validation", 1.0),
        ("patience", -1),
        ("seed", -1),
        ("checkpoint_seconds", -1.0),
        ("threads", -1),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"^{name} must be"):
        TrainingOptions(**{name: value})


def test_json_values_restore_the_options() -> None:
    options = TrainingOptions(epochs=3, minutes=0.5, schedule="linear", compile="off")
    assert from_mapping(TrainingOptions, to_mapping(options)) == options


def test_an_unknown_option_suggests_the_nearest() -> None:
    with pytest.raises(OptionError, match="learning_rate"):
        from_mapping(TrainingOptions, {"learning_rat": 1e-3})


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
