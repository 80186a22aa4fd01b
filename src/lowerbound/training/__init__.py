"""The training loop, schedules and checkpoints."""

from lowerbound.training.callbacks import MLflow, TensorBoard, WandB, with_callbacks
from lowerbound.training.history import History, Record
from lowerbound.training.loop import Interrupted, train
from lowerbound.training.options import TrainingOptions
from lowerbound.training.reporter import (
    LineReporter,
    Progress,
    SilentReporter,
    TrainingReporter,
    reporter_for,
)

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
