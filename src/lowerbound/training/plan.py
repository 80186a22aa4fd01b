"""The plan of a run, made before the first update: budget, precision, compilation.

It follows from the number of operations of an update, and the arithmetic of this machine.

The length of a run in updates or minutes, and the default size of an update.

A fit has its own settings of torch, whatever those of the caller are.
"""

from __future__ import annotations

import copy
import math
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.models.base import Model
from lowerbound.networks.base import Encoder
from lowerbound.networks.matrix_products import PRODUCT, native_bf16, product_flops
from lowerbound.objectives.base import Objective
from lowerbound.trace import Batch
from lowerbound.training.engine import Update
from lowerbound.training.feed import Feed
from lowerbound.training.held_out import updates_between
from lowerbound.training.options import TrainingOptions
from lowerbound.training.reporter import clock

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


FLOPS_PER_THREAD = 50e9  # sustained float32 rate of a recent server core
SECONDS_PER_UPDATE = 1e-3  # for gathering, launching and Adam, in addition to matrix products
SECONDS_PER_CALL = 22e-6  # of a function of torch on a GPU (H200); most compute for less
FLOPS = {**flop_registry, PRODUCT: product_flops}
LONG_RUN = 60.0  # seconds in float32 above which "auto" uses bf16
LARGE_UPDATE = 2e8  # operations per update above which bf16 and more threads are faster
BF16_SPEED = 1.5  # float32 time over bf16 time above that
COMPILE_SECONDS = 15.0  # time of torch.compile with a cold cache
COMPILE_GAIN = 0.12  # fraction of a bf16 update that it saves
CALL_COMPILE_SECONDS = 0.04  # on a GPU (H200, torch 2.11): more of it for each call of an update
GPU_COMPILE_GAIN = 0.45  # fraction of an update that it saves there


class UpdateCost(NamedTuple):
    """What one update computes.

    Attributes:
        flops: operations in matrix products and convolutions of the forward and backward pass.
        calls: functions of torch that the passes call.
    """

    flops: int
    calls: int


def update_cost(update: nn.Module, batch: Batch) -> UpdateCost:
    """The cost of one update, counted on a copy: module and random state do not change."""
    trial = copy.deepcopy(update)
    counter = _Counting()
    with seeded(0), counter:
        trial(batch).loss.backward()
    return UpdateCost(counter.flops, counter.calls)


