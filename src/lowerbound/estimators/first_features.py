"""M1 under M2: a VAE of all rows, whose encoder and decoder a stacked model uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lowerbound.data import Dataset, Schema
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.models import Model
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingReporter

# without a start at principal components: neighbors by such codes agree less on the class
FEATURES = ModelOptions("vae", posterior="gaussian", model_options={"linear_start": False})
SHARED = ("encoder", "decoder", "likelihood", "inputs", "path")


def first_features(
    dataset: Dataset, options: FitOptions, reporter: TrainingReporter | None
) -> Fitted:
    """A VAE of the rows without their labels, with the networks of ``options``."""
    model = options.model
    below = model.model_options.get("feature_dim")
    own = replace(
        FEATURES,
        latent_dim=below,
        network=model.network,
        network_options=model.network_options,
        likelihood=model.likelihood,
        likelihood_options=model.likelihood_options,
    )
    training = replace(options.training, validation=0.0)
    return fit(dataset, FitOptions(own, training=training), reporter=reporter)


def above(first: Fitted, options: FitOptions) -> FitOptions:
    """The options of a stacked model whose lowest latent is that of ``first``."""
    below = first.options.model
    stacked = {
        **options.model.model_options,
        "stacked": True,
        "feature_dim": below.latent_dim,
    }
    model = replace(
        options.model,
        network=below.network,
        network_options=below.network_options,
        likelihood=below.likelihood,
        likelihood_options=below.likelihood_options,
        model_options=stacked,
    )
    return replace(options, model=model)


def check_units(first: Fitted, dataset: Dataset) -> None:
    """Raise an error if the features cannot be used for ``dataset``.

    Raises:
        DataError: the features were fitted on rows of another shape or in other units.
        OptionError: the features are not a VAE with a diagonal Gaussian posterior.
    """
    found = first.options.model
    if (found.model, found.posterior) != (FEATURES.model, FEATURES.posterior):
        raise OptionError(
            "features are a fitted VAE with posterior='gaussian', and these are a "
            f"{found.model} with {found.posterior!r}"
        )
    if _bare(first.schema) != _bare(dataset.schema):
        raise DataError(
            "the features were fitted on rows of another shape or in other units: fit them on the "
            "same X, labels left out"
        )


def starting_from(first: Fitted) -> Callable[[Model], None]:
    """A function that copies the features' networks into a stacked model and freezes them."""

    def start(model: Model) -> None:
        for name in SHARED:
            part, source = getattr(model, name), getattr(first.model, name)
            if part is not None and source is not None:
                part.load_state_dict(source.state_dict())
                part.requires_grad_(False)

    return start


def _bare(schema: Schema) -> Schema:
    return replace(schema, class_names=(), label_column=None, target=None)
