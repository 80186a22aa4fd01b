"""Building a model from a schema and options: resolve the name of every part, then build it.

A caller's own likelihood and prior are checked for the shapes of what they return. A shape that
torch broadcasts would not fail. It would change the bound.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, unknown
from lowerbound.likelihoods.base import Likelihood
from lowerbound.models.base import MODELS, Model
from lowerbound.models.correction import correction_for
from lowerbound.models.options import ModelOptions
from lowerbound.models.parts import ModelParts
from lowerbound.parts import AT_RANDOM, AUTO, MISSINGNESS
from lowerbound.priors.base import Prior
from lowerbound.trace import Emission

PACKAGE = __name__.partition(".")[0]
ROWS = 2


@torch.no_grad()
def check_own_parts(model: nn.Module, dataset: Dataset, *, started: bool) -> None:
    """Check the likelihoods and priors of a model that are not of this package.

    They are called in evaluation mode, and the random state stays as it is.

    Args:
        model: on any device.
        dataset: the training rows.
        started: False checks the parts that set nothing from training rows, before the model does;
            True checks the others.

    Raises:
        OptionError: a shape is wrong; the message names it.
    """
    own = [
        part
        for part in model.children()
        if isinstance(part, (Likelihood, Prior))
        and type(part).__module__.partition(".")[0] != PACKAGE
        and _sets_itself(part) == started
    ]
    modes = [(module, module.training) for part in own for module in part.modules()]
    try:
        for part in own:
            part.eval()
            with seeded(0):
                _check(part, model, dataset)
    finally:
        for module, mode in modes:
            module.training = mode


def _sets_itself(part: Likelihood | Prior) -> bool:
    """Whether a part sets something from training rows."""
    base = Likelihood if isinstance(part, Likelihood) else Prior
    return type(part).initialize is not base.initialize


def _check(part: Likelihood | Prior, model: nn.Module, dataset: Dataset) -> None:
    if isinstance(part, Prior):
        _check_prior(part)
        return
    rows = dataset.subset(range(min(ROWS, len(dataset)))).all().filled
    weight = next((each for each in model.parameters() if each.is_floating_point()), rows)
    _check_likelihood(part, rows.to(weight.device, weight.dtype))


def _check_likelihood(likelihood: Likelihood, x: Tensor) -> None:
    name = type(likelihood).__name__
    emission = likelihood(x.new_zeros(1, len(x), *likelihood.parameter_shape))
    if not isinstance(emission, Emission):
        raise OptionError(
            f"likelihood: {name} must return an Emission, not {type(emission).__name__}"
        )
    rows = 1, len(x)
    terms = tuple(emission.terms(x).shape)
    if terms[:2] != rows or len(terms) < 3:
        raise OptionError(
            f"likelihood: the terms of {name} must have the shape (samples, rows, features, ...), "
            f"one number per feature, and have {terms} for 1 sample of {len(x)} rows; lowerbound "
            "sums them"
        )
    wanted = (*rows, *x.shape[1:])
    for what, values in (("mean", emission.mean), ("draws", emission.sample())):
        if tuple(values.shape) != wanted:
            raise OptionError(
                f"likelihood: the {what} of {name} must have the shape (samples, rows, *event), "
                f"which is {wanted} for 1 sample of {len(x)} rows, and have {tuple(values.shape)}"
            )


def _check_prior(prior: Prior) -> None:
    try:
        found = prior()
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return  # it needs the posterior of rows
    batch, event = tuple(found.batch_shape), tuple(found.event_shape)
    dim = prior.latent_dim
    if (batch, event) != ((1, 1), (dim,)):
        raise OptionError(
            f"prior: p(z) of {type(prior).__name__} must have batch shape (1, 1) and event shape "
            f"({dim},), and has {batch} and {event}: for numbers that are independent, "
            f"Independent(Normal(loc, scale), 1) with loc and scale of shape (1, 1, {dim})"
        )


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
    if options.refiner is not None:  # few models have one, and its networks are many
        from lowerbound.models.refinement import refiner_for

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
    # raise an error for options that no model supports with this data
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
