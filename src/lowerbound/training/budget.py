"""The length of a run in updates or minutes, and the default size of an update.

A fit has its own settings of torch, whatever those of the caller are.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch

from lowerbound.models.base import Model
from lowerbound.networks.base import Encoder
from lowerbound.training.options import TrainingOptions

_lock = threading.Lock()
_former: list[torch.dtype] = []  # the default type before the fits of all threads, for each of them
FEWEST_UPDATES = 2_000
PASSES = 12_000  # number of passes times the square root of the number of rows


@contextmanager
def own_settings() -> Iterator[None]:
    """Context with gradients, float32 weights and no autocast; afterwards all is as before.

    The default type belongs to the whole process: it is restored after the last fit of any thread.
    """
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    with ExitStack() as settings:
        settings.enter_context(torch.inference_mode(False))
        settings.enter_context(torch.enable_grad())
        for device in filter(torch.is_autocast_enabled, devices):
            settings.enter_context(torch.autocast(device, enabled=False))
        settings.enter_context(_of_float32())
        yield


@contextmanager
def _of_float32() -> Iterator[None]:
    with _lock:
        _former.append(_former[0] if _former else torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with _lock:
            before = _former.pop()
            if not _former:
                torch.set_default_dtype(before)


@dataclass(frozen=True)
class Budget:
    """The limits of a run.

    Attributes:
        updates: None: no limit.
        minutes: None: no limit; validation, checkpoints and compilation are included.
    """

    updates: int | None
    minutes: float | None

    @classmethod
    def of(
        cls,
        options: TrainingOptions,
        rows: int,
        batch_size: int,
        passes: int = PASSES,
        updates: int = FEWEST_UPDATES,
    ) -> Budget:
        """The limits in the options for ``rows`` rows; the last two as in ``default_epochs``."""
        epochs = options.epochs
        if epochs is None and options.updates is None and options.minutes is None:
            epochs = default_epochs(rows, batch_size, passes, updates)
        limits = [options.updates] if options.updates is not None else []
        if epochs is not None:
            limits.append(math.ceil(epochs * rows / batch_size))
        return cls(min(limits, default=None), options.minutes)

    def share(self, updates: int, seconds: float) -> float:
        """How much of the run is done, 0 to 1."""
        by_updates = updates / self.updates if self.updates else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_updates, by_time))


def default_epochs(
    rows: int, batch_size: int, passes: int = PASSES, updates: int = FEWEST_UPDATES
) -> int:
    """Fewer passes over larger data: 12,000 / sqrt(rows), 5 to 400, and 2,000 updates at least.

    60,000 rows get 49 epochs, 1,797 get 283. ``passes`` takes the place of the 12,000,
    ``updates`` that of the 2,000.
    """
    by_size = min(max(round(passes / math.sqrt(rows)), 5), 400)
    return max(by_size, math.ceil(updates * batch_size / rows))


LARGE_TABLE = 4_000  # training rows above which a pass has at least eight large batches


@dataclass(frozen=True)
class UpdateSize:
    """Batch size, learning rate and number of passes.

    Attributes:
        batch_size: rows per update.
        learning_rate: the highest learning rate of Adam.
        passes: number of passes times the square root of the number of rows.
        updates: the fewest updates.
    """

    batch_size: int
    learning_rate: float
    passes: int
    updates: int = FEWEST_UPDATES


USUAL = UpdateSize(batch_size=128, learning_rate=1e-3, passes=PASSES)
OF_SOLVED = UpdateSize(batch_size=128, learning_rate=1e-5, passes=100)  # starts at its optimum
OF_LABEL_FIRST = UpdateSize(batch_size=128, learning_rate=4e-3, passes=1_500, updates=500)
"""Of a model whose q(y | x) is fitted before: seconds instead of a minute."""
OF_LARGE_TABLES = UpdateSize(batch_size=512, learning_rate=6e-3, passes=9_000)
"""An update of a table's small network spends most of its time on launching operations: 512 rows
take little more than twice the time of 128. A large table therefore uses larger batches, whose
gradients allow a larger learning rate, and three quarters of the passes.

The values were chosen by the bound on held-out rows of Adult, KDD 1999, credit default and
California housing, one seed each, where they were as good or better. On German credit (720 rows)
they were worse, so a small table uses small batches. Between 720 and 4,500 rows nothing was tried.
``benchmarks/table_speed.py`` measures Adult's time and bound."""


def update_size_of(model: Model, rows: int, options: TrainingOptions) -> UpdateSize:
    """The values in the options, with defaults from the model and the number of rows.

    If the options set smaller batches, the default learning rate and passes are those of small
    batches.
    """
    encoder = getattr(model, "encoder", None)
    small = isinstance(encoder, Encoder) and encoder.large_batches
    usual = OF_LARGE_TABLES if small and rows >= LARGE_TABLE else USUAL
    if getattr(model, "starts_at_optimum", False):
        usual = OF_SOLVED
    elif model.label_first:
        usual = OF_LABEL_FIRST
    elif options.batch_size is not None and options.batch_size < usual.batch_size:
        usual = USUAL
    return UpdateSize(
        batch_size=min(options.batch_size or usual.batch_size, rows),
        learning_rate=options.learning_rate or usual.learning_rate,
        passes=usual.passes,
        updates=usual.updates,
    )


def planned_updates(model: Model, rows: int, options: TrainingOptions) -> int | None:
    """Updates of a run on so many rows; None: only time limits it."""
    size = update_size_of(model, rows, options)
    return Budget.of(options, rows, size.batch_size, size.passes, size.updates).updates
