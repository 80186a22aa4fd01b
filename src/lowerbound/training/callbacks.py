"""Callbacks: several reporters of one run, and experiment trackers as reporters.

A callback is a ``TrainingReporter``. Subclass ``SilentReporter`` to write only the methods that you
need.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from lowerbound.errors import MissingExtraError, OptionError
from lowerbound.training.reporter import Progress, SilentReporter, TrainingReporter

METHODS = ("start", "message", "update", "stop")


class SeveralReporters:
    """Passes every call on to each reporter, in their order."""

    def __init__(self, reporters: Sequence[TrainingReporter]) -> None:
        self.reporters = tuple(reporters)

    def start(self) -> None:
        for reporter in self.reporters:
            reporter.start()

    def message(self, text: str) -> None:
        for reporter in self.reporters:
            reporter.message(text)

    def update(self, progress: Progress) -> None:
        for reporter in self.reporters:
            reporter.update(progress)

    def stop(self) -> None:
        for reporter in self.reporters:
            reporter.stop()


def with_callbacks(
    reporter: TrainingReporter | None, callbacks: Sequence[TrainingReporter] | None
) -> TrainingReporter | None:
    """The reporter and the callbacks as one reporter; None if there is none.

    Raises:
        OptionError: the callbacks are no list, or one lacks a method of ``TrainingReporter``.
    """
    if callbacks is not None and not isinstance(callbacks, Iterable):
        raise OptionError(f"callbacks is a list of objects, not {type(callbacks).__name__}")
    callbacks = list(callbacks or ())
    for callback in callbacks:
        lacking = [name for name in METHODS if not callable(getattr(callback, name, None))]
        if lacking:
            raise OptionError(
                f"callbacks: {type(callback).__name__} has no method {lacking[0]}: derive it from "
                "lowerbound.training.SilentReporter"
            )
    together = [*([] if reporter is None else [reporter]), *callbacks]
    return SeveralReporters(together) if together else None


def metrics(progress: Progress) -> dict[str, float]:
    """The finite measurements of a run by name: bounds in nats per row, the rate of each level."""
    rates = {"rate": sum(progress.rates)} if progress.rates else {}
    if len(progress.rates) > 1:
        rates |= {f"rate/{level}": rate for level, rate in enumerate(progress.rates)}
    found = {
        "bound": progress.bound,
        "distortion": progress.distortion,
        **rates,
        **({} if progress.validation is None else {"validation": progress.validation}),
        "epoch": progress.epoch,
        "skipped": float(progress.skipped),
        **{name: numbers[0] for name, numbers in progress.readings.items() if numbers},
    }
    return {name: value for name, value in found.items() if math.isfinite(value)}


class TensorBoard(SilentReporter):
    """Writes the curves of a run for TensorBoard.

    Args:
        folder: of the run's event files; each fit into one folder continues its curves.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """

    def __init__(self, folder: str) -> None:
        _summary_writer()
        self.folder = folder
        self._writer: Any = None

    def start(self) -> None:
        self._writer = _summary_writer()(self.folder)

    def message(self, text: str) -> None:
        if self._writer is not None:
            self._writer.add_text("messages", text)

    def update(self, progress: Progress) -> None:
        for name, value in metrics(progress).items():
            self._writer.add_scalar(name, value, progress.updates)

    def stop(self) -> None:
        self._writer.close()
        self._writer = None


class MLflow(SilentReporter):
    """Logs metrics to the active run of MLflow; without one, to a run of its own.

    Args:
        experiment: name of the experiment of a run of its own; "": MLflow's current one.
        name: of that run; "": MLflow chooses one.

    Raises:
        MissingExtraError: mlflow is not installed.
    """

    def __init__(self, experiment: str = "", name: str = "") -> None:
        _library("mlflow")
        self.experiment, self.name = experiment, name
        self._own = False

    def start(self) -> None:
        mlflow = _library("mlflow")
        self._own = mlflow.active_run() is None
        if self._own:
            if self.experiment:
                mlflow.set_experiment(self.experiment)
            mlflow.start_run(run_name=self.name or None)

    def update(self, progress: Progress) -> None:
        _library("mlflow").log_metrics(metrics(progress), step=progress.updates)

    def stop(self) -> None:
        if self._own:
            _library("mlflow").end_run()


class WandB(SilentReporter):
    """Logs metrics to the active run of Weights & Biases; without one, to a run of its own.

    Args:
        options: keywords of ``wandb.init`` for a run of its own, such as ``{"project": "digits"}``.

    Raises:
        MissingExtraError: wandb is not installed.
    """

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        _library("wandb")
        self.options = options
        self._own = False

    def start(self) -> None:
        wandb = _library("wandb")
        self._own = wandb.run is None
        if self._own:
            wandb.init(**(self.options or {}))

    def update(self, progress: Progress) -> None:
        _library("wandb").log(metrics(progress), step=progress.updates)

    def stop(self) -> None:
        if self._own:
            _library("wandb").finish()


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("tensorboard", "tensorboard") from error
    return SummaryWriter


def _library(name: str) -> Any:
    """The optional library of the extra of its name, imported when it is used.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(name, name) from error
