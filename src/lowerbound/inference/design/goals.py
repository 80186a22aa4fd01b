r"""What a design is for: quantities of rows, their good values, and limits of others.

The utility of a value v is v, or -v to minimize, or for a target t with tolerance e

.. math:: u(v) = -\max(0, |v - t| - e)

and the score of a row is :math:`\sum_i w_i u_i(v_i) / s_i` over the goals. The scales s are 1 for a
single goal, and the standard deviations in the known rows for several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from lowerbound.errors import OptionError

Function = Callable[[Any], Any]
"""Rows in their original form, a list of texts or a frame, to one number for each."""

PENALTY = 2.0  # of a limit that is predicted to be exceeded, in standard deviations of the score


@dataclass(frozen=True)
class Goal:
    """A quantity and its good values.

    Attributes:
        name: of the quantity.
        function: from rows to its values.
        direction: "max" or "min"; without effect if there is a target.
        target: the value to reach; None: the higher or the lower the better.
        tolerance: distance from the target that is as good as the target.
        weight: of this goal among several, positive.
        scale: s, by which the utility is divided.

    Raises:
        OptionError: the weight is not positive, or the tolerance is negative.
    """

    name: str
    function: Function
    direction: Literal["max", "min"] = "max"
    target: float | None = None
    tolerance: float = 0.0
    weight: float = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.weight > 0 or not self.tolerance >= 0:
            raise OptionError(
                f"{self.name}: a weight is positive and a tolerance is not negative, not "
                f"{self.weight:g} and {self.tolerance:g}"
            )

    def utility(self, values: Tensor) -> Tensor:
        """u(v), the higher the better; differentiable."""
        if self.target is not None:
            return -((values - self.target).abs() - self.tolerance).clamp_min(0)
        return values if self.direction == "max" else -values

    @property
    def factor(self) -> float:
        """w / s."""
        return self.weight / self.scale


@dataclass(frozen=True)
class Limit:
    """A range in which a quantity must lie; rows outside it are rejected.

    Attributes:
        name: of the quantity.
        function: from rows to its values.
        low: smallest allowed value.
        high: largest allowed value.
        scale: of the penalty of a search for values outside.

    Raises:
        OptionError: the range is empty.
    """

    name: str
    function: Function
    low: float = -float("inf")
    high: float = float("inf")
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise OptionError(f"the range of {self.name}, {self.low:g} to {self.high:g}, is empty")

    def excess(self, values: Tensor) -> Tensor:
        """Distance from the range, zero inside; differentiable."""
        return (self.low - values).clamp_min(0) + (values - self.high).clamp_min(0)

    def problem(self, value: float) -> str:
        """Why a value is rejected; "" if it is in the range."""
        if value < self.low:
            return f"{self.name} {value:.4g} is below {self.low:g}"
        if value > self.high:
            return f"{self.name} {value:.4g} is above {self.high:g}"
        return "" if value == value else f"{self.name} has no value"


@dataclass(frozen=True)
class DesignTask:
    """Goals and limits; the quantities are the goals', then the limits'.

    Raises:
        OptionError: there is no goal, or a name occurs twice.
    """

    goals: tuple[Goal, ...]
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        if not self.goals:
            raise OptionError("a design needs a goal")
        for names in ([g.name for g in self.goals], [one.name for one in self.limits]):
            if len(set(names)) < len(names):
                raise OptionError(f"a name occurs twice among {', '.join(names)}")

    @cached_property
    def quantities(self) -> tuple[Goal | Limit, ...]:
        """The goals, then the limits."""
        return (*self.goals, *self.limits)

    def scaled(self, deviations: Sequence[float]) -> DesignTask:
        """The task with scales from the standard deviation of each quantity in known rows."""
        own, others = deviations[: len(self.goals)], deviations[len(self.goals) :]
        single = len(self.goals) == 1
        unit = own[0] * self.goals[0].weight if single else 1.0
        goals = tuple(
            replace(goal, scale=1.0 if single else deviation)
            for goal, deviation in zip(self.goals, own, strict=True)
        )
        limits = tuple(
            replace(limit, scale=max(deviation, 1e-12) / unit)
            for limit, deviation in zip(self.limits, others, strict=True)
        )
        return DesignTask(goals, limits)

    def score(self, values: Tensor) -> Tensor:
        """The score of rows from values of all quantities, (rows, quantities) to (rows,)."""
        parts = [goal.factor * goal.utility(values[:, i]) for i, goal in enumerate(self.goals)]
        return torch.stack(parts).sum(0)

    def cautious(self, mean: Tensor, deviation: Tensor, caution: float) -> Tensor:
        r"""What a search ascends: the score of predicted values, minus uncertainty and penalties.

        .. math:: \sum_i \frac{w_i}{s_i} (u_i(\mu_i) - k \sigma_i) - \sum_j 2\, e_j(\mu_j) / s_j

        with e the distance from a limit. Tolerances are zero here, so that the target attracts
        inside them too.

        Args:
            mean, deviation: predictions of all quantities, (rows, quantities).
            caution: k.
        """
        total = mean.new_zeros(len(mean))
        for i, goal in enumerate(self.goals):
            utility = replace(goal, tolerance=0.0).utility(mean[:, i])
            total = total + goal.factor * (utility - caution * deviation[:, i])
        for i, limit in enumerate(self.limits, len(self.goals)):
            total = total - PENALTY * limit.excess(mean[:, i]) / limit.scale
        return total
