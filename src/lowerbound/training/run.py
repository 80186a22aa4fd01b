"""The state of a training run, and its changes from update to update.

Running means over updates do not synchronize with the device at each update.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lowerbound import processes
from lowerbound.data.dataset import Dataset
from lowerbound.models.base import Model
from lowerbound.objectives.base import Bound, Objective
from lowerbound.training.adam import WeightAverage
from lowerbound.training.checkpoint import Checkpoint, joined
from lowerbound.training.engine import Engine, ParallelEngine, Update
from lowerbound.training.feed import DataOrder, Feed, masking, speed_change
from lowerbound.training.held_out import Best, HeldOut, LatentWatch, evaluating
from lowerbound.training.options import Schedule, TrainingOptions
from lowerbound.training.plan import TrainingPlan
from lowerbound.training.private.engine import PoissonOrder
from lowerbound.training.private.plan import PrivatePlan
from lowerbound.training.randomness import generator, noise_state, set_noise_state
from lowerbound.training.reporter import Ended, History, Progress, Record

MOST_PENDING = 64
FEWEST_VALIDATION_ROWS = 256
DIVERGED = 1_000  # times the size of its start that a bound must fall


class Meter:
    """Sums bounds, distortions and rates over rows, in double precision.

    Bounds are stored and summed a few dozen at a time. The sums are added update by update, so they
    do not depend on the time of the summation, and a resumed run has the same means bit for bit.
    """

    def __init__(self) -> None:
        self._pending: list[Bound] = []
        self.reset()

    def reset(self) -> None:
        """Set all sums to zero."""
        self._pending.clear()
        self.rows = 0
        self.bound = 0.0
        self.distortion = 0.0
        self.rates: list[float] = []

    def add(self, bound: Bound) -> None:
        """Add the bound of one update."""
        self._pending.append(bound)
        if len(self._pending) >= MOST_PENDING:
            self.settle()

    @torch.no_grad()
    def settle(self) -> None:
        """Sum the pending bounds."""
        if not self._pending:
            return
        for value in _row_sums([bound.value for bound in self._pending]):
            self.bound += value
        for value in _row_sums([bound.distortion for bound in self._pending]):
            self.distortion += value
        for rates in _row_sums([bound.rates for bound in self._pending]):
            known = self.rates or [0.0] * len(rates)
            self.rates = [total + rate for total, rate in zip(known, rates, strict=True)]
        self.rows += sum(len(bound.value) for bound in self._pending)
        self._pending.clear()

    def means(self) -> tuple[float, float, tuple[float, ...]]:
        """(bound, distortion, rates) in nats per row; NaN if no row was seen."""
        self.settle()
        if not self.rows:
            return math.nan, math.nan, ()
        rates = tuple(rate / self.rows for rate in self.rates)
        return self.bound / self.rows, self.distortion / self.rows, rates

    def to_mapping(self) -> dict[str, Any]:
        """JSON values, with exact floats."""
        self.settle()
        names = ("rows", "bound", "distortion", "rates")
        return {name: getattr(self, name) for name in names}

    def restore(self, mapping: Mapping[str, Any]) -> None:
        """Restore the values of ``to_mapping``."""
        self.reset()
        for name, value in mapping.items():
            setattr(self, name, value)


def _row_sums(values: list[Tensor]) -> list[Any]:
    """The sum over the last axis of each tensor, as Python numbers."""
    sums: list[Any] = torch.stack(values).double().sum(-1).tolist()
    return sums


class TrainingRun:
    """Model, optimizer, averages, data order and records of a run.

    Args:
        model: trained in place.
        objective: to maximize.
        dataset: rows to train on.
        validation: rows for early stopping.
        options: as the user set them.
        plan: the choices for options that are "auto" or None.
        say: called with messages for the log.
        private: how the run is made private; None: it is not. A private run has no measurements of
            its rows.

    Attributes:
        updates: updates made, skipped ones included.
        skipped: updates skipped because the loss or gradient was not finite.
        skipped_in_a_row: updates skipped since the last one that was not.
        ended: "" while the run is not finished.
    """

    def __init__(
        self,
        model: Model,
        objective: Objective,
        dataset: Dataset,
        validation: Dataset | None,
        options: TrainingOptions,
        plan: TrainingPlan,
        say: Callable[[str], None],
        private: PrivatePlan | None = None,
    ) -> None:
        update = Update(model, objective)
        self.model, self.objective, self.plan = model, objective, plan
        self.engine: Engine
        self.order: DataOrder | PoissonOrder
        if private is None:
            self.secret = None
            made = (update, options, plan.precision, plan.compiled, say)
            alone = processes.count() == 1
            parallel = partial(ParallelEngine, plan.batch_size, len(dataset))
            self.engine = Engine(*made) if alone else parallel(*made)
            self.order = DataOrder(len(dataset), plan.batch_size, options.seed)
        else:
            self.secret = private.randomness()
            self.engine = private.engine(update, options, self.secret, say)
            self.order = private.order(self.secret)
        device, dtype = self.engine.device, self.engine.parameters[0].dtype
        objective.to(device)
        speeds = speed_change(options, dataset, objective.speed_change)
        self.feed = Feed(dataset, device, dtype, masking(options, dataset), speeds)
        rows = max(plan.batch_size, FEWEST_VALIDATION_ROWS)
        self.held_out = HeldOut(validation, device, dtype, rows) if validation else None
        self.bits = generator(options.seed, "bits")
        self.schedule = Schedule(options.schedule, plan.learning_rate, plan.warm_up)
        decay = options.weight_average
        self.average = WeightAverage(model, decay) if decay else None
        self.best = Best(options.patience)
        self.budget = plan.budget
        self.meter = Meter()
        self.units = dataset.mean_log_jacobian(mass=model.mass)
        self.records: list[Record] = []
        self.updates = self.skipped = self.skipped_in_a_row = 0
        self.learning_rate = math.nan
        self.start: float | None = None  # held-out bound of the start, nats per row
        self.first: float | None = None  # bound of the first update, nats per row
        self.ended: Ended = ""
        self._seconds_before = 0.0
        self._common_seconds: float | None = None  # of all processes; None: of this one
        self._mark: tuple[float, float] | None = None
        self._started = time.perf_counter()

    def begin(self) -> None:
        """Start the clock. A linear model that training starts with is the first to be judged."""
        self._started = time.perf_counter()
        if self.held_out is not None and not self.updates and self.model.starts_as_linear_model:
            value = self._judge(self.held_out, None) + self.units
            self.start = value if math.isfinite(value) else None
        self.model.train()
        self.objective.train()

    @property
    def seconds(self) -> float:
        """Training time so far, including the time before a checkpoint."""
        return self._seconds_before + time.perf_counter() - self._started

    @property
    def share(self) -> float:
        """Fraction of the run that is done, 0 to 1."""
        seconds = self.seconds if self._common_seconds is None else self._common_seconds
        return self.budget.share(self.updates, seconds)

    def meet(self, stop: bool) -> bool:
        """Wait for the other processes, take their time, and return whether one of them stops."""
        if processes.count() == 1:
            return stop
        self._common_seconds, stops = processes.highest([self.seconds, float(stop)])
        return bool(stops)

    def update(self) -> None:
        """Make one update, and a record if it is due."""
        share = self.share
        self.engine.begin(self.updates, self.bits)
        batch = self.feed.batch(processes.part(self.order.batch(self.updates)), self.bits)
        self.learning_rate = self.schedule(self.updates, share)
        bound = self.engine.step(batch, self.learning_rate, share)
        self.updates += 1
        self._count(bound)
        if self.average is not None:
            self.average.after(self.updates)
        if (
            self._mark is None
        ):  # the first update may include compilation, so the time left excludes it
            self._mark = self.share, self.seconds
        done = self.share >= 1.0
        if done or self.updates % self.plan.record_every == 0:
            self._record()
            if done:
                self.ended = "finished"
            elif self.best.exhausted:
                self.ended = "early stop"

    def history(self) -> History:
        """The records so far."""
        ended = self.ended or "running"
        return History(tuple(self.records), ended, self.best.update, self.start)

    @property
    def kept_record(self) -> Record | None:
        """The record of the weights to keep; None before the first record."""
        kept = [record for record in self.records if record.updates == self.best.update]
        records = kept or self.records
        return records[-1] if records else None

    @property
    def diverged(self) -> bool:
        """Whether most updates failed, or the bound ended not finite or far below its start.

        A private run does not tell: its rows decide it.
        """
        if self.secret is not None:
            return False
        if self.skipped > self.updates / 2:
            return True
        bound = self._newest()[0]
        if self.first is None or not math.isfinite(bound):
            return True
        return bound < self.first - DIVERGED * (1 + abs(self.first))

    def keep(self) -> None:
        """Set the model's weights to those to keep: the best, else the averaged ones."""
        if self.best.weights:
            self.best.apply(self.model)
        elif self.average is not None:
            self.average.apply()
        self.model.eval()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Context in which the model has the weights of ``keep``; they are restored afterwards."""
        own = {name: value.clone() for name, value in self.model.state_dict().items()}
        with evaluating(self.model):
            try:
                self.keep()
                yield
            finally:
                self.model.load_state_dict(own)

    def progress(self) -> Progress:
        """The state of the run, for a reporter."""
        bound, distortion, rates = self._newest()
        share, seconds = self.share, self.seconds
        share_then, seconds_then = self._mark or (share, seconds)
        done, spent = share - share_then, seconds - seconds_then
        return Progress(
            epoch=self.order.epoch(self.updates),
            updates=self.updates,
            total=self.plan.updates,
            share=share,
            bound=bound,
            rates=rates,
            distortion=distortion,
            validation=self.records[-1].validation if self.records else None,
            seconds=seconds,
            seconds_left=spent * (1 - share) / done if done > 0 else None,
            skipped=self.skipped,
            readings={**(self.records[-1].readings if self.records else {}), **self._readings()},
        )

    def checkpoint(self) -> Checkpoint:
        """The state for ``restore``, complete bit for bit; tensors are not copied."""
        noise = noise_state(self.engine.device)
        parts = {
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.engine.adam.tensors(),
            "average": self.average.tensors() if self.average is not None else {},
            "best": self.best.weights,
            "random": {**noise, "bits": self.bits.get_state()},
        }
        values: dict[str, Any] = {
            name: getattr(self, name) for name in ("updates", "skipped", "skipped_in_a_row")
        }
        values["seconds"] = self.seconds
        values["first"] = self.first
        values["average_count"] = self.average.count if self.average is not None else 0
        values["meter"] = self.meter.to_mapping()
        values["best"] = self.best.to_mapping()
        values["history"] = self.history().to_mapping()
        if self.secret is not None:
            values["secret"] = self.secret.to_mapping()
        return Checkpoint(joined(parts), values)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint."""
        values = checkpoint.values
        self.model.load_state_dict(checkpoint.part("model"))
        self.objective.load_state_dict(checkpoint.part("objective"))
        self.engine.adam.restore(checkpoint.part("optimizer"))
        if self.average is not None:
            self.average.restore(checkpoint.part("average"), values["average_count"])
        self.best.restore(values["best"], checkpoint.part("best"))
        self.meter.restore(values["meter"])
        for name in ("updates", "skipped", "skipped_in_a_row"):
            setattr(self, name, values[name])
        history = History.from_mapping(values["history"])
        self.records, self.start = list(history), history.start
        self._seconds_before = values["seconds"]
        self.first = values.get("first", self.records[0].bound if self.records else None)
        if self.secret is not None:
            self.secret.restore(values["secret"])
        random = checkpoint.part("random")
        self.bits.set_state(random.pop("bits"))
        set_noise_state(random, self.engine.device)

    def _count(self, bound: Bound | None) -> None:
        if bound is None:
            self.skipped += 1
            self.skipped_in_a_row += 1
        else:
            self.skipped_in_a_row = 0
            self.meter.add(bound)
            if self.first is None and self.secret is None:
                self.first = self.meter.means()[0] + self.units

    def _record(self) -> None:
        bound, distortion, rates = self.meter.means()
        self.meter.reset()
        readings = self._readings()
        # an objective without rates trains no latents, so what they carry says nothing about it
        watch = LatentWatch() if rates else None
        self.model.forget_readings()
        self.objective.forget_readings()
        self.records.append(
            Record(
                epoch=self.order.epoch(self.updates),
                updates=self.updates,
                seconds=self.seconds,
                bound=bound + self.units,
                distortion=distortion - self.units,
                rates=rates,
                validation=self._validate(watch),
                learning_rate=self.learning_rate,
                skipped=self.skipped,
                readings={**(watch.readings() if watch is not None else {}), **readings},
            )
        )

    def _readings(self) -> dict[str, tuple[float, ...]]:
        """Diagnostics of model and objective; a private run has none."""
        if self.secret is not None:
            return {}
        return {**self.model.readings(), **self.objective.readings()}

    def _validate(self, watch: LatentWatch | None) -> float | None:
        """The held-out bound of the averaged weights, which are stored if it is the best."""
        if self.held_out is None:
            return None
        with self.average.applied() if self.average is not None else nullcontext():
            value = self._judge(self.held_out, watch)
        return value + self.units if math.isfinite(value) else None

    def _judge(self, held_out: HeldOut, watch: LatentWatch | None) -> float:
        """The held-out bound of the model's weights, which are stored if it is the best."""
        bound = held_out.bound(self.model, self.objective, watch)
        newest = not (self.objective.judged_by_value and self.objective.settled)
        self.best.consider(bound.joint, self.updates, self.model, newest)
        return bound.value

    def _newest(self) -> tuple[float, float, tuple[float, ...]]:
        """(bound, distortion, rates) since the last record, else those of the last record."""
        bound, distortion, rates = self.meter.means()
        if self.meter.rows or not self.records:
            return bound + self.units, distortion - self.units, rates
        last = self.records[-1]
        return last.bound, last.distortion, last.rates
