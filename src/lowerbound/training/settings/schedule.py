r"""The learning rate over the run.

With t the fraction of the run that is done, 0 to 1, the learning rate is

.. math::
    \text{constant: } \eta, \qquad \text{linear: } \eta (1 - t), \qquad
    \text{cosine: } \tfrac{\eta}{2} (1 + \cos \pi t)

times min(1, (u + 1) / warm_up) at update u. Source of the cosine: Loshchilov & Hutter 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

ScheduleName = Literal["constant", "linear", "cosine"]

SHAPES: dict[ScheduleName, Callable[[float], float]] = {
    "constant": lambda share: 1.0,
    "linear": lambda share: 1.0 - share,
    "cosine": lambda share: 0.5 + 0.5 * math.cos(math.pi * share),
}


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a function of the run's progress.

    Attributes:
        shape: "constant", "linear" or "cosine".
        peak: the highest learning rate.
        warm_up: updates over which the learning rate increases linearly.
    """

    shape: ScheduleName
    peak: float
    warm_up: int = 0

    def __call__(self, update: int, share: float) -> float:
        """The learning rate at an update, counted from 0, and a finished fraction of the run."""
        rate = self.peak * SHAPES[self.shape](min(share, 1.0))
        return rate * (update + 1) / self.warm_up if update < self.warm_up else rate
