"""From a schema and options to a model: networks, likelihood and sizes chosen from the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from lowerbound.config import construct, from_mapping, option
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.errors import OptionError
from lowerbound.likelihoods import LIKELIHOODS, Likelihood
from lowerbound.models import (
    MODELS,
    Autoencoder,
    Model,
    ProbabilisticPCA,
    VariationalAutoencoder,
)
from lowerbound.networks import NETWORKS, Network
from lowerbound.posteriors import POSTERIORS
from lowerbound.priors import PRIORS

AUTO = "auto"
INITIAL_ROWS = 10_000


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
    posterior: str = option("gaussian", "q(z | x)", choices=POSTERIORS)
    conditional: bool = option(False, "tell encoder and decoder the class: p(x | y)")
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
    latent_dim = default_latent_dim(schema) if options.latent_dim is None else options.latent_dim
    if latent_dim < 1:
        raise OptionError(f"latent_dim must be at least 1, not {latent_dim}")
    if options.conditional and options.model == "pca":
        raise OptionError("pca cannot be told the class: choose vae or autoencoder")
    if options.conditional and schema.condition is None:
        raise OptionError("a conditional model needs labels: name a label column or give y")
    return replace(
        options,
        latent_dim=latent_dim,
        network=default_network(schema) if options.network == AUTO else options.network,
        likelihood=default_likelihood(schema) if options.likelihood == AUTO else options.likelihood,
    )


def default_latent_dim(schema: Schema) -> int:
    """About a third of the features of a small row, growing with the root of a large one."""
    features = schema.dimension
    return max(1, min(math.ceil(features / 3), 2 * math.ceil(math.sqrt(features) / 2), 64))


def default_network(schema: Schema) -> str:
    """Convolutional for pictures of at least 16 pixels a side, else an MLP."""
    return "convolutional" if min(schema.event_shape[1:], default=0) >= 16 else "mlp"


def default_likelihood(schema: Schema) -> str:
    """Probability mass for binary and integer data, one learned scale for real numbers."""
    if schema.binary:
        return "bernoulli"
    if schema.levels is not None:
        return "discretized_logistic"
    return "gaussian"


def assemble(schema: Schema, options: ModelOptions) -> Model:
    """Build the model that the resolved options describe; weights are torch's defaults.

    The same schema and options always give the same shapes, so a model folder can be read back.

    Raises:
        OptionError: a name or an option of a part is unknown.
    """
    options = resolve(schema, options)
    assert options.latent_dim is not None
    if options.model == "pca":
        return ProbabilisticPCA(schema.event_shape, options.latent_dim)
    network: Network = from_mapping(NETWORKS[options.network], options.network_options)
    likelihood = LIKELIHOODS[options.likelihood].from_schema(schema, options.likelihood_options)
    condition_dim = schema.condition.size if options.conditional and schema.condition else 0
    decoder = network.decoder(options.latent_dim, likelihood.parameter_shape, condition_dim)
    if options.model == "autoencoder":
        encoder = network.encoder(schema.event_shape, options.latent_dim, condition_dim)
        return Autoencoder(encoder, decoder, likelihood, options.latent_dim)
    posterior = construct(
        POSTERIORS[options.posterior], options.latent_dim, options=options.posterior_options
    )
    prior = construct(
        PRIORS[options.prior], options.latent_dim, schema.event_shape, options=options.prior_options
    )
    encoder = network.encoder(schema.event_shape, posterior.numbers, condition_dim)
    return VariationalAutoencoder(encoder, posterior, prior, decoder, likelihood)


def initialize(model: Model, dataset: Dataset) -> None:
    """Start the model from the data: output biases at the marginals, scales, pseudo-inputs.

    Raises:
        DataError: the data lies outside the likelihood's support.
    """
    if isinstance(model, ProbabilisticPCA):
        model.fit(_rows(dataset, len(dataset)))
        return
    x = _rows(dataset, INITIAL_ROWS)
    likelihood, decoder = model.likelihood, model.decoder
    assert isinstance(likelihood, Likelihood)
    likelihood.check(x)
    likelihood.initialize(x)
    bias = likelihood.initial_bias(x)
    set_bias = getattr(decoder, "set_output_bias", None)
    if bias is not None and callable(set_bias):
        set_bias(bias)
    if isinstance(model, VariationalAutoencoder):
        model.prior.initialize(x)


def _rows(dataset: Dataset, most: int) -> Tensor:
    """At most that many rows in model units, spread over the data set."""
    count = min(len(dataset), most)
    index = torch.linspace(0, len(dataset) - 1, count).round().to(torch.int64)
    return dataset.batch(index, None).filled
