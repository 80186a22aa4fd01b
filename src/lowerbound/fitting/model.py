"""Fit a model to a data set; command line, estimators and benchmarks share this function."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound.assembly.build import resolve, suited
from lowerbound.config import by_new_names, construct, option, renamed_of
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.distributions.density import Density
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.likeness import Likeness
from lowerbound.fitting.private_fit import (
    neutral_start,
    private_options,
    private_plan,
    release_record,
)
from lowerbound.fitting.refiner_fit import RefinerFit
from lowerbound.models import MODELS, Calibrates, Model, name_of
from lowerbound.models.base import AUTO
from lowerbound.models.labels.calibration import Fold
from lowerbound.models.options import ModelOptions
from lowerbound.models.parts import ModelParts
from lowerbound.objectives import OBJECTIVES, Objective
from lowerbound.training import (
    History,
    Interrupted,
    SilentReporter,
    TrainingOptions,
    TrainingReporter,
    train,
    with_callbacks,
)
from lowerbound.training.checkpoints.folds import FoldAnswers
from lowerbound.training.checkpoints.identity import identity
from lowerbound.training.private.options import PrivacyOptions
from lowerbound.training.private.plan import PrivatePlan
from lowerbound.training.private.record import ReleaseRecord
from lowerbound.training.settings.device import on_device


@dataclass(frozen=True)
class PriorFit:
    """How a prior was trained on latents, after the rest of the model.

    Attributes:
        kind: name of the prior.
        rows: how many rows the latents are of.
        latents: SHA-256 of the weights and the rows that the latents were drawn by.
        training: the options of this training.
        validation: mean log p(z) of held-out latents in nats per row; None where none were held
            out.
        density: of this prior: "exact", or "bound" where ``validation`` is a lower bound.
        former_kind: name of the prior that the model had before.
        former: the same mean under that prior; None where none were held out.
        former_density: of that prior.
        error: standard error of the paired difference, ``validation`` minus ``former``.
        held_out: how many rows these means are over.
        fitted_model: the options that the model was fitted with, before any prior was trained on
            latents.
    """

    kind: str = ""
    rows: int = 0
    latents: str = ""
    training: TrainingOptions = field(default_factory=TrainingOptions)
    validation: float | None = None
    density: Density = "exact"
    former_kind: str = ""
    former: float | None = None
    former_density: Density = "exact"
    error: float | None = None
    held_out: int = 0
    fitted_model: ModelOptions | None = None


@dataclass(frozen=True)
class FitOptions:
    """All options of a fit."""

    model: ModelOptions = field(default_factory=ModelOptions)
    objective: str = option(
        AUTO, "what training maximizes; auto: the model's own", choices=OBJECTIVES.after(AUTO)
    )
    objective_options: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    folds: int | None = option(
        None,
        "fits with some labels hidden in turn, which calibrate the probabilities of classes; "
        "5 for tables with at least 5 labels of each class, at most 1,000 labels and no limit "
        "of minutes, else none, unless given",
    )
    privacy: PrivacyOptions = field(default_factory=PrivacyOptions)
    prior_fit: PriorFit | None = None
    refiner_fit: RefinerFit | None = None
    likeness: Likeness | None = None
    release: ReleaseRecord | None = None

    @property
    def fitted_model(self) -> ModelOptions:
        """The options that the model was fitted with, whichever prior it has now."""
        return (self.prior_fit and self.prior_fit.fitted_model) or self.model

    def by_new_names(self) -> FitOptions:
        """The same options, with the current names of the objective's options."""
        if self.objective == AUTO:  # the model's default objective has no renamed options
            return self
        renamed = renamed_of(OBJECTIVES[self.objective])
        return replace(self, objective_options=by_new_names(self.objective_options, renamed))


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Attributes:
        model: the module, in evaluation mode.
        schema: the schema of the data, which converts to and from model units.
        options: the options of the fit, every default resolved.
        history: the history of training; empty for a model solved in closed form.
    """

    model: Model
    schema: Schema
    options: FitOptions
    history: History


def fit(
    dataset: Dataset,
    options: FitOptions | None = None,
    *,
    model: Model | type[Model] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    reporter: TrainingReporter | None = None,
    callbacks: Sequence[TrainingReporter] | None = None,
    publish: Callable[[Fitted], None] | None = None,
    start: Callable[[Model], None] | None = None,
    public: Dataset | None = None,
) -> Fitted:
    """Build a model for the data, initialize it from the data, and train it.

    Args:
        dataset: training data; a share of it (``options.training.validation``) is held out for
            early stopping.
        options: options of the fit; defaults depend on the data and the model.
        model: a model object or class to use instead of the model that the options name.
        folder: folder for checkpoints; None: no checkpoints.
        resume: continue from the checkpoint in ``folder``, bit for bit as if never stopped.
        reporter: shows progress.
        callbacks: further reporters, such as ``lowerbound.training.TensorBoard``.
        publish: called with the fitted model so far before each checkpoint.
        start: called with the model before the first update, to initialize parts of it.
        public: rows that are not secret, from which a private fit is initialized; None: rows that
            the untrained model draws.

    Raises:
        OptionError: an option is unknown, or the model or the data does not support it.
        Interrupted: Ctrl-C; the message names what was saved.
    """
    options, reporter = options or FitOptions(), with_callbacks(reporter, callbacks)
    if options.model.conditional:
        dataset = dataset.conditioned_on_label()
    schema, given = dataset.schema, copy.deepcopy(model)
    options, kind = _decided(schema, options, model)
    with seeded(options.training.seed):
        built = model if isinstance(model, Model) else kind.build(ModelParts(schema, options.model))
        objective = construct(OBJECTIVES[options.objective], options=options.objective_options)
        _check_quantities(schema, objective, options)
        _check_pictures(dataset)
        training, validation = _parts(dataset, objective, options.training)
        options, private = _started(built, objective, training, options, start, public)
    on_device(built, options.training.device)
    folds = _folds(built, dataset, options)
    if not any(True for _ in built.parameters()):  # ``start`` solved it
        return Fitted(built.eval(), schema, options, History())
    run = (built, objective, training, options.training)
    answers: list[Tensor] = []
    if folds:
        who = {**identity(*run[:3], validation, run[3]), "folds": len(folds)}
        kept = FoldAnswers(folder, who, resume=resume)
        plain = partial(fit, options=replace(options, folds=0), model=given, start=start)
        answers = _answers(folds, kept, plain, reporter)
    history = train(
        *run,
        validation=validation,
        folder=folder,
        resume=resume,
        reporter=reporter,
        publish=publish and (lambda so_far: publish(Fitted(built, schema, options, so_far))),
        private=private,
    )
    if isinstance(built, Calibrates) and folds:
        built.calibrate(folds, answers)
    return Fitted(built.eval(), schema, options, history)


def _started(
    model: Model,
    objective: Objective,
    rows: Dataset,
    options: FitOptions,
    start: Callable[[Model], None] | None,
    public: Dataset | None,
) -> tuple[FitOptions, PrivatePlan | None]:
    """Initialize the model, and make the plan and the record of a private fit."""
    private = None
    if options.privacy.private:
        private = private_plan(model, objective, rows, options.training, options.privacy)
        began = neutral_start(model, rows.schema, public)
        began = began if start is None else "the weights of another model"
        record = release_record(private, options.privacy, began)
        options = replace(options, release=record)
    else:
        model.start(rows)
    if start is not None:
        start(model)
    return options, private


def _decided(
    schema: Schema, options: FitOptions, model: Model | type[Model] | None
) -> tuple[FitOptions, type[Model]]:
    """The options with every default resolved, and the model's class."""
    if isinstance(model, Model):
        kind, own = type(model), getattr(model, "latent_dim", None)
        chosen = replace(options.model, model=kind.__name__, latent_dim=own)
    else:
        name = suited(schema, options.model).model if model is None else name_of(model)
        kind = model or MODELS[name]
        chosen = resolve(schema, replace(options.model, model=name), kind)
        kind.own_options(chosen.model_options)
    objective = kind.objective if options.objective == AUTO else options.objective
    unrefined = replace(chosen, refiner=None)  # a refiner is trained after the fit
    made = replace(
        options, model=unrefined, objective=objective, refiner_fit=None, likeness=None, release=None
    )
    if options.privacy.private:
        made = replace(made, training=private_options(options.privacy, options.training))
    return made.by_new_names(), kind


