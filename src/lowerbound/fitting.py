"""Fit a model to a data set: the one call that command line, estimators and benchmarks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lowerbound.assembly import ModelOptions, assemble, initialize, resolve
from lowerbound.config import construct, option
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.models import MODELS, Model, ProbabilisticPCA
from lowerbound.objectives import OBJECTIVES
from lowerbound.reparameterization import seeded
from lowerbound.training import History, Reporter, TrainingOptions, train


@dataclass(frozen=True)
class FitOptions:
    """Everything that decides a fit, besides the data."""

    model: ModelOptions = field(default_factory=ModelOptions)
    objective: str = option("elbo", "what training maximizes", choices=OBJECTIVES)
    objective_options: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingOptions = field(default_factory=TrainingOptions)


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
    reporter: Reporter | None = None,
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
    """
    options = options or FitOptions()
    if options.objective == FitOptions.objective:
        options = replace(options, objective=MODELS[options.model.model].objective)
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
        initialize(model, training)
        if start is not None:
            start(model)
    if isinstance(model, ProbabilisticPCA):
        return Fitted(model.eval(), dataset.schema, options, History())
    schema = dataset.schema

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
    return Fitted(model.eval(), schema, options, history)


def held_out(dataset: Dataset, options: TrainingOptions) -> tuple[Dataset, Dataset | None]:
    """The rows to train on and those to stop by; very small data sets keep all for training."""
    if options.validation <= 0 or round(options.validation * len(dataset)) < 2:
        return dataset, None
    return dataset.split(options.validation, options.seed)
