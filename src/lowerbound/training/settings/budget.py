"""How long a run is, in updates or minutes; how large an update, where a person leaves it open."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lowerbound.models import Model
from lowerbound.networks.base import Encoder
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


LARGE_TABLE = 4_000  # training rows from which a pass still has eight large batches


@dataclass(frozen=True)
class UpdateSize:
    """What one update takes in, how far it goes, and how often the rows are passed.

    Attributes:
        batch_size: rows per update.
        learning_rate: Adam's step size at its highest.
        passes: over the rows, times the square root of their number.
    """

    batch_size: int
    learning_rate: float
    passes: int


USUAL = UpdateSize(batch_size=128, learning_rate=1e-3, passes=PASSES)
OF_LARGE_TABLES = UpdateSize(batch_size=512, learning_rate=6e-3, passes=9_000)
"""An update of a table's small network spends most of its time on launching operations: 512 rows
take little more than twice the time of 128. A large table therefore takes the larger batches, whose
gradients bear a larger step, and three quarters of the passes.

Chosen by the bound on other rows of Adult, KDD 1999, credit default and California housing, one
seed each, where it was as good or better; on German credit (720 rows) it was worse, so a small
table keeps the small batches. Between 720 and 4,500 rows nothing was tried.
``benchmarks/table_speed.py`` measures Adult's time and bound."""


def update_size_of(model: Model, rows: int, options: TrainingOptions) -> UpdateSize:
    """What the options say; what they leave open, from the model and the number of rows.

    Smaller batches get the step size and the passes that go with them.
    """
    encoder = getattr(model, "encoder", None)
    small = isinstance(encoder, Encoder) and encoder.large_batches
    usual = OF_LARGE_TABLES if small and rows >= LARGE_TABLE else USUAL
    if options.batch_size is not None and options.batch_size < usual.batch_size:
        usual = USUAL
    return UpdateSize(
        batch_size=min(options.batch_size or usual.batch_size, rows),
        learning_rate=options.learning_rate or usual.learning_rate,
        passes=usual.passes,
    )
