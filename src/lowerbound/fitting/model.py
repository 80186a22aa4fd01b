"""Fit a model to a data set; command line, estimators and benchmarks share this function."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from lowerbound import processes
from lowerbound.config import construct
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.assembly import initialize, resolve, suited
from lowerbound.fitting.correction import corrected
from lowerbound.fitting.fitted import Fitted, held_out
from lowerbound.fitting.options import FitOptions
from lowerbound.fitting.private_fit import (
    neutral_start,
    private_options,
    private_plan,
    release_record,
)
from lowerbound.models.base import MODELS, Model
from lowerbound.models.labels.pools import Fold
from lowerbound.models.parts import ModelParts
from lowerbound.models.powers import Calibrates, LabelFirst, name_of
from lowerbound.objectives.base import Objective
from lowerbound.parts import AUTO, OBJECTIVES
from lowerbound.training.callbacks import with_callbacks
from lowerbound.training.device import on_device
from lowerbound.training.loop import Interrupted, train
from lowerbound.training.options import TrainingOptions
from lowerbound.training.plan import own_settings, planned_updates
from lowerbound.training.private.plan import PrivatePlan
from lowerbound.training.reporter import History, SilentReporter, TrainingReporter
from lowerbound.training.saving import FoldAnswers, identity

FOLD_UPDATES = 100  # of a fit of the label alone


@own_settings()
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

    In a group of processes that all call this with the same arguments, they train together; see
    ``train``. Only the first shows progress, writes checkpoints and calls ``publish``.

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
    options, reporter = options or FitOptions(), _shown_by(reporter, callbacks)
    if options.model.conditional:
        dataset = dataset.conditioned_on_label()
    schema, given = dataset.schema, copy.deepcopy(model)
    options, kind = _decided(schema, options, model)
    with seeded(options.training.seed):
        built = model if isinstance(model, Model) else kind.build(ModelParts(schema, options.model))
        objective = construct(OBJECTIVES[options.objective], options=options.objective_options)
        _check_rows(dataset, objective, options)
        training, validation = _parts(dataset, objective, options.training)
        options, private = _started(built, objective, training, options, start, public)
    on_device(built, options.training.device)
    folds = _folds(built, dataset, options)
    if _solved(built, dataset):
        return corrected(Fitted(built.eval(), schema, options, History()), training)
    run = (built, objective, training, options.training)
    calibration = None
    if isinstance(built, Calibrates) and folds is not None:
        who = {**identity(*run[:3], validation, run[3]), "folds": len(folds)}
        kept = FoldAnswers(folder, who, resume=resume)
        further = _of_folds(built, objective, options)
        plain = partial(fit, options=further, model=given, start=start)
        calibration = _calibration(built, dataset, folds, kept, plain, reporter)
    said = calibration() if calibration and built.label_first else ""
    now = partial(Fitted, built, schema, options)
    history = train(
        *run,
        validation=validation,
        folder=folder,
        resume=resume,
        reporter=reporter,
        publish=publish and (lambda so_far: publish(_published(now(so_far), training))),
        private=private,
    )
    if calibration and not built.label_first:
        said = calibration()
    return corrected(Fitted(built.eval(), schema, options, history, said), training)


def _shown_by(
    reporter: TrainingReporter | None, callbacks: Sequence[TrainingReporter] | None
) -> TrainingReporter | None:
    """The reporter, and further ones; of several processes, the first reports."""
    return with_callbacks(reporter, callbacks) if processes.leads() else None


def _published(now: Fitted, rows: Dataset) -> Fitted:
    """The model so far; at the end of training with its correction."""
    return now if now.history.ended in ("running", "interrupted") else corrected(now, rows)


def _started(
    model: Model,
    objective: Objective,
    rows: Dataset,
    options: FitOptions,
    start: Callable[[Model], None] | None,
    public: Dataset | None,
) -> tuple[FitOptions, PrivatePlan | None]:
    """Initialize the model, and make the plan and the record of a private fit."""
    model.correction = None  # an earlier fit's was learned from other rows
    private = None
    if options.privacy.private:
        private = private_plan(model, objective, rows, options.training, options.privacy)
        began = neutral_start(model, rows.schema, public)
        began = began if start is None else "the weights of another model"
        record = release_record(private, options.privacy, began)
        options = replace(options, release=record)
    else:
        initialize(model, rows, planned_updates(model, len(rows), options.training))
    if start is not None:
        start(model)
    return options, private


def _decided(
    schema: Schema, options: FitOptions, model: Model | type[Model] | None
) -> tuple[FitOptions, type[Model]]:
    """The options with every default resolved, and the model's class."""
    options.privacy.check_use()
    if isinstance(model, Model):
        kind, own = type(model), getattr(model, "latent_dim", None)
        chosen = replace(options.model, model=kind.__name__, latent_dim=own)
    else:
        name = suited(schema, options.model).model if model is None else name_of(model)
        kind = model or MODELS[name]
        chosen = resolve(schema, replace(options.model, model=name), kind)
        kind.own_options(chosen.model_options)
    objective = kind.objective if options.objective == AUTO else options.objective
    # a refiner is trained after the fit, and a correction is learned after it
    unrefined = replace(chosen, refiner=None, correction=None)
    made = replace(
        options, model=unrefined, objective=objective, refiner_fit=None, likeness=None, release=None
    )
    if options.privacy.private:
        made = replace(made, training=private_options(options.privacy, options.training))
    return made.by_new_names(), kind