def _check_pictures(dataset: Dataset) -> None:
    """Check that pictures have parts, and differ.

    Raises:
        DataError: they do not, so there is nothing to learn.
    """
    size, x = dataset.schema.event_shape, dataset.x
    if not dataset.schema.data_kind.pictures or len(size) != 3:
        return
    if size[1:] == (1, 1):
        raise DataError(
            "pictures of 1x1 pixels have no parts to learn: give larger pictures, or their values "
            "as a table"
        )
    if all(torch.equal(x[0], row) for row in x[1:]):
        held = "there is one picture" if len(x) == 1 else f"all {len(x):,} pictures are the same"
        raise DataError(f"{held}: a fit needs pictures that differ")


def _check_quantities(schema: Schema, objective: Objective, options: FitOptions) -> None:
    """Check that a fit can learn the quantities of the rows.

    Raises:
        OptionError: it cannot; the message gives the reason.
    """
    if not schema.quantities:
        return
    if not objective.predicts:
        raise OptionError(
            f"the objective {options.objective} leaves out quantities: leave out --predict, or "
            "choose --objective elbo"
        )
    if options.privacy.private:
        raise OptionError("a private fit does not predict quantities: leave out --predict")


def _folds(model: Model, dataset: Dataset, options: FitOptions) -> list[Fold]:
    """The folds whose fits calibrate the model.

    Raises:
        OptionError: folds are requested, and the model has nothing to calibrate.
    """
    if options.privacy.private:  # each further fit would cost as much privacy again
        return []
    if isinstance(model, Calibrates):
        return model.folds(dataset, options.folds, quick=options.training.minutes is None)
    if options.folds:
        name = options.model.model
        raise OptionError(f"{name} has no probabilities of classes to calibrate: leave folds out")
    return []


