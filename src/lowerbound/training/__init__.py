"""The loop, the schedules and the checkpoints."""

from lowerbound.training.history import History, Record
from lowerbound.training.interruption import Interrupted
from lowerbound.training.loop import train
from lowerbound.training.options import TrainingOptions
from lowerbound.training.progress import (
    LineReporter,
    Progress,
    Reporter,
    SilentReporter,
    reporter_for,
)

__all__ = [
    "History",
    "Interrupted",
    "LineReporter",
    "Progress",
    "Record",
    "Reporter",
    "SilentReporter",
    "TrainingOptions",
    "reporter_for",
    "train",
]