def _check_rows(dataset: Dataset, objective: Objective, options: FitOptions) -> None:
    """Check that a fit can learn from the rows."""
    _check_quantities(dataset.schema, objective, options)
    _check_pictures(dataset)


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


def _folds(model: Model, dataset: Dataset, options: FitOptions) -> list[Fold] | None:
    """The folds whose fits calibrate the model; None: it is not calibrated.

    Raises:
        OptionError: folds are requested, and the model has nothing to calibrate; or there is one
            fold only, which would hide every label, or a negative number.
    """
    if options.privacy.private:  # each further fit would cost as much privacy again
        return None
    if options.folds is not None and (options.folds < 0 or options.folds == 1):
        raise OptionError(
            f"folds must be at least 2, or 0 for none, not {options.folds}: each fit hides one "
            "part of the labels and needs the others"
        )
    if isinstance(model, Calibrates):
        return model.folds(dataset, options.folds)
    if options.folds:
        name = options.model.model
        raise OptionError(f"{name} has no probabilities of classes to calibrate: leave folds out")
    return None


def _of_folds(model: Model, objective: Objective, options: FitOptions) -> FitOptions:
    """The options of the further fits; those of the label alone are short."""
    if not model.label_first:
        return replace(options, folds=0)
    most, training = options.training.updates or FOLD_UPDATES, options.training
    return replace(
        options,
        folds=0,
        training=replace(training, updates=min(most, FOLD_UPDATES)),
        objective_options={**options.objective_options, **objective.label_options},
    )


def _calibration(
    model: Calibrates,
    dataset: Dataset,
    folds: Sequence[Fold],
    kept: FoldAnswers,
    fitted_on: Callable[..., Fitted],
    reporter: TrainingReporter | None,
) -> Callable[[], str]:
    """Make the further fits; return what calibrates the model by them, and says how.

    Raises:
        Interrupted: Ctrl-C; the message states how many fits are kept.
    """

    def further(rows: Dataset, finished: int) -> Model:
        try:
            return fitted_on(rows, reporter=reporter).model
        except Interrupted as interruption:
            words = f"interrupted in calibration, with {finished} of {len(folds)} fits finished"
            raise Interrupted(f"{words}{kept.where}", interruption.history) from None

    said = (reporter or SilentReporter()).message
    for number, fold in enumerate(folds):
        if kept.get(number) is None:
            said(
                f"calibration: fit {number + 1} of {len(folds)} with some of the labels hidden; "
                "folds=0 leaves these out"
            )
            answering = further(fold.training, number)
            assert isinstance(answering, Calibrates)
            kept.put(number, answering.fold_answers(fold.hidden))
    if isinstance(model, LabelFirst) and model.label_first:
        said("calibration: the network of q(y | x), fitted to all labels")
        model.take_label(further(dataset, len(folds)))
    found = [kept.get(number) for number in range(len(folds))]
    return partial(model.calibrate, dataset, folds, [each for each in found if each is not None])


def _solved(model: Model, dataset: Dataset) -> bool:
    """Whether ``start`` solved the model, so that nothing is left to train.

    Raises:
        OptionError: it is to be trained, and the rows cannot have gradients.
    """
    if not any(True for _ in model.parameters()):
        return True
    if dataset.x.is_inference():
        raise OptionError("a fit needs gradients: read the data outside of torch.inference_mode()")
    return False


def _parts(
    dataset: Dataset, objective: Objective, options: TrainingOptions
) -> tuple[Dataset, Dataset | None]:
    """Training and validation rows; an objective that learns from labels trains on all rows."""
    labeled = dataset.label is not None or dataset.target is not None
    return (dataset, None) if objective.uses_labels and labeled else held_out(dataset, options)