class _Counting(TorchDispatchMode):
    """Counts the calls, and sums the operations by torch's table.

    torch's ``FlopCounterMode`` imports the compiler, which takes a second and 80 MB.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.calls = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import the compiler

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        self.calls += 1
        count = FLOPS.get(func.overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=answer)
        return answer


def update_seconds(cost: UpdateCost, device: torch.device) -> float:
    """A rough estimate of the seconds of one float32 update, not compiled.

    On a processor the threads of torch divide the operations; on a GPU each call takes its time. It
    is computed from constants and not measured, so that decisions are repeatable on the same kind
    of machine.
    """
    if device.type != "cpu":
        return cost.calls * SECONDS_PER_CALL
    return SECONDS_PER_UPDATE + cost.flops / (FLOPS_PER_THREAD * torch.get_num_threads())


def compiler() -> str | None:
    """The C++ compiler that torch.compile would call; None if there is none."""
    default = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX", default))


@dataclass(frozen=True)
class TrainingPlan:
    """The choices for "auto" and None in the options; stored with the checkpoint.

    Attributes:
        batch_size: rows per update.
        learning_rate: the highest learning rate of Adam.
        updates, minutes: the limits of the budget; see ``Budget``.
        record_every: updates from one record, and validation, to the next.
        precision: "float32" or "bf16".
        compiled: whether the update is compiled.
        threads: processor threads.
        reason: explanation for the log.
        warm_up: updates over which the learning rate rises.
    """

    batch_size: int
    learning_rate: float
    updates: int | None
    minutes: float | None
    record_every: int
    precision: str
    compiled: bool
    threads: int
    reason: str
    warm_up: int = 0

    @property
    def budget(self) -> Budget:
        """The limits of the run."""
        return Budget(self.updates, self.minutes)


def decide(
    model: Model,
    objective: Objective,
    dataset: Dataset,
    validation: Dataset | None,
    options: TrainingOptions,
) -> TrainingPlan:
    """Make the plan of a new run; the model and the random state do not change."""
    size = update_size_of(model, len(dataset), options)
    budget = Budget.of(options, len(dataset), size.batch_size, size.passes, size.updates)
    work = Work(Update(model, objective), dataset, size.batch_size, budget)
    precision, reason = _precision(options, work)
    compiled, obstacle = _compiled(options, precision, work)
    held_out = len(validation) if validation is not None else 0
    slow = precision == "bf16"
    return TrainingPlan(
        batch_size=size.batch_size,
        learning_rate=size.learning_rate,
        updates=budget.updates,
        minutes=budget.minutes,
        record_every=updates_between(len(dataset), held_out, size.batch_size, slow),
        precision=precision,
        compiled=compiled,
        threads=_threads(options, work),
        reason="; ".join(words for words in (reason, obstacle) if words),
        warm_up=_warm_up(model, options, budget),
    )


def sentence(plan: TrainingPlan, options: TrainingOptions, rows: int, held_out: int) -> str:
    """The plan in one line for the log."""
    parts = [
        f"{rows:,} rows" + (f" and {held_out:,} held out" if held_out else ""),
        _limits(plan, rows),
        f"batches of {plan.batch_size}",
        _optimizer(plan, options),
        f"{plan.precision}, {'compiled' if plan.compiled else 'not compiled'}"
        + (f" ({plan.reason})" if plan.reason else ""),
        f"{plan.threads} thread" + ("s" if plan.threads > 1 else ""),
        f"a record every {plan.record_every:,} updates",
    ]
    if options.weight_average:
        parts.append(f"weights averaged with decay {options.weight_average:g}")
    if held_out and options.patience:
        parts.append(f"stops after {options.patience} validations without gain")
    return "training: " + "; ".join(parts)


class Work:
    """The amount of computation of a run, counted when it is first used."""

    def __init__(self, update: Update, dataset: Dataset, batch_size: int, budget: Budget) -> None:
        self.update = update
        self.budget = budget
        self._dataset = dataset
        self._batch_size = batch_size

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next((value.device for value in self.update.parameters()), torch.device("cpu"))

    @cached_property
    def cost(self) -> UpdateCost:
        """What one update computes."""
        value = next(self.update.parameters())
        feed = Feed(self._dataset, self.device, value.dtype)
        return update_cost(self.update, feed.batch(torch.arange(self._batch_size)))

    @property
    def seconds(self) -> float:
        """Estimated seconds of the whole run in float32."""
        by_time = 60 * self.budget.minutes if self.budget.minutes else math.inf
        if self.budget.updates is None:
            return by_time
        each = update_seconds(self.cost, self.device)
        return min(by_time, self.budget.updates * each)


def _warm_up(model: Model, options: TrainingOptions, budget: Budget) -> int:
    """The updates of the options, or the model's own, at most a tenth of a short run."""
    if options.warm_up is not None:
        return options.warm_up
    return model.warm_up if budget.updates is None else min(model.warm_up, budget.updates // 10)


def _precision(options: TrainingOptions, work: Work) -> tuple[str, str]:
    """(precision, reason): bf16 for a long run of large updates if the processor has it.

    bf16 has 8 bits of mantissa. Real columns need more, so a density uses float32.
    """
    on_processor = work.device.type == "cpu"
    if options.precision != "auto":
        slow = options.precision == "bf16" and on_processor and not native_bf16()
        return options.precision, "slow: this processor has no bf16 arithmetic" if slow else ""
    if not on_processor:
        return "float32", "auto uses bf16 on processors only"
    if not native_bf16():
        return "float32", "this processor has no bf16 arithmetic"
    if not work.update.model.mass:
        return "float32", "a density over real numbers needs more precision than bf16"
    if work.cost.flops < LARGE_UPDATE:
        return "float32", "the updates are too small for bf16"
    if work.seconds < LONG_RUN:
        return "float32", f"about {work.seconds:.0f} s of work, too little for bf16"
    return "bf16", f"about {clock(work.seconds / BF16_SPEED)} of work"


def _compiled(options: TrainingOptions, precision: str, work: Work) -> tuple[bool, str]:
    """(whether to compile, the obstacle): for a long run of equal updates, on CUDA, or in bf16."""
    if options.compile == "off":
        return False, ""
    if options.compile == "auto" and not _compiling_pays(precision, work):
        return False, ""
    if work.device.type == "cpu" and compiler() is None:
        return False, "no C++ compiler was found"
    return True, ""


def _compiling_pays(precision: str, work: Work) -> bool:
    """Whether compilation saves more time than it takes."""
    if not work.update.objective.steady:
        return False
    if work.device.type == "cuda":
        seconds = COMPILE_SECONDS + CALL_COMPILE_SECONDS * work.cost.calls
        return work.seconds * GPU_COMPILE_GAIN > seconds
    if precision != "bf16" or work.device.type != "cpu" or not native_bf16():
        return False
    return work.seconds / BF16_SPEED * COMPILE_GAIN >= COMPILE_SECONDS


def _threads(options: TrainingOptions, work: Work) -> int:
    """One thread for small updates, because more threads would mostly wait for each other,
    especially on a busy machine."""
    if options.threads:
        return options.threads
    small = work.device.type == "cpu" and work.cost.flops < LARGE_UPDATE
    return 1 if small else torch.get_num_threads()


def _limits(plan: TrainingPlan, rows: int) -> str:
    limits = []
    if plan.updates is not None:
        epochs = plan.updates * plan.batch_size / rows
        limits.append(f"{plan.updates:,} updates ({epochs:.4g} epochs)")
    if plan.minutes is not None:
        limits.append(f"{plan.minutes:g} minutes")
    return " or ".join(limits)


def _optimizer(plan: TrainingPlan, options: TrainingOptions) -> str:
    name = "AdamW" if options.weight_decay else "Adam"
    words = [f"{name} {plan.learning_rate:g}", f"{options.schedule} schedule"]
    if plan.warm_up:
        words.append(f"warm-up over {plan.warm_up:,} updates")
    if options.gradient_clip:
        words.append(f"gradients clipped at {options.gradient_clip:g}")
    return ", ".join(words)
