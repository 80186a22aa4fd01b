"""The parts of a model, built from its options."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from lowerbound.config import construct, from_mapping
from lowerbound.data.schema import Schema
from lowerbound.likelihoods import LIKELIHOODS, Likelihood
from lowerbound.models.heads import QuantityHead, QuantityOptions
from lowerbound.models.options import ModelOptions
from lowerbound.networks import NETWORKS, Decoder, Encoder, Network
from lowerbound.networks.inputs import Columns, Input, Masked, SquareRoots
from lowerbound.networks.tabular import Tabular
from lowerbound.networks.tokens import TokenVectors
from lowerbound.parts import AT_RANDOM
from lowerbound.posteriors import POSTERIORS, Posterior
from lowerbound.priors import PRIORS, Prior

Own = TypeVar("Own")


@dataclass(frozen=True)
class ModelParts:
    """The parts that resolved options name; each call builds a new part."""

    schema: Schema
    options: ModelOptions

    def own(self, kind: type[Own]) -> Own:
        """The model's own options as the dataclass ``kind``."""
        return from_mapping(kind, self.options.model_options)

    @property
    def latent_dim(self) -> int:
        assert self.options.latent_dim is not None
        return self.options.latent_dim

    @property
    def condition_dim(self) -> int:
        """Numbers of the networks' condition."""
        condition = self.schema.condition if self.options.conditional else None
        return 0 if condition is None else condition.size

    @cached_property
    def network(self) -> Network:
        network: Network = from_mapping(
            NETWORKS[self.options.network], self.options.network_options
        )
        return network

    @cached_property
    def inputs(self) -> Input | None:
        """The module that makes the encoder's input from a row; None: the row unchanged."""
        if self.schema.data_kind.symbolic:
            assert self.schema.levels is not None
            return TokenVectors(self.schema.event_shape[0], self.schema.levels)
        if LIKELIHOODS[self.options.likelihood].by_columns:
            return Columns(self.schema.columns, tells_missing=self.tells_missing)
        masked = self.schema.missing or self.network.reads_mask
        if not masked and self.schema.data_kind.parts_of_whole:
            return SquareRoots(self.schema.event_shape)
        if not masked:
            return None
        return Masked(self.schema.event_shape, tells_missing=self.tells_missing)

    @property
    def tells_missing(self) -> bool:
        """Whether the encoder sees which cells are missing, apart from those hidden."""
        return self.options.missingness != AT_RANDOM

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the encoder's input."""
        return self.schema.event_shape if self.inputs is None else self.inputs.shape

    def encoder(self, numbers: int) -> Encoder:
        shape, network = self.input_shape, self.network
        if isinstance(network, Tabular):
            linear = getattr(self.inputs, "linear", None)
            return network.encoder(
                shape,
                numbers,
                self.condition_dim,
                linear=linear,
                tells_missing=self.tells_missing,
            )
        return network.encoder(shape, numbers, self.condition_dim)

    def decoder(self, likelihood: Likelihood, latent_dim: int) -> Decoder:
        return self.network.decoder(latent_dim, likelihood.parameter_shape, self.condition_dim)

    def quantity_head(self, latent_dim: int, options: QuantityOptions) -> QuantityHead | None:
        """p(quantities | z); None: the rows have none."""
        count = len(self.schema.quantities)
        return QuantityHead(latent_dim, count, options) if count else None

    def likelihood(self) -> Likelihood:
        kind = LIKELIHOODS[self.options.likelihood]
        likelihood = kind.from_schema(self.schema, self.options.likelihood_options)
        if self.options.missingness != AT_RANDOM:
            likelihood.explain_missing(self.options.missingness)
        return likelihood

    def posterior(self, latent_dim: int) -> Posterior:
        kind = POSTERIORS[self.options.posterior]
        posterior: Posterior = construct(kind, latent_dim, options=self.options.posterior_options)
        return posterior

    def prior(self, latent_dim: int, latent_shape: tuple[int, ...] = ()) -> Prior:
        """p(z); ``latent_shape`` is (channels, height, width) where z is a map."""
        kind, options = PRIORS[self.options.prior], self.options.prior_options
        return kind.build(
            latent_dim, self.schema.event_shape, latent_shape or (latent_dim,), options
        )
