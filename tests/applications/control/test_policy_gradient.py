"""The steps of an agent by PPO, which needs no library to count."""

from __future__ import annotations

import pytest

from lowerbound.applications.control.policy_gradient import PolicyGradientOptions
from lowerbound.errors import OptionError


def test_whole_rollouts_fit_into_the_steps() -> None:
    options = PolicyGradientOptions(steps=4_500, sees="codes", collect=400)
    assert options.learning_steps == 4 * 8 * 128  # a fifth rollout would end at 5,520
    assert options.random_steps + options.learning_steps <= options.steps
    assert PolicyGradientOptions(steps=4_500).random_steps == 0


@pytest.mark.parametrize("options", [{"steps": 1_000}, {"steps": 4_500, "sees": "joint"}])
def test_steps_without_a_rollout_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="hold no rollout of 8 environments of 128 steps"):
        PolicyGradientOptions(**options)  # type: ignore[arg-type]
