"""How long a run is: updates, minutes, or whichever is used up first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lowerbound.training.settings.options import TrainingOptions

FEWEST_UPDATES = 2_000
PASSES = 12_000  # over the rows, times the square root of their number


@dataclass(frozen=True)
class Budget:
    """When a run is over.

    Attributes:
        updates: None: no limit.
        minutes: None: no limit; validation, checkpoints and compilation count.
    """

    updates: int | None
    minutes: float | None

    @classmethod
    def of(
        cls, options: TrainingOptions, rows: int, batch_size: int, passes: int = PASSES
    ) -> Budget:
        """The limits that the options set for so many rows; ``passes`` as ``default_epochs``."""
        epochs = options.epochs
        if epochs is None and options.updates is None and options.minutes is None:
            epochs = default_epochs(rows, batch_size, passes)
        limits = [options.updates] if options.updates is not None else []
        if epochs is not None:
            limits.append(math.ceil(epochs * rows / batch_size))
        return cls(min(limits, default=None), options.minutes)

    def share(self, updates: int, seconds: float) -> float:
        """How much of the run is done, 0 to 1."""
        by_updates = updates / self.updates if self.updates else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_updates, by_time))


def default_epochs(rows: int, batch_size: int, passes: int = PASSES) -> int:
    """Fewer passes over larger data: 12,000 / sqrt(rows), 5 to 400, and 2,000 updates at least.

    60,000 rows get 49 epochs, 1,797 get 283. ``passes`` takes the place of the 12,000.
    """
    by_size = min(max(round(passes / math.sqrt(rows)), 5), 400)
    return max(by_size, math.ceil(FEWEST_UPDATES * batch_size / rows))
