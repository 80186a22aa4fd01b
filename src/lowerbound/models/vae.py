"""The variational autoencoder, with or without a condition."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import Parameter

from lowerbound.config import option
from lowerbound.data.columns.matrix import named
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import draw
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.likelihoods.base import Likelihood
from lowerbound.models.base import DRAW, MODELS, Model, starting_rows
from lowerbound.models.heads import QuantityHead, QuantityOptions
from lowerbound.models.linear_start import (
    ROWS,
    LinearParts,
    path_of,
    start_from_linear,
    start_from_principal_components,
    start_linear_path,
    starts_at_factor_analysis,
    starts_at_principal_components,
)
from lowerbound.networks.base import Decoder, Encoder
from lowerbound.networks.inputs import Input
from lowerbound.networks.pictures.linear_path import LatentMapDecoder, LatentMapEncoder, LinearPath
from lowerbound.parts import trainable
from lowerbound.posteriors.gaussian import Posterior
from lowerbound.priors.base import PRIORS, Prior, PriorTerms
from lowerbound.priors.trainable import check_trainable
from lowerbound.trace import Batch, Choose, Emission, Step, Trace, fold

if TYPE_CHECKING:  # names for annotations
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts


LONG_RUN = 2_000  # updates after which networks code better what weak components hold
LEAST_NATS = 2.0  # of a component that a long run starts with: benchmarks/picture_start_limit.py
WARM_UP = 50  # updates after which networks beside a linear path have the full learning rate


@dataclass(frozen=True)
class VariationalOptions(QuantityOptions):
    """How the latent of a variational autoencoder is laid out, and what it predicts."""

    stride: int | None = option(
        None,
        "the latent is a map that many times smaller than a picture per side, and latent_dim is "
        "its number of channels; not given: the latent is a vector",
    )
    linear_start: bool = option(
        True,
        "pictures: a linear path beside the networks starts at principal components, in a run of "
        "2,000 updates or more at the strong ones alone",
    )


@MODELS.register("vae")
class VariationalAutoencoder(Model):
    r"""z ~ p(z), x ~ p(x | z), with q(z | x) proposed by the encoder.

    With a condition y (a class, an embedding), the encoder and the decoder see y and the prior does
    not: p(x | y) = \int p(x | z, y) p(z) dz. This is the conditional VAE of Sohn et al. 2015 with
    an unconditional prior.

    Args:
        encoder: (rows, *inputs.shape), condition -> (rows, posterior.numbers).
        posterior: the encoder's output -> q(z | x).
        prior: p(z).
        decoder: (rows, latent_dim), condition -> (rows, *likelihood.parameter_shape).
        likelihood: the decoder's output -> p(x | z).
        inputs: makes the encoder's input from a row; None: the row unchanged.
        head: z -> p(quantities | z); None: the rows have no quantities.

    Attributes:
        path: a linear path beside both networks, from the rows to z and back; None: there is none.

    Source: Kingma & Welling 2014.
    """

    title: ClassVar[str] = "VAE"
    Options: ClassVar[type[Any]] = VariationalOptions
    tabular: ClassVar[bool] = True
    predicts: ClassVar[bool] = True

    def __init__(
        self,
        encoder: nn.Module,
        posterior: Posterior,
        prior: Prior,
        decoder: nn.Module,
        likelihood: Likelihood,
        inputs: Input | None = None,
        head: QuantityHead | None = None,
    ) -> None:
        super().__init__(inputs)
        self.encoder = encoder
        self.posterior = posterior
        self.prior = prior
        self.decoder = decoder
        self.likelihood = likelihood
        self.head = head
        self.latent_dim = prior.latent_dim
        self.path: LinearPath | None = None

    @classmethod
    def check_missingness(cls, schema: Schema, options: ModelOptions) -> None:
        if options.network != "tabular":
            super().check_missingness(schema, options)
        if not schema.missing:
            raise OptionError(
                f"missingness={options.missingness!r} needs missing cells, but the data was read "
                "as complete rows: read it with missing='model'"
            )
        bent = [c.name for c in schema.modeled if c.spline is not None or c.bulk is not None]
        if bent:
            raise OptionError(
                f"{named(bent)}: mapped to normal scores by the observed values, which missing "
                "values may exceed; read the data with normal_scores=False"
            )

    @classmethod
    def latents_text(cls, parts: ModelParts) -> str:
        stride, text = cls._stride(parts), super().latents_text(parts)
        if stride is None:
            return text
        height, width = parts.network.map_size(parts.schema.event_shape, stride)
        return f"{text} at each place of a map of {height} x {width}"

    @classmethod
    def _stride(cls, parts: ModelParts) -> int | None:
        """How many times smaller than a picture the latent map is; None: z is no map."""
        own = parts.own(cls.Options)
        given = own.stride if isinstance(own, VariationalOptions) else None
        return given or parts.network.map_stride

    @classmethod
    def build(cls, parts: ModelParts) -> VariationalAutoencoder:
        own = parts.own(cls.Options)
        options = own if isinstance(own, VariationalOptions) else VariationalOptions()
        stride = cls._stride(parts)
        if stride is not None:
            return cls._with_map(parts, options, stride)
        likelihood, posterior = parts.likelihood(), parts.posterior(parts.latent_dim)
        decoder, prior = parts.decoder(likelihood, parts.latent_dim), parts.prior(parts.latent_dim)
        encoder = parts.encoder(posterior.numbers)
        head = parts.quantity_head(parts.latent_dim, options)
        model = cls(encoder, posterior, prior, decoder, likelihood, parts.inputs, head)
        if options.linear_start and parts.schema.data_kind.pictures:
            model.path = path_of(model, parts.schema.event_shape)
        return model

    @classmethod
    def _with_map(
        cls, parts: ModelParts, options: VariationalOptions, stride: int
    ) -> VariationalAutoencoder:
        """One whose latent is a map, its numbers in the order (channels, height, width)."""
        channels, network = parts.latent_dim, parts.network
        shape = (channels, *network.map_size(parts.schema.event_shape, stride))
        likelihood, posterior = parts.likelihood(), parts.posterior(math.prod(shape))
        heads, rest = divmod(posterior.numbers, posterior.latent_dim)
        if rest:
            raise OptionError(
                f"the posterior {parts.options.posterior!r} has numbers that belong to no place of "
                "a latent map: use posterior=gaussian with model.stride"
            )
        condition = parts.condition_dim
        encoder = network.map_encoder(parts.input_shape, stride, heads * channels, condition)
        decoder = network.map_decoder(stride, channels, likelihood.parameter_shape, condition)
        return cls(
            LatentMapEncoder(encoder, shape),
            posterior,
            parts.prior(math.prod(shape), shape),
            LatentMapDecoder(decoder, shape),
            likelihood,
            parts.inputs,
            parts.quantity_head(math.prod(shape), options),
        )

    def start(self, dataset: Dataset) -> None:
        """Start from marginals, the prior from rows, the network 'tabular' from factor analysis,
        the network 'linear' and other networks of pictures from principal components, in a long
        run those that hold ``LEAST_NATS``."""
        batch = starting_rows(dataset)
        self.prior.initialize(self.start_at_marginals(self.marginal_rows(dataset)))
        start_from_linear(self, batch)
        if starts_at_principal_components(self):  # the networks are the linear model: no path
            start_from_principal_components(self, batch)
        elif self.path is not None and not self.likelihood.starts_by_itself:
            assert isinstance(self.encoder, Encoder)
            assert isinstance(self.decoder, Decoder)
            parts = LinearParts(self.path, self.decoder, self.likelihood)
            least = LEAST_NATS if (self.planned_updates or 0) >= LONG_RUN else 0.0
            if start_linear_path(parts, starting_rows(dataset, ROWS).filled, least):
                assert self.encoder.output_layer is not None
                nn.init.zeros_(self.encoder.output_layer.weight)

    @property
    def starts_as_linear_model(self) -> bool:
        open_path = self.path is not None and self.path.is_open
        return open_path or starts_at_factor_analysis(self) or starts_at_principal_components(self)

    @property
    def warm_up(self) -> int:
        opened = self.path is not None and self.path.is_open
        return WARM_UP if opened or self.likelihood.starts_by_itself else 0

    @property
    def starts_at_optimum(self) -> bool:
        """Whether ``start`` solves the model in closed form, so that training has nothing to add
        and large updates would only lose."""
        return starts_at_principal_components(self)

    def take_layout(self, names: Collection[str]) -> None:
        if self.path is not None:
            self.path.take_layout(names, "path.")

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        if batch.x is None:
            return self.imagine(batch, choose)
        return self._pass(self.encode(batch), batch, choose)

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """A pass without data."""
        return self._pass(None, batch, choose)

    def imagine_latents(self, batch: Batch, choose: Choose = DRAW) -> tuple[Tensor, ...]:
        """z of a pass without data, (samples, batch, latent_dim)."""
        return (choose(0, None, self._prior_of(batch)),)

    def encode(self, batch: Batch) -> Distribution:
        """q(z | x), batch shape (1, batch)."""
        distribution: Distribution = self.posterior(self._heads(self.seen(batch), batch.condition))
        return distribution

    def prior_distribution(self, prompt: Tensor | None = None) -> Distribution:
        """p(z), batch shape (1, 1); p(z | prompt), (1, rows), where rows have a prompt."""
        return self.prior.given(prompt, self._encode_rows)

    @classmethod
    def prior_name(cls, options: ModelOptions) -> str:
        return options.prior

    @classmethod
    def prior_kinds(cls) -> Sequence[str]:
        """Names of the priors over numbers that can be trained on latents, the default first."""
        return trainable(PRIORS)

    @classmethod
    def with_prior(
        cls, options: ModelOptions, prior: str, prior_options: Mapping[str, Any]
    ) -> ModelOptions:
        """The same options with another prior."""
        check_trainable(prior, PRIORS)
        return replace(options, prior=prior, prior_options=prior_options)

    @property
    def learned_prior(self) -> Prior:
        """p(z), which training on latents changes."""
        return self.prior

    def prior_latents(self, batch: Batch, samples: int) -> Tensor:
        """Draws from q(z | x), (samples, batch, latent_dim)."""
        return draw(self.encode(batch), samples)

    def start_prior(self, latents: Tensor, noise: Tensor | None = None) -> None:
        """Start the prior from latents of training rows, (rows, latent_dim)."""
        self.prior.start_from_latents(latents, noise)

    def prior_terms(self, latents: Tensor, prompt: Tensor | None = None) -> PriorTerms:
        """What training on latents, (rows, latent_dim), needs."""
        if self.prior.learns_from_latents:
            return self.prior.terms(latents, prompt)
        log_prob = self.prior_distribution(prompt).log_prob(latents.unsqueeze(0))[0]
        return PriorTerms(log_prob, -log_prob)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        """p(x | z) for z (samples, batch, latent_dim)."""
        emission: Emission = self.likelihood(fold(self._emitted, z, condition))
        return emission

    def _heads(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """The posterior's numbers, of the encoder and the path."""
        numbers: Tensor = self.encoder(x, condition)
        return numbers if self.path is None else self.path.heads(x, numbers)

    def _emitted(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The likelihood's parameters, of the decoder and the path."""
        numbers: Tensor = self.decoder(z, condition)
        return numbers if self.path is None else self.path.parameters_of(z, numbers)

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        return {
            "inference": [
                *self.input_parameters(),
                *self.encoder.parameters(),
                *self.posterior.parameters(),
                *(self.path.analysis_parameters() if self.path is not None else ()),
            ],
            "generative": [
                *self.prior.parameters(),
                *self.decoder.parameters(),
                *self.likelihood.parameters(),
                *(self.head.parameters() if self.head is not None else ()),
                *(self.path.synthesis_parameters() if self.path is not None else ()),
            ],
        }

    def _pass(self, posterior: Distribution | None, batch: Batch, choose: Choose) -> Trace:
        if posterior is None:
            prior = self._prior_of(batch)
        else:
            prior = self.prior_distribution(batch.prompt)
        z = choose(0, posterior, prior)
        emission = self.decode(z, batch.condition)
        if posterior is not None:
            emission = emission.knowing(batch.missing)
        step = Step(z, posterior, prior)
        return Trace((step,), emission, predicted=self._predicted(z, batch))

    def _prior_of(self, batch: Batch) -> Distribution:
        """p(z) of each row of a batch without data, (1, batch)."""
        rows = torch.Size((1, len(batch)))
        prior: Distribution = self.prior_distribution(batch.prompt).expand(rows)
        return prior

    def _predicted(self, z: Tensor, batch: Batch) -> Tensor | None:
        """The weighted log p(v | z) of quantities, (samples, batch), if the batch has them."""
        if self.head is None or batch.quantities is None or batch.x is None:
            return None
        return self.head.weighted(z, batch.quantities)

    def _encode_rows(self, x: Tensor) -> Distribution:
        if getattr(self.encoder, "condition_dim", 0):
            raise UnsupportedError(
                f"{type(self.prior).__name__} encodes rows without a class, which a "
                "conditional model cannot; choose the prior standard_normal, mixture or flow"
            )
        distribution: Distribution = self.posterior(self._heads(self.seen(Batch(x)), None))
        return distribution
