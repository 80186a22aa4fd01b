"""The options of a model and its parts: names, or "auto" for a choice from the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from lowerbound.classical.self_masking import AT_RANDOM, MISSINGNESS
from lowerbound.config import construct, from_mapping, option
from lowerbound.data.schema import Schema
from lowerbound.data.vocabulary import PromptVocabulary
from lowerbound.likelihoods.base import LIKELIHOODS, Likelihood
from lowerbound.models.base import AUTO, MODELS
from lowerbound.models.heads import QuantityHead, QuantityOptions
from lowerbound.networks.base import NETWORKS, Decoder, Encoder, Network
from lowerbound.networks.inputs import Columns, Input, Masked, SquareRoots
from lowerbound.networks.tabular import Tabular
from lowerbound.networks.tokens import TokenVectors
from lowerbound.posteriors.gaussian import POSTERIORS, Posterior
from lowerbound.priors.base import PRIORS, Prior

Own = TypeVar("Own")


@dataclass(frozen=True)
class ModelOptions:
    """The parts of a model; "auto" and None choose from the data.

    Values are names in the registries. Each ``*_options`` goes to the part of that name.
    ``refiner`` holds the options of a refiner that was trained after the model; None: it has none.
    ``correction`` is that of a table's drawn rows, likewise.
    """

    model: str = option("vae", "the model to fit", choices=MODELS, common=True)
    latent_dim: int | None = option(
        None, "numbers in the code of a row (default: from the data)", common=True
    )
    network: str = option(AUTO, "network of encoder and decoder", choices=NETWORKS.after(AUTO))
    likelihood: str = option(AUTO, "p(x | z)", choices=LIKELIHOODS.after(AUTO))
    prior: str = option("standard_normal", "p(z)", choices=PRIORS)
    posterior: str = option(AUTO, "q(z | x)", choices=POSTERIORS.after(AUTO))
    missingness: str = option(
        AT_RANDOM,
        "why cells are missing, where you know it: because their values are high, low, or "
        "either; the data cannot show this",
        choices=MISSINGNESS,
    )
    conditional: bool = option(
        False, "condition encoder and decoder on the class: p(x | y)", common=True
    )
    model_options: Mapping[str, Any] = field(default_factory=dict)
    network_options: Mapping[str, Any] = field(default_factory=dict)
    likelihood_options: Mapping[str, Any] = field(default_factory=dict)
    prior_options: Mapping[str, Any] = field(default_factory=dict)
    posterior_options: Mapping[str, Any] = field(default_factory=dict)
    refiner: Mapping[str, Any] | None = None
    correction: Mapping[str, Any] | None = None

    @property
    def prompts(self) -> PromptVocabulary:
        """The vocabulary of prompts that the prior takes; empty if it takes none."""
        return PromptVocabulary.of(self.model_options.get("prior_options") or self.prior_options)

    @property
    def numbers_only(self) -> bool:
        """Whether a table is read with every column as a real number."""
        by_columns = self.likelihood == AUTO or LIKELIHOODS[self.likelihood].by_columns
        return MODELS[self.model].numbers_only or not by_columns

    @property
    def is_regression(self) -> bool:
        """Whether the label is read as a number to predict."""
        return MODELS[self.model].is_regression

    @property
    def infers_label(self) -> bool:
        """Whether the label is inferred for rows without one, so that labels are scarce."""
        return MODELS[self.model].infers_label

    @property
    def normal_scores(self) -> bool:
        """Whether columns may be mapped to normal scores by their observed values. They may not if
        cells are missing because of their values."""
        return self.missingness == AT_RANDOM


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
