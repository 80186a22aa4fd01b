"""From a schema and options to a model: networks, likelihood and sizes chosen from the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
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
    HierarchicalVariationalAutoencoder,
    LadderVariationalAutoencoder,
    Model,
    ProbabilisticPCA,
    VariationalAutoencoder,
)
from lowerbound.networks import NETWORKS, Decoder, Encoder, Network
from lowerbound.networks.chain import Chain
from lowerbound.networks.ladder import Ladder
from lowerbound.posteriors import POSTERIORS, Posterior
from lowerbound.priors import PRIORS, Prior

AUTO = "auto"
INITIAL_ROWS = 10_000
LADDER_CHANNELS = 8  # of the coarsest latent of a picture


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
    latent_dim = default_latent_dim(schema) if options.latent_dim is None else options.latent_dim
    if latent_dim < 1:
        raise OptionError(f"latent_dim must be at least 1, not {latent_dim}")
    if options.conditional and options.model == "pca":
        raise OptionError("pca cannot be told the class: choose vae or autoencoder")
    if options.conditional and schema.condition is None:
        raise OptionError("a conditional model needs labels: name a label column or give y")
    network = default_network(schema) if options.network == AUTO else options.network
    if options.model == "ladder":
        _check_ladder(options, network)
        if options.latent_dim is None and network == "convolutional":
            latent_dim = LADDER_CHANNELS
    return replace(
        options,
        latent_dim=latent_dim,
        network=network,
        likelihood=default_likelihood(schema) if options.likelihood == AUTO else options.likelihood,
    )


def _check_ladder(options: ModelOptions, network: str) -> None:
    if network not in ("mlp", "convolutional"):
        raise OptionError(f"a ladder takes the network 'mlp' or 'convolutional', not {network!r}")
    if options.prior != "standard_normal" or options.posterior != "gaussian":
        raise OptionError(
            "a ladder has Gaussian priors and posteriors of its own at every level; leave prior "
            "and posterior out"
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
    return _BUILDERS[options.model](_Parts(schema, options))


@dataclass(frozen=True)
class _Parts:
    """The parts that resolved options name; each call makes a new one."""

    schema: Schema
    options: ModelOptions

    @property
    def latent_dim(self) -> int:
        assert self.options.latent_dim is not None
        return self.options.latent_dim

    @property
    def condition_dim(self) -> int:
        """Numbers that networks are told."""
        told = self.schema.condition if self.options.conditional else None
        return 0 if told is None else told.size

    @cached_property
    def network(self) -> Network:
        network: Network = from_mapping(
            NETWORKS[self.options.network], self.options.network_options
        )
        return network

    def encoder(self, numbers: int) -> Encoder:
        return self.network.encoder(self.schema.event_shape, numbers, self.condition_dim)

    def decoder(self, likelihood: Likelihood, latent_dim: int) -> Decoder:
        return self.network.decoder(latent_dim, likelihood.parameter_shape, self.condition_dim)

    def likelihood(self) -> Likelihood:
        kind = LIKELIHOODS[self.options.likelihood]
        return kind.from_schema(self.schema, self.options.likelihood_options)

    def posterior(self, latent_dim: int) -> Posterior:
        kind = POSTERIORS[self.options.posterior]
        posterior: Posterior = construct(kind, latent_dim, options=self.options.posterior_options)
        return posterior

    def prior(self, latent_dim: int) -> Prior:
        kind, shape = PRIORS[self.options.prior], self.schema.event_shape
        prior: Prior = construct(kind, latent_dim, shape, options=self.options.prior_options)
        return prior


def _pca(parts: _Parts) -> Model:
    return ProbabilisticPCA(parts.schema.event_shape, parts.latent_dim)


def _autoencoder(parts: _Parts) -> Model:
    latent_dim, likelihood = parts.latent_dim, parts.likelihood()
    decoder = parts.decoder(likelihood, latent_dim)
    return Autoencoder(parts.encoder(latent_dim), decoder, likelihood, latent_dim)


def _vae(parts: _Parts) -> Model:
    likelihood, posterior = parts.likelihood(), parts.posterior(parts.latent_dim)
    decoder, prior = parts.decoder(likelihood, parts.latent_dim), parts.prior(parts.latent_dim)
    encoder = parts.encoder(posterior.numbers)
    return VariationalAutoencoder(encoder, posterior, prior, decoder, likelihood)


def _hierarchical(parts: _Parts) -> Model:
    chain = from_mapping(Chain, parts.options.model_options)
    dims = chain.dims(parts.latent_dim)
    likelihood, posterior = parts.likelihood(), parts.posterior(dims[0])
    return HierarchicalVariationalAutoencoder(
        parts.encoder(posterior.numbers),
        posterior,
        parts.prior(dims[-1]),
        parts.decoder(likelihood, dims[0]),
        likelihood,
        chain.upward(dims),
        chain.downward(dims),
    )


def _ladder(parts: _Parts) -> Model:
    ladder = from_mapping(Ladder, parts.options.model_options)
    flat = parts.options.network == "mlp"
    shape = ladder.shape(parts.schema.event_shape, parts.latent_dim, parts.condition_dim, flat)
    return LadderVariationalAutoencoder(shape, parts.likelihood())


_BUILDERS: dict[str, Callable[[_Parts], Model]] = {
    "pca": _pca,
    "autoencoder": _autoencoder,
    "vae": _vae,
    "hierarchical": _hierarchical,
    "ladder": _ladder,
}


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
