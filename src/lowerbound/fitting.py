"""Fit a model to a data set: the one call that command line, estimators and benchmarks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lowerbound.assembly.build import assemble, resolve
from lowerbound.config import by_new_names, construct, option, renamed_of
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.inference.classes import hidden_label_temperature
from lowerbound.models import (
    MODELS,
    Model,
    SemiSupervisedVariationalAutoencoder,
)
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import OBJECTIVES
from lowerbound.objectives.label_graph import FOLDS, fewest_labels
from lowerbound.training import (
    History,
    Interrupted,
    SilentReporter,
    TrainingOptions,
    TrainingReporter,
    train,
)

FOLDED = 1_000  # labels at most that are hidden in turn without being asked


@dataclass(frozen=True)
class FitOptions:
    """Everything that decides a fit, besides the data."""

    model: ModelOptions = field(default_factory=ModelOptions)
    objective: str = option("elbo", "what training maximizes", choices=OBJECTIVES)
    objective_options: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    folds: int | None = option(
        None,
        "so many more fits, labels hidden in turn, calibrate the probabilities of classes; 5 for "
        "tables of 5 labels of each class at least, 1,000 at most and no limit of minutes, else "
        "none, unless given",
    )

    def by_new_names(self) -> FitOptions:
        """The same, the options of the objective by the names that they have now."""
        renamed = renamed_of(OBJECTIVES[self.objective])
        return replace(self, objective_options=by_new_names(self.objective_options, renamed))


@dataclass(frozen=True)
class Fitted:
    """One fitted model, ready to be put to work.

    Attributes:
        model: the module, in evaluation mode.
        schema: what the data looks like, and the way into and out of model units.
        options: how it was fitted, every default resolved.
        history: how training went; empty for a model solved in closed form.
    """

    model: Model
    schema: Schema
    options: FitOptions
    history: History


def fit(
    dataset: Dataset,
    options: FitOptions | None = None,
    *,
    folder: Path | None = None,
    resume: bool = False,
    reporter: TrainingReporter | None = None,
    publish: Callable[[Fitted], None] | None = None,
    start: Callable[[Model], None] | None = None,
) -> Fitted:
    """Assemble a model for the data, start it from the data, and train it.

    Args:
        dataset: training data; a share of it (``options.training.validation``) is held out for
            early stopping.
        options: defaults are chosen from the data; a model that the ELBO cannot train is given
            its own objective in its place.
        folder: where checkpoints go; None keeps none.
        resume: go on from the checkpoint in ``folder``, bit for bit as if never stopped.
        reporter: shows progress.
        publish: given the model as it would be kept, before each checkpoint.
        start: given the model before the first update, to start parts of it from elsewhere.

    Raises:
        OptionError: folds of a model without classes, or of a class with one label.
    """
    options = options or FitOptions()
    if options.objective == FitOptions.objective:
        options = replace(options, objective=MODELS[options.model.model].objective)
    options = options.by_new_names()
    if options.model.conditional:
        dataset = dataset.conditioned_on_label()
    chosen = resolve(dataset.schema, options.model)
    options = replace(options, model=chosen)
    with seeded(options.training.seed):
        model = assemble(dataset.schema, chosen)
        objective = construct(OBJECTIVES[options.objective], options=options.objective_options)
        training, validation = dataset, None
        labeled = dataset.label is not None or dataset.target is not None
        if not (objective.uses_labels and labeled):
            training, validation = held_out(dataset, options.training)
        model.start(training)
        if start is not None:
            start(model)
    if not any(True for _ in model.parameters()):  # solved by ``start``
        return Fitted(model.eval(), dataset.schema, options, History())
    schema = dataset.schema
    temperature = _temperature(dataset, options, reporter, start)

    def so_far(history: History) -> None:
        if publish is not None:
            publish(Fitted(model, schema, options, history))

    history = train(
        model,
        objective,
        training,
        options.training,
        validation=validation,
        folder=folder,
        resume=resume,
        reporter=reporter,
        publish=so_far,
    )
    if isinstance(model, SemiSupervisedVariationalAutoencoder) and temperature is not None:
        model.temperature.fill_(temperature)
    return Fitted(model.eval(), schema, options, history)


def _temperature(
    dataset: Dataset,
    options: FitOptions,
    reporter: TrainingReporter | None,
    start: Callable[[Model], None] | None,
) -> float | None:
    """That of the probabilities of classes, by further fits; None leaves them as they come."""
    name = options.model.model
    if not issubclass(MODELS[name], SemiSupervisedVariationalAutoencoder):
        if options.folds:
            raise OptionError(f"folds calibrates probabilities of classes, and {name} has none")
        return None
    folds = _usual_folds(dataset, options) if options.folds is None else options.folds
    if not folds or dataset.label is None:
        return None
    plain, say = replace(options, folds=0), (reporter or SilentReporter()).message

    def fitted_on(rows: Dataset) -> Model:
        say("calibration: a fit with some of the labels hidden; folds=0 leaves these out")
        return fit(rows, plain, reporter=reporter, start=start).model

    try:
        found = hidden_label_temperature(dataset, folds, fitted_on)
    except Interrupted:
        raise KeyboardInterrupt("interrupted in calibration, before anything was kept") from None
    if found is None:
        raise OptionError(
            "folds hides labels in turn; a class has one label only, which cannot be hidden: label "
            "one more row of it, or leave folds at 0"
        )
    return found


def _usual_folds(dataset: Dataset, options: FitOptions) -> int:
    """Labels in such parts where fits are quick and each part has one of every class."""
    quick = dataset.schema.data_kind.fits_quickly and options.training.minutes is None
    if dataset.label is None or not quick:
        return 0
    few = int((dataset.label >= 0).sum()) <= FOLDED
    return FOLDS if few and fewest_labels(dataset.label) >= FOLDS else 0


def held_out(dataset: Dataset, options: TrainingOptions) -> tuple[Dataset, Dataset | None]:
    """The rows to train on and those to stop by; very small data sets keep all for training."""
    if options.validation <= 0 or round(options.validation * len(dataset)) < 2:
        return dataset, None
    return dataset.split(options.validation, options.seed)
