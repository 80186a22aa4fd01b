"""The training loop, schedules and checkpoints."""

from lowerbound.training.interruption import Interrupted
from lowerbound.training.loop import train
from lowerbound.training.progress.callbacks import (
    MLflow,
    TensorBoard,
    WandB,
    with_callbacks,
)
from lowerbound.training.progress.history import History, Record
from lowerbound.training.progress.reporter import (
    LineReporter,
    Progress,
    SilentReporter,
    TrainingReporter,
    reporter_for,
)
from lowerbound.training.settings.options import TrainingOptions

__all__ = [
    "History",
    "Interrupted",
    "LineReporter",
    "MLflow",
    "Progress",
    "Record",
    "SilentReporter",
    "TensorBoard",
    "TrainingOptions",
    "TrainingReporter",
    "WandB",
    "reporter_for",
    "train",
    "with_callbacks",
]
