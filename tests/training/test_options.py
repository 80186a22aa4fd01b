from __future__ import annotations

from typing import Any

import pytest

from lowerbound.config import from_mapping, to_mapping
from lowerbound.errors import OptionError
from lowerbound.training import TrainingOptions


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
