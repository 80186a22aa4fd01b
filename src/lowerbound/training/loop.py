"""The training loop.

Ctrl-C (SIGINT), SIGTERM and SIGHUP end it after the current update, with a checkpoint.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from lowerbound import processes
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import DataError, OptionError, TrainingError
from lowerbound.models.base import Model
from lowerbound.networks.processor import kept_memory, processor_threads
from lowerbound.objectives.base import Objective
from lowerbound.processes import ownership, signals
from lowerbound.training.checkpoint import FOLDER, Checkpoint
from lowerbound.training.device import on_device
from lowerbound.training.held_out import collapse_message
from lowerbound.training.options import TrainingOptions
from lowerbound.training.plan import decide, sentence
from lowerbound.training.private.engine import check_private
from lowerbound.training.private.plan import PrivatePlan
from lowerbound.training.randomness import stream_seed
from lowerbound.training.reporter import History, SilentReporter, TrainingReporter
from lowerbound.training.run import TrainingRun
from lowerbound.training.saving import Keeper, Publish, identity, plan_of, reason

SECONDS_BETWEEN_REPORTS = 0.25
MOST_SKIPPED_IN_A_ROW = 50


class Interrupted(KeyboardInterrupt):
    """A signal stopped training; the message explains what was saved and how to continue.

    Attributes:
        history: the records until then.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


