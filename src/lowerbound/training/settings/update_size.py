"""Rows per update, step size and passes, where a person leaves them open.

An update of a table's small network spends most of its time on launching operations: 512 rows take
little more than twice the time of 128. A large table therefore takes the larger batches, whose
gradients bear a larger step, and three quarters of the passes.

Chosen by the bound on other rows of Adult, KDD 1999, credit default and California housing, one
seed each, where it was as good or better; on German credit (720 rows) it was worse, so a small
table keeps the small batches. Between 720 and 4,500 rows nothing was tried.
``benchmarks/table_speed.py`` measures Adult's time and bound.
"""

from __future__ import annotations

from dataclasses import dataclass

from lowerbound.models import Model
from lowerbound.networks.base import Encoder
from lowerbound.training.settings.budget import PASSES
from lowerbound.training.settings.options import TrainingOptions

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


def update_size_of(model: Model, rows: int, options: TrainingOptions) -> UpdateSize:
    """What the options say; what they leave open, from the model and the number of rows.

    Whoever asks for smaller batches gets the step size and the passes that go with those.
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
