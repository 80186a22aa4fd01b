"""What a model is made of: told by a person, and the rest chosen from the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lowerbound.classical.self_masking import AT_RANDOM, MISSINGNESS
from lowerbound.config import from_mapping, option
from lowerbound.data.columns.matrix import named
from lowerbound.data.schema import Schema
from lowerbound.errors import OptionError, unknown
from lowerbound.likelihoods import LIKELIHOODS
from lowerbound.models import (
    MODELS,
)
from lowerbound.networks import NETWORKS
from lowerbound.networks.transform.sizes import TransformSizes
from lowerbound.posteriors import POSTERIORS
from lowerbound.posteriors.finite_scalar import LEVELS
from lowerbound.priors import CODE_PRIORS, PRIORS

AUTO = "auto"
MEASURED = "semi_supervised_regression"  # the model whose label is a measurement
LABELED = ("semi_supervised", MEASURED)  # models of which the label is a latent
MOST_FACTORS = 32  # latent numbers of a table unless given
LADDER_CHANNELS = 8  # of the coarsest latent of a picture
CODE_DIM = 16  # numbers of the vector that a code stands for


@dataclass(frozen=True)
class ModelOptions:
    """What the model is made of; "auto" and None are chosen from the data.

    The words are the registries' names; the ``*_options`` go to the part of that name.
    """

    model: str = option("vae", "what is fitted", choices=MODELS)
    latent_dim: int | None = option(
        None, "numbers that a row is shrunk to (default: from the data)"
    )
    network: str = option(AUTO, "of encoder and decoder", choices=(AUTO, *NETWORKS))
    likelihood: str = option(AUTO, "p(x | z)", choices=(AUTO, *LIKELIHOODS))
    prior: str = option("standard_normal", "p(z)", choices=PRIORS)
    posterior: str = option(AUTO, "q(z | x)", choices=(AUTO, *POSTERIORS))
    missingness: str = option(
        AT_RANDOM,
        "why cells are missing, if you know it, since no data can tell: because their values are "
        "high, low, or either",
        choices=MISSINGNESS,
    )
    conditional: bool = option(False, "tell encoder and decoder the class: p(x | y)")
    model_options: Mapping[str, Any] = field(default_factory=dict)
    network_options: Mapping[str, Any] = field(default_factory=dict)
    likelihood_options: Mapping[str, Any] = field(default_factory=dict)
    prior_options: Mapping[str, Any] = field(default_factory=dict)
    posterior_options: Mapping[str, Any] = field(default_factory=dict)


def resolve(schema: Schema, options: ModelOptions) -> ModelOptions:
    """The same options with every "auto" and None decided from the schema.

    Raises:
        OptionError: an unknown name, or a latent dimension below one.
    """
    MODELS[options.model]
    _check_powers(schema, options)
    kind, network = schema.data_kind, options.network
    if network == AUTO:
        network = kind.default_network(schema, options.model == "vae").name
    if options.model == "ladder":
        _check_ladder(options, network)
    if options.model == "vq_vae":
        _check_codes(options, network)
    if options.model == "semi_supervised":
        _check_classes(schema)
    if options.model == MEASURED and schema.measurement is None:
        raise OptionError(
            f"{MEASURED} learns a measurement, and the data has none: name a label column that "
            "holds numbers, or give y"
        )
    if options.model in LABELED:
        _check_label(options, network)
    if options.model == "transform":
        options = _checked_transform(schema, options)
    _check_missingness(schema, options, network)
    likelihood = options.likelihood
    if likelihood == AUTO:
        likelihood = kind.default_likelihood(schema).name
    posterior = options.posterior
    if posterior == AUTO:
        posterior = "full" if network == "tabular" else "gaussian"
    latent_dim = options.latent_dim
    if latent_dim is None:
        latent_dim = default_latent_dim(schema, options.model, network)
        if options.model == "vq_vae":
            latent_dim = code_dim(options.model_options)
    likelihood_options = options.likelihood_options
    if options.likelihood == AUTO and likelihood == "gaussian" and schema.missing:
        # a cell is imputed as well as its column can be known, and columns differ in that
        likelihood_options = {"scale": "feature", **likelihood_options}
    return replace(
        options,
        latent_dim=latent_dim,
        network=network,
        likelihood=likelihood,
        likelihood_options=likelihood_options,
        posterior=posterior,
    )


def _check_powers(schema: Schema, options: ModelOptions) -> None:
    """Refuse what the model cannot do, or not with this data."""
    if options.latent_dim is not None and options.latent_dim < 1:
        raise OptionError(f"latent_dim must be at least 1, not {options.latent_dim}")
    if options.conditional and options.model == "pca":
        raise OptionError("pca cannot be told the class: choose vae or autoencoder")
    if options.conditional and schema.condition is None:
        raise OptionError("a conditional model needs labels: name a label column or give y")
    if options.model == "pca" and not schema.gaussian:
        raise OptionError(
            "pca is for columns of real numbers, and this table has others: read it with "
            "kinds='real', or fit a vae"
        )


def _check_missingness(schema: Schema, options: ModelOptions, network: str) -> None:
    if options.missingness not in MISSINGNESS:
        raise unknown("missingness", options.missingness, MISSINGNESS)
    if options.missingness == AT_RANDOM:
        return
    if options.model != "vae" or network != "tabular":
        raise OptionError(
            f"missingness {options.missingness!r} is for the model 'vae' with the network 'tabular'"
            f", of rows with missing cells, and not for {options.model!r} with {network!r}"
        )
    if not schema.missing:
        raise OptionError(
            f"missingness {options.missingness!r} says why cells are missing, and the data was "
            "read as complete rows: read it with missing='model' (--missing model)"
        )
    bent = [column.name for column in schema.modeled if column.spline is not None]
    if bent:
        raise OptionError(
            f"{named(bent)}: bent to normal by the values that were seen, beyond which missing "
            "ones are to lie; read the data with bend=False"
        )


def _check_ladder(options: ModelOptions, network: str) -> None:
    if network not in ("mlp", "convolutional"):
        raise OptionError(f"a ladder takes the network 'mlp' or 'convolutional', not {network!r}")
    if options.prior != "standard_normal" or options.posterior not in (AUTO, "gaussian"):
        raise OptionError(
            "a ladder has Gaussian priors and posteriors of its own at every level; leave prior "
            "and posterior out"
        )


def _check_codes(options: ModelOptions, network: str) -> None:
    if network == "tabular":
        raise OptionError("a vq_vae takes any network but 'tabular', which answers with a Gaussian")
    if options.prior != "standard_normal" or options.posterior not in (AUTO, "gaussian"):
        raise OptionError(
            "the latents of a vq_vae are codes: leave prior and posterior out, and choose the "
            f"model's own prior over codes: {' or '.join(CODE_PRIORS)}"
        )


def _check_classes(schema: Schema) -> None:
    if len(schema.class_names) < 2:
        found = f"one class ({schema.class_names[0]})" if schema.class_names else "none"
        raise OptionError(
            f"semi_supervised learns two classes or more, and the data has labels of {found}: name "
            "a label column, give y, or sort pictures into a folder per class (sound too, and name "
            "--spectrograms)"
        )


def _check_label(options: ModelOptions, network: str) -> None:
    if options.conditional:
        raise OptionError(f"{options.model} infers the label: leave conditional out")
    if network == "tabular" or options.posterior not in (AUTO, "gaussian"):
        raise OptionError(
            f"the posteriors of {options.model} are diagonal Gaussians: leave posterior out, and "
            "take any network but 'tabular'"
        )
    if options.prior == "vamp":
        raise OptionError(
            "the prior vamp asks the encoder about rows without a label; choose standard_normal, "
            "mixture or flow"
        )


def _checked_transform(schema: Schema, options: ModelOptions) -> ModelOptions:
    """With the likelihood and the numbers per block that it has."""
    if not schema.data_kind.pictures:
        raise OptionError("a transform coder is for pictures: choose vae or vq_vae for other rows")
    if options.likelihood not in (AUTO, "gaussian") or options.conditional:
        raise OptionError(
            "a transform coder has a gaussian likelihood with the noise of rounding, and is told "
            "no class: leave likelihood and conditional out"
        )
    sizes = from_mapping(TransformSizes, options.model_options)
    most = sizes.coefficients(schema.event_shape)
    kept = min(options.latent_dim or most, most)
    return replace(options, likelihood="gaussian", latent_dim=kept)


def default_latent_dim(schema: Schema, model: str = "vae", network: str = "mlp") -> int:
    """About a third of the features of a small row, growing with the root of a large one; half of a
    table's columns; channels of the coarsest latent of a ladder."""
    features = schema.dimension
    if network == "tabular":
        return min(math.ceil(features / 2), MOST_FACTORS)
    if model == "ladder" and network == "convolutional":
        return LADDER_CHANNELS
    return max(1, min(math.ceil(features / 3), 2 * math.ceil(math.sqrt(features) / 2), 64))


def code_dim(options: Mapping[str, Any]) -> int:
    """Numbers of the vector that a code stands for: as many as the grid or the signs have."""
    levels, codes = options.get("levels", LEVELS), options.get("codes", 512)
    if options.get("quantizer") == "fsq" and isinstance(levels, (list, tuple)):
        return len(levels)
    if options.get("quantizer") == "lfq" and isinstance(codes, int):
        return (max(codes, 2) - 1).bit_length()
    return CODE_DIM


def of_numbers_only(options: ModelOptions) -> bool:
    """Whether the model takes every column for a real number, so that a table is read as such."""
    return options.model == "pca" or options.likelihood not in (AUTO, "mixed")


def measures(options: ModelOptions) -> bool:
    """Whether the label is a number to be predicted, so that it is read as such."""
    return options.model == MEASURED


def bends(options: ModelOptions) -> bool:
    """Whether columns may be bent to normal by the values that were seen: not where the others are
    missing because they lie elsewhere."""
    return options.missingness == AT_RANDOM