def _answers(
    folds: Sequence[Fold],
    kept: FoldAnswers,
    fitted_on: Callable[..., Fitted],
    reporter: TrainingReporter | None,
) -> list[Tensor]:
    """The predictions of each fold's model for the rows whose labels were hidden from it.

    Raises:
        Interrupted: Ctrl-C; the message states how many fits are kept.
    """
    found: list[Tensor] = []
    for number, fold in enumerate(folds):
        answer = kept.get(number)
        if answer is None:
            (reporter or SilentReporter()).message(
                f"calibration: fit {number + 1} of {len(folds)} with some of the labels hidden; "
                "folds=0 leaves these out"
            )
            try:
                model = fitted_on(fold.training, reporter=reporter).model
            except Interrupted as interruption:
                words = f"interrupted in calibration, with {number} of {len(folds)} fits finished"
                raise Interrupted(f"{words}{kept.where}", interruption.history) from None
            assert isinstance(model, Calibrates)
            answer = model.fold_answers(fold.hidden)
            kept.put(number, answer)
        found.append(answer)
    return found


def _parts(
    dataset: Dataset, objective: Objective, options: TrainingOptions
) -> tuple[Dataset, Dataset | None]:
    """Training and validation rows; an objective that learns from labels trains on all rows."""
    labeled = dataset.label is not None or dataset.target is not None
    return (dataset, None) if objective.uses_labels and labeled else held_out(dataset, options)


def held_out(dataset: Dataset, options: TrainingOptions) -> tuple[Dataset, Dataset | None]:
    """Training and validation rows; a very small data set uses all rows for training."""
    if options.validation <= 0 or round(options.validation * len(dataset)) < 2:
        return dataset, None
    return dataset.split(options.validation, options.seed)
