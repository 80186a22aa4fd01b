"""Building a model from a schema and options: resolve the name of every part, then build it."""

from __future__ import annotations

from dataclasses import replace

import torch

from lowerbound.assembly.own_parts import check_own_parts
from lowerbound.classical.self_masking import AT_RANDOM, MISSINGNESS
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.errors import OptionError, unknown
from lowerbound.models import MODELS, Model
from lowerbound.models.base import AUTO
from lowerbound.models.correction import correction_for
from lowerbound.models.options import ModelOptions
from lowerbound.models.parts import ModelParts
from lowerbound.models.refinement import refiner_for


def assemble(schema: Schema, options: ModelOptions, kind: type[Model] | None = None) -> Model:
    """Build the model that the options describe, with the initial weights of torch.

    The same schema and options always give the same shapes, so a model folder can be read back.

    Args:
        schema: of the data.
        options: resolved or not.
        kind: the model's class; None: the class that is registered under ``options.model``.

    Raises:
        OptionError: a name or an option of a part is unknown.
    """
    chosen = resolve(schema, options, kind)
    kind = kind or MODELS[chosen.model]
    model = kind.build(ModelParts(schema, chosen))
    if options.refiner is not None:
        model.refiner = refiner_for(schema, options.refiner)
    if options.correction is not None:
        model.correction = correction_for(schema, options.correction)
    return model


def initialize(model: Model, dataset: Dataset, updates: int | None = None) -> None:
    """Set the weights that training starts from, from training rows.

    Marginals of the likelihood, the prior, and what a classical model knows already. ``fit`` does
    this too; a training loop of your own calls it once, before the first update.

    Args:
        model: from ``assemble``.
        dataset: the training rows.
        updates: of the run to come: a long one starts otherwise for some models; None: unknown.

    Raises:
        OptionError: what a likelihood or prior of the caller returns has a wrong shape.
    """
    model.planned_updates = updates
    check_own_parts(model, dataset, started=False)
    model.start(dataset)
    check_own_parts(model, dataset, started=True)


def resolve(schema: Schema, options: ModelOptions, kind: type[Model] | None = None) -> ModelOptions:
    """Replace every "auto" and None in the options by the choice for the schema.

    Args:
        schema: of the data.
        options: as the caller gave them.
        kind: as in ``assemble``.

    Raises:
        OptionError: a name is unknown, the latent dimension is below one, or the model does not
            support an option.
    """
    if kind is None:
        options = suited(schema, options)
    kind = kind or MODELS[options.model]
    if options.latent_dim is not None and options.latent_dim < 1:
        raise OptionError(f"latent_dim must be at least 1, not {options.latent_dim}")
    if options.network == AUTO:
        options = replace(options, network=kind.default_network(schema).name)
    kind.check(schema, options)
    _check_common(schema, options, kind)
    if options.likelihood == AUTO:
        likelihood = kind.default_likelihood(schema).name
        own = kind.default_likelihood_options(schema, likelihood)
        own = {**own, **options.likelihood_options}
        options = replace(options, likelihood=likelihood, likelihood_options=own)
    if options.posterior == AUTO:
        options = replace(options, posterior=kind.default_posterior(options))
    return replace(options, latent_dim=kind.latent_dim_of(schema, options))


def suited(schema: Schema, options: ModelOptions) -> ModelOptions:
    """The options with the only model of the kind of data, if there is one and none is given.

    Raises:
        OptionError: another model is given.
    """
    only = schema.data_kind.model
    if not only or options.model == only:
        return options
    if options.model != ModelOptions().model:
        raise OptionError(
            f"the model {options.model!r} cannot be fitted to {schema.data_kind.describe(schema)}: "
            f"leave the model out, or choose {only!r}"
        )
    return replace(options, model=only)


def _check_common(schema: Schema, options: ModelOptions, kind: type[Model]) -> None:
    """Raise an error for options that no model supports with this data."""
    if options.conditional and schema.condition is None:
        raise OptionError(
            "a conditional model needs labels: name a label column (--label), or give y in Python"
        )
    if schema.quantities and not kind.predicts:
        predicting = [name for name in MODELS if MODELS[name].predicts]
        raise OptionError(
            f"{options.model} does not predict quantities: leave out --predict, or fit "
            f"{' or '.join(predicting)}"
        )
    if options.missingness not in MISSINGNESS:
        raise unknown("missingness", options.missingness, MISSINGNESS)
    if options.missingness != AT_RANDOM:
        kind.check_missingness(schema, options)


@torch.no_grad()
def start_from_model(model: Model, other: Model) -> None:
    """Copy the weights of ``other`` whose names and shapes agree into ``model``.

    Raises:
        OptionError: fewer than half of the trained weights agree, so the models differ in kind.
    """
    theirs = other.state_dict()
    model.take_layout(theirs)
    own = model.state_dict()
    alike = {
        name for name, value in own.items() if name in theirs and theirs[name].shape == value.shape
    }
    trained = {name for name, _ in model.named_parameters()}
    if 2 * len(alike & trained) < len(trained):
        raise OptionError(
            f"only {len(alike & trained)} of {len(trained)} weights have the same size in the "
            "model to start from: fit the same kind of model, with the same sizes"
        )
    model.load_state_dict({**own, **{name: theirs[name] for name in alike}})
