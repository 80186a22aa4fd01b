"""The training loop, schedules and checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowerbound.registry import public_names

if TYPE_CHECKING:
    from lowerbound.training.callbacks import (
        MLflow as MLflow,
        TensorBoard as TensorBoard,
        WandB as WandB,
        with_callbacks as with_callbacks,
    )
    from lowerbound.training.loop import Interrupted as Interrupted, train as train
    from lowerbound.training.options import TrainingOptions as TrainingOptions
    from lowerbound.training.reporter import (
        History as History,
        LineReporter as LineReporter,
        Progress as Progress,
        Record as Record,
        SilentReporter as SilentReporter,
        TrainingReporter as TrainingReporter,
        reporter_for as reporter_for,
    )

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        ".callbacks": "MLflow TensorBoard WandB with_callbacks",
        ".reporter": "History Record LineReporter "
        "Progress SilentReporter TrainingReporter reporter_for",
        ".loop": "Interrupted train",
        ".options": "TrainingOptions",
    },
)