class Interruption:
    """Whether a signal to stop has arrived."""

    def __init__(self) -> None:
        self.requested = False

    def request(self, number: int, frame: FrameType | None) -> None:
        """The signal handler; a second signal stops at once, without waiting for the update."""
        signals.note(number)
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def listening() -> Iterator[Interruption]:
    """Context that converts signals to a flag, and restores their handlers afterwards.

    Only the main thread can handle signals; in another thread the flag stays False.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in signals.heeded()}
    for number in before:
        signal.signal(number, interruption.request)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            # None: a handler that was not set from Python, and cannot be restored from it
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def train(
    model: Model,
    objective: Objective,
    dataset: Dataset,
    options: TrainingOptions | None = None,
    *,
    validation: Dataset | None = None,
    folder: Path | None = None,
    resume: bool = False,
    reporter: TrainingReporter | None = None,
    publish: Publish | None = None,
    private: PrivatePlan | None = None,
) -> History:
    """Train ``model`` in place; at the end it is in evaluation mode and has the weights to keep.

    These are the weights with the best bound on ``validation``, else the newest. If there is a
    moving average, its weights are used. The caller's random state does not change.

    In a group of processes (``torch.distributed``) that all call this with the same arguments, each
    computes the gradient of a part of every batch; the first shows progress and writes checkpoints.

    Args:
        model: moved to the device of the options and trained there.
        objective: to maximize.
        dataset: rows to train on.
        options: budget, learning rate, precision and other options.
        validation: rows for early stopping (the caller splits the data by ``options.validation``).
        folder: checkpoints are written to ``folder/checkpoint``; None: no checkpoints.
        resume: continue from the checkpoint in the folder, bit for bit; without a checkpoint, the
            run starts from the beginning.
        reporter: shows progress.
        publish: called before each checkpoint, while the model has the weights to keep so far.
        private: makes the run differentially private; None: it is not.

    Raises:
        DataError: there are no rows.
        OptionError: the checkpoint belongs to another run (the message names the differences), or
            this machine lacks the device, or another run writes to the folder.
        ModelFolderError: the checkpoint is damaged.
        TrainingError: loss or gradient stayed non-finite, or the model has no parameters.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was saved.
    """
    options = options or TrainingOptions()
    reporter = reporter if reporter is not None and processes.leads() else SilentReporter()
    if not len(dataset):
        raise DataError("there are no rows to train on")
    on_device(model, options.device)
    with _owned(folder), seeded(stream_seed(options.seed, "noise")), _shown(reporter):
        keeper = None
        if folder is not None:
            who = identity(model, objective, dataset, validation, options)
            who |= {} if private is None else {"privacy": private.to_mapping()}
            seconds = options.checkpoint_seconds
            keeper = Keeper(Path(folder), who, seconds, publish, reporter.message)
        checkpoint = keeper.found() if keeper is not None and resume else None
        if checkpoint is not None and "finished" in checkpoint.values:
            with checkpoint.used():
                return _finished_before(model, checkpoint, reporter)
        if private is not None:
            _check_private(model, objective, validation)
        objective.prepare(model, dataset)
        parts = (model, objective, dataset, validation, options)
        plan = processes.of_first(decide(*parts) if checkpoint is None else plan_of(checkpoint))
        if options.threads:  # free to change on a resume
            plan = replace(plan, threads=options.threads)
        if private is not None:
            private.check(plan, options, len(dataset))
        run = TrainingRun(*parts, plan, reporter.message, private)
        reporter.message(sentence(plan, options, len(dataset), len(validation or ())))
        if private is not None:
            reporter.message(private.sentence)
        if checkpoint is not None:
            with checkpoint.used():
                run.restore(checkpoint)
            reporter.message(f"resumed at update {run.updates:,}")
        with processor_threads(plan.threads), kept_memory():
            _go(run, keeper if processes.leads() else None, reporter)
        _conclude(run, reporter)
        return run.history()


def _conclude(run: TrainingRun, reporter: TrainingReporter) -> None:
    """Say what is remarkable about the weights to keep."""
    if run.best.update == 0:
        reporter.message(
            "no update exceeded the linear model of the start on the held-out rows, so it is kept"
        )
    if run.kept_record is None:
        return
    warning = collapse_message(run.kept_record, needed=run.model.needs_latents)
    if warning:
        reporter.message(warning)


def _check_private(model: Model, objective: Objective, validation: Dataset | None) -> None:
    """Check that private training protects every use of the rows.

    Raises:
        OptionError: it does not; the message names the part.
    """
    if processes.count() > 1:
        raise OptionError("a private fit has one process: leave --devices and --nodes out")
    if validation is not None:
        raise OptionError(
            "early stopping chooses weights by held-out rows, to which private training adds no "
            "noise: set validation=0"
        )
    check_private(model, objective)


def _go(run: TrainingRun, keeper: Keeper | None, reporter: TrainingReporter) -> None:
    """Update until the budget is used up, training stops early, or a signal arrives."""
    run.begin()
    next_report = 0.0
    with listening() as interruption:
        while not run.ended:
            if run.meet(interruption.requested):
                raise _interrupted(run, keeper)
            run.update()
            if run.skipped_in_a_row >= MOST_SKIPPED_IN_A_ROW:
                raise _hopeless(run)
            now = time.perf_counter()
            if now >= next_report or run.ended:
                reporter.update(run.progress())
                next_report = now + SECONDS_BETWEEN_REPORTS
                if keeper is not None and not run.ended:
                    keeper.save_if_due(run)
        if run.diverged:
            raise _diverged(run)
        run.keep()
        if keeper is not None:
            keeper.save_finished(run)
    if interruption.requested:
        words = f"a signal arrived as training ended ({run.ended}) at update {run.updates:,}"
        raise Interrupted(words, run.history())


def _finished_before(model: Model, checkpoint: Checkpoint, reporter: TrainingReporter) -> History:
    """Restore the weights and the history of a run that has already ended."""
    model.load_state_dict(checkpoint.part("model"))
    model.eval()
    history = History.from_mapping(checkpoint.values["finished"])
    reporter.message(f"this training has already ended ({history.ended}); nothing remains to do")
    return history


def _interrupted(run: TrainingRun, keeper: Keeper | None) -> Interrupted:
    """Save, set the weights to keep, and return the exception, which explains how to continue."""
    at = f"training was interrupted at update {run.updates:,}"
    if keeper is None:
        words = f"{at}; without a folder nothing was saved"
    else:
        try:
            keeper.save(run, "interrupted")
            words = f"{at} and saved in {keeper.folder / FOLDER}; resume to continue from there"
        except OSError as error:
            words = f"{at}, and the checkpoint could not be written ({reason(error)})"
    run.keep()
    return Interrupted(words, replace(run.history(), ended="interrupted"))


def _diverged(run: TrainingRun) -> TrainingError:
    bound = run.records[-1].bound if run.records else math.nan
    first = math.nan if run.first is None else run.first
    return TrainingError(
        f"training diverged: the bound was {first:.4g} nats per row in the first update and "
        f"{bound:.4g} at the end, and {run.skipped:,} of {run.updates:,} updates were not finite: "
        "lower learning_rate, set gradient_clip (to 100, for example), and look for extreme values "
        "in the data"
    )


def _hopeless(run: TrainingRun) -> TrainingError:
    return TrainingError(
        f"loss or gradient was not finite in the last {run.skipped_in_a_row} updates (up to update "
        f"{run.updates:,}, learning rate {run.learning_rate:.2g}): lower learning_rate, set "
        "gradient_clip (to 100, for example), or use precision='float32'; if the first updates "
        "fail, look for extreme values in the data"
    )


def _owned(folder: Path | None) -> AbstractContextManager[None]:
    """Context in which no other run writes to the folder; of several processes the first does."""
    return ownership.owned([folder] if folder is not None and processes.leads() else [])


@contextmanager
def _shown(reporter: TrainingReporter) -> Iterator[None]:
    reporter.start()
    try:
        yield
    finally:
        reporter.stop()
